//! The store traits, one or two for each table: queries, and the writes of a transaction.

mod admin_keys;
mod key_changes;
mod leaks;
mod partner_keys;
mod partners;
mod peppers;

pub use admin_keys::{AdminKeyQueries, AdminKeyStore};
pub use key_changes::{KeyChangeQueries, KeyChangeStore, MIN_CHANGES_KEPT};
pub use leaks::{LeakQueries, LeakStore};
pub use partner_keys::{KeyFilter, KeyListRequest, KeyQueries, KeyStore};
pub use partners::{PartnerQueries, PartnerStore};
pub use peppers::{PepperQueries, PepperStore};
