//! Why a process goes on without the shared limits.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What is wrong with the server of the shared limits. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It can't be reached, or the connection broke.
    #[error("Redis can't be reached ({detail}); check redis_url and that the server runs")]
    Unreachable {
        /// What the system or TLS says.
        detail: String,
    },
    /// It did not answer in time.
    #[error(
        "Redis did not answer within {} ms; check its load and the network to it",
        after.as_millis()
    )]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// It refused the user or the password.
    #[error("Redis refused the password; check the user and password in redis_url")]
    Authentication,
    /// The user may not do what is needed.
    #[error(
        "the user of redis_url may not do what is needed ({detail}); allow it the keys molecule-cp:* and \
         the commands evalsha, script|load, get, set, del, hget, hset, time and info"
    )]
    Permission {
        /// What the server says.
        detail: String,
    },
    /// It is a replica, or takes no writes for another reason.
    #[error("Redis takes no writes ({detail}); give redis_url the address of the primary")]
    ReadOnly {
        /// What the server says.
        detail: String,
    },
    /// It has no memory left for new keys.
    #[error("Redis is out of memory; raise its maxmemory")]
    OutOfMemory,
    /// It is set up to drop keys when its memory is full.
    #[error(
        "Redis drops keys when its memory is full (maxmemory-policy {policy}), and with them the debts of \
         keys; set its maxmemory-policy to noeviction"
    )]
    Evicts {
        /// The policy.
        policy: String,
    },
    /// Its state belongs to another control plane.
    #[error(
        "the limits in this Redis database belong to another control plane, with another pepper; give \
         redis_url a database number of its own, as in redis://host:6379/1, or use the same pepper"
    )]
    Foreign,
    /// It has lost the state that was there.
    #[error("Redis has lost the limits' state: it was flushed, or restarted without persistence")]
    StateLost,
    /// What answers does not speak Redis.
    #[error("what answers at redis_url does not speak Redis; check host and port")]
    NotRedis,
    /// It is starting and reads its data.
    #[error("Redis is still reading its data after a start")]
    Loading,
    /// It refused a command for a reason of its own.
    #[error("Redis refused a command: {detail}")]
    Refused {
        /// What the server says.
        detail: String,
    },
}

impl Failure {
    /// Every reason, in the order of their numbers.
    pub const REASONS: [&str; 12] = [
        "unreachable",
        "timeout",
        "authentication",
        "permission",
        "read_only",
        "out_of_memory",
        "evicts",
        "foreign",
        "state_lost",
        "not_redis",
        "loading",
        "refused",
    ];

    pub(crate) const fn number(&self) -> usize {
        match self {
            Self::Unreachable { .. } => 0,
            Self::Timeout { .. } => 1,
            Self::Authentication => 2,
            Self::Permission { .. } => 3,
            Self::ReadOnly { .. } => 4,
            Self::OutOfMemory => 5,
            Self::Evicts { .. } => 6,
            Self::Foreign => 7,
            Self::StateLost => 8,
            Self::NotRedis => 9,
            Self::Loading => 10,
            Self::Refused { .. } => 11,
        }
    }

    /// The reason in a word, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        Self::REASONS
            .get(self.number())
            .copied()
            .unwrap_or("refused")
    }

    /// Whether only the operator can end it. A server that is gone, slow or full may be well in a moment.
    #[must_use]
    pub const fn is_misconfigured(&self) -> bool {
        match self {
            Self::Authentication
            | Self::Permission { .. }
            | Self::Evicts { .. }
            | Self::Foreign
            | Self::NotRedis => true,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::ReadOnly { .. }
            | Self::OutOfMemory
            | Self::StateLost
            | Self::Loading
            | Self::Refused { .. } => false,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let detail = error.to_string();
        // Servers before version 7 tell a script's error within a text of their own.
        let says = |code: &str| error.code() == Some(code) || detail.contains(code);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the client adds kinds; what is new is told by its text"
        )]
        match error.kind() {
            ErrorKind::Io => Self::Unreachable { detail },
            ErrorKind::AuthenticationFailed => Self::Authentication,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::NotRedis,
            ErrorKind::Server(ServerErrorKind::BusyLoading) => Self::Loading,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Permission { detail },
            _ if says("NOAUTH") || says("WRONGPASS") => Self::Authentication,
            _ if says("READONLY") || says("MISCONF") || says("NOREPLICAS") => {
                Self::ReadOnly { detail }
            }
            _ if says("OOM") => Self::OutOfMemory,
            _ => Self::Refused { detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_failure_has_a_reason_of_its_own() {
        let detail = String::new;
        let all = [
            Failure::Unreachable { detail: detail() },
            Failure::Timeout {
                after: Duration::ZERO,
            },
            Failure::Authentication,
            Failure::Permission { detail: detail() },
            Failure::ReadOnly { detail: detail() },
            Failure::OutOfMemory,
            Failure::Evicts { policy: detail() },
            Failure::Foreign,
            Failure::StateLost,
            Failure::NotRedis,
            Failure::Loading,
            Failure::Refused { detail: detail() },
        ];
        let reasons: BTreeSet<_> = all.iter().map(Failure::reason).collect();
        assert_eq!(reasons, BTreeSet::from(Failure::REASONS));
    }
}
