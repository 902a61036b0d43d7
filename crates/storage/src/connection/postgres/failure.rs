//! What a failure means, by its SQLSTATE: the text is in the server's language.
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::{error::Error as _, fmt::Write as _};

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use tokio_postgres::{
    Error,
    error::{DbError, ErrorPosition, Severity, SqlState},
};

/// Diesel's error for one of the connection's.
pub(super) fn diesel_error(error: &Error) -> DieselError {
    match error.as_db_error() {
        Some(error) => {
            let is_fatal = matches!(
                error.parsed_severity(),
                Some(Severity::Fatal | Severity::Panic)
            );
            let kind = if is_fatal {
                DatabaseErrorKind::ClosedConnection
            } else {
                kind(error.code())
            };
            let information = Information {
                message: with_code(error),
                error: error.clone(),
            };
            DieselError::DatabaseError(kind, Box::new(information))
        }
        None => closed(describe(error)),
    }
}

/// Diesel's error when the connection is gone.
pub(super) fn closed(message: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(message))
}

/// What the server says, with the code, which is the same in every language.
fn with_code(error: &DbError) -> String {
    format!("{} (SQLSTATE {})", error.message(), error.code().code())
}

/// An error with its causes.
pub(super) fn describe(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return with_code(error);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// The kind that tells `super::super::error` what to do.
fn kind(code: &SqlState) -> DatabaseErrorKind {
    let code = code.code();
    match code {
        "23001" => DatabaseErrorKind::RestrictViolation,
        "23502" => DatabaseErrorKind::NotNullViolation,
        "23503" => DatabaseErrorKind::ForeignKeyViolation,
        "23505" => DatabaseErrorKind::UniqueViolation,
        "23514" => DatabaseErrorKind::CheckViolation,
        "23P01" => DatabaseErrorKind::ExclusionViolation,
        "25006" => DatabaseErrorKind::ReadOnlyTransaction,
        // Both mean that another transaction was in the way, and that the same work may succeed at once.
        "40001" | "40P01" => DatabaseErrorKind::SerializationFailure,
        // Lock and statement timeouts, a server that is starting or shutting down, errors of its system.
        // Diesel has no kind for a server that can't do it now; this one stands for nothing else here.
        "55P03" | "57014" | "57P03" | "58000" | "58030" => DatabaseErrorKind::UnableToSendCommand,
        _ => match code.get(..2) {
            Some("08" | "57") => DatabaseErrorKind::ClosedConnection,
            // Out of memory, disk or connections.
            Some("53") => DatabaseErrorKind::UnableToSendCommand,
            _ => DatabaseErrorKind::Unknown,
        },
    }
}

/// What the server said.
struct Information {
    message: String,
    error: DbError,
}

impl DatabaseErrorInformation for Information {
    fn message(&self) -> &str {
        &self.message
    }

    fn details(&self) -> Option<&str> {
        self.error.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.error.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.error.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.error.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.error.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match self.error.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
                i32::try_from(*position).ok()
            }
        }
    }
}
