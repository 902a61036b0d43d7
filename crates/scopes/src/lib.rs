#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod scope;
mod set;

pub use scope::{Scope, UnknownScope};
pub use set::ScopeSet;
