//! The store traits, one or two for each table or concern: queries, and the writes of a transaction.

mod deletions;
mod orgs;
mod slugs;
mod subscriptions;
mod work;
mod workspaces;

pub use deletions::{DeletionSelector, ExpiredOrgs, OrgDeletionQueries, OrgDeletionStore};
pub use orgs::{NewOrg, OrgQueries, OrgStore, StatusSummary};
pub use slugs::{SlugRequest, SlugStore};
pub use subscriptions::{SubscriptionQueries, SubscriptionStore};
pub use work::{
    DueLimits, DueOrg, DueOrgs, Lease, LeaseToken, OrgBacklog, OrgProgress, OrgWork,
    OrgWorkQueries, OrgWorkStore,
};
pub use workspaces::{WorkspaceQueries, WorkspaceStore};
