//! What no file may say, and how long a file may be.

use super::Problem;
use crate::workspace::Source;

/// The longest source file, in lines; style wants less, see `docs/`.
const MAX_LINES: usize = 400;

/// Folders that exist on one machine alone; in two parts, for this file is looked at too.
const FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Hosts of registries; a build takes them from its configuration.
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("py", "pi"),
    concat!("registry.", "npmjs"),
];

/// Checks every file.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        problems.extend(foreign_names(source));
        problems.extend(length(source));
    }
    problems
}

fn foreign_names(source: &Source) -> Vec<Problem> {
    if source.path == "Cargo.lock" {
        return Vec::new();
    }
    lines_with(source, |line| {
        let folder = FOLDERS.iter().find(|folder| names_folder(line, folder));
        let registry = REGISTRIES.iter().find(|host| line.contains(**host));
        folder.or(registry).copied()
    })
    .map(|(subject, name)| {
        let advice = format!("don't name `{name}`, it means nothing elsewhere");
        Problem::new("names", subject, advice)
    })
    .collect()
}

/// Whether the line has the folder as the beginning of a path, and not within a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-}>)~*$".contains(c))
    })
}

fn length(source: &Source) -> Option<Problem> {
    let lines = source.text.lines().count();
    (source.path.ends_with(".rs") && lines > MAX_LINES).then(|| {
        let advice = format!("it has {lines} lines: look for the second idea in it");
        Problem::new("length", &source.path, advice)
    })
}

/// `path:line` and what was found there.
fn lines_with<'a>(
    source: &'a Source,
    find: impl Fn(&'a str) -> Option<&'static str>,
) -> impl Iterator<Item = (String, &'static str)> {
    (1..)
        .zip(source.text.lines())
        .filter_map(move |(number, line): (usize, _)| {
            Some((format!("{}:{number}", source.path), find(line)?))
        })
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
        let found: Vec<_> = check(&[source])
            .iter()
            .map(|problem| format!("{} {}", problem.rule, problem.subject))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in FOLDERS {
            check_file("a.md", &format!("ok\nsee {folder}x"), &["names a.md:2"]);
            check_file("a.md", &format!("\"{folder}x\""), &["names a.md:1"]);
            check_file("a.md", &format!("https://example.com{folder}x"), &[]);
            check_file("a.md", &format!("..{folder}x"), &[]);
        }
    }

    #[test]
    fn registries_are_found_but_in_the_lock_file() {
        for host in REGISTRIES {
            check_file("docs/a.md", host, &["names docs/a.md:1"]);
            check_file("Cargo.lock", host, &[]);
        }
    }

    #[test]
    fn a_file_has_400_lines_at_the_most() {
        check_file("a.rs", &"\n".repeat(400), &[]);
        check_file("a.rs", &"\n".repeat(401), &["length a.rs"]);
        check_file("a.md", &"\n".repeat(401), &[]);
    }
}
