//! The root manifest alone names versions, and every member takes its lints.

use toml::{Table, Value};

use super::Problem;
use crate::workspace::Source;

const RULE: &str = "manifests";

/// Fields of a package that the root sets.
const FROM_ROOT: &[&str] = &["version", "edition", "rust-version", "license"];

/// Tables of dependencies.
const DEPENDENCIES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks every manifest but the root's.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    sources
        .iter()
        .filter(|source| source.path.ends_with("/Cargo.toml"))
        .flat_map(|source| {
            let advice = match source.text.parse::<Table>() {
                Ok(manifest) => advice(&manifest),
                Err(error) => vec![format!("it can't be read: {}", error.message())],
            };
            advice
                .into_iter()
                .map(|advice| Problem::new(RULE, &source.path, advice))
        })
        .collect()
}

fn advice(manifest: &Table) -> Vec<String> {
    let mut found = Vec::new();
    if !manifest.get("lints").is_some_and(is_inherited) {
        found.push("add `[lints] workspace = true`".into());
    }
    if let Some(package) = manifest.get("package") {
        for field in FROM_ROOT {
            if !package.get(field).is_some_and(is_inherited) {
                found.push(format!("write `{field}.workspace = true`"));
            }
        }
    }
    for name in literal_dependencies(manifest) {
        found.push(format!(
            "write `{name}.workspace = true` and its version in the root"
        ));
    }
    found
}

/// The dependencies that are not the root's, those for single platforms too.
fn literal_dependencies(manifest: &Table) -> Vec<&String> {
    let platforms = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(platforms)
        .flat_map(|table| DEPENDENCIES.iter().filter_map(|kind| table.get(*kind)))
        .filter_map(Value::as_table)
        .flatten()
        .filter(|(_, dependency)| !is_inherited(dependency))
        .map(|(name, _)| name)
        .collect()
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
[package]
name = \"a\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
[dependencies]
serde.workspace = true
time = { workspace = true, features = [\"macros\"] }
[lints]
workspace = true
";

    #[track_caller]
    fn check_text(text: &str, expect: &[&str]) {
        assert_eq!(advice(&text.parse().unwrap()), expect);
    }

    #[test]
    fn what_the_root_says_is_inherited() {
        check_text(GOOD, &[]);
        check_text(
            &GOOD.replace("[lints]", "[other]"),
            &["add `[lints] workspace = true`"],
        );
        check_text(
            &GOOD.replace("version.workspace = true\ned", "version = \"1.0.0\"\ned"),
            &["write `version.workspace = true`"],
        );
    }

    #[test]
    fn a_version_belongs_to_the_root() {
        let more = "
[dev-dependencies]
one = \"1\"
[target.'cfg(unix)'.dependencies]
two = { version = \"2\" }
";
        check_text(
            &format!("{GOOD}{more}"),
            &[
                "write `one.workspace = true` and its version in the root",
                "write `two.workspace = true` and its version in the root",
            ],
        );
    }
}
