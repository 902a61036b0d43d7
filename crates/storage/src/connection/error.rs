//! What can go wrong: how the engines' errors become the stores' own.

use std::{io, path::PathBuf, sync::Arc};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use stores::StoreError;

/// How many connections to PostgreSQL a server has from its start on: for control, for events, to read and
/// to write.
pub(crate) const MIN_AT_ONCE: u8 = 4;

/// Why a database can't be opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be reached.
    #[error("{url} can't be opened")]
    Unreachable {
        /// Where it is, without its password.
        url: String,
        /// What the engine said.
        #[source]
        source: StoreError,
    },
    /// A pooler hands each transaction to another session.
    #[error(
        "{url} leads to a pooler in transaction mode (such as PgBouncer with pool_mode = transaction), \
         through which not everything of this program can work: name the server itself in \
         MOLECULE_CP_DIRECT_DATABASE_URL as well, for what needs a session of its own, or connect to \
         PostgreSQL or to a pooler in session mode alone"
    )]
    TransactionPooling {
        /// Where it is, without its password.
        url: String,
    },
    /// The URL of the server itself leads elsewhere.
    #[error(
        "{url} and the direct URL {direct} lead to different databases: \
         MOLECULE_CP_DIRECT_DATABASE_URL must name the same one, past the pooler"
    )]
    OtherDatabase {
        /// Through the pooler, without its password.
        url: String,
        /// Past it.
        direct: String,
    },
    /// It gives too few connections.
    #[error(
        "{url} does not give the {MIN_AT_ONCE} connections that are needed at the least; it has none \
         left, or this role or database has a limit: raise it, or end other connections"
    )]
    TooFewConnections {
        /// Where it is, without its password.
        url: String,
        /// What the engine said.
        #[source]
        source: StoreError,
    },
    /// It has not been made yet.
    #[error("{url} does not exist; run the migrations first")]
    Missing {
        /// Where it should be.
        url: String,
    },
    /// It belongs to another program.
    #[error(
        "{url} holds tables of another program ({}); name a database of this program's own, which is \
         empty at first", .tables.join(", ")
    )]
    Foreign {
        /// Where it is, without its password.
        url: String,
        /// Some of its tables.
        tables: Vec<String>,
    },
    /// It is older than this program.
    #[error("the database lacks migrations ({}); run them first", .0.join(", "))]
    Pending(Vec<String>),
    /// It is newer than this program.
    #[error(
        "the database has migrations that this program does not know and can't work with ({}); start the \
         newer version", .0.join(", ")
    )]
    Newer(Vec<String>),
    /// The migrations can't be run.
    #[error("a migration failed")]
    Migration(#[source] StoreError),
    /// The folder of an SQLite file can't be made.
    #[error("the folder {} can't be made or used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An SQLite file can't be made.
    #[error("the file {} can't be made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("the system refused a thread")]
    System(#[from] io::Error),
}

/// What an engine said, as text alone.
///
/// The engine's own error also has the values of the row in it, and those can be a key's digest.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineMessage(pub(crate) String);

/// What an error means for the transaction and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection is gone.
    Lost,
    /// The engine is too busy to answer in time, or can't for now.
    Unavailable,
    /// Another transaction was in the way; the same work may succeed at once.
    Conflict,
    /// The statement itself was refused.
    Refused,
}

/// The store's error for an engine's.
pub(crate) fn store_error(error: &DieselError) -> StoreError {
    let source = Arc::new(EngineMessage(error.to_string()));
    match fault(error) {
        Fault::Lost | Fault::Unavailable | Fault::Conflict => StoreError::Unavailable(Some(source)),
        Fault::Refused => StoreError::Engine(source),
    }
}

/// Whether another transaction was in the way, so that the same work may succeed at once.
pub(crate) fn is_conflict(error: &DieselError) -> bool {
    fault(error) == Fault::Conflict
}

/// Whether the connection is gone. Diesel itself takes note of that only when it makes a change.
pub(crate) fn is_lost(error: &DieselError) -> bool {
    fault(error) == Fault::Lost
}

/// Whether another connection to an SQLite file holds the lock that this one needs.
pub(crate) fn is_locked(error: &DieselError) -> bool {
    matches!(
        error,
        DieselError::DatabaseError(_, information)
            if information.message().contains("database is locked")
    )
}

/// Whether that is why a transaction on an SQLite file could not begin.
pub(crate) fn is_held_lock(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(Some(source)) if source.to_string().contains("database is locked")
    )
}

/// The store's error when no connection is to be had; `message` has no password in it.
pub(crate) fn unavailable(message: impl Into<String>) -> StoreError {
    StoreError::Unavailable(Some(Arc::new(EngineMessage(message.into()))))
}

/// The store's error when the engine has given up a transaction that was open.
pub(crate) fn transaction_gone() -> StoreError {
    unavailable("the engine has given up the transaction")
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "both of diesel's enums may grow, and what they add is a refusal"
)]
fn fault(error: &DieselError) -> Fault {
    match error {
        DieselError::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::ClosedConnection => Fault::Lost,
            // What PostgreSQL can't do for now, as `connection::postgres` tells by the SQLSTATE.
            DatabaseErrorKind::UnableToSendCommand => Fault::Unavailable,
            // The server takes no changes, perhaps any more: another connection may lead to the primary.
            DatabaseErrorKind::ReadOnlyTransaction => Fault::Lost,
            DatabaseErrorKind::SerializationFailure => Fault::Conflict,
            _ => by_message(information.message()),
        },
        DieselError::BrokenTransactionManager => Fault::Unavailable,
        DieselError::RollbackErrorOnCommit { commit_error, .. } => fault(commit_error),
        _ => Fault::Refused,
    }
}

/// Of SQLite diesel passes on no code, so the message must do; it is always in English.
fn by_message(message: &str) -> Fault {
    // A file that could not be opened for writing, or is no longer where it was.
    const LOST: &[&str] = &["attempt to write a readonly database"];
    const TEMPORARY: &[&str] = &[
        "database is locked",
        "database table is locked",
        "database or disk is full",
        "disk I/O error",
        "unable to open database file",
    ];
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(LOST) {
        Fault::Lost
    } else if says(TEMPORARY) {
        Fault::Unavailable
    } else {
        Fault::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_no_changes_is_given_up() {
        let read_only = error(
            DatabaseErrorKind::ReadOnlyTransaction,
            "INSERT kann nicht ausgef\u{fc}hrt werden",
        );
        assert!(store_error(&read_only).is_temporary() && is_lost(&read_only));
    }

    fn error(kind: DatabaseErrorKind, message: &str) -> DieselError {
        DieselError::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn a_lost_connection_is_temporary() {
        let lost = error(DatabaseErrorKind::ClosedConnection, "gone");
        assert!(store_error(&lost).is_temporary() && is_lost(&lost));
        let busy = error(
            DatabaseErrorKind::UnableToSendCommand,
            "zu viele Verbindungen",
        );
        assert!(store_error(&busy).is_temporary() && !is_lost(&busy));
        let locked = error(DatabaseErrorKind::Unknown, "database is locked");
        assert!(store_error(&locked).is_temporary() && !is_lost(&locked));
    }

    #[test]
    fn a_deadlock_is_a_conflict_and_a_duplicate_is_not() {
        let deadlock = error(
            DatabaseErrorKind::SerializationFailure,
            "Verklemmung entdeckt",
        );
        assert!(is_conflict(&deadlock));
        assert!(store_error(&deadlock).is_temporary());
        let duplicate = error(DatabaseErrorKind::UniqueViolation, "UNIQUE constraint");
        assert!(!is_conflict(&duplicate));
        assert!(!store_error(&duplicate).is_temporary());
    }
}
