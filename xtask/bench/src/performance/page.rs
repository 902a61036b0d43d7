//! `docs/benchmarks.md`, made of the results that are there.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

use crate::performance::{
    measure::ALL,
    report::{Bound, Goal, Report, Spread},
};

const HEAD: &str = "# Benchmarks\n\n\
    Made by `cargo xtask bench` of the raw figures that it leaves in `target/bench/*.json`; do not \
    edit. `cargo xtask bench --page` makes it again.\n\n\
    How it is measured: release builds. Every ratio is that of two sides in the same round; the sides \
    take turns, and each second round goes the other way about. Figures are medians over the rounds, \
    with the least and the greatest behind them. Load comes from `wrk` (Debian: `apt-get install \
    wrk`), two threads, closed loop, the same script for both sides, and for the constant rate from an \
    open loop of our own; **the load generator, the server and the database share the cores of one \
    machine**, so no figure is the most that a server on its own machine can do.\n\n\
    What sets the limits is in [performance.md](performance.md).\n\n";

/// Writes the page of the newest results here; it tells which are of another commit.
pub(crate) fn write(root: &Path, kept: &Path, commit: &str) -> Result<()> {
    let mut reports = Vec::new();
    let mut absent = Vec::new();
    for measure in ALL {
        match Report::load(kept, measure.name)? {
            Some(report) => reports.push(report),
            None => absent.push(measure.name),
        }
    }
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "Commit `{commit}`{}.\n",
        if commit.ends_with('+') {
            " (`+`: with changes that are not committed)"
        } else {
            ""
        }
    )?;
    let mut machines: Vec<_> = reports.iter().map(|report| &report.machine).collect();
    machines.dedup();
    for machine in machines {
        let (cpu, cores, kernel) = (&machine.cpu, machine.cores, &machine.kernel);
        writeln!(page, "Machine: {cpu}, {cores} cores, {kernel}.\n")?;
    }
    goals(&mut page, &reports)?;
    for name in &absent {
        writeln!(page, "**Not measured:** `{name}`.\n")?;
        println!("NOT MEASURED: {name}");
    }
    for report in &reports {
        if report.commit != commit {
            let (name, other) = (&report.name, &report.commit);
            writeln!(
                page,
                "**Measured at another commit:** `{name}`, of {other}.\n"
            )?;
            println!("measured at another commit: {name}, of {other}");
        }
    }
    for report in &reports {
        section(&mut page, report)?;
    }
    fs::write(
        root.join("docs/benchmarks.md"),
        page.trim_end().to_owned() + "\n",
    )?;
    println!("docs/benchmarks.md is written");
    Ok(())
}

fn goals(page: &mut String, reports: &[Report]) -> Result<()> {
    writeln!(
        page,
        "## Goals\n\n| measurement | what | goal | seen | met? |\n|---|---|---|---|---|"
    )?;
    for report in reports {
        let name = &report.name;
        for goal in &report.outcome.goals {
            let (text, aim, seen, met) = words(goal);
            writeln!(page, "| `{name}` | {text} | {aim} | {seen} | {met} |")?;
        }
        for missing in &report.outcome.missing {
            let why = missing.replace('|', "\\|");
            writeln!(page, "| `{name}` | not measured: {why} | | | **no** |")?;
        }
    }
    writeln!(page)?;
    Ok(())
}

/// What was hoped for, seen, and whether that is enough.
fn words(goal: &Goal) -> (&str, String, String, &'static str) {
    let aim = match goal.bound {
        Bound::AtLeast(least) => format!("≥ {} {}", figure(least), goal.unit),
        Bound::AtMost(most) => format!("≤ {} {}", figure(most), goal.unit),
    };
    let met = match goal.is_met() {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "**not seen**",
    };
    (&goal.text, aim, spread(&goal.rounds), met)
}

/// One line on a goal, for the terminal.
pub(crate) fn verdict(goal: &Goal) -> String {
    let (text, aim, seen, met) = words(goal);
    let met = met.replace('*', "");
    format!("{text}: {aim}, seen {seen}: {met}")
}

fn spread(rounds: &[f64]) -> String {
    match Spread::of(rounds) {
        None => "nothing".to_owned(),
        Some(Spread { median, min, max }) => {
            format!("{} ({}..{})", figure(median), figure(min), figure(max))
        }
    }
}

fn section(page: &mut String, report: &Report) -> Result<()> {
    writeln!(page, "## {}\n\n{}\n", report.name, report.about)?;
    writeln!(
        page,
        "{}: `{}` ({} rounds of {} s).\n",
        report.date, report.command, report.rounds, report.seconds
    )?;
    for missing in &report.outcome.missing {
        writeln!(page, "**Not measured:** {missing}\n")?;
    }
    for note in &report.outcome.notes {
        writeln!(page, "{note}\n")?;
    }
    let series = &report.outcome.series;
    if series.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "| what | who | median (least..greatest) | unit |\n|---|---|---|---|"
    )?;
    for one in series {
        let seen = spread(&one.rounds);
        writeln!(
            page,
            "| {} | {} | {seen} | {} |",
            one.what, one.who, one.unit
        )?;
    }
    writeln!(page)?;
    Ok(())
}

/// A figure with as many digits as are worth reading.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_called_a_miss() {
        let goal = |rounds: &[f64]| Goal {
            text: "ratio".into(),
            bound: Bound::AtLeast(0.6),
            unit: "×".into(),
            rounds: rounds.to_vec(),
        };
        let missed = "ratio: ≥ 0.60 ×, seen 0.50 (0.40..0.70): no";
        assert_eq!(verdict(&goal(&[0.4, 0.5, 0.7])), missed);
        assert!(verdict(&goal(&[0.7])).ends_with("yes"));
        assert!(verdict(&goal(&[])).ends_with("not seen"));
    }
}
