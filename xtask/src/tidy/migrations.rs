//! Migrations are the same steps on both engines, and those that have landed never change.
//!
//! `migrations/checksums.txt` has a line for every file, in the form of `sha256sum`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::Problem;
use crate::workspace::{Source, Workspace};

const RULE: &str = "migrations";
const FOLDER: &str = "migrations/";
const CHECKSUMS: &str = "migrations/checksums.txt";
const ENGINES: [&str; 2] = ["sqlite", "postgres"];
/// Until this step, no two versions worked on one database.
const LAST_FREE_STEP: &str = "2026-11-30-000080_instances";
/// What takes something away, or makes it stricter.
const CONTRACTING: [&str; 5] = [
    "DROP TABLE",
    "DROP COLUMN",
    "RENAME",
    "SET NOT NULL",
    "ADD CONSTRAINT",
];
const FILES: [&str; 2] = ["up.sql", "down.sql"];

/// Checks that the steps are paired and unchanged.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let mut problems = unpaired(sources);
    problems.extend(changed(sources));
    problems.extend(silently_contracting(sources));
    problems
}

/// Steps that take away what the version before may use, and don't keep that version out.
fn silently_contracting(sources: &[Source]) -> Vec<Problem> {
    let takes_away = |text: &str| {
        let text = text.to_uppercase();
        CONTRACTING.iter().any(|statement| text.contains(statement))
    };
    step_files(sources)
        .into_iter()
        .filter(|(path, text)| {
            let step = path.split('/').nth(1).unwrap_or_default();
            path.ends_with("up.sql")
                && step > LAST_FREE_STEP
                && takes_away(text)
                && !text.contains("contracted")
        })
        .map(|(path, _)| {
            let advice = "it takes away what the version before may use, which works on the same database \
                          during an upgrade: do so one version later, and write the version into the row \
                          `contracted` of `meta`";
            Problem::new(RULE, format!("{FOLDER}{path}"), advice)
        })
        .collect()
}

/// Adds a line for each file that has none. A line that is there stays as it is.
pub(super) fn record(workspace: &Workspace) -> Result<()> {
    let sources = workspace.sources()?;
    let text = with_new_lines(&sources);
    fs::write(workspace.root().join(CHECKSUMS), text)?;
    Ok(())
}

/// The files of all steps: path below `migrations/`, text.
fn step_files(sources: &[Source]) -> BTreeMap<&str, &str> {
    sources
        .iter()
        .filter_map(|source| Some((source.path.strip_prefix(FOLDER)?, source.text.as_str())))
        .filter(|(path, _)| path.contains('/'))
        .collect()
}

fn unpaired(sources: &[Source]) -> Vec<Problem> {
    let files = step_files(sources);
    let step_of = |path: &&'_ str| path.split('/').nth(1).map(str::to_owned);
    let steps: BTreeSet<String> = files.keys().filter_map(step_of).collect();
    if steps.is_empty() {
        let advice = "there are none: add a folder with up.sql and down.sql for each engine";
        return vec![Problem::new(RULE, FOLDER, advice)];
    }
    let mut problems = Vec::new();
    for step in steps {
        for path in ENGINES
            .iter()
            .flat_map(|engine| FILES.map(|file| format!("{engine}/{step}/{file}")))
        {
            let advice = match files.get(path.as_str()) {
                None => "it is missing: each step has both files for both engines",
                Some(text) if text.trim().is_empty() => "it is empty: write it",
                Some(_) => continue,
            };
            problems.push(Problem::new(RULE, format!("{FOLDER}{path}"), advice));
        }
    }
    problems
}

fn changed(sources: &[Source]) -> Vec<Problem> {
    let files = step_files(sources);
    let mut problems = Vec::new();
    let mut problem = |path: &str, advice: &str| {
        problems.push(Problem::new(RULE, format!("{FOLDER}{path}"), advice));
    };
    let recorded = match read(checksums(sources)) {
        Ok(recorded) => recorded,
        Err(number) => {
            let place = format!("{CHECKSUMS}:{number}");
            let advice = "write a checksum, two spaces and a path that has no other line";
            return vec![Problem::new(RULE, place, advice)];
        }
    };
    for (path, text) in &files {
        match recorded.get(path) {
            Some(checksum) if *checksum == sha256(text) => {}
            Some(_) => problem(path, "it has landed: take the change back, add a new step"),
            None => problem(path, "it has no checksum: run `cargo xtask tidy --record`"),
        }
    }
    for path in recorded.keys().filter(|path| !files.contains_key(*path)) {
        problem(path, "it has landed and is gone: bring it back");
    }
    problems
}

fn checksums(sources: &[Source]) -> &str {
    sources
        .iter()
        .find(|source| source.path == CHECKSUMS)
        .map_or("", |source| source.text.as_str())
}

/// Checksums by path, or the number of the first line that is of another form.
fn read(text: &str) -> Result<BTreeMap<&str, &str>, usize> {
    let mut recorded = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (checksum, path) = line.split_once("  ").ok_or(number)?;
        if recorded.insert(path, checksum).is_some() {
            return Err(number);
        }
    }
    Ok(recorded)
}

fn with_new_lines(sources: &[Source]) -> String {
    let old = checksums(sources);
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    for (path, text) in step_files(sources) {
        let has_line = |line: &str| {
            line.split_once("  ")
                .is_some_and(|(_, other)| other == path)
        };
        if !old.lines().any(has_line) {
            lines.push(format!("{}  {path}", sha256(text)));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    /// One step, whole and recorded.
    fn landed() -> Vec<Source> {
        let mut sources = Vec::new();
        for engine in ENGINES {
            for file in FILES {
                sources.push(source(&format!("migrations/{engine}/1_a/{file}"), file));
            }
        }
        let checksums = with_new_lines(&sources);
        sources.push(source(CHECKSUMS, &checksums));
        sources
    }

    #[track_caller]
    fn check_that(sources: &[Source], expect: &[&str]) {
        let found = check(sources);
        let lines: Vec<_> = found
            .iter()
            .map(|problem| {
                let (what, _) = problem
                    .advice
                    .split_once(':')
                    .unwrap_or((&problem.advice, ""));
                format!("{}: {what}", problem.subject)
            })
            .collect();
        assert_eq!(lines, expect);
    }

    #[test]
    fn a_checksum_is_that_of_sha256sum() {
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn what_has_landed_is_left_alone() {
        check_that(&landed(), &[]);
    }

    #[test]
    fn a_changed_migration_is_found_and_not_recorded_anew() {
        let mut sources = landed();
        sources[0].text.push_str("-- one more word");
        check_that(&sources, &["migrations/sqlite/1_a/up.sql: it has landed"]);
        assert_eq!(with_new_lines(&sources), checksums(&sources));
    }

    #[test]
    fn a_migration_that_is_gone_is_found() {
        let mut sources = landed();
        sources.retain(|source| !source.path.contains("1_a/down"));
        check_that(
            &sources,
            &[
                "migrations/sqlite/1_a/down.sql: it is missing",
                "migrations/postgres/1_a/down.sql: it is missing",
                "migrations/postgres/1_a/down.sql: it has landed and is gone",
                "migrations/sqlite/1_a/down.sql: it has landed and is gone",
            ],
        );
    }

    #[test]
    fn a_new_migration_is_paired_and_then_recorded() {
        let mut sources = landed();
        let before = checksums(&sources).to_owned();
        sources.push(source("migrations/sqlite/2_b/up.sql", "up"));
        sources.push(source("migrations/sqlite/2_b/down.sql", " \n"));
        check_that(
            &sources,
            &[
                "migrations/sqlite/2_b/down.sql: it is empty",
                "migrations/postgres/2_b/up.sql: it is missing",
                "migrations/postgres/2_b/down.sql: it is missing",
                "migrations/sqlite/2_b/down.sql: it has no checksum",
                "migrations/sqlite/2_b/up.sql: it has no checksum",
            ],
        );
        let after = with_new_lines(&sources);
        assert!(after.starts_with(&before));
        assert_eq!(after.lines().count(), before.lines().count() + 2);
    }

    #[test]
    fn what_the_version_before_uses_is_taken_away_one_version_later() {
        let step = |name: &str, up: &str| {
            let path = |file| format!("migrations/sqlite/{name}/{file}");
            let sources = [source(&path("up.sql"), up), source(&path("down.sql"), "x")];
            let lines = silently_contracting(&sources).into_iter();
            lines.map(|problem| problem.subject).collect::<Vec<_>>()
        };
        let (new, drop) = ("2027-01-01-000001_a", "alter table a drop column b;");
        assert_eq!(step(new, drop), [format!("migrations/sqlite/{new}/up.sql")]);
        assert_eq!(step(LAST_FREE_STEP, drop), [""; 0]);
        assert_eq!(step(new, "ALTER TABLE a ADD COLUMN b TEXT;"), [""; 0]);
        let told = format!("{drop} UPDATE meta SET value = 'x' WHERE name = 'contracted';");
        assert_eq!(step(new, &told), [""; 0]);
    }
}
