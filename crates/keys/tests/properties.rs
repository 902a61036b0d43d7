//! What holds of every key and of every text that is none.

use std::convert::Infallible;

use molecule_keys::{KeyKind, Pepper, Peppers, PlainKey};
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};

/// Where `mol_pk_` and `mol_ak_` differ.
const KIND_LETTER: usize = 4;

/// A source that gives these four numbers and then begins again.
struct Cycle([u64; 4]);

impl TryRng for Cycle {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let [number, ..] = self.0;
        self.0.rotate_left(1);
        Ok(number)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        Ok(())
    }
}

impl TryCryptoRng for Cycle {}

/// The text of any key that can be generated.
fn key() -> impl Strategy<Value = (KeyKind, String)> {
    let kind = prop_oneof![Just(KeyKind::Partner), Just(KeyKind::Admin)];
    (kind, any::<[u64; 4]>()).prop_map(|(kind, numbers)| {
        let key = PlainKey::generate(kind, &mut Cycle(numbers));
        (kind, key.expose().to_owned())
    })
}

/// Whether a text is taken as a key of our form; one without our prefix can only be the operator's.
fn is_key(text: &str) -> bool {
    PlainKey::parse(text).is_ok_and(|key| key.kind() != KeyKind::Operator)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = PlainKey::parse(&text);
        let _ = PlainKey::operator(&text);
    }

    #[test]
    fn any_text_behind_a_prefix_is_refused(
        prefix in "mol_[pa]k_",
        rest in prop_oneof![any::<String>(), "[0-9A-Za-z]{50}"],
    ) {
        let text = format!("{prefix}{rest}");
        prop_assert!(PlainKey::parse(&text).is_err());
    }

    #[test]
    fn every_generated_key_is_read_back((kind, text) in key()) {
        let read = PlainKey::parse(&text).unwrap();
        prop_assert_eq!(read.kind(), kind);
        prop_assert_eq!(read.expose(), &text);
        prop_assert_eq!(text.len(), 57);
        prop_assert_eq!(read.display_prefix(), &text[..12]);
    }

    #[test]
    fn one_other_character_is_refused(
        (kind, text) in key(),
        place in any::<prop::sample::Index>(),
        other in prop_oneof![prop::char::range('0', 'z'), any::<char>()],
    ) {
        let mut letters: Vec<char> = text.chars().collect();
        let place = place.index(letters.len());
        prop_assume!(letters[place] != other);
        letters[place] = other;
        let text: String = letters.into_iter().collect();
        // One letter of the prefix says which kind a key is of, and the checksum does not cover it:
        // the other kind's letter makes the text of a key that nobody was given.
        let other_kind = place == KIND_LETTER
            && matches!((kind, other), (KeyKind::Partner, 'a') | (KeyKind::Admin, 'p'));
        prop_assert_eq!(is_key(&text), other_kind);
    }

    #[test]
    fn a_key_with_the_letter_of_the_other_kind_is_another_key(numbers in any::<[u64; 4]>()) {
        let key = PlainKey::generate(KeyKind::Partner, &mut Cycle(numbers));
        let other = PlainKey::parse(&key.expose().replacen("mol_pk_", "mol_ak_", 1)).unwrap();
        prop_assert_eq!(other.kind(), KeyKind::Admin);
        let peppers = Peppers::new(Pepper::new([7; 32]).unwrap(), []);
        prop_assert_ne!(peppers.digest(&key), peppers.digest(&other));
    }

    #[test]
    fn two_neighbours_that_change_places_are_refused((_, text) in key(), place in 7_usize..56) {
        let mut letters: Vec<char> = text.chars().collect();
        prop_assume!(letters[place] != letters[place + 1]);
        letters.swap(place, place + 1);
        prop_assert!(!is_key(&letters.into_iter().collect::<String>()));
    }

    #[test]
    fn a_cut_key_is_refused((_, text) in key(), end in 0_usize..57, begin in 1_usize..57) {
        prop_assert!(!is_key(&text[..end]));
        prop_assert!(!is_key(&text[begin..]));
    }

    #[test]
    fn an_extended_key_is_refused((_, text) in key(), more in any::<String>()) {
        prop_assume!(!more.is_empty());
        let behind = format!("{text}{more}");
        let before = format!("{more}{text}");
        prop_assert!(!is_key(&behind));
        prop_assert!(!is_key(&before));
    }
}
