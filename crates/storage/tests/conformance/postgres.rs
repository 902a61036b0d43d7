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
