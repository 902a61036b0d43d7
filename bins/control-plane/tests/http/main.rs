//! The HTTP contract, through the real program on both databases.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

#[macro_use]
mod kit;

mod addresses;
mod admin_keys;
mod again;
mod announced;
mod audit;
mod audit_ids;
mod bound_keys;
mod bounds;
mod budgets;
mod challenges;
mod clocks;
mod connections;
mod cut_offs;
mod deploy;
mod endings;
mod exchanges;
mod failovers;
mod floods;
mod following;
mod health;
mod history;
mod instances;
mod key_leases;
mod key_lifetimes;
mod key_orgs;
mod keys;
mod kills;
mod leaks;
mod limits;
mod list_budgets;
mod lists;
mod long_polls;
mod matrix;
mod orgs;
mod outages;
mod pages;
mod partners;
mod peppers;
mod pipelines;
mod plans;
mod poolers;
mod prefixes;
mod problems;
mod program;
mod protection;
mod provisioners;
mod quota;
mod receipts;
mod resources;
mod restarts;
mod rotation;
mod secrets;
mod settings;
mod shared_limits;
mod shares;
mod starts;
mod tiers;
mod traces;
mod trust_rules;
mod updates;
mod values;
mod visibility;
mod webhooks;
