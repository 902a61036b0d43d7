//! Checkpoints: SQLite's write-ahead log (WAL) is moved into the file, beside the writer.
//!
//! Left to the writer, everybody who waits for a commit would wait for that too, and the longer the
//! larger the file is. So a thread with a connection of its own moves what has been committed, again and
//! again. The log begins anew only when all of it has been moved and the next commit comes: when it is
//! long and little of it is left, the writer moves that between two commits.
//!
//! SQLite has the file synced only by whoever moves the last of the log. That would be the writer, with
//! thousands of pages all over a large file waiting for the disk, and everybody with it. So the thread has
//! the file synced too, a few pages at a time, for the disk takes a commit only after what it was given
//! before.
//!
//! A sync of the file that fails is not tried again. The system takes what it could not write for written,
//! so the next sync would succeed without it, and the log, which still has all of it, would begin anew. So
//! the process ends at once and closes nothing, for to close the file would do the same. The next start
//! finds the whole log and moves all of it once more.

use std::{
    fs::File,
    io,
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use stores::StoreError;

use super::{sync::Disk, wal};
use crate::{
    connection::{
        error::{self, OpenError},
        url::DatabaseUrl,
    },
    session::{Session, Writing},
    threads,
};

/// How long the thread pauses after it has moved what there was. With a hundred thousand keys that are
/// used at random, p99 of a call was 7 to 9 ms with this and 15 to 17 ms with five times as much.
const PAUSE: Duration = Duration::from_millis(10);
/// How many commits are too few to be moved by themselves: the next one would find all of the log moved,
/// and wait for the disk once more to begin it anew.
const FEW: u32 = 8;
/// How long they wait for more.
const IDLE: Duration = Duration::from_secs(1);
/// From how many pages on the log is to begin anew: 16 MiB.
const LONG: i64 = 4000;
/// From how many pages on the log is a busy database's, whose file is synced by the thread from then on.
const BUSY: i64 = 1000;
/// How many pages are moved before the file is synced.
const SOME: i64 = 64;
/// How many pages are little, so that nobody waits long while they are moved.
const LITTLE: i64 = 100;

/// The checkpoints, as the writer has them.
pub(super) struct Checkpoints {
    news: Arc<News>,
    /// When it is dropped, the thread ends.
    _thread: mpsc::Sender<()>,
}

#[derive(Default)]
struct News {
    /// How many commits there were since the thread last moved any.
    commits: AtomicU32,
    /// The writer is to move what is left.
    finish: AtomicBool,
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let (thread, stop) = mpsc::channel();
        let news = Arc::new(News::default());
        let checkpointer = Checkpointer::new(url, Arc::clone(&news));
        threads::spawn("sqlite-checkpoint", move || checkpointer.run(&stop))?;
        Ok(Self {
            news,
            _thread: thread,
        })
    }

    /// To be called by the writer after each commit, on its connection.
    pub(super) fn committed(&self, session: &mut Session<Writing>) {
        self.news.commits.fetch_add(1, Ordering::Relaxed);
        if self.news.finish.swap(false, Ordering::Relaxed) {
            // When it can't be moved now, it is tried again by the thread.
            if let Err(error) = session.run(wal::checkpoint) {
                tracing::debug!(%error, "the rest of SQLite's log was not moved");
            }
        }
    }
}

/// The thread.
struct Checkpointer {
    url: DatabaseUrl,
    session: Option<Session<Writing>>,
    news: Arc<News>,
    file: Option<DatabaseFile>,
    /// Called when pages in the file may be lost; in a server it does not come back.
    pages_lost: fn(&io::Error),
    ended: bool,
    /// Whether the log has been long, so that the file is synced in between.
    busy: bool,
    failing: bool,
}

/// Ends the process as a crash would.
fn abort(error: &io::Error) {
    tracing::error!(
        %error,
        "the database's file could not be made durable, so the program ends here and now: see to the \
         disk and start it again, nothing that was answered is lost"
    );
    std::process::abort()
}

impl Checkpointer {
    fn new(url: &DatabaseUrl, news: Arc<News>) -> Self {
        Self {
            url: url.clone(),
            session: None,
            news,
            file: None,
            pages_lost: abort,
            ended: false,
            busy: false,
            failing: false,
        }
    }

    fn run(mut self, stop: &mpsc::Receiver<()>) {
        let mut last = Instant::now();
        while let Err(mpsc::RecvTimeoutError::Timeout) = stop.recv_timeout(PAUSE) {
            let commits = self.news.commits.load(Ordering::Relaxed);
            if commits == 0 || (commits < FEW && last.elapsed() < IDLE) {
                continue;
            }
            self.news.commits.store(0, Ordering::Relaxed);
            last = Instant::now();
            let moved = self.checkpoint();
            if self.ended {
                return;
            }
            if let Err(error) = &moved {
                self.session = None;
                if !self.failing {
                    tracing::warn!(%error, "SQLite's log can't be moved into the file; it grows until it can");
                }
            }
            self.failing = moved.is_err();
        }
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        // Before anything is moved: of a failure, the system tells only those who had the file open.
        if self.file.is_none() {
            self.file = DatabaseFile::open(&self.url).map_err(not_synced)?;
        }
        let moved = self.move_log();
        if moved.is_err()
            && !self.ended
            // The engine has failed, perhaps at a sync of its own.
            && let Some(Err(error)) = self.file.as_ref().map(DatabaseFile::sync)
        {
            self.end(&error);
        }
        moved
    }

    fn end(&mut self, error: &io::Error) {
        self.ended = true;
        (self.pages_lost)(error);
    }

    fn move_log(&mut self) -> Result<(), StoreError> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::connect(&self.url)?),
        };
        let Some(log) = session.run(wal::checkpoint)? else {
            return Ok(());
        };
        self.busy |= log.pages >= BUSY;
        if let Some(file) = self.file.as_mut().filter(|_| self.busy)
            && let Err(error) = file.moved(log.moved)
        {
            self.end(&error);
            return Err(not_synced(error));
        }
        if log.pages < LONG {
            return Ok(());
        }
        // Meanwhile there were commits. What they wrote is less, and takes less time.
        let log = session.run(wal::checkpoint)?.unwrap_or(log);
        if log.pages - log.moved <= LITTLE {
            self.news.finish.store(true, Ordering::Relaxed);
        } else {
            self.news.commits.store(FEW, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn not_synced(error: io::Error) -> StoreError {
    error::unavailable(format!("the database's file can't be synced: {error}"))
}

/// The file of the database. It is never closed: a process that closes a file gives up all its locks on
/// it, and SQLite has some.
struct DatabaseFile {
    /// Waits until all that was written to it before is on the disk.
    disk: Disk,
    /// How many pages of the log were in it when it was last synced.
    synced: i64,
}

impl DatabaseFile {
    fn open(url: &DatabaseUrl) -> io::Result<Option<Self>> {
        let Some(path) = url.sqlite_path() else {
            return Ok(None);
        };
        let file = File::options().read(true).write(true).open(path)?;
        let file = ManuallyDrop::new(file);
        Ok(Some(Self {
            disk: Box::new(move || file.sync_data()),
            synced: 0,
        }))
    }

    fn sync(&self) -> io::Result<()> {
        (self.disk)()
    }

    /// So many pages of the log have been moved into the file since the log began.
    fn moved(&mut self, pages: i64) -> io::Result<()> {
        if pages < self.synced {
            // The log has begun anew, and for that the file was synced.
            self.synced = 0;
        }
        if pages - self.synced >= SOME {
            self.sync()?;
            self.synced = pages;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diesel::{RunQueryDsl as _, sql_query};

    use super::*;
    use crate::{migrate, session::Reading};

    fn write(session: &mut Session<Writing>, bytes: u32) {
        let text = format!(
            "INSERT INTO meta (name, value) VALUES (hex(randomblob(8)), hex(zeroblob({bytes} / 2)))"
        );
        let written: Result<usize, StoreError> =
            session.nested(|session| session.run(|connection| sql_query(text).execute(connection)));
        assert_eq!(written.unwrap(), 1);
    }

    #[test]
    fn a_long_log_begins_anew_once_the_writer_has_moved_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        let mut session = Session::connect(&url).unwrap();
        let news = Arc::new(News::default());
        let mut checkpointer = Checkpointer::new(&url, Arc::clone(&news));
        let checkpoints = Checkpoints {
            news: Arc::clone(&news),
            _thread: mpsc::channel().0,
        };
        let finish = || news.finish.load(Ordering::Relaxed);

        write(&mut session, 1000);
        checkpointer.checkpoint().unwrap();
        assert!(!finish(), "a short log stays");
        assert!(!checkpointer.busy);

        write(&mut session, 4096 * 5000);
        let mut reader = Session::<Reading>::connect(&url).unwrap();
        let read = reader.snapshot(|reader| {
            reader.run(|connection| sql_query("SELECT * FROM meta").execute(connection))?;
            checkpointer.checkpoint()?;
            assert!(finish());
            let synced = checkpointer.file.as_ref().map(|file| file.synced);
            assert!(synced.is_some_and(|pages| pages >= LONG), "{synced:?}");
            // The log can't begin anew while somebody reads in it, so this is left in it.
            write(&mut session, 1000);
            Ok(())
        });
        read.unwrap();
        let pages = |session: &mut Session<Writing>| {
            let log = session.run(wal::checkpoint).unwrap().unwrap();
            assert_eq!(log.pages, log.moved);
            log.pages
        };
        checkpoints.committed(&mut session);
        assert!(!finish());
        assert_eq!(news.commits.load(Ordering::Relaxed), 1);
        write(&mut session, 1000);
        assert!(pages(&mut session) < LITTLE);
    }

    /// The next sync would succeed, for the system takes the pages for written.
    #[test]
    fn a_sync_of_the_file_that_fails_ends_the_process_and_is_not_tried_again() {
        static LOST: AtomicU32 = AtomicU32::new(0);
        static SYNCS: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        let mut session = Session::connect(&url).unwrap();
        let mut checkpointer = Checkpointer::new(&url, Arc::default());
        checkpointer.pages_lost = |_| {
            LOST.fetch_add(1, Ordering::SeqCst);
        };
        checkpointer.file = Some(DatabaseFile {
            disk: Box::new(|| match SYNCS.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::Error::other("a failure that this test is about")),
                _ => Ok(()),
            }),
            synced: 0,
        });
        write(&mut session, 4096 * 2000);
        let (stop, stopped) = mpsc::channel();
        checkpointer.news.commits.store(FEW, Ordering::Relaxed);
        let ended = std::thread::spawn(move || checkpointer.run(&stopped));
        ended.join().unwrap();
        drop(stop);
        assert_eq!(LOST.load(Ordering::SeqCst), 1);
        assert_eq!(SYNCS.load(Ordering::SeqCst), 1);
    }
}
