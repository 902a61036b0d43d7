//! Modules that import each other, directly or through others.
//!
//! Modules are compared with those beside them, so a folder counts as one. A folder's own file and the
//! files in it may know each other. Tests may import what they like.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use super::Problem;
use crate::workspace::Source;

const RULE: &str = "circles";

/// The folders whose modules are checked.
const ROOTS: &[&str] = &["crates/storage/src/"];

/// The path of a module from the root of its crate.
type Module = Vec<String>;

/// What each module imports of those beside it, and where.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

/// Checks every folder.
pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let circles = ROOTS.iter().flat_map(|root| {
        let imports = imports(sources, root);
        circles(&imports)
    });
    circles.collect()
}

fn imports(sources: &[Source], root: &str) -> Imports {
    let files: Vec<(Module, &Source)> = sources
        .iter()
        .filter_map(|source| Some((module(source.path.strip_prefix(root)?)?, source)))
        .collect();
    let modules: BTreeSet<&[String]> = files.iter().map(|(module, _)| &**module).collect();
    let mut imports = Imports::new();
    for (module, source) in &files {
        for (line, path) in paths(&source.text, module) {
            let parts = (1..=path.len())
                .rev()
                .filter_map(|length| path.get(..length));
            let Some(imported) = parts.into_iter().find(|part| modules.contains(part)) else {
                continue;
            };
            let shared = shared(module, imported);
            // One of them holds the other.
            if shared == module.len() || shared == imported.len() {
                continue;
            }
            imports
                .entry(first(module, shared + 1))
                .or_default()
                .entry(first(imported, shared + 1))
                .or_insert_with(|| format!("{}:{line}", source.path));
        }
    }
    imports
}

/// The module that a file of Rust is; none for tests.
fn module(path: &str) -> Option<Module> {
    let path = path.strip_suffix(".rs")?;
    let mut parts: Module = path.split('/').map(str::to_owned).collect();
    if parts.iter().any(|part| part == "tests") {
        return None;
    }
    if matches!(parts.last()?.as_str(), "mod" | "lib") {
        parts.pop();
    }
    Some(parts)
}

fn first(path: &[String], parts: usize) -> Module {
    path.iter().take(parts).cloned().collect()
}

/// How many parts two paths begin with together.
fn shared(one: &[String], other: &[String]) -> usize {
    let same = one
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other);
    same.count()
}

/// The paths within the crate that a file names, from the crate's root on, each with its line.
fn paths(text: &str, module: &[String]) -> Vec<(usize, Module)> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code: Vec<&str> = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (word, parent) in [("crate::", false), ("super::", true)] {
        for (at, _) in code.match_indices(word) {
            let (before, after) = code.split_at(at);
            // A part of a longer word, or one `super` after another, which is read with the first.
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || before.ends_with("super::")
            {
                continue;
            }
            let line = 1 + before.matches('\n').count();
            let start = if parent {
                first(module, module.len().saturating_sub(1))
            } else {
                Module::new()
            };
            let mut leaves = Vec::new();
            let path = after.strip_prefix(word).unwrap_or(after);
            tree(path, &start, &mut leaves);
            found.extend(leaves.into_iter().map(|leaf| (line, leaf)));
        }
    }
    found
}

/// Reads a path or a tree of them; what is left of the text.
fn tree<'a>(text: &'a str, start: &[String], leaves: &mut Vec<Module>) -> &'a str {
    let mut path = start.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = inner.trim_start();
                if let Some(after) = inner.strip_prefix('}') {
                    return after;
                }
                let left = tree(inner, &path, leaves).trim_start();
                let left = left.strip_prefix(',').unwrap_or(left);
                // Not a tree after all.
                if left.len() == inner.len() {
                    return left;
                }
                inner = left;
            }
        }
        let length = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        match word {
            "" => return rest,
            "super" => drop(path.pop()),
            "self" => {}
            _ => path.push(word.to_owned()),
        }
        match after.strip_prefix("::") {
            Some(after) => rest = after.trim_start(),
            None => {
                leaves.push(path);
                let alias = after.trim_start().strip_prefix("as ");
                return alias.map_or(after, |alias| {
                    alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                });
            }
        }
    }
}

/// The shortest circle of each module that is in one, unless another module has been told of it.
fn circles(imports: &Imports) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut told: BTreeSet<&Module> = BTreeSet::new();
    for module in imports.keys() {
        if told.contains(module) {
            continue;
        }
        if let Some(circle) = shortest(imports, module) {
            let steps: Vec<String> = circle.iter().map(ToString::to_string).collect();
            let advice = format!("{}: let one of them not know the other", steps.join(", "));
            problems.push(Problem::new(RULE, module.join("::"), advice));
            told.extend(circle.iter().map(|import| import.by));
        }
    }
    problems
}

/// One import.
#[derive(Clone, Copy)]
struct Import<'a> {
    by: &'a Module,
    of: &'a Module,
    place: &'a str,
}

impl fmt::Display for Import<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, of) = (self.by.join("::"), self.of.join("::"));
        write!(f, "`{by}` imports `{of}` ({})", self.place)
    }
}

/// The shortest way from a module to itself.
fn shortest<'a>(imports: &'a Imports, module: &'a Module) -> Option<Vec<Import<'a>>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([Vec::new()]);
    while let Some(way) = ways.pop_front() {
        let by = way.last().map_or(module, |import: &Import<'_>| import.of);
        for (of, place) in imports.get(by).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(Import { by, of, place });
            if of == module {
                return Some(longer);
            }
            if seen.insert(of) {
                ways.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expect: &[&str]) {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source {
                path: format!("{}{path}", ROOTS[0]),
                text: (*text).into(),
            })
            .collect();
        let found: Vec<_> = check(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn two_files_that_import_each_other_are_named() {
        check_files(
            &[
                ("a.rs", "use crate::b::B;\n"),
                ("b.rs", "\nfn b() { crate::a::a() }\n"),
                ("c.rs", "use crate::{a, b};\n"),
            ],
            &[
                "tidy: circles: a: `a` imports `b` (crates/storage/src/a.rs:1), \
               `b` imports `a` (crates/storage/src/b.rs:2): let one of them not know the other",
            ],
        );
    }

    #[test]
    fn a_longer_circle_through_folders_is_found() {
        check_files(
            &[
                ("a/mod.rs", "mod x;\n"),
                (
                    "a/x.rs",
                    "use crate::{\n    e,\n    b::{self, B as _},\n};\n",
                ),
                ("b.rs", "use super::c;\n"),
                ("c/y.rs", "use super::super::a::x::X;\n"),
                ("c/mod.rs", "mod y;\n"),
                ("d.rs", "use crate::b;\n"),
                ("e.rs", ""),
            ],
            &[
                "tidy: circles: a: `a` imports `b` (crates/storage/src/a/x.rs:1), \
               `b` imports `c` (crates/storage/src/b.rs:1), \
               `c` imports `a` (crates/storage/src/c/y.rs:1): let one of them not know the other",
            ],
        );
    }

    #[test]
    fn files_of_one_folder_are_compared_with_each_other() {
        check_files(
            &[
                ("a/x.rs", "use super::y::Y;\n"),
                ("a/y.rs", "use crate::a::x;\n"),
            ],
            &[
                "tidy: circles: a::x: `a::x` imports `a::y` (crates/storage/src/a/x.rs:1), \
               `a::y` imports `a::x` (crates/storage/src/a/y.rs:1): let one of them not know the other",
            ],
        );
    }

    #[test]
    fn a_folder_and_its_files_may_know_each_other_and_tests_import_anything() {
        check_files(
            &[
                ("a/mod.rs", "mod x;\nuse self::x::X;\n"),
                ("a/x.rs", "use super::A;\n"),
                ("b.rs", "use crate::a::A;\n// Not crate::a::A.\n"),
                ("a/tests.rs", "use crate::b;\n"),
                (
                    "c.rs",
                    "use crate::b;\n\n#[cfg(test)]\nmod tests {\n    use crate::d;\n}\n",
                ),
                ("d.rs", "use crate::c;\n"),
            ],
            &[],
        );
    }
}
