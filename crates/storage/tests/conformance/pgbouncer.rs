//! Through PgBouncer in transaction mode, with the server itself for what needs a session.

use std::sync::OnceLock;

use storage::{DatabaseUrl, SqlDatabase};
use testkit::postgres::{PgBouncer, Server};

use super::postgres::migrated;

fn fresh() -> Option<SqlDatabase> {
    /// One for all: it ends with the process.
    static POOLER: OnceLock<Option<PgBouncer>> = OnceLock::new();
    let server = Server::shared()?;
    let pooler = POOLER.get_or_init(|| PgBouncer::start(server, "transaction"));
    let direct = migrated()?;
    let url: DatabaseUrl = pooler.as_ref()?.url(server, &direct).parse().unwrap();
    let url = url.with_direct(&direct.parse().unwrap()).unwrap();
    Some(SqlDatabase::open(&url).unwrap())
}

testkit::conformance_tests!(fresh());
