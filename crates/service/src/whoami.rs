//! What a credential learns of itself.

use ratelimit::Limiter;
use stores::Database;

use crate::{Answer, Caller, Context, Refusal, Service, audited::Done};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Tells the caller who it is; its limits are in the context.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn whoami(&self, context: &Context) -> Result<Answer<Caller>, Refusal> {
        let caller = context.caller.clone();
        self.looked(context, Done::new(200, caller)).await
    }
}
