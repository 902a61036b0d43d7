//! What a measurement leaves behind: raw figures of every round, and what was hoped for.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::performance::machine::Machine;

/// One measurement.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// Its name on the command line.
    pub(crate) name: String,
    /// What it measures, and how, in sentences.
    pub(crate) about: String,
    /// The commit that was measured, with a `+` when files differed from it.
    pub(crate) commit: String,
    /// When it was made, in UTC.
    pub(crate) date: String,
    /// The command that makes it again.
    pub(crate) command: String,
    /// Where it was made.
    pub(crate) machine: Machine,
    /// How many rounds, and how many seconds in each.
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of a measurement.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// All that was seen.
    pub(crate) series: Vec<Series>,
    /// What was hoped for.
    pub(crate) goals: Vec<Goal>,
    /// What else a reader must know.
    pub(crate) notes: Vec<String>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
}

/// The figures of all rounds of one thing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Series {
    /// Of what.
    pub(crate) what: String,
    /// Of whom: the bars of one `what` stand side by side.
    pub(crate) who: String,
    pub(crate) unit: String,
    pub(crate) rounds: Vec<f64>,
}

/// A hope, and what was seen.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Goal {
    pub(crate) text: String,
    pub(crate) bound: Bound,
    pub(crate) unit: String,
    /// One figure for each round.
    pub(crate) rounds: Vec<f64>,
}

/// How a figure is to be.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The median, and between what the figures lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of figures in any order; `None` of none.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(*sorted.get(middle - 1)?, upper)
        };
        Some(Self {
            median,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

impl Goal {
    /// Whether the median is as hoped; `None` when nothing was seen.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let median = Spread::of(&self.rounds)?.median;
        Some(match self.bound {
            Bound::AtLeast(least) => median >= least,
            Bound::AtMost(most) => median <= most,
        })
    }
}

impl Outcome {
    /// Adds the figures of all rounds of one thing.
    pub(crate) fn series(&mut self, what: &str, who: &str, unit: &str, rounds: Vec<f64>) {
        self.series.push(Series {
            what: what.to_owned(),
            who: who.to_owned(),
            unit: unit.to_owned(),
            rounds,
        });
    }

    /// Adds the figure of one more round.
    pub(crate) fn add(&mut self, what: &str, who: &str, unit: &str, figure: f64) {
        let known = self
            .series
            .iter_mut()
            .find(|series| series.what == what && series.who == who);
        match known {
            Some(series) => series.rounds.push(figure),
            None => self.series(what, who, unit, vec![figure]),
        }
    }

    /// Adds a hope and what was seen in each round.
    pub(crate) fn goal(&mut self, text: &str, bound: Bound, unit: &str, rounds: Vec<f64>) {
        self.goals.push(Goal {
            text: text.to_owned(),
            bound,
            unit: unit.to_owned(),
            rounds,
        });
    }

    /// Notes what else a reader must know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Notes what could not be measured.
    pub(crate) fn miss(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("  NOT MEASURED: {text}");
        self.missing.push(text);
    }
}

/// The ratio of each round, the subject's over the baseline's of the same round.
pub(crate) fn ratios(subject: &[f64], baseline: &[f64]) -> Vec<f64> {
    subject.iter().zip(baseline).map(|(s, b)| s / b).collect()
}

impl Report {
    /// Writes it under its name.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(self)?;
        fs::write(folder.join(format!("{}.json", self.name)), text)?;
        Ok(())
    }

    /// Reads one back; `None` when it was never made.
    pub(crate) fn load(folder: &Path, name: &str) -> Result<Option<Self>> {
        let path = folder.join(format!("{name}.json"));
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        let report = serde_json::from_str(&text);
        Ok(Some(report.with_context(|| path.display().to_string())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let check = |figures: &[f64], expect| assert_eq!(Spread::of(figures), expect);
        let spread = |median, min, max| Some(Spread { median, min, max });
        check(&[3.0, 1.0, 2.0], spread(2.0, 1.0, 3.0));
        check(&[4.0, 1.0, 2.0, 3.0], spread(2.5, 1.0, 4.0));
        check(&[], None);
    }

    #[test]
    fn a_goal_is_met_by_the_median_and_never_by_nothing() {
        let goal = |bound, rounds: &[f64]| Goal {
            text: String::new(),
            bound,
            unit: String::new(),
            rounds: rounds.to_vec(),
        };
        let figures = [0.5, 0.6, 9.0];
        assert_eq!(goal(Bound::AtLeast(0.6), &figures).is_met(), Some(true));
        assert_eq!(goal(Bound::AtLeast(0.7), &figures).is_met(), Some(false));
        assert_eq!(goal(Bound::AtMost(0.6), &figures).is_met(), Some(true));
        assert_eq!(goal(Bound::AtMost(0.6), &[]).is_met(), None);
    }
}
