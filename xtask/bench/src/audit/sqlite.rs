//! SQLite as the server has it: a write-ahead log that another thread moves into the file.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use diesel::{
    Connection as _, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection as _,
    sql_query, sql_types::BigInt,
};

/// From how many pages on the log is to begin anew, and how many the writer may move for that.
const LONG: i64 = 4000;
const LITTLE: i64 = 100;

/// Connects, with more memory for pages than the server takes: a prototype is to have what it needs.
pub(crate) fn connect(path: &Path) -> Result<SqliteConnection> {
    let path = path.to_str().context("a path that is no text")?;
    let mut sqlite = SqliteConnection::establish(path)?;
    sqlite.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 8000; PRAGMA cache_size = -65536;",
    )?;
    Ok(sqlite)
}

#[derive(diesel::QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = BigInt)]
    log: i64,
    #[diesel(sql_type = BigInt)]
    checkpointed: i64,
}

fn checkpoint(sqlite: &mut SqliteConnection) -> Result<Checkpoint> {
    Ok(sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(sqlite)?)
}

/// Moves the log beside the writer.
pub(crate) struct Checkpointer {
    finish: Arc<AtomicBool>,
}

impl Checkpointer {
    pub(crate) fn start(path: &Path) -> Result<Self> {
        let mut sqlite = connect(path)?;
        let finish = Arc::new(AtomicBool::new(false));
        let asked = Arc::downgrade(&finish);
        thread::spawn(move || {
            while let Some(asked) = asked.upgrade() {
                let moved = checkpoint(&mut sqlite).and_then(|log| {
                    if log.log < LONG {
                        return Ok(());
                    }
                    let log = checkpoint(&mut sqlite)?;
                    asked.store(log.log - log.checkpointed <= LITTLE, Ordering::Relaxed);
                    Ok(())
                });
                if let Err(error) = moved {
                    eprintln!("no checkpoint: {error:#}");
                }
                drop(asked);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Ok(Self { finish })
    }

    /// To be called by the writer after each commit.
    pub(crate) fn committed(&self, sqlite: &mut SqliteConnection) -> Result<()> {
        if self.finish.swap(false, Ordering::Relaxed) {
            checkpoint(sqlite)?;
        }
        Ok(())
    }
}
