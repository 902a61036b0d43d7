//! Bringing a database up to this program, and back.

use std::collections::BTreeSet;

use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::MigrationHarness;
use stores::StoreError;

use crate::{
    connection::{AnyBackend, AnyConnection},
    dialect,
    error::{self, OpenError},
    session::{Mode, Session, Writing},
    url::{DatabaseUrl, Engine},
};

type Migrations = Vec<Box<dyn Migration<AnyBackend>>>;

/// Applies the migrations that the database lacks and returns their names. An SQLite file and its
/// folder are made when they are missing.
///
/// Two processes may do this at once: one of them applies them, the other waits.
///
/// # Errors
/// When the database can't be reached, a migration fails, or the database is newer than this program.
pub fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    if let Some(folder) = url.sqlite_path().and_then(|path| path.parent()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut session = connect::<Writing>(url)?;
    make_table_of_versions(&mut session)?;
    locked(&mut session, |connection| {
        let (pending, newer) = compare(connection)?;
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
    make_table_of_versions(&mut session)?;
    locked(&mut session, |connection| {
        let migrations = dialect::migrations(connection);
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

/// Makes the table that the lock is taken on.
fn make_table_of_versions(session: &mut Session<Writing>) -> Result<(), OpenError> {
    let mut attempts = 0;
    loop {
        let made = session.nested(|session| {
            session.run(|connection| {
                diesel::migration::MigrationConnection::setup(connection).map(drop)
            })
        });
        match made {
            Ok(()) => return Ok(()),
            // PostgreSQL refuses the second of two that make a table at once, "if not exists" or not.
            Err(_) if attempts < 5 => attempts += 1,
            Err(error) => return Err(OpenError::Migration(error)),
        }
    }
}

/// Runs work in one transaction in which no other process can migrate.
fn locked<T>(
    session: &mut Session<Writing>,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    session.nested(|session| {
        session.run(dialect::lock_migrations)?;
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
    let mut pending: Migrations = dialect::migrations(connection)
        .migrations()
        .map_err(failed)?;
    pending.sort_by_key(|migration| migration.name().version().as_owned());
    let mut applied: BTreeSet<String> = dialect::applied_migrations(connection)
        .map_err(|error| error::store_error(&error))?
        .into_iter()
        .collect();
    pending.retain(|migration| !applied.remove(&migration.name().version().to_string()));
    Ok((pending, applied.into_iter().collect()))
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
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::session::Reading;

    #[test]
    fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        check::<Reading>(&url).unwrap();
        let mut session = connect::<Writing>(&url).unwrap();
        let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101')";
        session
            .run(|connection| connection.batch_execute(newer))
            .unwrap();
        let is_newer = |outcome| matches!(outcome, Err(OpenError::Newer(v)) if v == ["20990101"]);
        assert!(is_newer(check::<Reading>(&url)));
        assert!(is_newer(migrate(&url).map(drop)));
    }

    /// Steps as they stand in rows of their own and in the org's row, down and up again.
    async fn steps_survive(url: &DatabaseUrl, down: &str, up: &str) {
        use ::keys::KeyStore as _;
        use orgs::{OrgQueries as _, OrgStore as _, Step, StepName};
        use stores::Database as _;

        migrate(url).unwrap();
        let build = testkit::build::Build::new();
        let partner = build.partner();
        let (key, digest) = (build.key(&partner), build.digest());
        let (begun, bare) = (build.org(&key), build.org(&key));
        let mut steps = StepName::MAKING.map(Step::pending);
        for step in &mut steps {
            step.begin(begun.created_at);
        }
        steps.first_mut().unwrap().end(true, begun.updated_at);
        let ids = [begun.id, bare.id];
        let database = crate::SqlDatabase::open(url).unwrap();
        let written = database.write(move |tx| {
            tx.partner_insert(&partner)?;
            tx.key_insert(&key, &digest)?;
            for (org, steps) in [(&begun, &steps[..]), (&bare, &[])] {
                tx.slug_claim(&org.slug, org.id, org.partner_id, org.created_at)?;
                tx.org_insert(org, steps)?;
            }
            Ok::<_, StoreError>(())
        });
        written.await.unwrap();
        drop(database);

        let mut session = connect::<Writing>(url).unwrap();
        session.run(|c| c.batch_execute(down)).unwrap();
        let count = |session: &mut Session<Writing>, what: &str| {
            let question = format!("UPDATE org_steps SET attempts = attempts WHERE {what}");
            let rows =
                session.run(|c| diesel::RunQueryDsl::execute(diesel::sql_query(question), c));
            rows.unwrap()
        };
        assert_eq!(count(&mut session, "attempts = 1"), 2);
        let first = "position = 0 AND name = 'provision' AND status = 'succeeded' \
                     AND started_at < finished_at + 1";
        assert_eq!(count(&mut session, first), 1);
        let second = "position = 1 AND name = 'workspace' AND finished_at IS NULL";
        assert_eq!(count(&mut session, second), 1);
        session.run(|c| c.batch_execute(up)).unwrap();
        assert_eq!(session.org_steps(ids[0]).unwrap(), steps);
        assert_eq!(session.org_steps(ids[1]).unwrap(), []);
    }

    #[tokio::test]
    async fn the_steps_of_orgs_survive_their_migration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cp.db");
        let url = format!("sqlite:{}", file.display()).parse().unwrap();
        let down = include_str!("../../../migrations/sqlite/2026-11-25-000011_org_steps/down.sql");
        let up = include_str!("../../../migrations/sqlite/2026-11-25-000011_org_steps/up.sql");
        steps_survive(&url, down, up).await;
        if let Some(server) = testkit::postgres::Server::shared() {
            let url = server.new_database().parse().unwrap();
            let down =
                include_str!("../../../migrations/postgres/2026-11-25-000011_org_steps/down.sql");
            let up =
                include_str!("../../../migrations/postgres/2026-11-25-000011_org_steps/up.sql");
            steps_survive(&url, down, up).await;
        }
    }

    #[test]
    fn both_engines_have_the_same_migrations() {
        let of = |folder: &str| {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/");
            let mut names: Vec<_> = std::fs::read_dir(format!("{root}{folder}"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(of("sqlite"), of("postgres"));
    }
}
