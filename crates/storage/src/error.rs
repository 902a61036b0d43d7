//! What can go wrong: how the engines' errors become the stores' own.

use std::{io, path::PathBuf, sync::Arc};

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use stores::StoreError;

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
    /// It has not been made yet.
    #[error("{url} does not exist; run the migrations first")]
    Missing {
        /// Where it should be.
        url: String,
    },
    /// It is older than this program.
    #[error("the database lacks migrations ({}); run them first", .0.join(", "))]
    Pending(Vec<String>),
    /// It is newer than this program.
    #[error("the database has migrations that this program does not know ({})", .0.join(", "))]
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

/// The store's error when no connection is to be had; `message` has no password in it.
pub(crate) fn unavailable(message: impl Into<String>) -> StoreError {
    StoreError::Unavailable(Some(Arc::new(EngineMessage(message.into()))))
}

/// The store's error when the engine has given up a transaction that was open.
pub(crate) fn lost() -> StoreError {
    unavailable("the engine has given up the transaction")
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "both of diesel's enums may grow, and what they add is a refusal"
)]
fn fault(error: &DieselError) -> Fault {
    match error {
        DieselError::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Fault::Lost
            }
            DatabaseErrorKind::SerializationFailure => Fault::Conflict,
            _ => by_message(&**information),
        },
        DieselError::BrokenTransactionManager => Fault::Unavailable,
        DieselError::RollbackErrorOnCommit { commit_error, .. } => fault(commit_error),
        _ => Fault::Refused,
    }
}

/// Diesel passes on no code for these, so the message must do.
fn by_message(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Fault {
    const CONFLICTS: &[&str] = &["deadlock detected"];
    const LOST: &[&str] = &[
        "server closed the connection unexpectedly",
        "terminating connection",
        "no connection to the server",
    ];
    const TEMPORARY: &[&str] = &[
        "database is locked",
        "database table is locked",
        "database or disk is full",
        "disk I/O error",
        "unable to open database file",
        "canceling statement due to lock timeout",
        "canceling statement due to statement timeout",
        "the database system is",
        "too many clients already",
    ];
    let says = |texts: &[&str]| {
        texts
            .iter()
            .any(|text| information.message().contains(text))
    };
    if says(CONFLICTS) {
        Fault::Conflict
    } else if says(LOST) {
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

    fn error(kind: DatabaseErrorKind, message: &str) -> DieselError {
        DieselError::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn a_lost_connection_is_temporary() {
        let lost = error(DatabaseErrorKind::ClosedConnection, "gone");
        assert!(store_error(&lost).is_temporary() && is_lost(&lost));
        let text = "terminating connection due to administrator command";
        assert!(is_lost(&error(DatabaseErrorKind::Unknown, text)));
        let locked = error(DatabaseErrorKind::Unknown, "database is locked");
        assert!(store_error(&locked).is_temporary() && !is_lost(&locked));
    }

    #[test]
    fn a_deadlock_is_a_conflict_and_a_duplicate_is_not() {
        let deadlock = error(DatabaseErrorKind::Unknown, "deadlock detected");
        assert!(is_conflict(&deadlock));
        assert!(store_error(&deadlock).is_temporary());
        let duplicate = error(DatabaseErrorKind::UniqueViolation, "UNIQUE constraint");
        assert!(!is_conflict(&duplicate));
        assert!(!store_error(&duplicate).is_temporary());
    }
}
