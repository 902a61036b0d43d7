//! Turns: each design appends for a while and is then asked for pages, one design after the other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use audit::Event;

use super::{
    Args,
    designs::{Design, Open, Places},
    events::{List, Source},
};

/// What was measured of a design.
pub(crate) struct Measured {
    pub(crate) design: Design,
    /// Events a second, of each turn.
    pub(crate) appended: Vec<f64>,
    /// How long each page took.
    pub(crate) pages: Vec<(List, Vec<Duration>)>,
    /// How many events a page had, on the average: the designs are to find the same.
    pub(crate) found: Vec<(List, f64)>,
    /// How far the index was behind at the most, in segments.
    pub(crate) lag: Option<i64>,
}

/// Measures all designs.
pub(crate) async fn run(args: &Args, places: &Places<'_>, keys: u32) -> Result<Vec<Measured>> {
    let mut source = Source::new(keys, 1);
    let prefill: Vec<Event> = (0..args.prefill).map(|_| source.next()).collect();
    let mut designs = Vec::new();
    for design in Design::ALL {
        let open = Open::create(design, places, &prefill, args.at_once.get())?;
        if let Open::A(_) = open {
            fill(&open, &prefill, args.at_once.get()).await?;
        }
        let measured = Measured {
            design,
            appended: Vec::new(),
            pages: List::ALL.map(|list| (list, Vec::new())).to_vec(),
            found: List::ALL.map(|list| (list, 0.0)).to_vec(),
            lag: open.lag(),
        };
        designs.push((open, measured));
    }
    drop(prefill);
    let source = Arc::new(Mutex::new(source));
    for round in 0..args.rounds {
        // Each design comes first in some rounds.
        let first = usize::try_from(round)? % designs.len();
        designs.rotate_left(first);
        for (open, measured) in &mut designs {
            let duration = Duration::from_secs_f64(args.seconds);
            let per_second = append(open, &source, args.at_once.get(), duration).await?;
            measured.appended.push(per_second);
            measured.lag = measured.lag.max(open.lag());
            // The same subjects for each design.
            let mut subjects = Source::new(keys, 1000 + u64::from(round));
            for ((list, took), (_, found)) in measured.pages.iter_mut().zip(&mut measured.found) {
                for _ in 0..args.pages {
                    let filter = subjects.filter(*list);
                    let began = Instant::now();
                    let count = open.page(filter).await?;
                    took.push(began.elapsed());
                    let count = u32::try_from(count)?;
                    *found += f64::from(count) / f64::from(args.rounds * args.pages);
                }
            }
        }
    }
    let mut measured: Vec<Measured> = designs.into_iter().map(|(_, measured)| measured).collect();
    measured.sort_by_key(|measured| Design::ALL.iter().position(|one| *one == measured.design));
    Ok(measured)
}

/// Appends events as they come in a server, so that segments have the sizes that they have there.
async fn fill(open: &Open, events: &[Event], at_once: usize) -> Result<()> {
    let tasks: Vec<_> = (0..at_once)
        .map(|first| {
            let open = open.handle();
            let mine: Vec<Event> = events
                .iter()
                .skip(first)
                .step_by(at_once)
                .cloned()
                .collect();
            tokio::spawn(async move {
                for event in mine {
                    open.append(event).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Appends for a while; how many events a second were durable.
async fn append(
    open: &Open,
    source: &Arc<Mutex<Source>>,
    at_once: usize,
    duration: Duration,
) -> Result<f64> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (open, source) = (open.handle(), Arc::clone(source));
            tokio::spawn(async move {
                let mut count = 0_u32;
                while began.elapsed() < duration {
                    let event = source.lock().unwrap_or_else(PoisonError::into_inner).next();
                    open.append(event).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    let mut count = 0.0;
    for task in tasks {
        count += f64::from(task.await??);
    }
    Ok(count / began.elapsed().as_secs_f64())
}
