//! `molecule-cp scanner-rules`: by what scanners find keys of this server in code.

use clap::ValueEnum;
use keys::{KeyPrefix, KeyPrefixes};

use super::print;
use crate::settings::Settings;

/// What stands behind a prefix.
const SUFFIX: &str = "[0-9A-Za-z]{50}";
/// The prefix of admin keys.
const ADMIN: &str = "mol_ak_";
/// In bits for each character. A key has about 5; what somebody writes as a placeholder has fewer.
const ENTROPY: &str = "4.0";

/// A scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Rules for .gitleaks.toml
    Gitleaks,
    /// Custom detectors for the --config of trufflehog
    Trufflehog,
    /// The fields of custom patterns in GitHub's settings
    Github,
}

pub fn run(settings: &Settings, format: Format) -> anyhow::Result<()> {
    print(&rules(&settings.key_prefixes, format))
}

/// One kind of key.
struct Kind {
    id: &'static str,
    name: &'static str,
    prefixes: Vec<String>,
}

fn kinds(prefixes: &KeyPrefixes) -> [Kind; 2] {
    [
        Kind {
            id: "molecule-partner-key",
            name: "Molecule partner key",
            prefixes: prefixes.all().map(KeyPrefix::to_string).collect(),
        },
        Kind {
            id: "molecule-admin-key",
            name: "Molecule admin key",
            prefixes: vec![ADMIN.to_owned()],
        },
    ]
}

impl Kind {
    /// In the dialect of RE2, which all of them have in common with Hyperscan.
    fn pattern(&self) -> String {
        match &*self.prefixes {
            [only] => format!("{only}{SUFFIX}"),
            several => format!("(?:{}){SUFFIX}", several.join("|")),
        }
    }
}

fn rules(prefixes: &KeyPrefixes, format: Format) -> String {
    let kinds = kinds(prefixes);
    let rules = kinds.iter();
    match format {
        Format::Gitleaks => rules.map(gitleaks).collect(),
        Format::Trufflehog => {
            let detectors: String = rules.map(trufflehog).collect();
            format!("detectors:\n{detectors}")
        }
        Format::Github => rules.map(github).collect(),
    }
}

fn gitleaks(kind: &Kind) -> String {
    let keywords = kind.prefixes.iter().map(|prefix| format!("{prefix:?}"));
    let keywords = keywords.collect::<Vec<_>>().join(", ");
    format!(
        "[[rules]]\nid = \"{}\"\ndescription = \"{}\"\nregex = '''\\b({})\\b'''\nsecretGroup = 1\nentropy = \
         {ENTROPY}\nkeywords = [{keywords}]\n\n",
        kind.id,
        kind.name,
        kind.pattern()
    )
}

fn trufflehog(kind: &Kind) -> String {
    let keywords = kind.prefixes.iter();
    let keywords: String = keywords
        .map(|prefix| format!("      - {prefix}\n"))
        .collect();
    format!(
        "  - name: {}\n    keywords:\n{keywords}    regex:\n      key: '\\b({})\\b'\n    entropy: {ENTROPY}\n",
        kind.id,
        kind.pattern()
    )
}

fn github(kind: &Kind) -> String {
    format!(
        "Pattern name: {}\nSecret format: {}\nBefore secret: \\A|[^0-9A-Za-z_]\nAfter secret: \\z|[^0-9A-Za-z_]\n\n",
        kind.name,
        kind.pattern()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use keys::{KeyKind, PlainKey};
    use rand_core::Rng as _;
    use regex::Regex;
    use testkit::random::SeededRandom;

    use super::*;

    fn prefixes() -> KeyPrefixes {
        let retired = vec!["mol_pk_".parse().unwrap()];
        KeyPrefixes::new("acme_pk_".parse().unwrap(), retired).unwrap()
    }

    fn entropy(text: &str) -> f64 {
        let mut counts = HashMap::new();
        for character in text.chars() {
            *counts.entry(character).or_insert(0.0) += 1.0;
        }
        let all = f64::from(u32::try_from(text.len()).unwrap());
        counts
            .values()
            .map(|count: &f64| -(count / all) * (count / all).log2())
            .sum()
    }

    /// What a scanner does by its rules: the keywords first, then the pattern, then the entropy.
    struct Scanner(Vec<(Vec<String>, Regex)>);

    impl Scanner {
        fn finds<'a>(&self, text: &'a str) -> Vec<&'a str> {
            let mut found = Vec::new();
            for (keywords, pattern) in &self.0 {
                if !keywords.iter().any(|keyword| text.contains(keyword)) {
                    continue;
                }
                let secrets = pattern
                    .captures_iter(text)
                    .map(|it| it.get(1).unwrap().as_str());
                found.extend(secrets.filter(|secret| entropy(secret) > ENTROPY.parse().unwrap()));
            }
            found
        }
    }

    fn gitleaks() -> Scanner {
        let text = rules(&prefixes(), Format::Gitleaks);
        let table: toml::Table = text.parse().unwrap();
        let rules = table["rules"].as_array().unwrap().iter();
        Scanner(
            rules
                .map(|rule| {
                    let keywords = rule["keywords"].as_array().unwrap().iter();
                    assert_eq!(rule["secretGroup"].as_integer(), Some(1));
                    assert_eq!(rule["entropy"].as_float(), Some(ENTROPY.parse().unwrap()));
                    (
                        keywords.map(|it| it.as_str().unwrap().to_owned()).collect(),
                        Regex::new(rule["regex"].as_str().unwrap()).unwrap(),
                    )
                })
                .collect(),
        )
    }

    fn trufflehog() -> Scanner {
        let text = rules(&prefixes(), Format::Trufflehog);
        let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let detectors = document["detectors"].as_array().unwrap().iter();
        Scanner(
            detectors
                .map(|detector| {
                    let keywords = detector["keywords"].as_array().unwrap().iter();
                    (
                        keywords.map(|it| it.as_str().unwrap().to_owned()).collect(),
                        Regex::new(detector["regex"]["key"].as_str().unwrap()).unwrap(),
                    )
                })
                .collect(),
        )
    }

    /// GitHub asks for what stands before and behind by patterns of their own.
    fn github() -> Scanner {
        let text = rules(&prefixes(), Format::Github);
        let patterns = text.trim_end().split("\n\n").map(|pattern| {
            let fields: HashMap<&str, &str> = pattern
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .collect();
            let whole = format!(
                "(?:{})({})(?:{})",
                fields["Before secret"], fields["Secret format"], fields["After secret"]
            );
            (vec![String::new()], Regex::new(&whole).unwrap())
        });
        Scanner(patterns.collect())
    }

    fn scanners() -> [Scanner; 3] {
        [gitleaks(), trufflehog(), github()]
    }

    #[test]
    fn every_key_is_found_wherever_it_stands() {
        let mut random = SeededRandom::new(1);
        let (own, scanners) = (prefixes(), scanners());
        for _ in 0..300 {
            for key in [
                PlainKey::generate_partner(own.current(), &mut random),
                PlainKey::generate(KeyKind::Partner, &mut random),
                PlainKey::generate(KeyKind::Admin, &mut random),
            ] {
                let key = key.expose();
                for text in [
                    key.to_owned(),
                    format!("KEY={key}"),
                    format!("\"{key}\""),
                    format!("Authorization: Bearer {key}\r\n"),
                    format!("https://u:{key}@example.com/"),
                    format!("<a>{key}</a>"),
                    format!("a,{key};b"),
                ] {
                    for scanner in &scanners {
                        assert_eq!(scanner.finds(&text), [key], "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn near_misses_are_not() {
        let mut random = SeededRandom::new(2);
        let key = PlainKey::generate_partner(prefixes().current(), &mut random);
        let key = key.expose();
        let suffix = key.strip_prefix("acme_pk_").unwrap();
        for scanner in scanners() {
            for text in [
                key[..key.len() - 1].to_owned(),
                format!("{key}0"),
                format!("{key}_"),
                format!("x{key}"),
                format!("_{key}"),
                format!("other_pk_{suffix}"),
                format!("acme_ak_{suffix}"),
                format!("ACME_PK_{suffix}"),
                format!("acme-pk-{suffix}"),
                format!("acme_pk_{}-{}", &suffix[..25], &suffix[26..]),
                format!("acme_pk_ {suffix}"),
                suffix.to_owned(),
            ] {
                assert_eq!(scanner.finds(&text), [""; 0], "{text}");
            }
        }
        // A placeholder has the form, and too little in it.
        for scanner in [gitleaks(), trufflehog()] {
            assert!(
                scanner
                    .finds(&format!("acme_pk_{}", "x".repeat(50)))
                    .is_empty()
            );
            assert!(
                scanner
                    .finds(&format!("mol_pk_{}", "0123456789".repeat(5)))
                    .is_empty()
            );
        }
    }

    /// `cargo xtask acceptance scanner-rules` tries ten million.
    #[test]
    fn random_text_is_not_found() {
        const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut random = SeededRandom::new(3);
        let scanners = scanners();
        for _ in 0..20_000 {
            let text: String = (0..64)
                .map(|_| char::from(ALPHABET[usize::try_from(random.next_u32() % 62).unwrap()]))
                .collect();
            for scanner in &scanners {
                assert!(scanner.finds(&text).is_empty(), "{text}");
            }
        }
    }
}
