//! A log that is written and indexed step by step.

use std::{collections::BTreeMap, marker::PhantomData};

use audit::{Actor, ActorId, AuditVisibility, Event, EventFilter};
use ids::{EventId, KeyId, OrgId, PageRequest, PartnerId, TypedId, Ulid};
use rand_core::Rng as _;
use stores::{Database as _, prelude::*};
use tempfile::TempDir;
use testkit::{build::Build, clock::START, random::SeededRandom};
use time::OffsetDateTime;

use super::{engines::Engine, *};
use crate::Writing;

/// A database that is written to and indexed step by step, and all events that it should have.
pub(super) struct Fixture<E> {
    database: SqlDatabase,
    pub(super) url: DatabaseUrl,
    pub(super) reader: Session<Reading>,
    build: Build,
    random: SeededRandom,
    events: BTreeMap<EventId, Event>,
    /// Milliseconds since the start.
    pub(super) now: u64,
    /// Never dropped before its indexers.
    stops: Vec<mpsc::Sender<()>>,
    _folder: TempDir,
    engine: PhantomData<E>,
}

fn numbered<I: TypedId>(number: u64) -> I {
    I::from_ulid(Ulid::from_parts(1, number.into()))
}

pub(super) fn time_of(ms: u64) -> OffsetDateTime {
    START + Duration::from_millis(ms)
}

fn ulid_of(ms: u64, random: u128) -> Ulid {
    let start = u64::try_from(START.unix_timestamp()).unwrap() * 1000;
    Ulid::from_parts(start + ms, random)
}

impl<E: Engine> Fixture<E> {
    /// `None` where the engine is missing.
    pub(super) fn new(seed: u64) -> Option<Self> {
        let (url, folder) = E::empty()?;
        migrate(&url).unwrap();
        Some(Self {
            database: SqlDatabase::open_indexing(
                &url,
                Options::default(),
                IDLE,
                crate::stamps::Stamps::default(),
            )
            .unwrap(),
            reader: Session::connect(&url).unwrap(),
            url,
            build: Build::new(),
            random: SeededRandom::new(seed),
            events: BTreeMap::new(),
            now: 0,
            stops: Vec::new(),
            _folder: folder,
            engine: PhantomData,
        })
    }

    pub(super) fn indexer(&mut self, sizes: IndexSettings) -> Indexer<E::IndexWriter> {
        let (run, stop) = mpsc::channel();
        self.stops.push(run);
        Indexer::new(
            &self.url,
            sizes,
            E::index_writer(&self.database, &self.url),
            stop,
        )
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    pub(super) fn event_at(&mut self, ms: u64) -> Event {
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
    pub(super) fn add_at(&mut self, ms: u64) {
        let event = self.event_at(ms);
        self.expect(&event);
        self.write(move |tx| tx.event_record(&event).map(drop));
    }

    /// The event is there from now on.
    pub(super) fn expect(&mut self, event: &Event) {
        self.events.insert(event.id, event.clone());
    }

    /// Writes some events, a segment each.
    pub(super) fn add(&mut self, count: u64) {
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
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(self.database.write(work)).unwrap()
    }

    pub(super) fn prune(&mut self, before: OffsetDateTime, limit: usize) {
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
    pub(super) fn check(&mut self) {
        let all = EventFilter::all(AuditVisibility::All);
        let key: KeyId = numbered(self.below(40));
        let (partner, org): (PartnerId, OrgId) = (numbered(self.below(4)), numbered(self.below(6)));
        let (since, until) = (self.below(self.now + 1), self.below(self.now + 1));
        let filters = [
            all.clone(),
            EventFilter {
                actor: Some(ActorId::Key(key)),
                ..all.clone()
            },
            EventFilter::all(AuditVisibility::Partner(partner)),
            EventFilter::all(AuditVisibility::Org(partner, org)),
            EventFilter {
                partner_id: Some(partner),
                since: Some(time_of(since)),
                until: Some(time_of(until)),
                ..all
            },
        ];
        let limit = [3, 1000][usize::try_from(self.below(2)).unwrap()];
        let budget = [7, 50, usize::MAX][usize::try_from(self.below(3)).unwrap()];
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
                let page = PageRequest::new(limit, after).with_budget(budget);
                let page = self.reader.events(&filter, page).unwrap();
                told.extend(page.items.into_iter().map(|event| event.id));
                if page.next.is_none() {
                    break;
                }
                assert_ne!(page.next, after, "no progress");
                after = page.next;
            }
            assert_eq!(told, expect, "{filter:?}");
        }
    }

    pub(super) fn runs(&mut self) -> Vec<Run> {
        self.reader.run(rows::runs).unwrap()
    }

    /// Nothing is left of what does not count.
    pub(super) fn is_clean(&mut self) {
        assert_eq!(self.reader.run(rows::dropped).unwrap(), None);
        let runs = self.runs();
        for pair in runs.windows(2) {
            let [one, next] = pair else { unreachable!() };
            assert!(one.last_number < next.first_number, "{runs:?}");
        }
    }
}
