//! Keys of partners.

mod queries;
mod rotations;
mod row;
mod rules;
mod store;

pub(super) use self::{queries::counts_by_pepper, row::partner_keys, store::label_pepper};
