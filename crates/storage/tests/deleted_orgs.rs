//! Deleted orgs stay for good, and cost live ones nothing: no question about live orgs is answered by an
//! index that has the deleted ones in its way.

#![expect(clippy::unwrap_used, reason = "test code")]

mod plans;

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use ids::{Name, PageRequest};
use keys::PartnerKey;
use orgs::{DeletionSelector, NewOrg, Org, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::{Build, labels, name};
use time::OffsetDateTime;

use self::plans::Statements;

/// How many deleted orgs there are beside one that lives.
const DELETED: usize = 20_000;

/// The indexes by which live orgs are found without meeting deleted ones. `orgs_plan_ready` has them, and a
/// bounded number of the latest is what is asked for.
const INDEXES: [&str; 10] = [
    "orgs_live",
    "orgs_live_partner",
    "orgs_live_maker",
    "orgs_live_external_id",
    "orgs_staying_expires",
    "orgs_staying_partner_expires",
    "orgs_end_to_announce",
    "orgs_due",
    "orgs_status_partner_due",
    "orgs_plan_ready",
];
/// The indexes of primary keys.
const BY_ID: [&str; 2] = ["orgs_pkey", "sqlite_autoindex_orgs_1"];

/// A key and a live org of its making.
async fn fill(db: &SqlDatabase) -> (PartnerKey, Org) {
    let build = Build::new();
    let partner = build.partner();
    let key = build.key(&partner);
    let digest = build.digest();
    let org = Org {
        labels: labels(&[("run", "7")]),
        external_id: Some(name("build")),
        ..build.org(&key)
    };
    let (stored, live) = (key.clone(), org.clone());
    let written = db.write(move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&stored, &digest)?;
        assert!(tx.slug_acquire(&live.slug, live.id, live.partner_id, live.created_at)?);
        tx.orgs_insert(&[NewOrg {
            org: live.clone(),
            steps: Vec::new(),
            subscription: None,
            lease: None,
        }])
    });
    Result::<(), StoreError>::unwrap(written.await);
    (key, org)
}

/// Adds the deleted orgs; `numbers` is a table of their numbers `n`.
fn deleted(numbers: &str, org: &Org) -> String {
    let Org {
        id,
        partner_id,
        created_by_key_id,
        ..
    } = org;
    format!(
        "INSERT INTO orgs (id, partner_id, created_by_key_id, name, slug, plan, status, \
         external_id, labels, created_at, updated_at, ready_at, deleted_at, attempts, expires_at) \
         SELECT 'org_' || n, partner_id, created_by_key_id, name, slug, plan, 'deleted', \
         external_id, labels, created_at, updated_at, created_at, updated_at, 0, 1 \
         FROM orgs, {numbers} WHERE id = '{id}' AND partner_id = '{partner_id}' \
         AND created_by_key_id = '{created_by_key_id}'; \
         INSERT INTO org_labels (org_id, partner_id, label_key, label_value, live) \
         SELECT id, partner_id, 'run', '7', FALSE FROM orgs WHERE status = 'deleted'; \
         ANALYZE;"
    )
}

/// Asks all that is asked about live orgs, and gives the statements.
async fn asked(db: &SqlDatabase, (key, org): &(PartnerKey, Org), told: &Statements) -> Vec<String> {
    told.take();
    let page = PageRequest::new(20, None);
    let (key, org) = (key.clone(), org.clone());
    let questions = db.write(move |tx| {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(tx.live_org_counts(&[org.partner_id])?, [1]);
        assert_eq!(tx.live_org_counts_of_keys(&[key.id])?, [1]);
        let all = OrgFilter {
            visibility: OrgVisibility::Partner(org.partner_id),
            status: None,
            slug: None,
            external_id: None,
            labels: Vec::new(),
            criteria: OrgCriteria::NONE,
        };
        let run = vec![("run".to_owned(), "7".to_owned())];
        let filters = [
            all.clone(),
            OrgFilter {
                visibility: OrgVisibility::All,
                ..all.clone()
            },
            OrgFilter {
                visibility: OrgVisibility::MadeBy(org.partner_id, key.id),
                ..all.clone()
            },
            OrgFilter {
                status: Some(OrgStatus::Provisioning),
                ..all.clone()
            },
            OrgFilter {
                slug: Some(org.slug.clone()),
                ..all.clone()
            },
            OrgFilter {
                external_id: Some(Name::new("build").unwrap()),
                ..all.clone()
            },
            OrgFilter {
                labels: run.clone(),
                ..all
            },
        ];
        for filter in &filters {
            assert_eq!(tx.orgs(filter, page)?.items.len(), 1, "{filter:?}");
        }
        for which in [
            DeletionSelector::Labelled(OrgVisibility::Partner(org.partner_id), run),
            DeletionSelector::MadeBy(key.id),
        ] {
            assert_eq!(tx.orgs_to_delete(&which, 200)?.len(), 1, "{which:?}");
        }
        assert!(
            tx.orgs_to_delete(&DeletionSelector::Expired(org.created_at), 200)?
                .is_empty()
        );
        tx.orgs_to_announce(now, org.created_at, 100)?;
        tx.provisioning_times(&org.plan, 100)?;
        tx.next_org_due(org.created_at)?;
        tx.org_backlog(org.created_at, 100)?;
        Ok::<_, StoreError>(())
    });
    questions.await.unwrap();
    let statements = told.take();
    let of_orgs = |statement: &String| statement.contains("orgs");
    let of_orgs: Vec<_> = statements.into_iter().filter(of_orgs).collect();
    assert!(of_orgs.len() >= 16, "{of_orgs:#?}");
    of_orgs
}

/// Whether a line of a plan finds orgs by an index that may be used.
fn check(statement: &str, plan: &str) {
    for line in plan.lines() {
        let names = |index: &&&str| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == **index)
        };
        let whole = line.contains("SCAN orgs") && !line.contains("INDEX orgs_live");
        let other = line.contains("orgs_deleted") || line.contains("Seq Scan on org");
        assert!(!whole && !other, "{statement}\n{plan}");
        if line.contains("orgs_") {
            let known = INDEXES.iter().chain(&BY_ID).any(|index| names(&index));
            assert!(known, "{statement}\n{plan}");
        }
    }
}

/// One test, for what connections run is noted for the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn no_question_about_live_orgs_meets_the_deleted_ones() {
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
         WHERE n < {DELETED}) SELECT n FROM numbers)"
    );
    sqlite
        .batch_execute(&deleted(&numbers, &known.1).replace("ANALYZE;", ""))
        .unwrap();
    for statement in asked(&db, &known, &told).await {
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
    let numbers = format!("generate_series(1, {DELETED}) AS n");
    server.ask(&name, &deleted(&numbers, &known.1));
    for statement in asked(&db, &known, &told).await {
        // As a reader plans it, for any values.
        let plan = plans::on_postgres(server, &name, "", &statement);
        check(&statement, &plan);
    }
}
