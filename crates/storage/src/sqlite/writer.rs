//! The thread that owns the write connection.
//!
//! A commit waits for the disk, and that takes longer than all else. So the writer takes whatever waits,
//! does all of it in one transaction, and commits once. A closure that fails or panics is undone and hurts
//! no other: when there is one, all is done once more, each closure under a savepoint of its own.

#[cfg(test)]
use std::sync::atomic::AtomicU64;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use stores::StoreError;
use tokio::sync::mpsc;

use super::{
    checkpoint::Checkpoints,
    work::{Job, Way, Work},
};
use crate::{
    backlog::{Appended, Backlog},
    error::OpenError,
    events,
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// The owner of the write connection.
pub(super) struct Writer {
    url: DatabaseUrl,
    session: Session<Writing>,
    checkpoints: Checkpoints,
    backlog: Arc<Backlog>,
    #[cfg(test)]
    pub(super) commits: Arc<AtomicU64>,
}

/// What is done in one transaction.
struct Batch {
    work: Vec<Box<dyn Work>>,
    appended: Appended,
    outcomes: Vec<Result<(), StoreError>>,
}

/// Why a batch was not written.
enum Failed {
    /// A closure failed and had no savepoint.
    Work,
    /// The database did not take it.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Writer {
    pub(super) fn open(url: &DatabaseUrl, backlog: Arc<Backlog>) -> Result<Self, OpenError> {
        let session = Session::connect(url).map_err(|source| OpenError::Unreachable {
            url: url.to_string(),
            source,
        })?;
        Ok(Self {
            url: url.clone(),
            session,
            checkpoints: Checkpoints::open(url)?,
            backlog,
            #[cfg(test)]
            commits: Arc::default(),
        })
    }

    /// Works until nobody can send any more and all that was sent is done; at most `batch` jobs share
    /// a commit.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Job>, batch: usize) {
        let mut jobs = Vec::with_capacity(batch);
        while waiting.blocking_recv_many(&mut jobs, batch) > 0 {
            let batch = Batch::new(jobs.drain(..), Arc::clone(&self.backlog));
            // Closures are guarded one by one. Should all the same something panic, its callers learn
            // it from the answers that never come, and the thread lives on.
            if catch_unwind(AssertUnwindSafe(|| self.write(batch))).is_err() {
                tracing::error!("the writer panicked");
                self.reconnect();
            }
        }
    }

    fn write(&mut self, mut batch: Batch) {
        if self.session.is_broken() {
            self.reconnect();
        }
        self.session.forget_events();
        let mut way = Way::Straight;
        let outcome = loop {
            way = match self.session.nested(|session| batch.run(session, way)) {
                Ok(()) => break Ok(()),
                // Hardly any closure fails; the others have done nothing wrong.
                Err(Failed::Work) => Way::Guarded,
                // Somebody's event can't be written, and it is the same with that.
                Err(Failed::Store(error)) if way != Way::Apart && !error.is_temporary() => {
                    Way::Apart
                }
                Err(Failed::Store(error)) => break Err(error),
            };
        };
        match &outcome {
            Ok(()) => {
                #[cfg(test)]
                self.commits
                    .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            Err(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(%error, cause, jobs = batch.len(), "a batch was not written");
            }
        }
        batch.answer(&outcome);
        if outcome.is_ok() {
            self.checkpoints.committed(&mut self.session);
        }
    }

    /// Replaces a connection of no more use. When that fails, it fails again with the next batch.
    fn reconnect(&mut self) {
        match Session::connect(&self.url) {
            Ok(session) => self.session = session,
            Err(error) => tracing::error!(%error, "the writer can't open the database again"),
        }
    }
}

impl Batch {
    fn new(jobs: impl Iterator<Item = Job>, backlog: Arc<Backlog>) -> Self {
        let mut batch = Self {
            work: Vec::new(),
            appended: Appended::new(backlog),
            outcomes: Vec::new(),
        };
        for job in jobs {
            match job {
                Job::Work(work) => batch.work.push(work),
                Job::Event(event, told) => batch.appended.push(event, told),
            }
        }
        batch
    }

    /// Does everything.
    fn run(&mut self, session: &mut Session<Writing>, way: Way) -> Result<(), Failed> {
        for work in &mut self.work {
            if !work.run(session, way) {
                return Err(Failed::Work);
            }
        }
        self.outcomes = match way {
            Way::Straight | Way::Guarded => events::together(session, self.appended.events())?,
            Way::Apart => events::one_by_one(session, self.appended.events()),
        };
        Ok(())
    }

    fn len(&self) -> usize {
        self.work.len().saturating_add(self.appended.events().len())
    }

    fn answer(self, outcome: &Result<(), StoreError>) {
        for work in self.work {
            work.answer(outcome);
        }
        // When the transaction did not even begin, there are no outcomes.
        let outcomes = self.outcomes.into_iter().chain(std::iter::repeat(Ok(())));
        self.appended
            .answer(outcomes.map(|own| own.and_then(|()| outcome.clone())));
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use keys::{KeyQueries as _, KeyStore as _};
    use testkit::build::Build;
    use tokio::sync::oneshot;

    use super::{super::work::Pending, *};
    use crate::{
        backlog::{AuditMode, Told},
        migrate,
    };

    /// A disk that is full makes SQLite give up the whole transaction in the middle of a batch. Nothing
    /// of the batch may be kept, for its callers are told so, and the writer must live on.
    #[test]
    fn a_full_disk_fails_a_batch_as_a_whole_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        let mut writer = Writer::open(&url, Backlog::new(AuditMode::Strict)).unwrap();
        let limit = |writer: &mut Writer, pages: u32| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            writer.session.run(|c| c.batch_execute(&pragma)).unwrap();
        };
        // Migrations have left pages free.
        let vacuumed = writer.session.run(|c| c.batch_execute("VACUUM"));
        vacuumed.unwrap();
        limit(&mut writer, 1);

        let build = Build::new();
        let key = build.key(&build.partner());
        let write = |writer: &mut Writer, partners: usize, events: usize| {
            let (mut jobs, mut answers, mut ids) = (vec![], vec![], vec![]);
            for n in 0..partners.max(events) {
                if n < partners {
                    let partner = build.partner();
                    ids.push(partner.id);
                    let (caller, answer) = oneshot::channel();
                    let work = move |tx: &mut Session<Writing>| tx.partner_insert(&partner);
                    jobs.push(Job::Work(Box::new(Pending::new(work, caller))));
                    answers.push(answer);
                }
                if n < events {
                    let (caller, answer) = oneshot::channel();
                    let event = Box::new(build.event(&key));
                    jobs.push(Job::Event(event, Told::Caller(caller)));
                    answers.push(answer);
                }
            }
            let backlog = Arc::clone(&writer.backlog);
            writer.write(Batch::new(jobs.into_iter(), backlog));
            let outcomes: Vec<_> = answers
                .into_iter()
                .map(|answer| answer.blocking_recv().unwrap().is_ok())
                .collect();
            (outcomes, ids)
        };

        let (outcomes, ids) = write(&mut writer, 400, 100);
        assert_eq!(outcomes, [false; 500]);
        for id in ids {
            assert!(writer.session.partner(id).unwrap().is_none());
        }
        let (outcomes, _) = write(&mut writer, 0, 400);
        assert_eq!(outcomes, [false; 400]);

        limit(&mut writer, 1_000_000);
        let (outcomes, ids) = write(&mut writer, 2, 2);
        assert_eq!(outcomes, [true; 4]);
        for id in ids {
            assert!(writer.session.partner(id).unwrap().is_some());
        }
    }
}
