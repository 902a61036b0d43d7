//! The store traits, one or two for each table: queries, and the writes of a transaction.

mod announcements;
mod deliveries;
mod endpoints;
mod retention;

pub use announcements::{AnnouncementQueries, AnnouncementStore};
pub use deliveries::{
    Backlog, DeliveryQueries, DeliveryStore, PendingDelivery, PendingEndpoint, PendingEndpoints,
};
pub use endpoints::{EndpointQueries, EndpointStore, Lease};
pub use retention::WebhookRetention;
