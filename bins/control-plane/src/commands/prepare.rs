//! What the server and the commands do before they use a database: they agree with all others who use it
//! on the pepper.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use keys::{KeyQueries as _, Peppers};
use service::SetupError;
use storage::SqlDatabase;
use stores::{Database as _, StoreError};

use crate::{pepper, settings::Settings};

/// How long a database that is busy is tried, such as with the starts of other servers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to pause in between.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Does something with the peppers of the settings or the data folder, on which the database decides: of
/// several processes that come to an empty one, each with a pepper of its own, one is heard.
pub async fn with_peppers<T>(
    db: &SqlDatabase,
    settings: &Settings,
    work: impl AsyncFn(&Peppers) -> Result<T, SetupError>,
) -> anyhow::Result<(Peppers, T)> {
    let mut was_empty = false;
    loop {
        let stored = retry_while_busy(async || {
            let stored: Result<_, StoreError> = db.read(|view| view.pepper_check()).await;
            stored.map_err(SetupError::from)
        });
        let stored = stored.await?;
        let peppers = pepper::load(settings, stored.as_deref())?;
        match retry_while_busy(async || work(&peppers).await).await {
            // Another process was quicker. Its pepper may be in the same folder by now.
            Err(SetupError::ForeignPepper) if stored.is_none() => was_empty = true,
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

/// Does something again while the database has no time for it.
async fn retry_while_busy<T, F>(work: impl Fn() -> F) -> Result<T, SetupError>
where
    F: Future<Output = Result<T, SetupError>>,
{
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match work().await {
            Err(SetupError::Store(error)) if error.is_temporary() && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}
