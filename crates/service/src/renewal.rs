//! Digests of keys are renewed when the keys are used: a key that a retired pepper has verified gets a
//! digest under the current one, so that the retired one can be taken away some day.

use keys::{KeyDigest, KeyStore as _};
use ratelimit::Limiter;
use stores::{Database, StoreError};

use crate::{Caller, Service};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Stores another digest for a key in the place of the one that it was found by. When somebody else
    /// has changed that meanwhile, nothing happens.
    pub(crate) async fn renew_digest(&self, caller: &Caller, from: KeyDigest, to: KeyDigest) {
        let renewed: Result<bool, StoreError> = match caller {
            Caller::Admin(key) => {
                let id = key.id;
                let renew = move |tx: &mut D::Tx| tx.admin_key_digest_renew(id, &from, &to);
                self.db.write(renew).await
            }
            Caller::Partner(held) => {
                let id = held.key.id;
                let renew = move |tx: &mut D::Tx| tx.key_digest_renew(id, &from, &to);
                self.db.write(renew).await
            }
        };
        // The key works all the same, and is renewed when it is next read.
        if let Err(error) = renewed {
            tracing::warn!(
                error = error.as_dyn(),
                "a key that a retired pepper verified still needs it"
            );
        }
    }
}
