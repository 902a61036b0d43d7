//! Endpoints of webhooks, with their secrets and their leases.

mod row;
mod store;

pub(super) use self::row::webhook_endpoints;
