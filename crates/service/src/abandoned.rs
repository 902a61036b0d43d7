//! Calls whose client hangs up before the answer.

use ids::EventId;
use stores::Database;

use crate::{Context, Env};

/// The status of a call whose client has closed the connection: nginx's, for there is no standard one.
const CLIENT_CLOSED: u16 = 499;

/// Records a call when it is dropped before it has been answered: its future is dropped when the client
/// hangs up, and every call by a known credential has an event.
pub(crate) struct RecordIfAbandoned<'a, D: Database> {
    db: &'a D,
    env: &'a Env,
    context: Option<&'a Context>,
}

impl<'a, D: Database> RecordIfAbandoned<'a, D> {
    pub(crate) const fn new(db: &'a D, env: &'a Env, context: &'a Context) -> Self {
        Self {
            db,
            env,
            context: Some(context),
        }
    }

    /// The call goes on, and is recorded by whoever answers it.
    pub(crate) fn disarm(mut self) {
        self.context = None;
    }
}

impl<D: Database> Drop for RecordIfAbandoned<'_, D> {
    fn drop(&mut self) {
        let Some(context) = self.context else { return };
        let id: EventId = self.env.id();
        let mut event = context
            .call
            .event(id, context.caller.actor(), CLIENT_CLOSED);
        event
            .details
            .insert("code".to_owned(), "client-closed".into());
        let (db, used, at) = (self.db.clone(), context.used(), context.call.at);
        let record = async move {
            if let Err(error) = db.append(Box::new(event)).await {
                tracing::error!(
                    error = error.as_dyn(),
                    "the event of a call whose client hung up was not recorded"
                );
            }
            if let Some(key) = used
                && let Err(error) = db.key_used(key, at).await
            {
                tracing::warn!(error = error.as_dyn(), key_id = %key, "a use of a key was not noted");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(record)),
            Err(_) => tracing::error!("a call whose client hung up at the shutdown has no event"),
        }
    }
}
