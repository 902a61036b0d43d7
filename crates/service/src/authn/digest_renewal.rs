//! Renewal of key digests: a key that a retired pepper has verified gets a digest under the current one, so that
//! the retired pepper can be removed some day.

use keys::KeyDigest;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};

use crate::{Caller, Service};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Replaces the digest that a key was found by, unless another process has replaced it meanwhile.
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
        // The key works all the same, and its digest is renewed at its next read.
        if let Err(error) = renewed {
            tracing::warn!(
                error = error.as_dyn(),
                "renewing a key's digest failed; the key still needs a retired pepper"
            );
        }
    }
}
