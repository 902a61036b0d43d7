//! What a credential can ask about itself.

use ratelimit::Limiter;
use stores::Database;

use crate::{Audited, Caller, Context, Rejection, Service, audited::Auditable};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// The caller's own credential; its limits are in the context.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn whoami(&self, context: &Context) -> Result<Audited<Caller>, Rejection> {
        let caller = context.caller.clone();
        self.audited_value(context, Auditable::new(200, caller))
            .await
    }
}
