//! Agrees with all other processes of a database on the pepper, before it is used.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use keys::{PepperId, Peppers};
use service::SetupError;
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use time::OffsetDateTime;

use crate::{pepper, settings::Settings};

/// For retries while the database is busy, such as with the starts of other servers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// For an instance with other settings to stop: longer than one that was killed counts as live.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);

/// What a database knows of its peppers.
pub struct Known {
    /// The check value of the current one; `None` before the first start.
    pub check: Option<String>,
    /// The ids of those that keys need and that earlier starts were given.
    pub ids: Vec<PepperId>,
}

impl Known {
    pub async fn read(db: &SqlDatabase) -> Result<Self, StoreError> {
        db.read(|view| {
            let used = view.pepper_uses(OffsetDateTime::now_utc())?;
            let given = view.pepper_notes()?.given;
            Ok(Self {
                check: view.pepper_check()?,
                ids: used
                    .into_iter()
                    .filter_map(|used| used.pepper)
                    .chain(given)
                    .collect(),
            })
        })
        .await
    }
}

/// Runs `work` with the peppers of the settings or the data folder. Of several processes that start on an
/// empty database, each with another pepper, one succeeds.
pub async fn with_peppers<T>(
    db: &SqlDatabase,
    settings: &Settings,
    work: impl AsyncFn(&Peppers) -> Result<T, SetupError>,
) -> anyhow::Result<(Peppers, T)> {
    let mut was_empty = false;
    loop {
        let known = retry_while_busy(async || Ok(Known::read(db).await?)).await?;
        let peppers = pepper::load(settings, &known, true)?;
        match retry_while_busy(async || work(&peppers).await).await {
            // Another process was first. Its pepper may be in the same folder by now.
            Err(SetupError::ForeignPepper) if known.check.is_none() => was_empty = true,
            Err(error @ SetupError::ForeignPepper) if was_empty => {
                return Err(error).context(
                    "another server has just made this database, with a pepper of its own: give all \
                     servers the same MOLECULE_CP_PEPPER, or the same file in their data folders",
                );
            }
            outcome => return Ok((peppers, outcome?)),
        }
    }
}

/// Retries while the database is busy, and while an instance with other settings is live: one that was killed
/// a moment ago counts as live too.
async fn retry_while_busy<T, F>(work: impl Fn() -> F) -> Result<T, SetupError>
where
    F: Future<Output = Result<T, SetupError>>,
{
    let begun = Instant::now();
    let deadline = begun + BUSY_TIMEOUT;
    let mut is_told = false;
    loop {
        match work().await {
            Err(SetupError::Store(error)) if error.is_temporary() && Instant::now() < deadline => {
                if !is_told {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the database is not ready, will retry");
                    is_told = true;
                }
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(SetupError::OtherAdminKey(other)) if begun.elapsed() < LEAVE_TIMEOUT => {
                if !is_told {
                    tracing::warn!("{other}; waiting until it stops");
                    is_told = true;
                }
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}
