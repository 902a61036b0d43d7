//! The scopes there are.

use std::{fmt, str::FromStr};

/// A name that is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; the scopes are {list}", list = Scope::list())]
pub struct UnknownScope(pub String);

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// One thing that a key may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[$doc])* $variant,)*
        }

        impl Scope {
            /// All scopes, in the order in which they are printed.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

scopes! {
    /// Create orgs; read and poll those that this very key created.
    OrgsCreate = "orgs:create";
    /// List, read and poll the partner's orgs and their workspaces.
    OrgsList = "orgs:list";
    /// Change orgs.
    OrgsUpdate = "orgs:update";
    /// Delete orgs.
    OrgsDelete = "orgs:delete";
    /// Read and rotate the secrets of orgs.
    OrgsSecrets = "orgs:secrets";
    /// Create workspaces in orgs.
    WorkspacesCreate = "workspaces:create";
    /// Read the billing state of orgs.
    BillingRead = "billing:read";
    /// Read the partner's audit events.
    AuditRead = "audit:read";
    /// Manage the partner's webhook endpoints.
    WebhooksManage = "webhooks:manage";
}

impl Scope {
    fn list() -> String {
        Self::ALL
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .iter()
            .copied()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_reads_back_as_it_was_printed() {
        for &scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
    }

    #[test]
    fn near_misses_are_unknown_and_the_error_names_the_scopes() {
        for text in [
            "",
            "orgs",
            "orgs:*",
            "ORGS:LIST",
            " orgs:list",
            "orgs:list ",
            "orgs:create,",
        ] {
            let error = text.parse::<Scope>().unwrap_err();
            assert!(error.to_string().contains("billing:read"), "{error}");
        }
    }
}
