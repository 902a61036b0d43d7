//! Orgs: their rows, in which their steps, subscriptions and leases stand too, their labels and their slugs.

mod change;
mod deletions;
mod labels;
mod lists;
mod progress;
mod queries;
pub(super) mod queue;
mod row;
mod slugs;
mod steps;
mod store;
mod subscriptions;
mod visible;
mod work;

pub(super) use self::row::{is_staying, orgs};
