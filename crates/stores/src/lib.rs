#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use std::future::Future;

use audit::{AuditQueries, AuditStore, Event};
use ids::{EventId, KeyId};
use instances::{InstanceQueries, InstanceStore};
use keys::{
    AdminKeyQueries, AdminKeyStore, KeyChangeQueries, KeyChangeStore, KeyQueries, KeyStore,
    LeakQueries, LeakStore, PartnerQueries, PartnerStore, PepperQueries, PepperStore,
};
use orgs::{
    OrgDeletionQueries, OrgDeletionStore, OrgQueries, OrgStore, OrgWorkQueries, OrgWorkStore,
    SlugStore, SubscriptionQueries, SubscriptionStore, WorkspaceQueries, WorkspaceStore,
};
use time::OffsetDateTime;
use trust::{TrustRuleQueries, TrustRuleStore};
use webhooks::{
    AnnouncementQueries, AnnouncementStore, DeliveryQueries, DeliveryStore, EndpointQueries,
    EndpointStore, WebhookRetention,
};

mod error;
mod idempotency;
mod org_secrets;
pub mod prelude;
mod requester;

pub use error::StoreError;
pub use idempotency::{
    IdempotencyId, IdempotencyQueries, IdempotencyStore, IssuedSecret, StoredResponse,
};
pub use org_secrets::{OrgSecretQueries, OrgSecretStore, SealedOrgSecrets};
pub use requester::Requester;

/// All queries of a database.
pub trait Queries:
    PartnerQueries<Error = StoreError>
    + KeyQueries<Error = StoreError>
    + AdminKeyQueries<Error = StoreError>
    + KeyChangeQueries<Error = StoreError>
    + LeakQueries<Error = StoreError>
    + PepperQueries<Error = StoreError>
    + OrgQueries<Error = StoreError>
    + OrgDeletionQueries<Error = StoreError>
    + OrgWorkQueries<Error = StoreError>
    + WorkspaceQueries<Error = StoreError>
    + SubscriptionQueries<Error = StoreError>
    + AuditQueries<Error = StoreError>
    + EndpointQueries<Error = StoreError>
    + DeliveryQueries<Error = StoreError>
    + AnnouncementQueries<Error = StoreError>
    + InstanceQueries<Error = StoreError>
    + TrustRuleQueries<Error = StoreError>
    + OrgSecretQueries
    + IdempotencyQueries
{
}

impl<T> Queries for T where
    T: PartnerQueries<Error = StoreError>
        + KeyQueries<Error = StoreError>
        + AdminKeyQueries<Error = StoreError>
        + KeyChangeQueries<Error = StoreError>
        + LeakQueries<Error = StoreError>
        + PepperQueries<Error = StoreError>
        + OrgQueries<Error = StoreError>
        + OrgDeletionQueries<Error = StoreError>
        + OrgWorkQueries<Error = StoreError>
        + WorkspaceQueries<Error = StoreError>
        + SubscriptionQueries<Error = StoreError>
        + AuditQueries<Error = StoreError>
        + EndpointQueries<Error = StoreError>
        + DeliveryQueries<Error = StoreError>
        + AnnouncementQueries<Error = StoreError>
        + InstanceQueries<Error = StoreError>
        + TrustRuleQueries<Error = StoreError>
        + OrgSecretQueries
        + IdempotencyQueries
{
}

/// All writes that one transaction can make, and all queries.
pub trait Transaction:
    Queries
    + PartnerStore
    + KeyStore
    + AdminKeyStore
    + KeyChangeStore
    + LeakStore
    + PepperStore
    + OrgStore
    + OrgDeletionStore
    + OrgWorkStore
    + SlugStore
    + WorkspaceStore
    + SubscriptionStore
    + AuditStore
    + EndpointStore
    + DeliveryStore
    + AnnouncementStore
    + WebhookRetention
    + IdempotencyStore
    + InstanceStore
    + TrustRuleStore
    + OrgSecretStore
{
    /// Runs a part of the transaction so that, when it fails, its changes are undone and the rest of
    /// the transaction goes on.
    ///
    /// # Errors
    /// The part's own, or the store's when the savepoint can't be set or released.
    fn savepoint<T, E: From<StoreError>>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E>;
}

/// A database. Cloning one gives another handle to the same.
pub trait Database: Clone + Send + Sync + 'static {
    /// What a reader is given: queries, and no way to change anything.
    type View: Queries;
    /// What a writer is given.
    type Tx: Transaction;

    /// Runs queries on one connection.
    ///
    /// # Errors
    /// The closure's own, or the store's when there is no connection to be had.
    fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static;

    /// Runs a short query of the server's own, which goes on however much callers ask for: a database may keep
    /// a connection for it. The closure begins when it holds that connection.
    ///
    /// # Errors
    /// As for [`Database::read`].
    fn read_control<T, E>(
        &self,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.read(work)
    }

    /// Runs the queries of a list on one connection. They may take long, so a database may let lists
    /// have a share of its connections alone, and each requester a share of that. When the future is
    /// dropped, the work ends at its next step.
    ///
    /// # Errors
    /// As for [`Database::read`]; [`StoreError::Throttled`] when too many lists of this requester wait.
    fn read_list<T, E>(
        &self,
        _by: Requester,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.read(work)
    }

    /// Runs one transaction: all of its changes are durable when this returns `Ok`, none of them are
    /// there when it returns `Err`.
    ///
    /// The closure may run more than once and has no effect but on the transaction. Whatever follows
    /// from a change is done by the caller, afterwards. When the future is dropped, the transaction
    /// may still be carried out.
    ///
    /// # Errors
    /// The closure's own, or the store's when the transaction can't be carried out.
    fn write<T, E>(
        &self,
        work: impl Fn(&mut Self::Tx) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static;

    /// Runs a short write of the server's own, which goes on however much callers ask for. What it has
    /// changed can be read when this returns; a crash of the machine may undo it. It records no audit events.
    ///
    /// # Errors
    /// As for [`Database::write`].
    fn write_control<T, E>(
        &self,
        work: impl Fn(&mut Self::Tx) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write(work)
    }

    /// How many writes of different callers one transaction may hold at the most.
    fn max_batch(&self) -> usize;

    /// Adds one audit event, alone; it is durable when this returns. The id that it has got comes back.
    ///
    /// The same as a [`Database::write`] that does only this, and cheaper. The event comes in a box, for it
    /// goes to another thread and should not be copied on its way.
    ///
    /// # Errors
    /// When the event can't be made durable.
    fn append(&self, event: Box<Event>)
    -> impl Future<Output = Result<EventId, StoreError>> + Send;

    /// Records a key's last use, and that of its secret where that is named, alone; it is durable when this
    /// returns.
    ///
    /// The same as a [`Database::write`] that does only this; a database may have a cheaper way.
    ///
    /// # Errors
    /// When that can't be made durable.
    fn key_used(
        &self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.write(move |tx| tx.key_touch(id, secret, at))
    }
}
