//! On SQLite, in a file of its own for each test.

use storage::SqlDatabase;

fn fresh() -> SqlDatabase {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .keep();
    let url = format!("sqlite:{}", folder.join("test.db").display())
        .parse()
        .unwrap();
    storage::migrate(&url).unwrap();
    SqlDatabase::open(&url).unwrap()
}

testkit::conformance_tests!(Some(fresh()));
