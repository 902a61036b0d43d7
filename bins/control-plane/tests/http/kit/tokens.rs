//! Tokens that were never issued, made by the form that the contract gives.

use std::{iter, sync::Mutex};

use testkit::random::SeededRandom;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static NUMBERS: Mutex<SeededRandom> = Mutex::new(SeededRandom::new(1));

/// A number that no other call has got.
pub fn random() -> u64 {
    NUMBERS.lock().unwrap().number()
}

/// A token of the right form with the right checksum.
pub fn well_formed(prefix: &str) -> String {
    let half = || base62(u128::from(random()) << 64 | u128::from(random()), 22);
    let random = half() + &half();
    let checksum = base62(crc32(random.as_bytes()).into(), 6);
    format!("{prefix}{random}{checksum}")
}

/// The same token with its last character changed.
pub fn mistyped(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

/// Whether a token has the prefix, the length, the alphabet and the checksum of the contract.
pub fn is_well_formed(token: &str, prefix: &str) -> bool {
    let Some(suffix) = token.strip_prefix(prefix) else {
        return false;
    };
    suffix.len() == 50
        && suffix.bytes().all(|byte| ALPHABET.contains(&byte))
        && suffix[44..] == base62(crc32(&suffix.as_bytes()[..44]).into(), 6)
}

fn base62(mut number: u128, width: usize) -> String {
    let digits: Vec<char> = iter::repeat_with(|| {
        let digit = ALPHABET[usize::try_from(number % 62).unwrap()];
        number /= 62;
        char::from(digit)
    })
    .take(width)
    .collect();
    digits.into_iter().rev().collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !crc
}

#[test]
fn the_checksum_is_the_one_of_the_standard() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert!(is_well_formed(&well_formed("mol_pk_"), "mol_pk_"));
}
