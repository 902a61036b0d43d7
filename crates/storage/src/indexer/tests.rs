mod company;
mod engines;
mod fixture;

use audit_log::{Page, Slot};
use tempfile::TempDir;
use testkit::conformance::audit_history as rules;

use self::{
    engines::{Engine, on_both},
    fixture::{Fixture, time_of},
};
use super::{read::Mentions, *};
use crate::{Options, SqlDatabase, migrate, tables::audit_segments};

/// As small as can be, so that a few events have every tier.
const SMALL: IndexSettings = IndexSettings {
    pause: Duration::from_millis(1),
    segments: 3,
    events: 500,
    min_segments: 1,
    max_delay: Duration::ZERO,
    fanout: 2,
    pages_per_commit: 1,
    max_pages: 1000,
};

/// A thread with these does nothing.
const IDLE: IndexSettings = IndexSettings {
    pause: Duration::from_secs(3600),
    segments: i64::MAX,
    min_segments: i64::MAX,
    fanout: usize::MAX,
    max_delay: Duration::MAX,
    ..SMALL
};

/// A database whose log is indexed meanwhile, as often as can be.
fn busy<E: Engine>() -> Option<(SqlDatabase, DatabaseUrl, TempDir)> {
    let (url, folder) = E::empty()?;
    migrate(&url).unwrap();
    let database = SqlDatabase::open_indexing(
        &url,
        Options::default(),
        SMALL,
        crate::stamps::Stamps::default(),
    )
    .unwrap();
    Some((database, url, folder))
}

on_both! {
    lists_are_exact_while_the_log_is_indexed,
    pruning_is_exact_while_the_log_is_indexed,
    whatever_is_indexed_merged_and_pruned_lists_are_exact,
    a_subject_that_fills_pages_is_found_in_all_of_them,
    a_number_that_was_covered_is_not_when_another_segment_gets_it,
    a_run_of_segments_that_are_gone_does_not_count,
    of_two_who_index_the_same_segments_one_is_too_late,
    what_was_cut_off_is_cleared_away_and_done_anew,
    the_id_of_a_run_is_never_given_twice,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn mentions_come_sorted_and_once_in_whatever_order_they_were_read() {
    let mut mentions = Mentions::default();
    for (subject, slot) in [(2, 5), (1, 3), (2, 5), (2, 3), (2, 5), (1, 3), (1, 4)] {
        mentions.add(&[subject; 17], Slot::new(slot));
    }
    let expect = [(1, 3), (1, 4), (2, 3), (2, 5)];
    let expect = expect.map(|(subject, slot)| ([subject; 17], Slot::new(slot)));
    assert_eq!(mentions.postings().collect::<Vec<_>>(), expect);
}

fn lists_are_exact_while_the_log_is_indexed<E: Engine>() {
    let Some((database, url, _folder)) = busy::<E>() else {
        return;
    };
    let rule = rules::events_are_listed_exactly_in_whatever_company_they_were_written(database);
    runtime().block_on(rule);
    let mut session = Session::<Reading>::connect(&url).unwrap();
    assert!(session.run(rows::covered).unwrap() > 0);
}

fn pruning_is_exact_while_the_log_is_indexed<E: Engine>() {
    let Some((database, _, _folder)) = busy::<E>() else {
        return;
    };
    let rule = rules::pruning_deletes_what_happened_before_a_time_and_nothing_else(database);
    runtime().block_on(rule);
}

fn whatever_is_indexed_merged_and_pruned_lists_are_exact<E: Engine>() {
    let (seeds, steps) = E::CHANCE;
    for seed in 0..seeds {
        let Some(mut fixture) = Fixture::<E>::new(seed) else {
            return;
        };
        let mut indexer = fixture.indexer(SMALL);
        let mut highest = 0;
        for _ in 0..steps {
            match fixture.below(10) {
                0..4 => {
                    let count = fixture.below(12);
                    fixture.add(count);
                }
                4 | 5 => drop(indexer.flush().unwrap()),
                6 => drop(indexer.compact().unwrap()),
                7 => drop(indexer.gc().unwrap()),
                8 => assert!(indexer.work().unwrap()),
                _ => {
                    let (before, limit) = (fixture.below(fixture.now + 1), fixture.below(20));
                    // Now and then all of it, also the newest.
                    let before = if fixture.below(8) == 0 {
                        fixture.now + 1
                    } else {
                        before / 4
                    };
                    fixture.prune(time_of(before), usize::try_from(limit).unwrap());
                }
            }
            fixture.check();
            highest = fixture
                .runs()
                .iter()
                .map(|run| run.tier)
                .max()
                .unwrap_or(0)
                .max(highest);
        }
        indexer.work().unwrap();
        fixture.check();
        fixture.is_clean();
        assert!(highest > 2, "runs were merged up to tier {highest}");
    }
}

fn a_subject_that_fills_pages_is_found_in_all_of_them<E: Engine>() {
    let Some(mut fixture) = Fixture::<E>::new(1) else {
        return;
    };
    let mut indexer = fixture.indexer(IndexSettings {
        segments: 1000,
        events: i64::MAX,
        ..SMALL
    });
    for _ in 0..6 {
        for _ in 0..700 {
            fixture.now += 9 + fixture.below(1_000_000);
            fixture.add_at(fixture.now);
        }
        indexer.flush().unwrap();
        fixture.check();
    }
    indexer.work().unwrap();
    let pages: i64 = fixture.runs().iter().map(|run| run.pages).sum();
    assert!(pages > 6, "{pages}");
    for _ in 0..10 {
        fixture.check();
    }
}

/// A fixture whose first segments are the latest, so that a pruning leaves them and takes the highest
/// numbers away.
fn upside_down<E: Engine>(seed: u64) -> Option<Fixture<E>> {
    let mut fixture = Fixture::new(seed)?;
    fixture.now = 100_000;
    (0..3).for_each(|_| fixture.add_at(fixture.now));
    (0..7).for_each(|ms| fixture.add_at(ms));
    Some(fixture)
}

/// Has others get the numbers of the last seven.
fn renumber<E: Engine>(fixture: &mut Fixture<E>) {
    fixture.prune(time_of(50_000), 100);
    assert_eq!(fixture.reader.run(audit_segments::newest).unwrap(), 3);
    (0..10).for_each(|ms| fixture.add_at(fixture.now + ms));
}

fn a_number_that_was_covered_is_not_when_another_segment_gets_it<E: Engine>() {
    let Some(mut fixture) = upside_down::<E>(5) else {
        return;
    };
    let mut indexer = fixture.indexer(IndexSettings {
        segments: 100,
        ..SMALL
    });
    indexer.work().unwrap();
    assert_eq!(fixture.reader.run(rows::covered).unwrap(), 10);
    renumber(&mut fixture);
    assert_eq!(fixture.runs().len(), 1, "the run still covers what is left");
    (0..20).for_each(|_| fixture.check());
    indexer.work().unwrap();
    (0..20).for_each(|_| fixture.check());
}

/// What a run would cover must still be what was read when it begins to count.
fn a_run_of_segments_that_are_gone_does_not_count<E: Engine>() {
    let Some(mut fixture) = upside_down::<E>(2) else {
        return;
    };
    let mut indexer = fixture.indexer(SMALL);
    indexer.flush().unwrap();
    let covered = fixture.reader.run(rows::covered).unwrap();
    assert_eq!(covered, 3);
    let segments = fixture
        .reader
        .run(|connection| audit_segments::after(connection, covered, 100))
        .unwrap();
    let last = segments.last().unwrap();
    let source = Source::Segments {
        after: covered,
        to: last.number,
        last_id: last.last_id.clone(),
    };
    renumber(&mut fixture);
    assert_eq!(fixture.reader.run(rows::covered).unwrap(), covered);
    let slots = (Slot::FIRST, Slot::FIRST);
    assert!(!indexer.build(source, 0, slots, |_| Ok(None)).unwrap());
    (0..20).for_each(|_| fixture.check());
    indexer.work().unwrap();
    fixture.check();
    fixture.is_clean();
}

fn of_two_who_index_the_same_segments_one_is_too_late<E: Engine>() {
    let Some(mut fixture) = Fixture::<E>::new(3) else {
        return;
    };
    fixture.add(9);
    let [mut one, mut other] = [fixture.indexer(SMALL), fixture.indexer(SMALL)];
    let slots = (Slot::FIRST, Slot::FIRST);
    let last = fixture
        .reader
        .run(|connection| audit_segments::after(connection, 2, 1))
        .unwrap();
    let late = Source::Segments {
        after: 0,
        to: 3,
        last_id: last.first().unwrap().last_id.clone(),
    };
    one.flush().unwrap();
    assert!(!other.build(late, 0, slots, |_| Ok(None)).unwrap());
    one.flush().unwrap();
    let runs: Vec<i64> = fixture.runs().iter().map(|run| run.id).collect();
    assert!(one.compact().unwrap());
    let late = Source::Runs(runs);
    assert!(!other.build(late, 1, slots, |_| Ok(None)).unwrap());
    fixture.check();
    other.work().unwrap();
    fixture.check();
    fixture.is_clean();
}

fn what_was_cut_off_is_cleared_away_and_done_anew<E: Engine>() {
    let Some(mut fixture) = Fixture::<E>::new(4) else {
        return;
    };
    fixture.add(20);
    let mut dead = fixture.indexer(SMALL);
    dead.work().unwrap();
    let page = |first: u8| Page {
        first: vec![first],
        body: vec![0; 10],
    };
    let run = dead.add(None, vec![page(1), page(2)]).unwrap();
    fixture.add(20);
    fixture.check();
    let mut next = fixture.indexer(SMALL);
    assert!(next.writer.acquire().unwrap());
    assert_eq!(
        dead.add(run, vec![page(3)]).unwrap(),
        None,
        "it was given up"
    );
    next.work().unwrap();
    assert_eq!(dead.add(run, vec![page(3)]).unwrap(), None, "it is gone");
    fixture.check();
    fixture.is_clean();
}

/// Whoever is about to merge a run knows it by its id.
fn the_id_of_a_run_is_never_given_twice<E: Engine>() {
    let Some(mut fixture) = Fixture::<E>::new(6) else {
        return;
    };
    fixture.add(6);
    let mut indexer = fixture.indexer(SMALL);
    indexer.work().unwrap();
    let last = fixture.runs().iter().map(|run| run.id).max().unwrap();
    fixture.prune(time_of(fixture.now + 1), 100);
    indexer.work().unwrap();
    assert_eq!(fixture.runs(), []);
    fixture.add(3);
    indexer.work().unwrap();
    assert!(fixture.runs().iter().all(|run| run.id > last));
    fixture.check();
}
