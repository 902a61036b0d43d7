//! Background work: provisioning orgs, delivering webhooks, expiry, ends of rotations, announcements, resealing,
//! retention.
//!
//! A worker owns what happens after the response, by rows that are due and leases on them. It must not know
//! requests or who may ask for what.

pub(crate) mod announcements;
pub(crate) mod clock_steps;
pub(crate) mod deliver;
pub(crate) mod expiry;
pub(crate) mod reconcile;
pub(crate) mod reseal;
pub(crate) mod retention;
pub(crate) mod rotations;
