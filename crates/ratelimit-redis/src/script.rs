//! The scripts that run on the server, and the commands that call them.

use std::fmt::Write as _;

use ratelimit::{Debt, RateLimit, Subject};
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, aio::ConnectionManager,
};

/// What every key of ours begins with.
const PREFIX: &str = "molecule-cp:limit:";
/// The key whose fields tell the generation of the state and whose state it is.
const MARKER: &str = "molecule-cp:limits";
/// What a script answers when the state is of another generation.
const OTHER_GENERATION: i64 = -1;

const SPEND: &str = concat!(
    include_str!("script/debt.lua"),
    include_str!("script/spend.lua")
);
const MERGE: &str = concat!(
    include_str!("script/debt.lua"),
    include_str!("script/merge.lua")
);
const ENTER: &str = include_str!("script/enter.lua");

/// All scripts, ready to be called by their digests.
#[derive(Debug)]
pub(crate) struct Scripts {
    spend: Script,
    merge: Script,
    enter: Script,
}

/// What the server answers to [`Scripts::spend`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// So many calls were counted, and each subject owed so many nanoseconds before.
    Counted { calls: u32, debts: Vec<u64> },
    /// The server has lost the state that the caller knows; nothing was counted.
    OtherGeneration,
}

/// What the server answers to [`Scripts::enter`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The state is of this generation.
    Generation(String),
    /// The state belongs to somebody else.
    Foreign,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            spend: Script::new(SPEND),
            merge: Script::new(MERGE),
            enter: Script::new(ENTER),
        }
    }

    /// Counts up to `calls` calls against all limits, as many as all of them allow; fewer than 0 are given
    /// back.
    pub(crate) async fn spend(
        &self,
        connection: &mut ConnectionManager,
        generation: &str,
        limits: &[(Subject, RateLimit)],
        calls: i64,
    ) -> RedisResult<Spent> {
        let mut command = call(&self.spend, limits.iter().map(|(subject, _)| *subject));
        command.arg(generation).arg(calls);
        for (_, limit) in limits {
            command.arg(limit.period_nanos()).arg(limit.window_nanos());
        }
        let reply: Vec<i64> = run(&self.spend, &command, connection).await?;
        spent(&reply, limits.len())
    }

    /// Hands debts over; whether the state is still of this generation.
    pub(crate) async fn merge(
        &self,
        connection: &mut ConnectionManager,
        generation: &str,
        debts: &[Debt],
    ) -> RedisResult<bool> {
        let mut command = call(&self.merge, debts.iter().map(|debt| debt.subject));
        command.arg(generation);
        for debt in debts {
            let left = u64::try_from(debt.left.as_nanos()).unwrap_or(u64::MAX);
            command
                .arg(debt.limit.period_nanos())
                .arg(debt.limit.window_nanos())
                .arg(left);
        }
        let reply: Vec<i64> = run(&self.merge, &command, connection).await?;
        Ok(reply.first() != Some(&OTHER_GENERATION))
    }

    /// Finds or makes the state; it may be used when its generation is the known one or it belongs to one
    /// of the owners.
    pub(crate) async fn enter(
        &self,
        connection: &mut ConnectionManager,
        generation: &str,
        owners: &[String],
    ) -> RedisResult<Entered> {
        let mut command = call(&self.enter, std::iter::empty());
        command.arg(generation).arg(owners);
        let (outcome, told): (String, String) = run(&self.enter, &command, connection).await?;
        match outcome.as_str() {
            "entered" => Ok(Entered::Generation(told)),
            "foreign" => Ok(Entered::Foreign),
            _ => Err(unexpected()),
        }
    }
}

/// A call of a script on the marker and these subjects.
fn call(script: &Script, subjects: impl ExactSizeIterator<Item = Subject>) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command
        .arg(script.get_hash())
        .arg(subjects.len() + 1)
        .arg(MARKER);
    let mut key = String::new();
    for subject in subjects {
        key.clear();
        // Writing to a string can't fail.
        let _ = write!(key, "{PREFIX}{subject}");
        command.arg(&key);
    }
    command
}

/// Runs a call, and hands the script over first where the server does not have it.
async fn run<T: FromRedisValue>(
    script: &Script,
    command: &Cmd,
    connection: &mut ConnectionManager,
) -> RedisResult<T> {
    match command.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            command.query_async(connection).await
        }
        outcome => outcome,
    }
}

fn spent(reply: &[i64], subjects: usize) -> RedisResult<Spent> {
    let (counted, debts) = reply.split_first().ok_or_else(unexpected)?;
    if *counted == OTHER_GENERATION {
        return Ok(Spent::OtherGeneration);
    }
    let calls = u32::try_from(*counted).map_err(|_| unexpected())?;
    let debts = debts.iter().map(|debt| u64::try_from(*debt));
    let debts: Vec<u64> = debts.collect::<Result<_, _>>().map_err(|_| unexpected())?;
    if debts.len() != subjects {
        return Err(unexpected());
    }
    Ok(Spent::Counted { calls, debts })
}

/// The answer is not what our script gives.
fn unexpected() -> redis::RedisError {
    (ErrorKind::UnexpectedReturnType, "the answer of a script").into()
}

#[cfg(test)]
mod tests;
