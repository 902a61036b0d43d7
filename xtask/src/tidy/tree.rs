//! What a crate brings with it: its whole tree of normal dependencies, as cargo builds it.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Problem;
use crate::workspace::Workspace;

const RULE: &str = "tree";

/// The crates that do without a runtime, a database and a source of randomness.
const DOMAIN: &[&str] = &[
    "molecule-strict-json",
    "molecule-ids",
    "molecule-scopes",
    "molecule-ratelimit",
    "molecule-keys",
    "molecule-orgs",
    "molecule-audit",
    "molecule-webhooks",
    "molecule-trust",
    "molecule-stores",
];

/// What the domain does without. Families: `rand` stands for itself, `rand_core` is only traits.
const NOT_IN_DOMAIN: &[&str] = &["tokio", "getrandom", "rand", "actix", "diesel"];

/// What an embedder gets, and what it is spared.
const IN_EMBEDDING: &[&str] = &[
    "molecule-keys",
    "molecule-scopes",
    "molecule-ratelimit",
    "axum",
];
const NOT_IN_EMBEDDING: &[&str] = &["diesel", "actix-web", "libsqlite3-sys", "tokio-postgres"];

/// Asks cargo for the trees and checks them.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for name in DOMAIN {
        let tree = tree_of(workspace, name)?;
        problems.extend(too_much(name, &tree, NOT_IN_DOMAIN));
    }
    let tree = tree_of(workspace, "embedding")?;
    problems.extend(too_much("embedding", &tree, NOT_IN_EMBEDDING));
    problems.extend(too_little("embedding", &tree, IN_EMBEDDING));
    Ok(problems)
}

fn tree_of(workspace: &Workspace, name: &str) -> Result<BTreeSet<String>> {
    // Alone, so that the features that others ask for don't count; macros run in the compiler.
    let call = ["tree", "--package", name, "--edges", "normal,no-proc-macro"];
    let format = ["--prefix", "none", "--format", "{p}"];
    let lines = workspace.cargo_output(&[&call[..], &format[..]].concat())?;
    Ok(names(&lines))
}

/// The first word of each line of cargo's.
fn names(lines: &str) -> BTreeSet<String> {
    lines
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn too_much(subject: &str, tree: &BTreeSet<String>, unwanted: &[&str]) -> Vec<Problem> {
    tree.iter()
        .filter(|name| unwanted.iter().any(|family| is_unwanted(family, name)))
        .map(|name| {
            let see = format!("{name} is in its tree: see `cargo tree -p {subject} -i {name}`");
            Problem::new(RULE, subject, see)
        })
        .collect()
}

/// Whether a crate is the named one or one of its family: `actix`, `actix-web`, but not `actixlike`.
fn is_unwanted(family: &str, name: &str) -> bool {
    let rest = name.strip_prefix(family);
    // `rand_core` and the like are traits and generators that somebody else must seed.
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']) && family != "rand")
}

fn too_little(subject: &str, tree: &BTreeSet<String>, wanted: &[&str]) -> Vec<Problem> {
    wanted
        .iter()
        .filter(|name| !tree.contains(**name))
        .map(|name| {
            Problem::new(
                RULE,
                subject,
                format!("{name} is not in its tree, so it shows nothing"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
keys v0.1.0 (crates/keys)
rand_core v0.10.1
tokio-util v0.7.0
diesel v2.3.0
diesel v2.3.0 (*)
";

    #[test]
    fn what_must_not_be_there_is_found_once() {
        let found = too_much("keys", &names(TREE), NOT_IN_DOMAIN);
        let subjects: Vec<_> = found.iter().map(|problem| &problem.advice).collect();
        assert_eq!(subjects.len(), 2, "{subjects:?}");
        assert!(subjects[0].starts_with("diesel is in its tree"));
        assert!(subjects[1].starts_with("tokio-util is in its tree"));
    }

    #[test]
    fn what_must_be_there_is_missed() {
        let found = too_little("embedding", &names(TREE), &["keys", "axum"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.starts_with("axum"));
    }
}
