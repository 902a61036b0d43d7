//! The tables: one file for each, or a folder where it would be long.
//!
//! A file has the columns of its table, its row, what is asked and changed on both engines, and the store
//! trait that it implements. An engine's difference stands where its table is. A file may use those of the
//! tables that its own refers to, and never in a circle.

mod admin_keys;
mod announcements;
pub(crate) mod audit_events;
pub(crate) mod audit_index;
pub(crate) mod audit_segments;
mod due_search;
mod idempotency;
mod instances;
mod key_changes;
mod leaks;
mod locks;
pub(crate) mod meta;
mod org_secrets;
mod orgs;
mod paged;
mod partner_keys;
mod partners;
mod peppers;
mod trust_rules;
pub(crate) mod values;
mod webhook_announcements;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_retention;
mod workspaces;
