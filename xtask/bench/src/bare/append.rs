//! The least that a server can do that answers a call only once it is recorded: a few bytes for each
//! call, of all that wait in one piece, and one wait for the disk.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection};
// Built in, as for the real server.
use libsqlite3_sys as _;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};
use tokio_postgres::{Client, NoTls, Statement};

/// For how long calls gather that are answered before.
const GATHERING: Duration = Duration::from_millis(10);
/// What is recorded of a call, in bytes: about what an audit event takes.
const EACH: usize = 64;
/// How many calls share a piece at the most.
const MOST: usize = 512;
/// How long the file is before it is written over from its beginning. It never grows, so that a wait
/// for the disk is for the data alone.
const LENGTH: u64 = 64 << 20;

const TABLE: &str = "CREATE TABLE pieces (id INTEGER PRIMARY KEY, piece BLOB NOT NULL)";
const POSTGRES_TABLE: &str = "DROP TABLE IF EXISTS pieces; CREATE TABLE pieces \
    (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, piece BYTEA NOT NULL)";
const POSTGRES_INSERT: &str = "INSERT INTO pieces (piece) VALUES ($1)";
/// With the same log as the real server, and each commit waits for the disk.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

diesel::table! {
    pieces (id) {
        id -> BigInt,
        piece -> Binary,
    }
}

/// Who wants to know that a call is recorded.
pub(crate) type Caller = oneshot::Sender<()>;

/// Where calls are recorded.
enum Target {
    File {
        file: File,
        at: u64,
    },
    Sqlite(SqliteConnection),
    Postgres {
        runtime: Runtime,
        client: Client,
        insert: Statement,
    },
}

/// Starts the thread that records calls: `file:PATH`, `sqlite:PATH` or the URL of a PostgreSQL. Those that
/// are answered `ahead` gather for a while, for nobody waits.
pub(crate) fn start(target: &str, ahead: bool) -> Result<Sender<Caller>> {
    let mut target = Target::open(target)?;
    let (sender, waiting) = mpsc::channel();
    thread::Builder::new()
        .name("append".to_owned())
        .spawn(move || {
            while let Some(callers) = next(&waiting, ahead) {
                if let Err(error) = target.append(&[0x5a; EACH].repeat(callers.len())) {
                    // Nobody is answered, and the measurement fails.
                    eprintln!("nothing is recorded any more: {error:#}");
                    return;
                }
                for caller in callers {
                    // Whoever has gone away needs no answer.
                    let _ = caller.send(());
                }
            }
        })?;
    Ok(sender)
}

/// All that wait, as soon as there is one, or a while later.
fn next(waiting: &Receiver<Caller>, ahead: bool) -> Option<Vec<Caller>> {
    let mut callers = vec![waiting.recv().ok()?];
    if ahead {
        thread::sleep(GATHERING);
    }
    callers.extend(waiting.try_iter().take(MOST - 1));
    Some(callers)
}

impl Target {
    fn open(target: &str) -> Result<Self> {
        Ok(match target.split_once(':') {
            Some(("file", path)) => {
                let file = File::create(path)?;
                for piece in 0..LENGTH >> 20 {
                    file.write_all_at(&vec![0; 1 << 20], piece << 20)?;
                }
                file.sync_all()?;
                Self::File { file, at: 0 }
            }
            Some(("sqlite", path)) => {
                let mut sqlite = SqliteConnection::establish(path)?;
                sqlite.batch_execute(SETTINGS)?;
                sqlite.batch_execute(TABLE)?;
                Self::Sqlite(sqlite)
            }
            _ => {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let connected = runtime.block_on(tokio_postgres::connect(target, NoTls));
                let (client, connection) = connected.context("no PostgreSQL")?;
                runtime.spawn(connection);
                runtime.block_on(client.batch_execute(POSTGRES_TABLE))?;
                let insert = runtime.block_on(client.prepare(POSTGRES_INSERT))?;
                Self::Postgres {
                    runtime,
                    client,
                    insert,
                }
            }
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        use diesel::ExpressionMethods as _;
        match self {
            Self::File { file, at } => {
                file.write_all_at(bytes, *at)?;
                file.sync_data()?;
                *at = (*at + u64::try_from(bytes.len())?) % (LENGTH - (1 << 20));
            }
            Self::Sqlite(sqlite) => {
                diesel::insert_into(pieces::table)
                    .values(pieces::piece.eq(bytes))
                    .execute(sqlite)?;
            }
            Self::Postgres {
                runtime,
                client,
                insert,
            } => {
                runtime.block_on(client.execute(insert, &[&bytes]))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diesel::QueryDsl as _;

    use super::*;

    fn ask(sender: &Sender<Caller>, calls: usize) {
        let waiting: Vec<_> = (0..calls)
            .map(|_| {
                let (caller, answer) = oneshot::channel();
                sender.send(caller).unwrap();
                answer
            })
            .collect();
        for answer in waiting {
            answer.blocking_recv().unwrap();
        }
    }

    #[test]
    fn acknowledged_calls_are_recorded() {
        for ahead in [false, true] {
            check(ahead);
        }
    }

    fn check(ahead: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        ask(
            &start(&format!("file:{}", path("file")), ahead).unwrap(),
            1000,
        );
        let recorded = std::fs::read(path("file")).unwrap();
        let written = recorded.iter().take_while(|byte| **byte == 0x5a).count();
        assert_eq!(written, 1000 * EACH);

        // Kept until all is read: when it goes, the thread closes the database, and locks it for that.
        let sender = start(&format!("sqlite:{}", path("db")), ahead).unwrap();
        ask(&sender, 1000);
        let mut sqlite = SqliteConnection::establish(&path("db")).unwrap();
        let recorded: Vec<Vec<u8>> = pieces::table
            .select(pieces::piece)
            .load(&mut sqlite)
            .unwrap();
        assert_eq!(recorded.concat().len(), 1000 * EACH);
        drop(sender);
    }
}
