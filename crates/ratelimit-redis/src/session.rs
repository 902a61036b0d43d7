//! A connection to the server, from which the state was entered.

use std::{future::Future, time::Duration};

use ratelimit::{Debt, RateLimit, Subject};
use redis::{
    RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout;

use crate::{
    Failure, RedisUrl,
    script::{Entered, Scripts, Spent},
};

/// How long a connection may take, with TLS and the password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How many calls may wait to be sent.
const QUEUE: usize = 4096;
/// How many debts are handed over at a time.
const MERGED_AT_ONCE: usize = 100;

/// The server, and whose state this process may use there.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: RedisUrl,
    /// The first is this process's own.
    pub(crate) owners: Vec<String>,
    pub(crate) scripts: Scripts,
    pub(crate) response_timeout: Duration,
}

/// A connection, and the generation of the state that was entered by it.
pub(crate) struct Session {
    connection: ConnectionManager,
    pub(crate) generation: String,
    /// What the server drops keys by, if it does.
    pub(crate) eviction_policy: Option<String>,
}

impl Server {
    /// Connects and enters the state. `generation` is the one that this process knows, or empty.
    pub(crate) async fn connect(&self, generation: &str) -> Result<Session, Failure> {
        let config = ConnectionManagerConfig::new()
            // Both are bounded here, the wait for a connection too.
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(QUEUE);
        let client = self.url.client().clone();
        let connecting = ConnectionManager::new_with_config(client, config);
        let mut connection =
            timeout(CONNECT_TIMEOUT, connecting)
                .await
                .map_err(|_| Failure::Unreachable {
                    detail: format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
                })??;
        let generation = self.enter(&mut connection, generation).await?;
        let eviction_policy = self.eviction_policy(&mut connection).await;
        Ok(Session {
            connection,
            generation,
            eviction_policy,
        })
    }

    async fn enter(
        &self,
        connection: &mut ConnectionManager,
        generation: &str,
    ) -> Result<String, Failure> {
        let entering = self.scripts.enter(connection, generation, &self.owners);
        match self.in_time(entering).await? {
            Entered::Generation(generation) => Ok(generation),
            Entered::Foreign => Err(Failure::Foreign),
        }
    }

    /// Whether the server answers in time, takes writes and has kept its state.
    pub(crate) async fn probe(&self, session: &Session) -> Result<(), Failure> {
        let mut connection = session.connection.clone();
        let generation = self.enter(&mut connection, &session.generation).await?;
        if generation == session.generation {
            Ok(())
        } else {
            Err(Failure::StateLost)
        }
    }

    /// Counts up to `calls` calls, see [`Scripts::spend`]: how many were counted, and what each subject owed
    /// before, in nanoseconds.
    pub(crate) async fn spend(
        &self,
        session: &Session,
        limits: &[(Subject, RateLimit)],
        calls: i64,
    ) -> Result<(u32, Vec<u64>), Failure> {
        let mut connection = session.connection.clone();
        let spending = self
            .scripts
            .spend(&mut connection, &session.generation, limits, calls);
        match self.in_time(spending).await? {
            Spent::Counted { calls, debts } => Ok((calls, debts)),
            Spent::OtherGeneration => Err(Failure::StateLost),
        }
    }

    /// Waits for an answer, though not for long.
    async fn in_time<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        let after = self.response_timeout;
        match timeout(after, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Timeout { after }),
        }
    }

    /// The policy by which the server drops keys that it should keep. A user that may not ask is not told.
    async fn eviction_policy(&self, connection: &mut ConnectionManager) -> Option<String> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        let text: String = self.in_time(command.query_async(connection)).await.ok()?;
        evicts(&text).map(str::to_owned)
    }

    /// Hands debts over; the greater of each and what the server has counts from then on.
    pub(crate) async fn merge(&self, session: &Session, debts: &[Debt]) -> Result<(), Failure> {
        let mut connection = session.connection.clone();
        for some in debts.chunks(MERGED_AT_ONCE) {
            let merging = self
                .scripts
                .merge(&mut connection, &session.generation, some);
            if !self.in_time(merging).await? {
                return Err(Failure::StateLost);
            }
        }
        Ok(())
    }
}

/// What the section `memory` of INFO says of it.
fn evicts(info: &str) -> Option<&str> {
    let value = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let is_bounded = value("maxmemory").is_some_and(|bytes| bytes.trim() != "0");
    let policy = value("maxmemory_policy").map(str::trim);
    policy.filter(|policy| is_bounded && *policy != "noeviction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_memory_evicts() {
        let info = |bytes: &str, policy: &str| {
            format!(
                "# Memory\r\nmaxmemory:{bytes}\r\nmaxmemory_human:1B\r\nmaxmemory_policy:{policy}\r\n"
            )
        };
        assert_eq!(evicts(&info("0", "allkeys-lru")), None);
        assert_eq!(evicts(&info("1000", "noeviction")), None);
        assert_eq!(evicts(&info("1000", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicts(&info("1000", "volatile-ttl")), Some("volatile-ttl"));
        assert_eq!(evicts(""), None);
    }
}
