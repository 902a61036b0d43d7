//! On a throwaway PostgreSQL; where none is installed, the test run says so loudly.

use storage::SqlDatabase;

fn fresh() -> Option<SqlDatabase> {
    let url = testkit::postgres::Server::shared()?
        .new_database()
        .parse()
        .unwrap();
    storage::migrate(&url).unwrap();
    Some(SqlDatabase::open(&url).unwrap())
}

testkit::conformance_tests!(fresh());

#[test]
fn migrations_go_up_down_and_up_again() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let url = server.new_database().parse().unwrap();
    let all = storage::migrate(&url).unwrap();
    assert!(!all.is_empty());
    assert!(storage::migrate(&url).unwrap().is_empty());
    storage::revert_all(&url).unwrap();
    assert!(SqlDatabase::open(&url).is_err());
    assert_eq!(storage::migrate(&url).unwrap(), all);
    SqlDatabase::open(&url).unwrap();
}
