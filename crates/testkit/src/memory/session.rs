//! What a closure works on: a copy of the state, to read or to change.

use std::{collections::BTreeSet, marker::PhantomData, sync::Arc};

use audit::Event;
use ids::{
    AdminKeyId, DeliveryId, EndpointId, EventId, InstanceId, KeyId, OrgId, PartnerId, RequestId,
    TrustRuleId, WorkspaceId,
};
use instances::Instance;
use keys::{AdminKey, Changed, KeyDigest, LeakReport, Partner, PartnerKey};
use orgs::{Lease, Org, Slug, Step, Subscription, Workspace};
use stores::{IssuedSecret, SealedOrgSecrets, StoreError, StoredResponse, Transaction};
use time::OffsetDateTime;
use trust::{TokenDigest, TrustRule};
use webhooks::{Delivery, Endpoint, SealedSecrets};

use super::table::Table;

/// Everything that is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) partners: Table<PartnerId, Partner>,
    pub(super) keys: Table<KeyId, Stored<PartnerKey>>,
    pub(super) keys_with_orgs_to_go: BTreeSet<(OffsetDateTime, KeyId)>,
    pub(super) older_secrets: Table<KeyId, OlderDigest>,
    pub(super) admin_keys: Table<AdminKeyId, Stored<AdminKey>>,
    pub(super) pepper_check: Option<String>,
    pub(super) pepper_notes: keys::PepperNotes,
    pub(super) key_revision: u64,
    pub(super) key_changes: Arc<Vec<(u64, Changed)>>,
    pub(super) changes_to_confirm: BTreeSet<u64>,
    pub(super) leak_reports: Table<RequestId, LeakReport>,
    pub(super) leak_notices: Table<(String, [u8; 32]), LeakNotice>,
    pub(super) instances: Table<InstanceId, Instance>,
    pub(super) slugs: Table<Slug, SlugRow>,
    pub(super) orgs: Table<OrgId, OrgRow>,
    pub(super) workspaces: Table<WorkspaceId, Workspace>,
    pub(super) subscriptions: Table<OrgId, Subscription>,
    pub(super) org_secrets: Table<OrgId, SealedOrgSecrets>,
    pub(super) events: Table<EventId, Event>,
    pub(super) replies: Table<(String, [u8; 32]), ReplyRow>,
    pub(super) endpoints: Table<EndpointId, EndpointRow>,
    pub(super) deliveries: Table<DeliveryId, Delivery>,
    /// What ends, and when; the value is the same once more.
    pub(super) announcements: Table<(String, OffsetDateTime), (String, OffsetDateTime)>,
    pub(super) trust_rules: Table<TrustRuleId, TrustRuleRow>,
    pub(super) token_uses: Table<TokenDigest, OffsetDateTime>,
}

impl State {
    pub(super) fn insert_event(&mut self, event: Event) -> Result<(), StoreError> {
        self.events.insert(event.id, event)
    }
}

/// The key of which somebody was told, where its leak was seen, and when that was told.
pub(super) type LeakNotice = (String, [u8; 32], OffsetDateTime);

/// A key as it is stored: beside its digest.
#[derive(Clone, Debug)]
pub(super) struct Stored<K> {
    pub(super) key: K,
    pub(super) digest: KeyDigest,
}

/// The secret before a key's newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct OlderDigest {
    pub(super) digest: KeyDigest,
    /// When its rotation is to be looked at, unless that is over.
    pub(super) check_at: Option<OffsetDateTime>,
}

/// Who has a slug, or had it last.
#[derive(Clone, Debug)]
pub(super) struct SlugRow {
    pub(super) org: OrgId,
    pub(super) partner: PartnerId,
    pub(super) freed_at: Option<OffsetDateTime>,
}

/// A trust rule as it is stored.
#[derive(Clone, Debug)]
pub(super) struct TrustRuleRow {
    pub(super) rule: TrustRule,
    pub(super) deleted: bool,
    pub(super) keys_to_revoke: bool,
}

/// An answer that is kept.
#[derive(Clone, Debug)]
pub(super) struct ReplyRow {
    pub(super) kept: StoredResponse,
    pub(super) issued: Option<IssuedSecret>,
    pub(super) begun_at: OffsetDateTime,
}

/// A webhook endpoint as it is stored.
#[derive(Clone, Debug)]
pub(super) struct EndpointRow {
    pub(super) endpoint: Endpoint,
    /// None once it is deleted.
    pub(super) secrets: Option<SealedSecrets>,
    pub(super) deleted_at: Option<OffsetDateTime>,
    pub(super) lease: Option<webhooks::Lease>,
}

/// An org as it is stored: beside what the reconciler needs.
#[derive(Clone, Debug)]
pub(super) struct OrgRow {
    pub(super) org: Org,
    pub(super) steps: Vec<Step>,
    pub(super) due_at: Option<OffsetDateTime>,
    pub(super) lease: Option<Lease>,
}

impl OrgRow {
    pub(super) fn is_held(&self, now: OffsetDateTime) -> bool {
        self.lease.is_some_and(|lease| lease.until > now)
    }
}

/// The mode of a session that can only ask.
#[derive(Clone, Copy, Debug)]
pub enum ReadOnly {}

/// The mode of a session that can ask and change.
#[derive(Clone, Copy, Debug)]
pub enum ReadWrite {}

/// A copy of the state; what it may be used for is in its mode.
#[derive(Debug)]
pub struct Session<Mode> {
    pub(super) state: State,
    mode: PhantomData<Mode>,
}

/// What a reader is given.
pub type MemoryView = Session<ReadOnly>;

/// What a writer is given.
pub type MemoryTx = Session<ReadWrite>;

impl<Mode> Session<Mode> {
    pub(super) const fn new(state: State) -> Self {
        Self {
            state,
            mode: PhantomData,
        }
    }

    pub(super) fn into_state(self) -> State {
        self.state
    }
}

impl Transaction for MemoryTx {
    fn savepoint<T, E: From<StoreError>>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.state.clone();
        part(self).inspect_err(|_| self.state = before)
    }
}
