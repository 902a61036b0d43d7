//! `cargo xtask test`: all tests, a true sum of them, and what could not be tested.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    process::{ExitCode, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::{acceptance, docs, workspace::Workspace};

/// Names the file to which a test adds a line for each thing that it had to skip.
const SKIPS: &str = "MOLECULE_TEST_SKIPS";

/// How many tests of a program run at once, as its harness reads it.
const THREADS: &str = "RUST_TEST_THREADS";

/// How many tests run at once unless the user says so: most of them wait for a server of their own most
/// of the time.
fn threads() -> OsString {
    env::var_os(THREADS).unwrap_or_else(|| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        processors.saturating_mul(3).to_string().into()
    })
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

/// What came of all tests.
#[derive(Default)]
pub(crate) struct Outcome {
    sum: Sum,
    /// Each distinct thing that was not tested. In CI this is a failure.
    skipped: BTreeSet<String>,
    /// Each distinct thing that was not tested for a reason outside of this machine.
    warnings: BTreeSet<String>,
    /// The first exit code of cargo that was not 0.
    code: u8,
}

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    all(workspace, args, &mut outcome)?;
    Ok(outcome.print())
}

/// Runs unit and integration tests, then those in documentation, and unless the run was narrowed the
/// commands of the documents and a few rounds of kills.
pub(crate) fn all(workspace: &Workspace, args: &[OsString], outcome: &mut Outcome) -> Result<()> {
    let skips = NamedTempFile::new()?;
    let mut compiled = true;
    for kind in ["--all-targets", "--doc"] {
        let (sum, status) = cargo_test(workspace, kind, args, &skips)?;
        outcome.sum.add(sum);
        if outcome.code == 0 && !status.success() {
            // A cargo that was killed has no code.
            outcome.code = status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1);
        }
        if !status.success() && sum == Sum::default() {
            // It did not compile; whatever comes next would say so again.
            compiled = false;
            break;
        }
    }
    let skipped = distinct_lines(&fs::read_to_string(skips.path())?);
    outcome.skipped.extend(skipped);
    if compiled && args.is_empty() {
        docs::check(workspace, outcome)?;
        acceptance::check_crashes(workspace, outcome)?;
    }
    Ok(())
}

fn cargo_test(
    workspace: &Workspace,
    kind: &str,
    args: &[OsString],
    skips: &NamedTempFile,
) -> Result<(Sum, ExitStatus)> {
    let mut command = workspace.cargo();
    command.args(["test", "--no-fail-fast", kind]);
    if !names_a_package(args) {
        command.arg("--workspace");
    }
    let mut child = command
        .args(args)
        .env(SKIPS, skips.path())
        .env(THREADS, threads())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be run")?;
    let output = child.stdout.take().context("a pipe was asked for")?;
    let sum = copy_and_sum(BufReader::new(output), &mut io::stdout().lock())?;
    Ok((sum, child.wait()?))
}

/// Whether the user chose packages; arguments behind `--` are not cargo's.
fn names_a_package(args: &[OsString]) -> bool {
    args.iter()
        .map(|arg| arg.to_string_lossy())
        .take_while(|arg| arg != "--")
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

/// Passes the output on line by line and sums up what it says.
fn copy_and_sum(mut from: impl BufRead, to: &mut impl Write) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        sum.add(Sum::of_line(&String::from_utf8_lossy(&line)).unwrap_or_default());
        line.clear();
    }
    Ok(sum)
}

fn distinct_lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads libtest's `test result: ok. 3 passed; 0 failed; …`.
    fn of_line(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result:")?;
        let count = |what: &str| {
            counts
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        };
        Some(Self {
            passed: count(" passed")?,
            failed: count(" failed")?,
        })
    }
}

impl Outcome {
    /// Counts one more test.
    pub(crate) fn count(&mut self, passed: bool) {
        self.sum.add(Sum {
            passed: passed.into(),
            failed: (!passed).into(),
        });
    }

    /// Notes one thing that was not tested.
    pub(crate) fn skip(&mut self, what: String) {
        self.skipped.insert(what);
    }

    /// Notes one thing that was not tested for a reason outside of this machine.
    pub(crate) fn warn(&mut self, what: String) {
        self.warnings.insert(what);
    }

    /// Whether something has failed.
    pub(crate) const fn has_failed(&self) -> bool {
        self.sum.failed > 0 || self.code != 0
    }

    /// Prints what was skipped, why the run failed, and as the last line the sum.
    pub(crate) fn print(&self) -> ExitCode {
        // An empty `CI` is as good as none.
        let ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
        println!();
        if !self.skipped.is_empty() || !self.warnings.is_empty() {
            println!("{}", "=".repeat(80));
            for line in self.skipped.iter().chain(&self.warnings) {
                println!("NOT TESTED: {line}");
            }
            if ci && !self.skipped.is_empty() {
                println!("In CI everything is tested, so this is a failure.");
            }
            println!("{}", "=".repeat(80));
        }
        if self.code != 0 && self.sum.failed == 0 {
            println!(
                "cargo failed with {}: see above for what did not run",
                self.code
            );
        }
        println!("{} passed, {} failed", self.sum.passed, self.sum.failed);
        ExitCode::from(self.exit_code(ci))
    }

    fn exit_code(&self, ci: bool) -> u8 {
        match self.code {
            0 => u8::from(self.sum.failed > 0 || ci && !self.skipped.is_empty()),
            code => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_all_result_lines() {
        let output = b"\
running 2 tests
test a ... ok
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s
   test result: ok. 100 passed; 0 failed
a line with a byte that is no text: \xff
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
test result: nothing to see
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let mut copy = Vec::new();
        let sum = copy_and_sum(&output[..], &mut copy).unwrap();
        let expect = Sum {
            passed: 15,
            failed: 2,
        };
        assert_eq!(sum, expect);
        assert_eq!(copy, output);
    }

    #[test]
    fn a_coloured_result_counts() {
        let line = "test result: \u{1b}[32mok\u{1b}[0m. 7 passed; 1 failed; 0 ignored";
        let expect = Sum {
            passed: 7,
            failed: 1,
        };
        assert_eq!(Sum::of_line(line), Some(expect));
    }

    #[track_caller]
    fn check_exit(code: u8, failed: u64, skips: &str, ci: bool, expect: u8) {
        let outcome = Outcome {
            sum: Sum { passed: 1, failed },
            skipped: distinct_lines(skips),
            warnings: distinct_lines("no advisories\n"),
            code,
        };
        assert_eq!(outcome.exit_code(ci), expect);
    }

    #[test]
    fn a_skip_fails_in_ci_alone() {
        check_exit(0, 0, "", true, 0);
        check_exit(0, 0, "no PostgreSQL\n", false, 0);
        check_exit(0, 0, "no PostgreSQL\n", true, 1);
        check_exit(101, 1, "", false, 101);
        check_exit(0, 1, "", false, 1);
    }

    #[test]
    fn the_same_skip_is_named_once() {
        let skips = distinct_lines("no PostgreSQL\n\nno Redis\nno PostgreSQL\n");
        assert_eq!(skips.len(), 2);
    }

    #[test]
    fn a_chosen_package_narrows_the_run() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(names_a_package(&args("-p keys")));
        assert!(names_a_package(&args("--package=keys")));
        assert!(!names_a_package(&args("name -- -p")));
    }
}
