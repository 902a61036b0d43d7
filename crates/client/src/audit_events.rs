//! The partner's audit events.

use api::client::{AuditEvent, EventFilters};
use ids::EventId;

use crate::{error::Error, pages::Items, request::Client};

impl Client {
    /// The partner's audit events, newest first.
    #[must_use]
    pub fn audit_events(&self, filters: &EventFilters) -> Items<AuditEvent> {
        self.items("/cp/audit-events", filters)
    }

    /// One audit event.
    ///
    /// # Errors
    /// As for any call.
    pub async fn audit_event(&self, id: EventId) -> Result<AuditEvent, Error> {
        self.get(format!("/cp/audit-events/{id}")).await
    }
}
