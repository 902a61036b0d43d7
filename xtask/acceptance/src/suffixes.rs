//! How rarely a text that was not issued has the form of a key.
//!
//! 62^22 is about 8 times 2^128, so each half is in range once in 8, and the checksum is right once
//! in 62^6: one suffix in 3.6 * 10^12 passes.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use getrandom::SysRng;
use keys::{KeyKind, PlainKey};
use rand_core::{Rng as _, UnwrapErr};
use testkit::random::SeededRandom;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "mol_pk_";
const SUFFIX: usize = 50;
/// More than this many accepted, and the promise does not hold.
const TOLERATED: u64 = 1;
/// How many real keys must all be accepted, or the parser just refuses everything.
const REAL: u64 = 100_000;

/// What `suffixes` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many suffixes to draw.
    #[arg(long, default_value_t = 100_000_000)]
    count: u64,
    /// The same seed draws the same suffixes on as many cores.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Draws, counts and prints.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let cores = u64::try_from(thread::available_parallelism()?.get())?;
    let start = Instant::now();
    let accepted = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let share = args.count / cores + u64::from(core < args.count % cores);
                scope.spawn(move || accepted_of(share, SeededRandom::stream(args.seed, core)))
            })
            .collect();
        workers
            .into_iter()
            .try_fold(0, |sum, worker| worker.join().ok().map(|n| sum + n))
    })
    .context("a thread panicked")?;
    print(args.count, accepted, start.elapsed());
    let mut random = UnwrapErr(SysRng);
    let real = (0..REAL)
        .filter(|_| {
            let key = PlainKey::generate(KeyKind::Partner, &mut random);
            PlainKey::parse(key.expose()).is_ok()
        })
        .count();
    println!("control: {real} of {REAL} generated keys accepted");
    ensure!(
        u64::try_from(real)? == REAL,
        "the parser refuses real keys, so the count says nothing"
    );
    Ok(accepted <= TOLERATED)
}

fn print(count: u64, accepted: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("suffixes drawn: {count}, accepted: {accepted}, {seconds:.1} s");
    let per_mille_million = accepted.saturating_mul(1_000_000_000) / count.max(1);
    println!("rate: {per_mille_million} in 10^9");
}

fn accepted_of(count: u64, mut random: SeededRandom) -> u64 {
    let mut token = String::with_capacity(PREFIX.len() + SUFFIX);
    let mut accepted = 0;
    for _ in 0..count {
        token.clear();
        token.push_str(PREFIX);
        push_random(&mut token, &mut random);
        accepted += u64::from(PlainKey::parse(&token).is_ok());
    }
    accepted
}

/// Ten characters from each number: six bits each, those past the alphabet dropped.
fn push_random(token: &mut String, random: &mut SeededRandom) {
    let whole = PREFIX.len() + SUFFIX;
    while token.len() < whole {
        let mut bits = random.next_u64();
        for _ in 0..10 {
            let place = usize::try_from(bits & 63).unwrap_or(usize::MAX);
            if let Some(&letter) = ALPHABET.get(place)
                && token.len() < whole
            {
                token.push(char::from(letter));
            }
            bits >>= 6;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_suffix_has_its_length_and_alphabet() {
        let mut random = SeededRandom::stream(1, 0);
        let mut token = String::new();
        for _ in 0..1000 {
            token.clear();
            token.push_str(PREFIX);
            push_random(&mut token, &mut random);
            let suffix = token.strip_prefix(PREFIX).unwrap();
            assert_eq!(suffix.len(), SUFFIX);
            assert!(suffix.bytes().all(|letter| ALPHABET.contains(&letter)));
        }
    }

    #[test]
    fn random_suffixes_are_refused() {
        assert_eq!(accepted_of(10_000, SeededRandom::stream(1, 0)), 0);
    }
}
