//! What is true of SQLite's files alone; the rules of every store are in `conformance`.

use std::{path::Path, thread};

use ids::PageRequest;
use storage::{DatabaseUrl, OpenError, SqlDatabase, migrate, revert_all};
use stores::{Database as _, StoreError, prelude::*};
use tempfile::TempDir;
use testkit::build::Build;

/// The names of all migrations.
const MIGRATIONS: [&str; 32] = [
    "2026-11-23-000001_keys",
    "2026-11-23-000002_orgs",
    "2026-11-23-000003_audit",
    "2026-11-23-000004_replies",
    "2026-11-24-000001_revision",
    "2026-11-24-000002_audit_segments",
    "2026-11-24-000003_leases",
    "2026-11-24-000004_webhooks",
    "2026-11-24-000006_provisioning_times",
    "2026-11-25-000011_org_steps",
    "2026-11-25-000012_org_indexes",
    "2026-11-26-000013_subscriptions",
    "2026-11-26-000014_audit_index",
    "2026-11-26-000015_numbered_segments",
    "2026-11-30-000030_due_by_partner",
    "2026-11-30-000040_live_orgs",
    "2026-11-30-000060_pepper_ids",
    "2026-11-30-000061_older_webhook_secrets",
    "2026-11-30-000070_ends_and_endpoints",
    "2026-11-30-000080_instances",
    "2026-11-30-000090_org_updates",
    "2026-11-30-000091_delete_protection",
    "2026-11-30-000092_key_max_ttl",
    "2026-11-30-000093_webhook_health",
    "2026-11-30-000100_org_secrets",
    "2026-11-30-000110_key_secrets",
    "2026-11-30-000120_trust_rules",
    "2026-11-30-000121_keys_of_rules",
    "2026-11-30-000130_revocation_reason",
    "2026-11-30-000131_admin_roles",
    "2026-11-30-000132_leaks",
    "2026-11-30-000140_lasting_keys",
];

#[expect(clippy::unwrap_used, reason = "test code")]
fn url_in(folder: &Path) -> DatabaseUrl {
    format!("sqlite:{}/data/cp.db", folder.display())
        .parse()
        .unwrap()
}

/// A folder with a database that has been migrated.
struct Fresh(TempDir);

#[expect(clippy::unwrap_used, reason = "test code")]
impl Fresh {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        migrate(&url_in(folder.path())).unwrap();
        Self(folder)
    }

    fn url(&self) -> DatabaseUrl {
        url_in(self.0.path())
    }

    fn open(&self) -> SqlDatabase {
        SqlDatabase::open(&self.url()).unwrap()
    }
}

#[tokio::test]
async fn migrations_go_up_down_and_up() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    assert_eq!(migrate(&url).unwrap(), MIGRATIONS);
    assert_eq!(migrate(&url).unwrap(), [""; 0]);

    let database = SqlDatabase::open(&url).unwrap();
    let build = Build::new();
    let partner = build.partner();
    let (key, digest) = (build.key(&partner), build.digest());
    let org = build.org(&key);
    database
        .write(move |tx| {
            use stores::prelude::*;
            tx.partner_insert(&partner)?;
            tx.key_insert(&key, &digest)?;
            tx.slug_acquire(&org.slug, org.id, org.partner_id, org.created_at)?;
            tx.org_insert(&org, &[])?;
            let mut bound = build.key(&partner);
            bound.org_id = Some(org.id);
            tx.key_insert(&bound, &build.digest())
        })
        .await
        .unwrap();
    drop(database);

    revert_all(&url).unwrap();
    assert!(
        matches!(SqlDatabase::open(&url), Err(OpenError::Pending(names)) if names == MIGRATIONS)
    );
    assert_eq!(migrate(&url).unwrap(), MIGRATIONS);
}

#[test]
fn migrations_at_once_are_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let mut applied: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| migrate(&url))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    applied.sort();
    assert_eq!(applied, MIGRATIONS);
}

#[test]
fn a_database_that_is_not_migrated_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    assert!(matches!(
        SqlDatabase::open(&url),
        Err(OpenError::Missing { .. })
    ));
    assert!(!folder.path().join("data").exists());

    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(url.sqlite_path().unwrap(), "").unwrap();
    let Err(error) = SqlDatabase::open(&url) else {
        panic!("an empty database was opened");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "the database lacks migrations ({}); run them first",
            MIGRATIONS.join(", ")
        )
    );
}

#[tokio::test]
async fn what_is_written_survives_a_reopen() {
    let fresh = Fresh::new();
    let build = Build::new();
    let partner = build.partner();
    let event = build.event(&build.key(&partner));
    let stored = partner.clone();
    let database = fresh.open();
    database
        .write(move |tx| tx.partner_insert(&stored))
        .await
        .unwrap();
    database.append(Box::new(event.clone())).await.unwrap();
    drop(database);

    let id = partner.id;
    let (told, events) = fresh
        .open()
        .read(move |view| {
            let filter = audit::EventFilter::all(audit::AuditVisibility::All);
            let page = PageRequest::new(10, None);
            Ok::<_, StoreError>((view.partner(id)?, view.events(&filter, page)?))
        })
        .await
        .unwrap();
    assert_eq!(told, Some(partner));
    assert_eq!(events.items, [event]);
}

/// As the server and the command line do.
#[tokio::test(flavor = "multi_thread")]
async fn two_handles_write_to_one_file() {
    const EACH: usize = 50;
    let fresh = Fresh::new();
    let build = Build::new();
    let handles = [fresh.open(), fresh.open()];
    let mut tasks = Vec::new();
    for _ in 0..EACH {
        for database in &handles {
            let (database, partner) = (database.clone(), build.partner());
            tasks.push(tokio::spawn(async move {
                database
                    .write(move |tx| {
                        // A read before the write is what a transaction that began late would fail on.
                        tx.partner(partner.id)?;
                        tx.partner_insert(&partner)
                    })
                    .await
            }));
        }
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let page = PageRequest::new(1000, None);
    for database in handles {
        let partners = database.read(move |view| view.partners(page)).await;
        assert_eq!(partners.unwrap().items.len(), 2 * EACH);
    }
}
