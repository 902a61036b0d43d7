//! Words that this project has given up, each for one that the field uses. `docs/glossary.md` has those
//! that it uses.
//!
//! `words-allowed.txt` names the folders in which a word may stay for now. Lines go from it, none come.

use super::Problem;
use crate::workspace::Source;

const RULE: &str = "words";

/// Names that nothing may be given, and what to call it instead.
const NAMES: &[(&str, &str)] = &[
    ("BEAT", "POLL_INTERVAL"),
    ("BREATH", "MIN_IDLE"),
    ("FAREWELL", "SHUTDOWN_GRACE"),
    ("GLANCE", "POLL_INTERVAL"),
    ("LAST_WORDS", "SHUTDOWN_GRACE"),
    ("NAP", "MAX_IDLE"),
    ("PATIENCE", "…_TIMEOUT"),
    ("TERM", "TTL"),
    ("Strangers", "AuthFailureThrottle"),
    ("Crowded", "Throttled"),
    ("Together", "Batcher"),
    ("Lane", "worker"),
    ("Workshop", "ProvisioningSlots"),
    ("Room", "ProvisioningSlots"),
    ("Place", "Permit"),
    ("keep_free", "reserve"),
    ("Hold", "Lease"),
    ("Bell", "CancellationToken"),
    ("Hand", "IndexWriter"),
    ("ByTheWriter", "SqliteIndexWriter"),
    ("Gate", "ConnectionLimiter"),
    ("Passage", "Permit"),
    ("Told", "Ack"),
    ("Appended", "PendingAcks"),
    ("Way", "BatchMode"),
    ("spoiled", "aborted"),
    ("Memory", "CredentialCache"),
    ("recall", "get"),
    ("remember", "insert"),
    ("Since", "ReadVersion"),
    ("distrust", "invalidate_all"),
    ("Statuses", "StatusCache"),
    ("prolong", "revalidate"),
    ("Waiters", "StatusWatch"),
    ("dismiss", "close"),
    ("World", "Env"),
    ("OrgSight", "OrgVisibility"),
    ("AuditSight", "AuditVisibility"),
    ("Doomed", "DeletionSelector"),
    ("send_off", "begin_deprovision"),
    ("orgs_to_go", "pending_deletion"),
    ("Presented", "Credentials"),
    ("take_in", "read_request"),
    ("Complaint", "ProblemResponse"),
    ("Reply", "Response"),
    ("Once", "IdempotencyKey"),
    ("reply_begin", "idempotency_begin"),
    ("reply_keep", "idempotency_complete"),
    ("reply_erase", "idempotency_erase"),
    ("look", "audited_read"),
    ("looked", "audited_value"),
    ("change_once", "idempotent_write"),
    ("Arrival", "Request"),
    ("lost", "not_found"),
    ("outside", "fallback"),
    ("otherwise", "method_not_allowed"),
    ("Lot", "Scenario"),
    ("Here", "Expected"),
    ("maker", "creator"),
];

/// Modules and files that nothing may be called, and what to call it instead.
const FILES: &[(&str, &str)] = &[
    ("lot", "scenario"),
    ("many", "bulk"),
    ("same", "prepared"),
    ("strangers", "auth_failure_throttle"),
    ("there", "observed"),
    ("together", "batcher"),
    ("workshop", "provisioning_slots"),
    ("world", "env"),
];

/// What no text may say, and what to write instead; in two parts, for this file is looked at too.
const PHRASES: &[(&str, &str)] = &[
    (concat!("on ", "record"), "recorded, audited"),
    (concat!("many", "-eth"), "attempt number"),
    (concat!("has been ", "mended"), "fixed"),
];

/// Files that can't be changed, or are made anew by a measurement.
const EXEMPT: &[&str] = &[
    "migrations/",
    "docs/benchmarks",
    "xtask/src/tidy/words-allowed.txt",
];

/// Where a word may stay for now: `folder: word` on each line.
const ALLOWED: &str = include_str!("words-allowed.txt");

/// What comes before a name that is being given.
const KEYWORDS: &[&str] = &[
    "const", "enum", "fn", "mod", "static", "struct", "trait", "type",
];

/// Checks every file.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    check_but(sources, ALLOWED)
}

fn check_but(sources: &[Source], allowed: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        if EXEMPT.iter().any(|path| source.path.starts_with(path)) {
            continue;
        }
        for (place, (word, instead)) in refused(source) {
            let is_allowed = |line: &str| {
                let allowance = line.split_once(": ");
                allowance.is_some_and(|(folder, allowed)| {
                    source.path.starts_with(folder) && allowed == *word
                })
            };
            if !allowed.lines().any(is_allowed) {
                let advice = format!("`{word}` is given up here: write {instead}");
                problems.push(Problem::new(RULE, place, advice));
            }
        }
    }
    problems
}

/// A word and what to write instead.
type Word = &'static (&'static str, &'static str);

/// The words of a file that are refused, each with where it is.
fn refused(source: &Source) -> Vec<(String, Word)> {
    let is_rust = source.path.ends_with(".rs");
    let file = FILES
        .iter()
        .find(|(name, _)| is_rust && names(source, name));
    let mut found: Vec<(String, Word)> = file
        .map(|word| (source.path.clone(), word))
        .into_iter()
        .collect();
    for (number, line) in (1..).zip(source.text.lines()) {
        let phrases = PHRASES.iter().filter(|(phrase, _)| says(line, phrase));
        let name = given_up(line).filter(|_| is_rust);
        let place = || format!("{}:{number}", source.path);
        found.extend(phrases.chain(name).map(|word| (place(), word)));
    }
    found
}

/// Whether a line has a phrase that is no part of longer words.
fn says(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + phrase.len()..)
            .and_then(|text| text.chars().next());
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    })
}

/// Whether a file or one of its folders has this name.
fn names(source: &Source, name: &str) -> bool {
    let path = source.path.trim_end_matches(".rs");
    path.split('/').any(|part| part == name)
}

/// The name that a line gives to something and should not.
fn given_up(line: &str) -> Option<Word> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let keyword = words.find(|word| !matches!(*word, "" | "pub" | "crate" | "super" | "async"))?;
    let name = words.find(|word| !matches!(*word, "" | "fn" | "mut"))?;
    let given = KEYWORDS.contains(&keyword).then_some(name)?;
    NAMES.iter().find(|(refused, _)| *refused == given)
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
        let found: Vec<_> = check_but(&[source], "docs/old/: lot\n")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_refused_name_is_found_where_it_is_given() {
        let line = |name: &str, instead: &str| {
            format!("tidy: words: a.rs:2: `{name}` is given up here: write {instead}")
        };
        for given in ["struct Lot {", "pub(crate) enum Lot {", "type Lot = u8;"] {
            check_file("a.rs", &format!("\n{given}"), &[&line("Lot", "Scenario")]);
        }
        let given = "\n    pub async fn look(&self) {";
        check_file("a.rs", given, &[&line("look", "audited_read")]);
        let given = "\n    pub const fn lost() {";
        check_file("a.rs", given, &[&line("lost", "not_found")]);
        let given = "\nconst PATIENCE: u8 = 1;";
        check_file("a.rs", given, &[&line("PATIENCE", "…_TIMEOUT")]);
    }

    #[test]
    fn a_name_within_another_and_a_use_are_fine() {
        check_file("a.rs", "struct Allotment;\nfn look_up() {}\n", &[]);
        check_file("a.rs", "let look = lost + otherwise;\n// a Lot\n", &[]);
    }

    #[test]
    fn files_and_phrases_are_found() {
        let found = ["tidy: words: crates/a/src/lot.rs: `lot` is given up here: write scenario"];
        check_file("crates/a/src/lot.rs", "", &found);
        check_file("crates/a/src/slot.rs", "", &[]);
        check_file("docs/lot.md", "", &[]);
        let (phrase, _) = PHRASES[0];
        let text = format!("It is {phrase}.");
        let found = format!(
            "tidy: words: docs/a.md:1: `{phrase}` is given up here: write recorded, audited"
        );
        check_file("docs/a.md", &text, &[&found]);
        check_file("migrations/sqlite/1/up.sql", &text, &[]);
        check_file("docs/a.md", &format!("The acti{phrase}ed is this."), &[]);
    }

    #[test]
    fn a_word_may_stay_where_it_is_allowed() {
        check_file("docs/old/lot.rs", "", &[]);
        let found = ["tidy: words: docs/lot.rs: `lot` is given up here: write scenario"];
        check_file("docs/lot.rs", "", &found);
    }
}
