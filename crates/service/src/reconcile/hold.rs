//! Holding an org while it is worked on: the lease is prolonged, and when it can't be, or when there is
//! no use in the work any more, the provisioner is told to stop.

use std::{convert::Infallible, future::Future, time::Duration as StdDuration};

use ids::{EventId, TypedId as _};
use orgs::{Lease, LeaseToken, Org, OrgStatus, OrgStore as _, Provisioner, Stop};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{Env, Service};

/// How long an org is held without a sign of life.
const LEASE: Duration = Duration::seconds(10);
/// How often a hold is prolonged.
const RENEWAL: StdDuration = StdDuration::from_secs(3);
/// How long after the last good renewal the work is stopped. What is left of the lease then is for the
/// provisioner to end what runs.
const GIVE_UP: StdDuration = StdDuration::from_secs(6);

/// One worker's hold on orgs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// The lease as it was asked for.
    pub(crate) lease: Lease,
    /// When that was, by the clock of this process.
    pub(super) since: Instant,
}

impl Hold {
    /// A new one, which counts from now on.
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            lease: Lease {
                token: LeaseToken(env.id::<EventId>().ulid()),
                until: env.now() + LEASE,
            },
            since: Instant::now(),
        }
    }
}

/// What the store says of a hold.
enum Held {
    Still,
    /// And the org has got another status meanwhile.
    Moved(OrgStatus),
    NoMore,
}

/// What a worker can be told, once.
pub(super) struct Bell(watch::Sender<Option<Stop>>);

impl Bell {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    fn ring(&self, stop: Stop) {
        self.0.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(stop);
            first
        });
    }

    /// Resolves when the bell has been rung.
    pub(super) fn rung(&self) -> impl Future<Output = Stop> + Send + 'static {
        let mut told = self.0.subscribe();
        async move {
            let stop = told.wait_for(Option::is_some).await.map(|stop| *stop);
            match stop {
                Ok(Some(stop)) => stop,
                // Whoever could ring it is gone.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Keeps an org as long as it is worked on, and rings when the work is to stop.
    pub(super) async fn keep(
        &self,
        org: &Org,
        hold: Hold,
        bell: &Bell,
        mut ending: watch::Receiver<bool>,
    ) -> Infallible {
        let mut sure = hold.since;
        let mut is_ending = false;
        loop {
            tokio::select! {
                () = sleep(RENEWAL) => {}
                () = turned_true(&mut ending), if !is_ending => {
                    is_ending = true;
                    bell.ring(Stop::Shutdown);
                }
            }
            let began = Instant::now();
            match timeout(RENEWAL, self.renew(org, hold.lease.token)).await {
                Ok(Ok(Held::Still)) => sure = began,
                Ok(Ok(Held::Moved(status))) => {
                    sure = began;
                    if status == OrgStatus::Deprovisioning {
                        bell.ring(Stop::Deletion);
                    }
                }
                Ok(Ok(Held::NoMore)) => bell.ring(Stop::LeaseLost),
                Ok(Err(error)) => {
                    tracing::warn!(error = error.as_dyn(), org_id = %org.id, "a lease was not prolonged");
                }
                Err(_) => tracing::warn!(org_id = %org.id, "a lease was not prolonged in time"),
            }
            if sure.elapsed() >= GIVE_UP {
                bell.ring(Stop::LeaseLost);
            }
        }
    }

    async fn renew(&self, org: &Org, token: LeaseToken) -> Result<Held, StoreError> {
        let until = self.env.now() + LEASE;
        let (id, status) = (org.id, org.status);
        self.db
            .write(move |tx| {
                let Some(org) = tx.org_leased(id, token)? else {
                    return Ok(Held::NoMore);
                };
                tx.lease_renew(id, Lease { token, until })?;
                Ok(if org.status == status {
                    Held::Still
                } else {
                    Held::Moved(org.status)
                })
            })
            .await
    }
}

async fn turned_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|is_true| *is_true).await.is_err() {
        // Nobody is left who could turn it.
        std::future::pending::<()>().await;
    }
}
