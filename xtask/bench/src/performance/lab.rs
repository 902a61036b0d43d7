//! What every measurement is given: where things are, how long to measure, and rounds.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::performance::wrk::{Load, Sample};

/// The place and the measure of one run.
pub(crate) struct Lab {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// This program, whose helpers run as processes of their own.
    pub(crate) own: PathBuf,
    /// `target/bench`, where results and what is worth keeping between runs are.
    pub(crate) kept: PathBuf,
    /// Gone after the run; on the disk of `kept`.
    pub(crate) scratch: PathBuf,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) quick: bool,
    /// When the run began, in seconds; part of names that are kept.
    pub(crate) born: i64,
    /// How many names have been given out.
    pub(crate) named: Cell<u32>,
}

/// Whom to load, and as whom it is shown.
pub(crate) struct Side<'a> {
    pub(crate) who: &'a str,
    pub(crate) load: Load,
}

impl Lab {
    /// A name that no other call gets.
    pub(crate) fn fresh(&self, what: &str) -> String {
        let n = self.named.get();
        self.named.set(n.saturating_add(1));
        format!("{what}-{n}")
    }

    /// An empty folder.
    pub(crate) fn folder(&self, what: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(self.fresh(what));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The URL of an SQLite file that is not there yet.
    pub(crate) fn sqlite(&self, folder: &Path) -> String {
        format!("sqlite:{}", folder.join("molecule.db").display())
    }

    /// Writes a list of `path token` for the scripts of wrk.
    pub(crate) fn list(&self, lines: &[(String, String)]) -> Result<PathBuf> {
        let path = self.scratch.join(self.fresh("list"));
        let text: String = lines
            .iter()
            .map(|(path, token)| format!("{path} {token}\n"))
            .collect();
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Loads the sides in turn, `rounds` times, after a second each to get warm. Each second round goes
    /// the other way about, so that none is always the first.
    pub(crate) fn interleave(&self, sides: &[Side<'_>]) -> Result<Vec<Vec<Sample>>> {
        for side in sides {
            side.load.run(self, 1)?;
        }
        let mut all: Vec<Vec<Sample>> = sides.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            let mut turns: Vec<_> = sides.iter().zip(&mut all).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (side, samples) in turns {
                let sample = side.load.run(self, self.seconds)?;
                println!(
                    "  round {}: {}: {:.0}/s, p99 {:.2} ms",
                    round.saturating_add(1),
                    side.who,
                    sample.per_second(),
                    sample.p99_us / 1000.0
                );
                samples.push(sample);
            }
        }
        ensure!(
            all.iter().flatten().all(|sample| sample.requests > 0),
            "a side answered nothing"
        );
        Ok(all)
    }
}

/// The throughput of each round.
pub(crate) fn throughput(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(Sample::per_second).collect()
}

/// The latency of each round that 99 of 100 calls stay below, in milliseconds.
pub(crate) fn p99(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|one| one.p99_us / 1000.0).collect()
}

/// The latency of each round that half of the calls stay below, in milliseconds.
pub(crate) fn p50(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|one| one.p50_us / 1000.0).collect()
}
