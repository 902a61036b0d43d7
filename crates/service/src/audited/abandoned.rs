//! Requests whose client hangs up before the response.

use ids::EventId;
use stores::Database;

use crate::{Context, Env};

/// nginx's status for a client that has closed the connection; there is no standard one.
const CLIENT_CLOSED: u16 = 499;

/// Records a request when it is dropped before its response: its future is dropped when the client hangs up,
/// and every request by a known credential has an event.
pub(super) struct RecordIfAbandoned<'a, D: Database> {
    db: &'a D,
    env: &'a Env,
    context: Option<&'a Context>,
}

impl<'a, D: Database> RecordIfAbandoned<'a, D> {
    pub(super) const fn new(db: &'a D, env: &'a Env, context: &'a Context) -> Self {
        Self {
            db,
            env,
            context: Some(context),
        }
    }

    /// The request goes on, and its event is written with its result.
    pub(super) fn disarm(mut self) {
        self.context = None;
    }
}

impl<D: Database> Drop for RecordIfAbandoned<'_, D> {
    fn drop(&mut self) {
        let Some(context) = self.context else { return };
        let id: EventId = self.env.id();
        let actor = context.caller.actor();
        let mut event = context.request.event(id, actor, CLIENT_CLOSED);
        event
            .details
            .insert("code".to_owned(), "client-closed".into());
        let (db, key, at) = (self.db.clone(), context.used_key(), context.request.at);
        let record = async move {
            if let Err(error) = db.append(Box::new(event)).await {
                tracing::error!(
                    error = error.as_dyn(),
                    "recording the event of an abandoned request failed"
                );
            }
            if let Some((key, secret)) = key
                && let Err(error) = db.key_used(key, secret, at).await
            {
                tracing::warn!(error = error.as_dyn(), key_id = %key, "recording a key's last use failed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(record)),
            Err(_) => tracing::error!("an abandoned request has no event: the process stops"),
        }
    }
}
