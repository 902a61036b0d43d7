//! The database in memory keeps the rules of all stores, and fails when it is told to.

use stores::{Database, StoreError, prelude::*};
use testkit::{build::Build, memory::MemoryDatabase};

testkit::conformance_tests!(Some(MemoryDatabase::new()));

#[tokio::test]
async fn writes_fail_on_demand_and_reads_go_on() {
    let db = MemoryDatabase::new();
    let build = Build::new();
    let partner = build.partner();
    let event = build.event(&build.key(&partner));
    db.fail_writes(true);
    let id = partner.id;
    let (inserted, appended) = (partner.clone(), event.clone());
    let write: Result<(), StoreError> = db.write(move |tx| tx.partner_insert(&inserted)).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))));
    let append = db.append(Box::new(appended)).await;
    assert!(matches!(append, Err(StoreError::Unavailable(_))));
    let read: Result<_, StoreError> = db.read(move |view| view.partner(id)).await;
    assert_eq!(read.unwrap(), None);
    db.fail_writes(false);
    db.append(Box::new(event)).await.unwrap();
    let write: Result<(), StoreError> = db.write(move |tx| tx.partner_insert(&partner)).await;
    write.unwrap();
}
