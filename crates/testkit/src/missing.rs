//! What happens where a server that tests need is not installed: nothing, but never in silence.

use std::{env, fs::OpenOptions, io::Write, path::Path};

/// Names a file to which each skip adds a line, so that a summary can tell of it.
const SKIPS: &str = "MOLECULE_TEST_SKIPS";

/// Says that tests are skipped.
///
/// # Panics
/// Where `CI` is set: there a skipped test would pass for one that ran.
pub fn report(what: &str) {
    let ci = env::var_os("CI").is_some();
    let skips = env::var_os(SKIPS);
    report_to(what, ci, skips.as_ref().map(Path::new), &test_program());
}

fn test_program() -> String {
    let file = env::current_exe().ok();
    let name = file.as_deref().and_then(Path::file_stem);
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn report_to(what: &str, ci: bool, skips: Option<&Path>, program: &str) {
    assert!(
        !ci,
        "{what} is not installed (of PostgreSQL: initdb, postgres and psql in one folder), and CI is \
         set: install it, the tests must run here"
    );
    let line = format!("SKIPPED: the {what} tests of {program}: {what} is not installed");
    eprintln!("{line}");
    if let Some(file) = skips {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_skip_is_a_line_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skips");
        report_to("PostgreSQL", false, Some(&file), "a");
        report_to("PostgreSQL", false, Some(&file), "b");
        report_to("PostgreSQL", false, None, "c");
        let lines = std::fs::read_to_string(file).unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }

    #[test]
    #[should_panic(expected = "PostgreSQL is not installed")]
    fn in_ci_nothing_is_skipped() {
        report_to("PostgreSQL", true, None, "a");
    }
}
