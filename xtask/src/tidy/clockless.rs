//! Domain crates read no clock, no environment and no randomness: those are arguments.

use super::{Problem, crates::DOMAIN};
use crate::workspace::Source;

const RULE: &str = "clockless";

/// What would be a reading of the world.
const READINGS: &[&str] = &[
    "now_utc(",
    "now_local(",
    "SystemTime::now",
    "Instant::now",
    "std::env",
    "getrandom",
    "thread_rng",
    "rand::rng",
];

/// Scans the code of the domain crates up to their tests.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| is_domain_code(&source.path)) {
        for (number, line) in code_lines(&source.text) {
            for reading in READINGS.iter().filter(|reading| line.contains(**reading)) {
                let subject = format!("{}:{number}", source.path);
                let advice = format!("take what `{reading}` gives as an argument");
                problems.push(Problem::new(RULE, subject, advice));
            }
        }
    }
    problems
}

fn is_domain_code(path: &str) -> bool {
    let in_src = |name: &&str| path.starts_with(&format!("crates/{name}/src/"));
    path.ends_with(".rs") && !is_test_file(path) && DOMAIN.iter().any(in_src)
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Numbered lines that are not comments, up to the module of tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // An attribute that is indented marks an item within the code, not the end of it.
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    let code = text.get(..end).unwrap_or(text);
    (1..)
        .zip(code.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expect: &[&str]) {
        let source = Source {
            path: path.into(),
            text: text.into(),
        };
        let found = check(&[source]);
        let subjects: Vec<_> = found.iter().map(|problem| &problem.subject[..]).collect();
        assert_eq!(subjects, expect);
    }

    #[test]
    fn a_clock_is_found_in_the_domain() {
        let text = "fn f() {\n    let now = OffsetDateTime::now_utc();\n}\n";
        check_file(
            "crates/keys/src/key.rs",
            text,
            &["crates/keys/src/key.rs:2"],
        );
        check_file("crates/service/src/key.rs", text, &[]);
        check_file("crates/keys/tests/key.rs", text, &[]);
        check_file("crates/keys/src/key/tests.rs", text, &[]);
    }

    #[test]
    fn tests_and_comments_may_speak_of_clocks() {
        let text =
            "// Instant::now\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    Instant::now();\n}\n";
        check_file("crates/keys/src/key.rs", text, &[]);
    }

    #[test]
    fn an_item_for_tests_does_not_hide_what_follows() {
        let text = "    #[cfg(test)]\n    const A: u8 = 1;\nuse std::env;\n";
        check_file("crates/ids/src/id.rs", text, &["crates/ids/src/id.rs:3"]);
    }
}
