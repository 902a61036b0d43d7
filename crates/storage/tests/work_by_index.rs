//! What has been dealt with costs what is left nothing: announced ends, orgs on their way out and deleted
//! endpoints are in no index that is searched for work.

#![expect(clippy::unwrap_used, reason = "test code")]

mod plans;

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use ids::PageRequest;
use keys::PartnerKey;
use orgs::{DeletionSelector, DueLimits, Org};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::{build::Build, clock::START};
use time::{Duration, OffsetDateTime};
use webhooks::Delivery;

use self::plans::Statements;

/// How many rows of each kind there are that have been dealt with.
const DONE: usize = 20_000;

const TABLES: [&str; 5] = [
    "orgs",
    "partner_keys",
    "webhook_endpoints",
    "webhook_deliveries",
    "webhook_announcements",
];
/// The indexes that have no row in them that has been dealt with, or are searched for one row or the first
/// few.
const INDEXES: [&str; 8] = [
    "orgs_staying_expires",
    "orgs_staying_partner_expires",
    "orgs_end_to_announce",
    "partner_keys_end_to_announce",
    "webhook_endpoints_live",
    "webhook_endpoints_forget_after",
    "webhook_deliveries_endpoint",
    "webhook_deliveries_ended",
];
const ANNOUNCEMENTS: [&str; 2] = [
    "webhook_announcements_ends_at",
    "webhook_announcements_pkey",
];

/// How a reader, the search by partner and a writer are told to plan on PostgreSQL.
const READER: &str = "";
const SEARCH: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;";
const WRITER: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;";

/// A key, an org, an endpoint with a delivery, a deleted one with a delivery, and an announcement, each of
/// which is to be found.
async fn fill(db: &SqlDatabase) -> (PartnerKey, Org) {
    let build = Build::new();
    let partner = build.partner();
    let key = PartnerKey {
        expires_at: Some(START + Duration::MINUTE),
        ..build.key(&partner)
    };
    let org = Org {
        expires_at: Some(START + Duration::MINUTE),
        ..build.org(&key)
    };
    let (kept, deleted) = (build.endpoint(&partner), build.endpoint(&partner));
    let ended = Delivery {
        due_at: None,
        ended_at: Some(START),
        ..build.delivery(&kept)
    };
    let orphan = build.delivery(&deleted);
    let (stored, live, digest) = (key.clone(), org.clone(), build.digest());
    let secrets = build.sealed_secrets();
    let written = db.write(move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&stored, &digest)?;
        tx.org_insert(&live, &[])?;
        for endpoint in [&kept, &deleted] {
            tx.endpoint_insert(endpoint, &secrets)?;
        }
        tx.delivery_insert(&ended)?;
        tx.delivery_insert(&orphan)?;
        tx.announcement_insert("pak_1", START)?;
        tx.endpoint_delete(partner.id, deleted.id, START)
    });
    let written: Result<bool, StoreError> = written.await;
    assert!(written.unwrap());
    (key, org)
}

/// Copies each of them as one that has been dealt with; `numbers` is a table of their numbers `n`.
fn done(numbers: &str) -> String {
    format!(
        "INSERT INTO partner_keys (id, partner_id, name, digest, scopes, disabled, labels, \
         key_prefix, created_at, created_by, expires_at) \
         SELECT 'pak_' || n, partner_id, name, CAST('digest ' || n AS {{BYTES}}), scopes, \
         disabled, labels, key_prefix, created_at, created_by, expires_at \
         FROM partner_keys, {numbers}; \
         INSERT INTO orgs (id, partner_id, created_by_key_id, name, slug, plan, status, labels, \
         created_at, updated_at, attempts, expires_at) \
         SELECT 'org_' || n, partner_id, created_by_key_id, name, slug, plan, \
         CASE n % 2 WHEN 0 THEN 'ready' ELSE 'deprovisioning' END, labels, created_at, \
         updated_at, 0, CASE n % 2 WHEN 0 THEN 4000000000000000 ELSE 1 END FROM orgs, {numbers}; \
         INSERT INTO webhook_endpoints (id, partner_id, url, events, created_at, deleted_at, \
         forget_after) \
         SELECT 'whe_' || n, partner_id, url, events, created_at, 4000000000000000, \
         4000000000000000 FROM webhook_endpoints, {numbers} WHERE deleted_at IS NULL; \
         INSERT INTO webhook_deliveries (id, endpoint_id, partner_id, kind, body, status, \
         attempts, tries, due_at, created_at) \
         SELECT 'whd_' || n, endpoint_id, partner_id, kind, body, status, attempts, tries, \
         created_at, created_at FROM webhook_deliveries, {numbers} WHERE ended_at IS NOT NULL; \
         INSERT INTO webhook_announcements (subject, ends_at) \
         SELECT 'org_' || n, 4000000000000000 FROM {numbers} UNION ALL \
         SELECT 'pak_' || n, 4000000000000000 FROM {numbers};"
    )
}

/// Asks for all that is to be done and gives each statement with how it is planned.
async fn asked(
    db: &SqlDatabase,
    (key, org): &(PartnerKey, Org),
    told: &Statements,
) -> Vec<(String, &'static str)> {
    told.take();
    let (now, until) = (START, START + Duration::MINUTE);
    let (key, org) = (key.clone(), org.clone());
    let questions = db.read(move |view| {
        assert_eq!(view.keys_to_announce(now, until, 100)?, [key.id]);
        assert_eq!(view.orgs_to_announce(now, until, 100)?, [org.id]);
        let page = PageRequest::new(100, None);
        assert_eq!(view.endpoints(org.partner_id, page)?.items.len(), 1);
        let expired = view.orgs_to_delete(&DeletionSelector::Expired(until), 1)?;
        assert_eq!(expired.len(), 1);
        let limits = DueLimits {
            partners: 64,
            orgs: 200,
        };
        assert_eq!(view.expired_orgs(until, None, limits)?.orgs, [org.id]);
        Ok::<_, StoreError>(())
    });
    questions.await.unwrap();
    let mut statements = Vec::new();
    for statement in told.take() {
        let of_search = statement.contains("RECURSIVE") || statement.contains("unnest");
        let settings = if of_search { SEARCH } else { READER };
        let typed = statement.replace("unnest($1)", "unnest($1::text[])");
        statements.push((typed, settings));
    }
    let since: OffsetDateTime = START + Duration::SECOND;
    let forgotten = db.write(move |tx| tx.webhooks_forget(since, 100));
    let forgotten: Result<usize, StoreError> = forgotten.await;
    assert_eq!(forgotten.unwrap(), 4);
    statements.extend(told.take().into_iter().map(|it| (it, WRITER)));
    let kinds = ["SELECT", "WITH", "UPDATE", "DELETE"];
    statements.retain(|(it, _)| {
        let of_tables = TABLES.iter().any(|table| it.contains(table));
        of_tables && kinds.iter().any(|kind| it.starts_with(kind)) && !it.contains("(1=0)")
    });
    assert!(statements.len() >= 12, "{statements:#?}");
    statements
}

fn check(statement: &str, plan: &str) {
    for line in plan.lines() {
        let whole = TABLES.iter().any(|table| {
            line.contains(&format!("SCAN {table}"))
                || line.contains(&format!("Seq Scan on {table}"))
        });
        assert!(!whole, "{statement}\n{plan}");
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let of_table = TABLES
                .iter()
                .any(|table| word.starts_with(&format!("{table}_")));
            let is_alias = TABLES.contains(&word) || word.ends_with("_1");
            let is_known = INDEXES.contains(&word) || ANNOUNCEMENTS.contains(&word);
            let is_fine = !of_table || is_known || word.ends_with("_pkey") || is_alias;
            assert!(is_fine, "{word}: {statement}\n{plan}");
        }
    }
}

/// One test, for what connections run is noted for the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn no_search_for_work_meets_what_has_been_done() {
    let told = Statements::record();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cp.db").display().to_string();
    let url = format!("sqlite:{file}").parse().unwrap();
    storage::migrate(&url).unwrap();
    let db = SqlDatabase::open(&url).unwrap();
    let known = fill(&db).await;
    let mut sqlite = SqliteConnection::establish(&file).unwrap();
    let numbers = format!(
        "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < {DONE}) SELECT n FROM numbers) AS numbers"
    );
    let rows = done(&numbers).replace("{BYTES}", "BLOB");
    sqlite.batch_execute(&rows).unwrap();
    for (statement, _) in asked(&db, &known, &told).await {
        check(&statement, &plans::on_sqlite(&mut sqlite, &statement));
    }

    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let name = server.new_database();
    let url = name.parse().unwrap();
    storage::migrate(&url).unwrap();
    let db = SqlDatabase::open(&url).unwrap();
    let known = fill(&db).await;
    let rows = done(&format!("generate_series(1, {DONE}) AS n")).replace("{BYTES}", "BYTEA");
    server.ask(&name, &format!("{rows} ANALYZE;"));
    for (statement, settings) in asked(&db, &known, &told).await {
        check(
            &statement,
            &plans::on_postgres(server, &name, settings, &statement),
        );
    }
}
