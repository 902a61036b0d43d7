//! Errors of a store, whatever it is made of.

use std::{error::Error, sync::Arc};

type Source = Arc<dyn Error + Send + Sync>;

/// Errors of a store. Rejections that a domain knows, such as a slug that is taken, are not errors: the traits'
/// methods return them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or does not answer in time; later it may.
    #[error("the database is not available")]
    Unavailable(#[source] Option<Source>),
    /// More work waits than the database can do; later it may.
    #[error("too much work is waiting for the database")]
    Overloaded,
    /// The caller has as many lists waiting as one may; others are served.
    #[error("too many lists of this caller are waiting for the database")]
    Throttled,
    /// Nobody waited for the result any more, so the work was given up.
    #[error("nobody waited for the result any more")]
    Abandoned,
    /// The engine refused a statement that should have worked.
    #[error("the database refused a statement")]
    Engine(#[source] Source),
    /// A stored value is not what was written.
    #[error("{what} of a stored row can't be read")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
    /// The closure of a transaction panicked; nothing of it was kept.
    #[error("a transaction's closure panicked")]
    Panicked,
}

impl StoreError {
    /// Whether the same work may succeed a little later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Overloaded | Self::Throttled | Self::Abandoned => true,
            Self::Engine(_) | Self::Corrupt { .. } | Self::Panicked => false,
        }
    }

    /// The error as a log takes it, with its sources.
    #[must_use]
    pub fn as_dyn(&self) -> &(dyn Error + 'static) {
        self
    }
}
