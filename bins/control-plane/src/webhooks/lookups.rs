//! DNS look-ups.
//!
//! Each runs on a thread of its own, which the system blocks for as long as a name server is silent. So
//! their number is bounded and each partner has a share: names that time out delay no other partner's.

use std::{
    collections::HashMap,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use ids::PartnerId;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

const LOOKUPS: usize = 64;
const PARTNER_SHARE: usize = 4;
/// With the wait for a thread.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// A handle: clones share the bounds.
#[derive(Clone, Debug, Default)]
pub struct Lookups(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<Running>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Running {
    all: usize,
    of_partner: HashMap<PartnerId, usize>,
}

struct Permit {
    shared: Arc<Shared>,
    partner: PartnerId,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        running.all = running.all.saturating_sub(1);
        if let Some(own) = running.of_partner.get_mut(&self.partner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                running.of_partner.remove(&self.partner);
            }
        }
        drop(running);
        self.shared.freed.notify_waiters();
    }
}

impl Lookups {
    /// The addresses of a host. The error is shown to the partner.
    pub async fn resolve(
        &self,
        partner: PartnerId,
        name: String,
        port: u16,
    ) -> Result<Vec<SocketAddr>, String> {
        const UNKNOWN: &str = "the host has no address; check the name in the URL";
        let found = async {
            let permit = self.permit(partner).await;
            let (answer, answered) = oneshot::channel();
            let ask = move || {
                let found = (name.as_str(), port).to_socket_addrs();
                drop(permit);
                // The caller may have timed out.
                let _ = answer.send(found.map(Iterator::collect::<Vec<_>>));
            };
            thread::Builder::new()
                .name("webhook-resolver".to_owned())
                .spawn(ask)
                .map_err(|_| "the host's address could not be asked for".to_owned())?;
            match answered.await {
                Ok(Ok(found)) if !found.is_empty() => Ok(found),
                Ok(_) | Err(_) => Err(UNKNOWN.to_owned()),
            }
        };
        timeout(RESOLVE_WITHIN, found)
            .await
            .unwrap_or_else(|_elapsed| Err("the host's address was not found in time".to_owned()))
    }

    async fn permit(&self, partner: PartnerId) -> Permit {
        loop {
            let mut freed = pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(permit) = self.try_permit(partner) {
                return permit;
            }
            freed.await;
        }
    }

    fn try_permit(&self, partner: PartnerId) -> Option<Permit> {
        let mut running = self.0.running();
        let own = running.of_partner.get(&partner).copied();
        let own = own.unwrap_or_default();
        if running.all >= LOOKUPS || own >= PARTNER_SHARE {
            return None;
        }
        running.all += 1;
        running.of_partner.insert(partner, own + 1);
        Some(Permit {
            shared: Arc::clone(&self.0),
            partner,
        })
    }
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};

    use super::*;

    fn partner(n: u128) -> PartnerId {
        PartnerId::from_ulid(Ulid::from(n))
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_unknown_one_is_reported() {
        let lookups = Lookups::default();
        let found = lookups.resolve(partner(1), "localhost".to_owned(), 80);
        let found = found.await.unwrap();
        assert!(found.iter().all(|it| it.ip().is_loopback()), "{found:?}");
        let name = "no-such-host.invalid".to_owned();
        let error = lookups.resolve(partner(1), name, 80).await;
        assert!(error.is_err(), "{error:?}");
    }

    #[tokio::test]
    async fn a_partner_has_its_share_of_the_look_ups_and_no_more() {
        let lookups = Lookups::default();
        let mut silent: Vec<_> = (0..PARTNER_SHARE)
            .map(|_| lookups.try_permit(partner(1)).unwrap())
            .collect();
        assert!(lookups.try_permit(partner(1)).is_none());
        let waiting = lookups.clone();
        let waiting = tokio::spawn(async move { waiting.permit(partner(1)).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        silent.pop();
        silent.push(waiting.await.unwrap());
        let others: Vec<_> = (2..200)
            .map_while(|n| lookups.try_permit(partner(n)))
            .collect();
        assert_eq!(silent.len() + others.len(), LOOKUPS);
        drop(silent);
        assert!(lookups.try_permit(partner(1)).is_some());
        drop(others);
        assert!(lookups.0.running().of_partner.is_empty());
    }
}
