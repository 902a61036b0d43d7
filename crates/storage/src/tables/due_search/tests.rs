//! A search costs as much beside a hundred thousand rows that are due as beside a thousand.

use std::time::{Duration, Instant};

use stores::{Database as _, StoreError, prelude::*};
use testkit::clock::START;
use webhooks::Delivery;

use crate::{
    DatabaseUrl, SqlDatabase, Writing, migrate,
    session::Session,
    tables::{
        orgs::queue::{self, OrgQueue},
        values,
        webhook_deliveries::pending,
    },
};
use diesel::RunQueryDsl as _;

/// Three partners, each with an org and a delivery that are due.
async fn database(url: &DatabaseUrl) {
    migrate(url).unwrap();
    let build = testkit::build::Build::new();
    let database = SqlDatabase::open(url).unwrap();
    for _ in 0..3 {
        let partner = build.partner();
        let (key, digest) = (build.key(&partner), build.digest());
        let (org, endpoint) = (build.org(&key), build.endpoint(&partner));
        let (secrets, delivery) = (build.sealed_secrets(), build.delivery(&endpoint));
        let due = Delivery {
            due_at: Some(START),
            ..delivery
        };
        let written = database.write(move |tx| {
            tx.partner_insert(&partner)?;
            tx.key_insert(&key, &digest)?;
            tx.org_insert(&org, &[])?;
            tx.endpoint_insert(&endpoint, &secrets)?;
            tx.delivery_insert(&due)
        });
        let written: Result<(), StoreError> = written.await;
        written.unwrap();
    }
}

/// Adds this many copies of each org and delivery to the first partner, all of them due.
fn add_copies(session: &mut Session<Writing>, from: u32, to: u32) {
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS
           (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to})"
    );
    for (table, columns) in [
        (
            "webhook_deliveries",
            "endpoint_id, partner_id, kind, body, status, attempts, tries, due_at, created_at",
        ),
        (
            "orgs",
            "partner_id, created_by_key_id, name, slug, plan, status, labels, created_at, \
             updated_at, attempts, due_at, steps",
        ),
    ] {
        let text = format!(
            "INSERT INTO {table} (id, {columns}) {numbers}
             SELECT one.id || '-' || n, {columns} FROM numbers,
               (SELECT * FROM {table} WHERE length(id) = 30 ORDER BY partner_id LIMIT 1) AS one"
        );
        let added = session.nested(|session| {
            session.run(|connection| diesel::sql_query(&text).execute(connection))
        });
        let added: Result<usize, StoreError> = added;
        assert_eq!(added.unwrap(), usize::try_from(to - from + 1).unwrap());
    }
}

/// Makes every search once; how long that took at the least.
fn searched(session: &mut Session<Writing>) -> Duration {
    let now = values::micros(START + time::Duration::HOUR);
    let search = |session: &mut Session<Writing>| {
        session.nested(|session| {
            let found = session.run(|connection| pending::endpoints(connection, now, ("", 64)))?;
            assert_eq!((found.rows.len(), found.after), (3, None));
            let found = session
                .run(|connection| queue::partners(connection, OrgQueue::PROVISIONING, ("", 64)))?;
            assert_eq!((found.rows.len(), found.after), (3, None));
            let partners: Vec<String> = found.rows.into_iter().map(|(id, _)| id).collect();
            let which = (OrgQueue::PROVISIONING, partners.as_slice());
            let due = session.run(|connection| queue::orgs_of(connection, which, now, 50))?;
            assert_eq!(due.len(), 52, "fifty of the first partner");
            assert_eq!(
                session.run(|connection| pending::count(connection, 100))?,
                100
            );
            assert_eq!(
                session.run(|connection| queue::count(connection, now, 100))?,
                100
            );
            Ok::<_, StoreError>(())
        })
    };
    let took = (0..20).map(|_| {
        let began = Instant::now();
        search(session).unwrap();
        began.elapsed()
    });
    took.min().unwrap()
}

async fn check(url: &str) {
    let url: DatabaseUrl = url.parse().unwrap();
    database(&url).await;
    let mut session = Session::<Writing>::connect(&url).unwrap();
    add_copies(&mut session, 1, 1_000);
    let few = searched(&mut session);
    add_copies(&mut session, 1_001, 100_000);
    let many = searched(&mut session);
    assert!(
        many <= few * 10 + Duration::from_millis(10),
        "{few:?} {many:?}"
    );
}

#[tokio::test]
async fn a_search_on_sqlite_does_not_walk_all_that_is_due() {
    let folder = tempfile::tempdir().unwrap();
    check(&format!("sqlite:{}", folder.path().join("cp.db").display())).await;
}

#[tokio::test]
async fn a_search_on_postgres_does_not_walk_all_that_is_due() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    check(&server.new_database()).await;
}
