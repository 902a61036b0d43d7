//! The control connection: a session of its own on a thread of its own, for what must go on whatever
//! callers ask for: which keys have changed, whether the database can be used, and on PostgreSQL what the
//! server itself reports.
//!
//! The readers' queue is no place for that. While it is long, every cached credential would become
//! stale, and each of them would be one more question in the queue.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use stores::StoreError;
use tokio::sync::oneshot;

use crate::{
    connection::{
        AnyConnection,
        error::{self, OpenError},
        url::DatabaseUrl,
    },
    session::{Reading, Session, Writing},
    tables::meta,
    threads,
};

/// How often the database is asked whether it can be used.
const PROBE_INTERVAL: Duration = Duration::from_millis(300);
/// How old the answer gets before it no longer counts.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How many questions may wait.
const QUEUE: usize = 64;

/// How a session is connected.
pub(crate) type Connect = fn(&DatabaseUrl) -> Result<Session<Reading>, StoreError>;

type Connected<S> = Result<S, StoreError>;
type Read = dyn FnOnce(Connected<&mut Session<Reading>>) + Send;
type Write = dyn FnOnce(Connected<Session<Reading>>) -> Option<Session<Reading>> + Send;

enum Job {
    Read(Box<Read>),
    /// Takes the session and gives it back.
    Write(Box<Write>),
}

/// Connects a session to PostgreSQL that can change what the server itself reports. Its commits wait for
/// no disk.
pub(crate) fn connect_to_postgres(url: &DatabaseUrl) -> Result<Session<Reading>, StoreError> {
    let mut session = Session::<Writing>::connect(url)?;
    session.run(AnyConnection::commit_early)?;
    Ok(session.into_mode())
}

/// Finds out whether changes can be made, where a question on the control connection can't tell.
pub(crate) trait WriteProbe: Send + 'static {
    /// What is known now. It is called a few times a second and must not block for long.
    fn outcome(&mut self) -> Result<(), StoreError>;
}

/// The control connection, as its owner has it. Without a session it connects with the first question.
/// The thread ends when this is dropped.
pub(crate) struct Control {
    jobs: mpsc::SyncSender<Job>,
    readiness: Arc<Readiness>,
}

impl Control {
    pub(crate) fn start(
        url: &DatabaseUrl,
        connect: Connect,
        session: Option<Session<Reading>>,
        writes: impl WriteProbe,
    ) -> Result<Self, OpenError> {
        let (jobs, waiting) = mpsc::sync_channel(QUEUE);
        let readiness = Arc::new(Readiness::default());
        let worker = Worker {
            url: url.clone(),
            connect,
            session,
            writes,
            readiness: Arc::clone(&readiness),
        };
        threads::spawn("db-control", move || worker.run(&waiting))?;
        Ok(Self { jobs, readiness })
    }

    /// Runs short questions on the connection. The closure begins when it holds the connection; when its
    /// caller has gone away before, it is not run.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut Session<Reading>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Job::Read(Box::new(move |session| {
            if caller.is_closed() {
                return;
            }
            let outcome = match session {
                Ok(session) => catch_unwind(AssertUnwindSafe(|| work(session)))
                    .unwrap_or_else(|_| Err(StoreError::Panicked.into())),
                Err(error) => Err(error.into()),
            };
            // Whoever has gone away needs no answer.
            drop(caller.send(outcome));
        }));
        self.send(job, answer).await
    }

    /// Runs a short transaction on the connection, which must be one that can change something. When its
    /// caller has gone away before, it is not run. It leaves no events.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Job::Write(Box::new(move |session| {
            if caller.is_closed() {
                return session.ok();
            }
            let (outcome, session) = match session {
                Ok(session) => {
                    let mut session = session.into_mode::<Writing>();
                    let begun = session.begin().map_err(E::from);
                    let outcome = begun.and_then(|()| session.guarded(&work));
                    (outcome, Some(session.into_mode()))
                }
                Err(error) => (Err(error.into()), None),
            };
            // Whoever has gone away needs no answer.
            drop(caller.send(outcome));
            session
        }));
        self.send(job, answer).await
    }

    async fn send<T, E: From<StoreError>>(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::TrySendError::Disconnected(_) => StoreError::Unavailable(None),
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable(None).into()))
    }

    /// Whether the database answers and takes changes, as it was less than a second ago. It asks nobody.
    pub(crate) fn readiness(&self) -> Result<(), StoreError> {
        self.readiness.now()
    }
}

/// What was last found out.
#[derive(Default)]
struct Readiness(Mutex<Option<Finding>>);

struct Finding {
    /// When the question began.
    asked: Instant,
    outcome: Result<(), StoreError>,
}

impl Readiness {
    fn note(&self, asked: Instant, outcome: Result<(), StoreError>) {
        let mut finding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *finding = Some(Finding { asked, outcome });
    }

    fn now(&self) -> Result<(), StoreError> {
        let finding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*finding {
            None => Err(error::unavailable("the database has not been asked yet")),
            Some(Finding {
                outcome: Err(error),
                ..
            }) => Err(error.clone()),
            Some(finding) if finding.asked.elapsed() > MAX_AGE => Err(error::unavailable(
                "the database has not answered for more than a second",
            )),
            Some(_) => Ok(()),
        }
    }
}

/// The thread.
struct Worker<W> {
    url: DatabaseUrl,
    connect: Connect,
    session: Option<Session<Reading>>,
    writes: W,
    readiness: Arc<Readiness>,
}

impl<W: WriteProbe> Worker<W> {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        // A command that asks nothing here makes no connection either.
        let Ok(first) = jobs.recv() else { return };
        self.answer(first);
        let mut next_probe = Instant::now();
        loop {
            let left = next_probe.saturating_duration_since(Instant::now());
            match jobs.recv_timeout(left) {
                Ok(job) => self.answer(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if next_probe <= Instant::now() {
                next_probe = Instant::now() + PROBE_INTERVAL;
                self.probe();
            }
        }
    }

    fn answer(&mut self, job: Job) {
        let fresh = match &mut self.session {
            // What has been idle for long may have died meanwhile, and a job runs only once.
            Some(session) => session.test(),
            None => Ok(()),
        };
        if fresh.is_err() {
            self.session = None;
        }
        let connected = self.session().map(drop);
        match job {
            Job::Read(work) => work(match &mut self.session {
                Some(session) => Ok(session),
                None => Err(connected.err().unwrap_or_else(error::transaction_gone)),
            }),
            Job::Write(work) => {
                let session = self.session.take();
                let lost = || connected.err().unwrap_or_else(error::transaction_gone);
                self.session = work(session.ok_or_else(lost));
            }
        }
        self.drop_broken();
    }

    fn probe(&mut self) {
        let was_connected = self.session.is_some();
        let mut asked = Instant::now();
        let mut found = self.ask();
        if found.is_err() && was_connected {
            // The connection may have died; whether the server has, a new one tells.
            self.session = None;
            asked = Instant::now();
            found = self.ask();
        }
        self.drop_broken();
        let outcome = found.and_then(|()| self.writes.outcome());
        self.readiness.note(asked, outcome);
    }

    fn ask(&mut self) -> Result<(), StoreError> {
        let writable = self.session()?.run(meta::is_writable)?;
        if writable {
            Ok(())
        } else {
            // The name may lead to the new primary already.
            self.session = None;
            Err(error::unavailable("the server is read-only"))
        }
    }

    fn session(&mut self) -> Result<&mut Session<Reading>, StoreError> {
        match &mut self.session {
            Some(session) => Ok(session),
            none => Ok(none.insert((self.connect)(&self.url)?)),
        }
    }

    fn drop_broken(&mut self) {
        if self.session.as_mut().is_some_and(Session::is_broken) {
            self.session = None;
        }
    }
}

/// For an engine whose answer on the control connection tells all.
impl WriteProbe for () {
    fn outcome(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
