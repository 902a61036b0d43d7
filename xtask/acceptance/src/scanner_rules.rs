//! Whether the rules for scanners find every key, and nothing in random text.
//!
//! The rules are those that the program prints, and the patterns are tried by the same dialect as gitleaks and
//! trufflehog have: RE2.

use std::{process::Command, thread, time::Instant};

use anyhow::{Context, Result, ensure};
use keys::{KeyKind, PlainKey};
use rand_core::Rng as _;
use regex::RegexSet;
use testkit::{random::SeededRandom, server};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The characters of each random string.
const LENGTH: usize = 64;
/// How many keys must all be found.
const KEYS: usize = 100_000;
/// What stands in gitleaks' rules before and behind a pattern.
const QUOTES: &str = "'''";

/// What `scanner-rules` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many random strings to try.
    #[arg(long, default_value_t = 10_000_000)]
    count: u64,
    /// The same seed makes the same strings on as many cores.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tries the rules and prints what was found.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let began = Instant::now();
    let mut holds = true;
    for (format, patterns) in [
        ("gitleaks", patterns("gitleaks", gitleaks)?),
        ("trufflehog", patterns("trufflehog", trufflehog)?),
    ] {
        let found = keys_found(&patterns);
        let wrong = random_found(&patterns, args)?;
        println!(
            "{format}: {found} of {} keys found; {wrong} of {} random strings",
            2 * KEYS,
            args.count
        );
        holds &= found == 2 * KEYS && wrong == 0;
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
    Ok(holds)
}

/// The patterns of the rules that the program prints.
fn patterns(format: &str, read: fn(&str) -> Vec<&str>) -> Result<RegexSet> {
    let printed = Command::new(server::program()?)
        .args(["scanner-rules", "--format", format])
        .output()
        .context("the program could not be run")?;
    ensure!(printed.status.success(), "scanner-rules failed");
    let text = String::from_utf8(printed.stdout)?;
    let patterns = read(&text);
    ensure!(patterns.len() == 2, "no two patterns in {text}");
    Ok(RegexSet::new(patterns)?)
}

fn gitleaks(text: &str) -> Vec<&str> {
    text.split(QUOTES).skip(1).step_by(2).collect()
}

fn trufflehog(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("key: '")?.strip_suffix('\''))
        .collect()
}

fn keys_found(patterns: &RegexSet) -> usize {
    let mut random = SeededRandom::new(1);
    let mut found = 0;
    for _ in 0..KEYS {
        for kind in [KeyKind::Partner, KeyKind::Admin] {
            let key = PlainKey::generate(kind, &mut random);
            found += usize::from(patterns.is_match(&format!("key = \"{}\"", key.expose())));
        }
    }
    found
}

fn random_found(patterns: &RegexSet, args: &Args) -> Result<u64> {
    let cores = u64::try_from(thread::available_parallelism()?.get())?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let share = args.count / cores + u64::from(core < args.count % cores);
                let mut random = SeededRandom::stream(args.seed, core);
                scope.spawn(move || {
                    let mut text = String::with_capacity(LENGTH);
                    (0..share).fold(0, |found, _| {
                        fill(&mut text, &mut random);
                        found + u64::from(patterns.is_match(&text))
                    })
                })
            })
            .collect();
        workers
            .into_iter()
            .try_fold(0, |sum, worker| worker.join().ok().map(|n| sum + n))
    })
    .context("a thread panicked")
}

fn fill(text: &mut String, random: &mut SeededRandom) {
    text.clear();
    while text.len() < LENGTH {
        let place = usize::try_from(random.next_u32() % 62).unwrap_or_default();
        text.extend(ALPHABET.get(place).copied().map(char::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_from_rules() {
        let rules = "[[rules]]\nregex = '''\\b(a)\\b'''\n\n[[rules]]\nregex = '''b'''\n";
        assert_eq!(gitleaks(rules), ["\\b(a)\\b", "b"]);
        let detectors =
            "detectors:\n  - regex:\n      key: '\\b(a)\\b'\n  - regex:\n      key: 'b'\n";
        assert_eq!(trufflehog(detectors), ["\\b(a)\\b", "b"]);
    }
}
