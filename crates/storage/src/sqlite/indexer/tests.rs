use std::{collections::BTreeMap, num::NonZeroUsize};

use audit::{Actor, ActorId, AuditQueries as _, AuditSight, AuditStore as _, Event, EventFilter};
use ids::{EventId, KeyId, OrgId, PageRequest, PartnerId, TypedId, Ulid};
use rand_core::Rng as _;
use testkit::{
    build::Build, clock::START, conformance::audit_history as rules, random::SeededRandom,
};
use time::OffsetDateTime;

use super::{super::SqliteWriter, *};
use crate::{AuditMode, Options, SqlDatabase, backlog::Backlog, events::index::Page, migrate};

/// As small as can be, so that a few events have every tier.
const SMALL: Sizes = Sizes {
    pause: Duration::from_millis(1),
    segments: 3,
    events: 500,
    few: 1,
    patience: Duration::ZERO,
    fan: 2,
    chunk: 1,
    large: 1000,
};

/// A thread with these does nothing.
const IDLE: Sizes = Sizes {
    pause: Duration::from_secs(3600),
    segments: i64::MAX,
    few: i64::MAX,
    fan: usize::MAX,
    patience: Duration::MAX,
    ..SMALL
};

fn migrated(folder: &tempfile::TempDir) -> DatabaseUrl {
    let file = folder.path().join("cp.db");
    let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
    migrate(&url).unwrap();
    url
}

/// A database whose log is indexed meanwhile, as often as can be.
fn busy(folder: &tempfile::TempDir) -> SqlDatabase {
    SqlDatabase::open_indexing(&migrated(folder), Options::default(), SMALL).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_exact_while_the_log_is_indexed() {
    let folder = tempfile::tempdir().unwrap();
    rules::events_are_listed_exactly_in_whatever_company_they_were_written(busy(&folder)).await;
    let mut session = Session::<Reading>::connect(&migrated(&folder)).unwrap();
    assert!(session.run(rows::covered).unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_is_exact_while_the_log_is_indexed() {
    let folder = tempfile::tempdir().unwrap();
    rules::pruning_deletes_what_happened_before_a_time_and_nothing_else(busy(&folder)).await;
}

/// A database that is written to and indexed step by step, and all events that it should have.
struct World {
    writer: SqliteWriter,
    url: DatabaseUrl,
    reader: Session<Reading>,
    build: Build,
    random: SeededRandom,
    events: BTreeMap<EventId, Event>,
    /// Milliseconds since the start.
    now: u64,
    /// Never dropped before its indexers.
    stops: Vec<mpsc::Sender<()>>,
    _folder: tempfile::TempDir,
}

fn numbered<I: TypedId>(number: u64) -> I {
    I::from_ulid(Ulid::from_parts(1, number.into()))
}

fn time_of(ms: u64) -> OffsetDateTime {
    START + Duration::from_millis(ms)
}

fn ulid_of(ms: u64, random: u128) -> Ulid {
    let start = u64::try_from(START.unix_timestamp()).unwrap() * 1000;
    Ulid::from_parts(start + ms, random)
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = migrated(&folder);
        let backlog = Backlog::new(AuditMode::Strict);
        let batch = NonZeroUsize::new(512).unwrap();
        Self {
            writer: SqliteWriter::open(&url, backlog, batch, IDLE).unwrap(),
            reader: Session::connect(&url).unwrap(),
            url,
            build: Build::new(),
            random: SeededRandom::new(seed),
            events: BTreeMap::new(),
            now: 0,
            stops: Vec::new(),
            _folder: folder,
        }
    }

    fn indexer(&mut self, sizes: Sizes) -> Indexer {
        let (run, stop) = mpsc::channel();
        self.stops.push(run);
        Indexer {
            url: self.url.clone(),
            session: None,
            sizes,
            jobs: self.writer.jobs.downgrade(),
            stop,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn event_at(&mut self, ms: u64) -> Event {
        let partner_id: PartnerId = numbered(self.below(3));
        let actor = Actor::PartnerKey {
            id: numbered(self.below(40)),
            partner_id,
        };
        Event {
            id: EventId::from_ulid(ulid_of(ms, self.random.next_u64().into())),
            occurred_at: time_of(ms),
            org_id: (self.below(2) == 0).then(|| numbered(self.below(5))),
            ..self.build.event_by(actor)
        }
    }

    /// Writes an event in a segment of its own.
    fn add_at(&mut self, ms: u64) {
        let event = self.event_at(ms);
        self.events.insert(event.id, event.clone());
        self.write(move |tx| tx.event_insert(&event));
    }

    /// Writes some events, a segment each.
    fn add(&mut self, count: u64) {
        for _ in 0..count {
            self.now += [0, 1, 7, 900, 70_000][usize::try_from(self.below(5)).unwrap()];
            // Some come late, and some long after.
            let ms = match self.below(12) {
                0 => self.below(self.now + 1),
                1 => self.now.saturating_sub(self.below(2000)),
                _ => self.now,
            };
            self.add_at(ms);
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(self.writer.write(work)).unwrap()
    }

    fn prune(&mut self, before: OffsetDateTime, limit: usize) {
        let mut after = None;
        loop {
            after = self
                .write(move |tx| tx.events_prune(before, after, limit))
                .next;
            if after.is_none() {
                break;
            }
        }
        self.events.retain(|_, event| event.occurred_at >= before);
    }

    /// Checks lists, newest first, by whom the index is asked for and by none.
    fn check(&mut self) {
        let all = EventFilter::all(AuditSight::All);
        let key: KeyId = numbered(self.below(40));
        let (partner, org): (PartnerId, OrgId) = (numbered(self.below(4)), numbered(self.below(6)));
        let (since, until) = (self.below(self.now + 1), self.below(self.now + 1));
        let filters = [
            all.clone(),
            EventFilter {
                actor: Some(ActorId::Key(key)),
                ..all.clone()
            },
            EventFilter::all(AuditSight::Partner(partner)),
            EventFilter::all(AuditSight::Org(partner, org)),
            EventFilter {
                partner_id: Some(partner),
                since: Some(time_of(since)),
                until: Some(time_of(until)),
                ..all
            },
        ];
        let limit = [3, 1000][usize::try_from(self.below(2)).unwrap()];
        for filter in filters {
            let expect: Vec<EventId> = self
                .events
                .values()
                .rev()
                .filter(|event| filter.includes(event))
                .map(|event| event.id)
                .collect();
            let (mut told, mut after) = (Vec::new(), None);
            loop {
                let page = self
                    .reader
                    .events(&filter, PageRequest { limit, after })
                    .unwrap();
                after = page.items.last().map(|event| event.id.ulid());
                told.extend(page.items.into_iter().map(|event| event.id));
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(told, expect, "{filter:?}");
        }
    }

    fn runs(&mut self) -> Vec<Run> {
        self.reader.run(rows::runs).unwrap()
    }

    /// Nothing is left of what does not count.
    fn is_clean(&mut self) {
        assert_eq!(self.reader.run(rows::dropped).unwrap(), None);
        let runs = self.runs();
        for pair in runs.windows(2) {
            let [one, next] = pair else { unreachable!() };
            assert!(one.last_number < next.first_number, "{runs:?}");
        }
    }
}

#[test]
fn whatever_is_indexed_merged_and_pruned_lists_are_exact() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        let mut indexer = world.indexer(SMALL);
        let mut highest = 0;
        for _ in 0..120 {
            match world.below(10) {
                0..4 => {
                    let count = world.below(12);
                    world.add(count);
                }
                4 | 5 => drop(indexer.cover().unwrap()),
                6 => drop(indexer.merge().unwrap()),
                7 => drop(indexer.clear().unwrap()),
                8 => indexer.work().unwrap(),
                _ => {
                    let (before, limit) = (world.below(world.now + 1), world.below(20));
                    // Now and then all of it, also the newest.
                    let before = if world.below(8) == 0 {
                        world.now + 1
                    } else {
                        before / 4
                    };
                    world.prune(time_of(before), usize::try_from(limit).unwrap());
                }
            }
            world.check();
            highest = world
                .runs()
                .iter()
                .map(|run| run.tier)
                .max()
                .unwrap_or(0)
                .max(highest);
        }
        indexer.work().unwrap();
        world.check();
        world.is_clean();
        assert!(highest > 2, "runs were merged up to tier {highest}");
    }
}

#[test]
fn a_subject_that_fills_pages_is_found_in_all_of_them() {
    let mut world = World::new(1);
    let mut indexer = world.indexer(Sizes {
        segments: 1000,
        events: i64::MAX,
        ..SMALL
    });
    for _ in 0..6 {
        for _ in 0..700 {
            world.now += 9 + world.below(1_000_000);
            world.add_at(world.now);
        }
        indexer.cover().unwrap();
        world.check();
    }
    indexer.work().unwrap();
    let pages: i64 = world.runs().iter().map(|run| run.pages).sum();
    assert!(pages > 6, "{pages}");
    for _ in 0..10 {
        world.check();
    }
}

/// A world whose first segments are the latest, so that a pruning leaves them and takes the highest
/// numbers away.
fn upside_down(seed: u64) -> World {
    let mut world = World::new(seed);
    world.now = 100_000;
    (0..3).for_each(|_| world.add_at(world.now));
    (0..7).for_each(|ms| world.add_at(ms));
    world
}

/// Has others get the numbers of the last seven.
fn renumber(world: &mut World) {
    world.prune(time_of(50_000), 100);
    assert_eq!(world.reader.run(rows::newest).unwrap(), 3);
    (0..10).for_each(|ms| world.add_at(world.now + ms));
}

#[test]
fn a_number_that_was_covered_is_not_when_another_segment_gets_it() {
    let mut world = upside_down(5);
    let mut indexer = world.indexer(Sizes {
        segments: 100,
        ..SMALL
    });
    indexer.work().unwrap();
    assert_eq!(world.reader.run(rows::covered).unwrap(), 10);
    renumber(&mut world);
    assert_eq!(world.runs().len(), 1, "the run still covers what is left");
    (0..20).for_each(|_| world.check());
    indexer.work().unwrap();
    (0..20).for_each(|_| world.check());
}

/// What a run would cover must still be what was read when it begins to count.
#[test]
fn a_run_of_segments_that_are_gone_does_not_count() {
    let mut world = upside_down(2);
    let mut indexer = world.indexer(SMALL);
    indexer.cover().unwrap();
    let covered = world.reader.run(rows::covered).unwrap();
    assert_eq!(covered, 3);
    let segments = world
        .reader
        .run(|connection| rows::segments_after(connection, covered, 100))
        .unwrap();
    let last = segments.last().unwrap();
    let source = Source::Segments {
        after: covered,
        to: last.number,
        last_id: last.last_id.clone(),
    };
    renumber(&mut world);
    assert_eq!(world.reader.run(rows::covered).unwrap(), covered);
    let slots = (Slot::FIRST, Slot::FIRST);
    assert!(!indexer.build(source, 0, slots, |_| Ok(None)).unwrap());
    (0..20).for_each(|_| world.check());
    indexer.work().unwrap();
    world.check();
    world.is_clean();
}

#[test]
fn of_two_who_index_the_same_segments_one_is_too_late() {
    let mut world = World::new(3);
    world.add(9);
    let [mut one, mut other] = [world.indexer(SMALL), world.indexer(SMALL)];
    let slots = (Slot::FIRST, Slot::FIRST);
    let last = world
        .reader
        .run(|connection| rows::segments_after(connection, 2, 1))
        .unwrap();
    let late = Source::Segments {
        after: 0,
        to: 3,
        last_id: last.first().unwrap().last_id.clone(),
    };
    one.cover().unwrap();
    assert!(!other.build(late, 0, slots, |_| Ok(None)).unwrap());
    one.cover().unwrap();
    let runs: Vec<i64> = world.runs().iter().map(|run| run.id).collect();
    assert!(one.merge().unwrap());
    let late = Source::Runs(runs);
    assert!(!other.build(late, 1, slots, |_| Ok(None)).unwrap());
    world.check();
    other.work().unwrap();
    world.check();
    world.is_clean();
}

#[test]
fn what_was_cut_off_is_cleared_away_and_done_anew() {
    let mut world = World::new(4);
    world.add(20);
    let mut dead = world.indexer(SMALL);
    dead.work().unwrap();
    let page = |first: u8| Page {
        first: vec![first],
        body: vec![0; 10],
    };
    let run = dead.add(None, vec![page(1), page(2)]).unwrap();
    world.add(20);
    world.check();
    let mut next = world.indexer(SMALL);
    next.begin().unwrap();
    assert_eq!(
        dead.add(run, vec![page(3)]).unwrap(),
        None,
        "it was given up"
    );
    next.work().unwrap();
    assert_eq!(dead.add(run, vec![page(3)]).unwrap(), None, "it is gone");
    world.check();
    world.is_clean();
}
