//! What a key may do: scopes and sets of them.
//!
//! A scope is a plain name such as `orgs:create`; no scope implies another and there is no wildcard.
//!
//! ```
//! use scopes::{Scope, ScopeSet};
//!
//! let granted: ScopeSet = ["orgs:create", "orgs:list"].iter().map(|s| s.parse::<Scope>())
//!     .collect::<Result<_, _>>()?;
//! assert!(granted.contains(Scope::OrgsCreate));
//! assert!(!granted.contains(Scope::OrgsDelete));
//! assert_eq!(granted.to_string(), "orgs:create orgs:list");
//! # Ok::<(), scopes::UnknownScope>(())
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod scope;
mod set;

pub use scope::{Scope, UnknownScope};
pub use set::ScopeSet;
