//! The table.

use std::time::Duration;

use super::rounds::Measured;
use crate::engine::Engine;

pub(crate) fn header() {
    println!(
        "| engine | keys | design | events/s (of A) | key p99 | org p99 | partner p99 | all p99 | no match p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// A line for each design; its throughput is compared with that of the first in the same rounds.
pub(crate) fn rows(engine: Engine, keys: u32, results: &[Measured]) {
    let Some(first) = results.first() else {
        return;
    };
    for measured in results {
        let ratios = measured.appended.iter().zip(&first.appended);
        let ratio = median(ratios.map(|(one, base)| one / base).collect());
        let pages: String = measured
            .pages
            .iter()
            .map(|(_, took)| format!(" {:.2} ms |", p99(took).as_secs_f64() * 1000.0))
            .collect();
        println!(
            "| {} | {keys} | {:?} | {:.0} ({ratio:.2}) |{pages}",
            engine.name(),
            measured.design,
            median(measured.appended.clone()),
        );
        let found: Vec<String> = measured
            .found
            .iter()
            .map(|(list, found)| format!("{} {found:.1}", list.name()))
            .collect();
        eprintln!(
            "{:?} found on a page: {}; behind at the most: {:?}",
            measured.design,
            found.join(", "),
            measured.lag
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn p99(took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let place = sorted.len() * 99 / 100;
    sorted
        .get(place)
        .or(sorted.last())
        .copied()
        .unwrap_or(Duration::ZERO)
}
