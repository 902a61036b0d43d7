//! Bringing a database up to this program, and back.

mod engine;

use std::collections::BTreeSet;

use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::MigrationHarness;
use stores::StoreError;

use crate::{
    connection::{
        AnyBackend, AnyConnection,
        error::{self, OpenError},
        pooler,
        url::{DatabaseUrl, Engine},
    },
    files,
    session::{Mode, Reading, Session, Writing},
};

type Migrations = Vec<Box<dyn Migration<AnyBackend>>>;

/// Applies the migrations that the database lacks and returns their names. An SQLite file and its
/// folder are made when they are missing, for their owner alone.
///
/// Several processes may do this at once: one of them applies them, the others wait for as long as it
/// takes. Where nothing is missing no lock is taken, and the role needs no right to change tables.
///
/// # Errors
/// When the database can't be reached, a migration fails, or the database is newer than this program or
/// holds another program's tables.
pub fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    migrate_when(url, |_| true)
}

/// As [`migrate`], if the database is empty; otherwise it stays as it is.
///
/// # Errors
/// As for [`migrate`].
pub fn migrate_if_empty(url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    migrate_when(url, |applied| applied == 0)
}

/// Applies what is missing, if the count of what has been applied says so.
fn migrate_when(
    url: &DatabaseUrl,
    wanted: impl FnOnce(usize) -> bool,
) -> Result<Vec<String>, OpenError> {
    if let Some(path) = url.sqlite_path() {
        files::create_database_file(path)?;
    }
    let url = &url.direct();
    pooler::refuse_transaction_pooling(url)?;
    let mut session = connect::<Writing>(url)?;
    let state = session.run(|connection| Ok(State::read(connection)))??;
    if state.is_current(url)? {
        return Ok(Vec::new());
    }
    locked(&mut session, |connection| {
        let state = State::read(connection)?;
        if !wanted(state.applied) || state.is_current(url)? {
            return Ok(Vec::new());
        }
        for migration in &state.pending {
            connection.run_migration(migration).map_err(failed)?;
        }
        Ok(names(&state.pending))
    })
}

/// The names of the migrations that [`migrate`] would apply. The database stays as it is.
///
/// # Errors
/// When the database can't be reached, is newer than this program or holds another program's tables.
pub fn pending_migrations(url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    if url.sqlite_path().is_some_and(|path| !path.exists()) {
        let all: Result<Migrations, _> = engine::FOR_SQLITE.migrations();
        return all.map(|all| names(&sorted(all))).map_err(failed);
    }
    match check::<Reading>(&url.direct()) {
        Ok(()) => Ok(Vec::new()),
        Err(OpenError::Pending(names)) => Ok(names),
        Err(error) => Err(error),
    }
}

/// Takes all migrations back, and with them everything that is stored.
///
/// # Errors
/// When the database can't be reached or a migration can't be taken back.
pub fn revert_all(url: &DatabaseUrl) -> Result<(), OpenError> {
    let mut session = connect::<Writing>(&url.direct())?;
    locked(&mut session, |connection| {
        let migrations = engine::all(connection);
        connection
            .revert_all_migrations(migrations)
            .map(drop)
            .map_err(failed)
    })
}

/// Refuses a database that is older or newer than this program.
pub(crate) fn check<M: Mode>(url: &DatabaseUrl) -> Result<(), OpenError> {
    if let Engine::Sqlite(path) = &url.0
        && !std::path::Path::new(path).exists()
    {
        // SQLite would make an empty file.
        return Err(OpenError::Missing {
            url: url.to_string(),
        });
    }
    let mut session = connect::<M>(url)?;
    let state = session
        .run(|connection| Ok(State::read(connection)))
        .map_err(OpenError::Migration)??;
    if state.is_current(url)? {
        if !state.newer.is_empty() {
            let newer = state.newer.join(", ");
            tracing::warn!(
                newer,
                "a newer version has prepared this database; both can work on it"
            );
        }
        Ok(())
    } else {
        Err(OpenError::Pending(names(&state.pending)))
    }
}

fn connect<M: Mode>(url: &DatabaseUrl) -> Result<Session<M>, OpenError> {
    Session::connect(url).map_err(|source| OpenError::Unreachable {
        url: url.to_string(),
        source,
    })
}

/// Runs work in one transaction in which no other process can migrate.
fn locked<T>(
    session: &mut Session<Writing>,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    session.run(engine::wait_briefly)?;
    let mut is_told = false;
    while let Err(error) = session.begin() {
        if !error::is_held_lock(&error) {
            return Err(error.into());
        }
        if !is_told {
            tracing::info!("another process has the database's file, waiting until it lets go");
            is_told = true;
        }
    }
    session.guarded(|session| {
        session.run(engine::lock)?;
        session.run(|connection| Ok(work(connection)))?
    })
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Migration(error)
    }
}

/// How a database stands to this program.
struct State {
    /// How many migrations have been applied.
    applied: usize,
    /// The migrations that the database lacks, in their order.
    pending: Migrations,
    /// The versions that this program doesn't know.
    newer: Vec<String>,
    /// Whether a program that doesn't know them can work with the database all the same.
    is_compatible: bool,
    /// Some of another program's tables, where none of ours are.
    foreign: Vec<String>,
}

impl State {
    fn read(connection: &mut AnyConnection) -> Result<Self, OpenError> {
        let known: Migrations = engine::all(connection).migrations().map_err(failed)?;
        let mut newer = applied(connection)?;
        let applied = newer.len();
        let (mut pending, mut known_versions) = (sorted(known), BTreeSet::new());
        pending.retain(|migration| {
            let version = migration.name().version().to_string();
            let is_pending = !newer.remove(&version);
            known_versions.insert(version);
            is_pending
        });
        let failed_query = |error| OpenError::Migration(error::store_error(&error));
        let foreign = if pending.len() == known_versions.len() {
            engine::tables(connection).map_err(failed_query)?
        } else {
            Vec::new()
        };
        let is_compatible = pending.is_empty() && !newer.is_empty() && {
            let contracted = engine::contracted(connection).map_err(failed_query)?;
            contracted.is_none_or(|version| known_versions.contains(&version))
        };
        Ok(Self {
            applied,
            pending,
            newer: newer.into_iter().collect(),
            is_compatible,
            foreign,
        })
    }

    /// Whether there is nothing to be applied.
    fn is_current(&self, url: &DatabaseUrl) -> Result<bool, OpenError> {
        if !self.foreign.is_empty() {
            return Err(OpenError::Foreign {
                url: url.to_string(),
                tables: self.foreign.clone(),
            });
        }
        if !self.newer.is_empty() && !self.is_compatible {
            return Err(OpenError::Newer(self.newer.clone()));
        }
        Ok(self.pending.is_empty())
    }
}

fn sorted(mut migrations: Migrations) -> Migrations {
    migrations.sort_by_key(|migration| migration.name().version().as_owned());
    migrations
}

/// The versions of the migrations that have been applied.
fn applied(connection: &mut AnyConnection) -> Result<BTreeSet<String>, OpenError> {
    let applied = engine::applied(connection);
    let applied = applied.map_err(|error| error::store_error(&error))?;
    Ok(applied.into_iter().collect())
}

fn names(migrations: &Migrations) -> Vec<String> {
    migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect()
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> OpenError {
    OpenError::Migration(StoreError::Engine(error.into()))
}

#[cfg(test)]
mod tests;
