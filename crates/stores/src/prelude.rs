//! The store traits of all tables, for their methods.

pub use audit::{AuditQueries as _, AuditStore as _};
pub use instances::{InstanceQueries as _, InstanceStore as _};
pub use keys::{
    AdminKeyQueries as _, AdminKeyStore as _, KeyChangeQueries as _, KeyChangeStore as _,
    KeyQueries as _, KeyStore as _, LeakQueries as _, LeakStore as _, PartnerQueries as _,
    PartnerStore as _, PepperQueries as _, PepperStore as _,
};
pub use orgs::{
    OrgDeletionQueries as _, OrgDeletionStore as _, OrgQueries as _, OrgStore as _,
    OrgWorkQueries as _, OrgWorkStore as _, SlugStore as _, SubscriptionQueries as _,
    SubscriptionStore as _, WorkspaceQueries as _, WorkspaceStore as _,
};
pub use trust::{TrustRuleQueries as _, TrustRuleStore as _};
pub use webhooks::{
    AnnouncementQueries as _, AnnouncementStore as _, DeliveryQueries as _, DeliveryStore as _,
    EndpointQueries as _, EndpointStore as _, WebhookRetention as _,
};

pub use crate::{
    IdempotencyQueries as _, IdempotencyStore as _, OrgSecretQueries as _, OrgSecretStore as _,
};
