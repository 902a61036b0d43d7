//! How a session behaves on each engine.

use super::AnyConnection;

/// A plan outlives the sizes of the tables it was made for: what was prepared on an empty database
/// would go on reading whole tables that have grown. A writer finds all its rows by an index, so it is
/// told to, where the server knows these settings.
const BY_INDEX: &str = "'enable_seqscan', 'enable_hashjoin', 'enable_mergejoin'";

/// The statements that settle how a session behaves.
pub(super) fn settings(connection: &AnyConnection, read_only: bool) -> String {
    match connection {
        // A server that is set to wait for its replicas goes on doing so; one that is set to wait for
        // nothing waits for its disk in our sessions.
        AnyConnection::Postgres(_) => format!(
            "SET default_transaction_isolation = 'read committed';
             {}
             SET lock_timeout = '5s';
             SET statement_timeout = '30s';
             SET idle_in_transaction_session_timeout = '30s';
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
             SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('jit', {});",
            // Whether changes are refused otherwise is the server's to say.
            if read_only {
                "SET default_transaction_read_only = on;"
            } else {
                ""
            },
            // Nothing here runs long enough to be worth compiling, and a table without the index that
            // a writer is to use looks as if it did.
            if read_only { "'jit'" } else { BY_INDEX },
        ),
        // The wait for locks comes first, for the change to WAL needs one. The log is moved into the file
        // beside the writer; only when that does not keep up, a commit sees to it.
        AnyConnection::Sqlite(_) => format!(
            "PRAGMA busy_timeout = 5000;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 8000;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA temp_store = {};
             PRAGMA query_only = {};",
            // What a savepoint keeps is small. A reader that sorts much is better off with a file.
            if read_only { "DEFAULT" } else { "MEMORY" },
            if read_only { "ON" } else { "OFF" },
        ),
    }
}

/// The statements that settle how a transaction behaves whose session is somebody else's afterwards. They
/// come first in it.
pub(super) fn of_transaction(read_only: bool) -> String {
    let plans = if read_only {
        ""
    } else {
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
         SET LOCAL enable_seqscan = off;
         SET LOCAL enable_hashjoin = off;
         SET LOCAL enable_mergejoin = off;"
    };
    format!(
        "{plans}
         SET LOCAL jit = off;
         SET LOCAL lock_timeout = '5s';
         SET LOCAL statement_timeout = '30s';
         SET LOCAL idle_in_transaction_session_timeout = '30s';
         SELECT set_config('synchronous_commit', 'on', true)
         WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');"
    )
}
