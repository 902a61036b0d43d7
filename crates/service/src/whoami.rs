//! What a credential learns of itself.

use ratelimit::Limiter;
use stores::Database;

use crate::{Audited, Caller, Context, Rejection, Service, audited::Done};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Tells the caller who it is; its limits are in the context.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn whoami(&self, context: &Context) -> Result<Audited<Caller>, Rejection> {
        let caller = context.caller.clone();
        self.audited_value(context, Done::new(200, caller)).await
    }
}
