//! What holds of every slug and of every text that is none.

use molecule_orgs::Slug;
use proptest::prelude::*;

/// The rule in words of its own: `^[a-z][a-z0-9-]{1,30}[a-z0-9]$` and no `--`.
fn follows_the_rule(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let lower = |c: char| c.is_ascii_lowercase();
    let digit = |c: char| c.is_ascii_digit();
    let [first, inner @ .., last] = letters.as_slice() else {
        return false;
    };
    lower(*first)
        && (1..=30).contains(&inner.len())
        && inner.iter().all(|&c| lower(c) || digit(c) || c == '-')
        && (lower(*last) || digit(*last))
        && !letters.windows(2).any(|pair| pair == ['-', '-'])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged_by_the_rule(text in any::<String>()) {
        prop_assert_eq!(Slug::new(text.as_str()).is_ok(), follows_the_rule(&text));
    }

    #[test]
    fn a_text_near_the_rule_is_judged_by_it(text in "[a-c0-2-]{0,34}|[a-zA-Z0-9_é -]{1,6}\n?") {
        prop_assert_eq!(Slug::new(text.as_str()).is_ok(), follows_the_rule(&text));
    }

    #[test]
    fn a_text_made_by_the_rule_is_taken(text in "[a-z](-?[a-z0-9]){2,15}") {
        let slug = Slug::new(text.as_str()).unwrap();
        prop_assert_eq!(slug.as_str(), text);
    }

    #[test]
    fn a_slug_from_any_name_is_a_slug(name in any::<String>()) {
        if let Ok(slug) = Slug::from_name(&name) {
            prop_assert!(follows_the_rule(slug.as_str()));
        }
    }
}
