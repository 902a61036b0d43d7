//! SQLite's own check of a file.

use std::path::Path;

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_types::Text,
};
// Its build script makes what diesel calls part of the program; nothing calls it by name.
use libsqlite3_sys as _;

/// Everything that is looked for: pages, trees and indexes, and rows that point nowhere.
const QUESTION: &str = "
    SELECT integrity_check AS fault FROM pragma_integrity_check WHERE integrity_check <> 'ok'
    UNION ALL
    SELECT \"table\" || ', row ' || coalesce(rowid, '?') || ': no such ' || parent AS fault
    FROM pragma_foreign_key_check";

#[derive(QueryableByName)]
struct Fault {
    #[diesel(sql_type = Text)]
    fault: String,
}

/// What is wrong with a database; nothing when all is well. A server may run beside it.
///
/// # Panics
/// When the file can't be read as a database at all.
pub fn faults(file: &Path) -> Vec<String> {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let faults: Vec<Fault> = diesel::sql_query(QUESTION).load(&mut connection).unwrap();
    faults.into_iter().map(|row| row.fault).collect()
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;

    #[test]
    fn a_row_that_points_nowhere_and_an_index_that_lacks_a_row_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        connection
            .batch_execute(
                "CREATE TABLE one (id TEXT PRIMARY KEY NOT NULL);
                 CREATE TABLE two (id TEXT PRIMARY KEY NOT NULL, one TEXT REFERENCES one (id));
                 CREATE INDEX two_one ON two (one);
                 INSERT INTO one VALUES ('a');
                 INSERT INTO two VALUES ('b', 'a');",
            )
            .unwrap();
        assert_eq!(faults(&file), Vec::<String>::new());
        connection
            .batch_execute("PRAGMA foreign_keys = OFF; DELETE FROM one;")
            .unwrap();
        assert_eq!(faults(&file).len(), 1);
        connection
            .batch_execute(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_master SET sql = 'CREATE INDEX two_one ON two (id)'
                 WHERE name = 'two_one';",
            )
            .unwrap();
        assert!(faults(&file).len() > 1);
    }
}
