//! How long the hand-written documents are: a reader has only so much time.

use std::cmp::Reverse;

use super::Problem;
use crate::workspace::Source;

/// How many words all documents may have together, code blocks apart.
const MAX_WORDS: usize = 14_000;

/// How many of the longest documents are named.
const NAMED: usize = 5;

/// The documents outside of `docs/` and `examples/`.
const PAGES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
];

/// Documents that a program writes.
const GENERATED: &[&str] = &["docs/benchmarks.md", "docs/routes.md", "docs/scopes.md"];

/// Counts the words of every document.
pub(super) fn check(sources: &[Source]) -> Option<Problem> {
    let documents = sources.iter().filter(|source| is_written(&source.path));
    let mut lengths: Vec<(usize, &str)> = documents
        .map(|source| (words(&source.text), &*source.path))
        .collect();
    let total: usize = lengths.iter().map(|(words, _)| words).sum();
    (total > MAX_WORDS).then(|| {
        lengths.sort_unstable_by_key(|&(words, path)| (Reverse(words), path));
        let longest: Vec<_> = lengths
            .iter()
            .take(NAMED)
            .map(|(words, path)| format!("{path} ({words})"))
            .collect();
        let advice = format!(
            "the documents have {total} words, {MAX_WORDS} is the limit: shorten them, the longest are {}",
            longest.join(", ")
        );
        Problem::new("prose", "docs", advice)
    })
}

/// Whether a file is a document that somebody has written.
fn is_written(path: &str) -> bool {
    let in_docs = path.starts_with("docs/") && path.ends_with(".md") && !GENERATED.contains(&path);
    let example = path
        .strip_prefix("examples/")
        .and_then(|rest| rest.strip_suffix("/README.md"));
    PAGES.contains(&path) || in_docs || example.is_some_and(|name| !name.contains('/'))
}

/// The words outside of code blocks and comments; those of tables count, their lines and other marks don't.
fn words(text: &str) -> usize {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !is_fence && !in_code
    });
    prose.map(words_of_line).sum()
}

fn words_of_line(line: &str) -> usize {
    let comment = line
        .split_once("<!--")
        .and_then(|(before, rest)| Some((before, rest.rsplit_once("-->")?.1)));
    let (before, after) = comment.unwrap_or((line, ""));
    let words = before.split_whitespace().chain(after.split_whitespace());
    words
        .filter(|word| word.contains(char::is_alphanumeric))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, usize)], expect: Option<&str>) {
        let source = |(path, words): &(&str, usize)| Source {
            path: (*path).to_owned(),
            text: "word ".repeat(*words),
        };
        let sources: Vec<_> = files.iter().map(source).collect();
        let found = check(&sources).map(|problem| problem.to_string());
        assert_eq!(found.as_deref(), expect);
    }

    #[test]
    fn code_and_comments_have_no_words() {
        let text = "# Two words\n\n```sh\nnot this\n```\n  ```text\nnor this\n  ```\nand <!-- no --> three\n";
        assert_eq!(words(text), 4);
        assert_eq!(words("| a | b |\n|---|---|\n"), 2);
        assert_eq!(words("one <!-- is not closed"), 4);
    }

    #[test]
    fn documents_have_14000_words_at_the_most() {
        let fits = [("README.md", 7_000), ("docs/internals/a.md", 7_000)];
        check_files(&fits, None);
        let problem = "tidy: prose: docs: the documents have 14001 words, 14000 is the limit: \
             shorten them, the longest are docs/b.md (13000), README.md (501), docs/a.md (497), \
             SECURITY.md (1), deploy/README.md (1)";
        let too_long = [
            ("docs/a.md", 497),
            ("README.md", 501),
            ("SECURITY.md", 1),
            ("docs/b.md", 13_000),
            ("examples/a/README.md", 1),
            ("deploy/README.md", 1),
        ];
        check_files(&too_long, Some(problem));
    }

    #[test]
    fn what_is_generated_or_elsewhere_does_not_count() {
        let others = [
            "docs/routes.md",
            "docs/openapi.json",
            "CHANGELOG.md",
            "crates/a/README.md",
            "examples/a/b/README.md",
            "xtask/bench/NOTES.md",
        ];
        check_files(&others.map(|path| (path, 14_001)), None);
    }
}
