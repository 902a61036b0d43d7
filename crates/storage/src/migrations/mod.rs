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
    session::{Mode, Session, Writing},
};

type Migrations = Vec<Box<dyn Migration<AnyBackend>>>;

/// Applies the migrations that the database lacks and returns their names. An SQLite file and its
/// folder are made when they are missing, for their owner alone.
///
/// Several processes may do this at once: one of them applies them, the others wait.
///
/// # Errors
/// When the database can't be reached, a migration fails, or the database is newer than this program.
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
    pooler::refuse_transaction_pooling(url)?;
    let mut session = connect::<Writing>(url)?;
    locked(&mut session, |connection| {
        let applied = applied(connection)?;
        let (pending, newer) = compare(connection)?;
        if !wanted(applied.len()) {
            return Ok(Vec::new());
        }
        if !newer.is_empty() {
            return Err(OpenError::Newer(newer));
        }
        for migration in &pending {
            connection.run_migration(migration).map_err(failed)?;
        }
        Ok(names(&pending))
    })
}

/// Takes all migrations back, and with them everything that is stored.
///
/// # Errors
/// When the database can't be reached or a migration can't be taken back.
pub fn revert_all(url: &DatabaseUrl) -> Result<(), OpenError> {
    let mut session = connect::<Writing>(url)?;
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
    let (pending, newer) = session
        .run(|connection| Ok(compare(connection)))
        .map_err(OpenError::Migration)??;
    if !newer.is_empty() {
        Err(OpenError::Newer(newer))
    } else if !pending.is_empty() {
        Err(OpenError::Pending(names(&pending)))
    } else {
        Ok(())
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
    session.run(engine::wait_long)?;
    session.nested(|session| {
        session.run(engine::lock)?;
        session.run(|connection| Ok(work(connection)))?
    })
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Migration(error)
    }
}

/// The migrations that the database lacks, in their order, and the versions that we don't know.
fn compare(connection: &mut AnyConnection) -> Result<(Migrations, Vec<String>), OpenError> {
    let mut pending: Migrations = engine::all(connection).migrations().map_err(failed)?;
    pending.sort_by_key(|migration| migration.name().version().as_owned());
    let mut applied = applied(connection)?;
    pending.retain(|migration| !applied.remove(&migration.name().version().to_string()));
    Ok((pending, applied.into_iter().collect()))
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
