//! The designs, each in a database of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use audit::{Event, EventFilter};
use diesel::{Connection as _, connection::SimpleConnection as _};
use ids::PageRequest;
use storage::{PgConnection, SqlDatabase};
use stores::{Database as _, prelude::*};
use tempfile::TempDir;
use testkit::postgres::Server;

use super::{
    batcher::{Batcher, Sink as _},
    mentions::{self, Mentions, Progress},
    rows::{self, Rows},
    sqlite,
};

/// How many events a page has.
const PAGE: usize = 20;

/// Which design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Design {
    A,
    B,
    D,
}

impl Design {
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::D];
}

/// Where databases are made.
pub(crate) enum Places<'s> {
    Folder(TempDir),
    Server(&'s Server),
    Url(String),
}

impl Places<'_> {
    /// A file of this name, or `None` on PostgreSQL.
    fn file(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.path().join(name)),
            Self::Server(_) | Self::Url(_) => None,
        }
    }

    /// The URL of a new database on PostgreSQL.
    fn database(&self, name: &str) -> Result<String> {
        match self {
            Self::Folder(_) => anyhow::bail!("SQLite has files"),
            Self::Server(server) => Ok(server.new_database()),
            Self::Url(url) => {
                let mut postgres = PgConnection::establish(url)?;
                let name = format!("bench_audit_{name}");
                postgres.batch_execute(&format!("DROP DATABASE IF EXISTS {name}"))?;
                postgres.batch_execute(&format!("CREATE DATABASE {name}"))?;
                let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
                Ok(format!("{server}/{name}"))
            }
        }
    }
}

/// A design that is open, and full.
pub(crate) enum Open {
    A(SqlDatabase),
    B(Batcher, Arc<Mutex<rows::Reader>>),
    D(Batcher, Arc<Mutex<mentions::Reader>>, Arc<Progress>),
}

impl Open {
    /// Makes the database of a design. `prefill` events are there for B and D; A has to be filled.
    pub(crate) fn create(
        design: Design,
        places: &Places<'_>,
        prefill: &[Event],
        at_once: usize,
    ) -> Result<Self> {
        let name = format!("{design:?}").to_lowercase();
        let file = places.file(&name);
        Ok(match design {
            Design::A => {
                let url = match &file {
                    Some(file) => format!("sqlite:{}", file.display()),
                    None => places.database(&name)?,
                };
                let url = url.parse()?;
                storage::migrate(&url)?;
                Self::A(SqlDatabase::open(&url)?)
            }
            Design::B => {
                let (mut rows, reader) = match &file {
                    Some(file) => {
                        let rows = Rows::create_sqlite(file)?;
                        (rows, rows::Reader::Sqlite(sqlite::connect(file)?))
                    }
                    None => {
                        let url = places.database(&name)?;
                        let rows = Rows::create_postgres(&url)?;
                        let reader = Box::new(PgConnection::establish(&url)?);
                        (rows, rows::Reader::Postgres(reader))
                    }
                };
                for events in prefill.chunks(5000) {
                    rows.commit(events)?;
                }
                Self::B(Batcher::start(rows), Arc::new(Mutex::new(reader)))
            }
            Design::D => {
                let progress = Arc::new(Progress::default());
                let (mut sink, reader) = match &file {
                    Some(file) => {
                        let sink = Mentions::create_sqlite(file, &progress)?;
                        (sink, mentions::Reader::Sqlite(sqlite::connect(file)?))
                    }
                    None => {
                        let url = places.database(&name)?;
                        let sink = Mentions::create_postgres(&url, &progress)?;
                        let reader = Box::new(PgConnection::establish(&url)?);
                        (sink, mentions::Reader::Postgres(reader))
                    }
                };
                for events in prefill.chunks(at_once) {
                    sink.commit(events)?;
                }
                Self::D(Batcher::start(sink), Arc::new(Mutex::new(reader)), progress)
            }
        })
    }

    /// Another handle to the same.
    pub(crate) fn handle(&self) -> Self {
        match self {
            Self::A(database) => Self::A(database.clone()),
            Self::B(batcher, reader) => Self::B(batcher.clone(), Arc::clone(reader)),
            Self::D(batcher, reader, progress) => {
                Self::D(batcher.clone(), Arc::clone(reader), Arc::clone(progress))
            }
        }
    }

    /// Waits until the event is durable.
    pub(crate) async fn append(&self, event: Event) -> Result<()> {
        match self {
            Self::A(database) => {
                database.append(Box::new(event)).await?;
                Ok(())
            }
            Self::B(batcher, _) | Self::D(batcher, ..) => batcher.append(event).await,
        }
    }

    /// How many events the first page of a list has.
    pub(crate) async fn page(&self, filter: EventFilter) -> Result<usize> {
        match self {
            Self::A(database) => {
                let page = PageRequest::new(PAGE, None);
                let page = database
                    .read(move |view| view.events(&filter, page))
                    .await?;
                Ok(page.items.len())
            }
            Self::B(_, reader) => {
                let reader = Arc::clone(reader);
                let found = tokio::task::spawn_blocking(move || {
                    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                    reader.page(&filter, PAGE)
                });
                Ok(found.await??.len().min(PAGE))
            }
            Self::D(_, reader, _) => {
                let reader = Arc::clone(reader);
                let found = tokio::task::spawn_blocking(move || {
                    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                    reader.page(&filter, PAGE)
                });
                Ok(found.await??.len().min(PAGE))
            }
        }
    }

    /// How many segments are yet to be indexed, where that is known.
    pub(crate) fn lag(&self) -> Option<i64> {
        match self {
            Self::A(_) | Self::B(..) => None,
            Self::D(_, _, progress) => Some(progress.lag()),
        }
    }
}
