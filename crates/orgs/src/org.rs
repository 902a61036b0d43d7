//! An org and who may see it.

use std::collections::BTreeMap;

use ids::{KeyId, Labels, Name, OrgId, PartnerId, PlanName};
use time::OffsetDateTime;

use crate::{InvalidTransition, OrgConfig, OrgOptions, OrgStatus, Slug, Transition, Ttl, Verb};

/// Why the last attempt at an org did not succeed, in words that its partner can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short name of the cause.
    pub code: String,
    /// What happened and what can be done.
    pub message: String,
}

/// Why the lease of an org can't be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseConflict {
    /// It has none.
    #[error("the org has no lease; it stays until it is deleted")]
    None,
    /// It has run out.
    #[error("the org's lease has run out; it is being deleted")]
    Expired,
    /// The org is deleted or being deleted.
    #[error("the org is {0}; its lease can't be renewed any more")]
    Deleting(OrgStatus),
}

/// What is to be changed of an org by its provisioner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// When it was asked for, which tells it from the org's other changes.
    pub requested_at: OffsetDateTime,
    /// What it is.
    pub kind: ChangeKind,
}

/// The kinds of changes that a provisioner carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The org gets this plan and these options.
    Update(OrgConfig),
    /// The org gets other secrets.
    Rotate,
}

impl ChangeKind {
    /// What the provisioner is asked to do.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Update(_) => Verb::Update,
            Self::Rotate => Verb::Rotate,
        }
    }
}

/// An org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// The key that created it.
    pub created_by_key_id: KeyId,
    /// Its name.
    pub name: Name,
    /// Its slug.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanName,
    /// Its options.
    pub options: OrgOptions,
    /// What is being changed while it is [`OrgStatus::Updating`]; `None` otherwise.
    pub change: Option<PendingChange>,
    /// Its status.
    pub status: OrgStatus,
    /// The partner's own name for it.
    pub external_id: Option<Name>,
    /// Labels.
    pub labels: Labels,
    /// Whether deleting it is refused. It has no lease then.
    pub delete_protection: bool,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// When it first became ready.
    pub ready_at: Option<OffsetDateTime>,
    /// When its lease ends, if it has one.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was deleted.
    pub deleted_at: Option<OffsetDateTime>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// What its provisioner has handed back for all who see it.
    pub outputs: BTreeMap<String, String>,
    /// The names of the secrets that its provisioner has handed back.
    pub secret_names: Vec<String>,
    /// How many attempts at its present work have ended.
    pub attempts: u32,
}

impl Org {
    /// What its provisioner is to do, if anything.
    #[must_use]
    pub fn verb(&self) -> Option<Verb> {
        match self.status {
            OrgStatus::Provisioning => Some(Verb::Provision),
            OrgStatus::Deprovisioning => Some(Verb::Deprovision),
            OrgStatus::Updating => self.change.as_ref().map(|change| change.kind.verb()),
            OrgStatus::Ready | OrgStatus::Failed | OrgStatus::Suspended | OrgStatus::Deleted => {
                None
            }
        }
    }

    /// Begins a change that its provisioner is to carry out.
    ///
    /// # Errors
    /// When it is not ready; nothing is changed then.
    pub fn begin_change(
        &mut self,
        kind: ChangeKind,
        now: OffsetDateTime,
    ) -> Result<(), InvalidTransition> {
        self.apply(Transition::Change, now)?;
        self.change = Some(PendingChange {
            requested_at: now,
            kind,
        });
        Ok(())
    }

    /// Applies a transition at `now`, with its times and its failure.
    ///
    /// # Errors
    /// When the transition does not start at its status; nothing is changed then.
    pub fn apply(
        &mut self,
        step: Transition,
        now: OffsetDateTime,
    ) -> Result<(), InvalidTransition> {
        self.status = self.status.after(step)?;
        self.updated_at = now;
        match step {
            Transition::Provisioned => {
                self.ready_at = self.ready_at.or(Some(now));
                self.failure = None;
            }
            Transition::Retry | Transition::Change => {
                self.attempts = 0;
                self.failure = None;
            }
            Transition::Delete => {
                self.attempts = 0;
                self.failure = None;
                self.change = None;
            }
            Transition::Changed => {
                self.failure = None;
                if let Some(PendingChange {
                    kind: ChangeKind::Update(config),
                    ..
                }) = self.change.take()
                {
                    self.plan = config.plan;
                    self.options = config.options;
                }
            }
            Transition::KeepUnchanged => self.change = None,
            Transition::Deprovisioned => {
                self.deleted_at = Some(now);
                self.failure = None;
            }
            Transition::GiveUp | Transition::Suspend | Transition::Resume => {}
        }
        Ok(())
    }

    /// Lets its lease end this long after `now`.
    ///
    /// # Errors
    /// When there is no lease to renew; nothing is changed then.
    pub fn renew(&mut self, ttl: Ttl, now: OffsetDateTime) -> Result<(), LeaseConflict> {
        if !self.status.is_deletable() {
            return Err(LeaseConflict::Deleting(self.status));
        }
        let end = self.expires_at.ok_or(LeaseConflict::None)?;
        if end <= now {
            return Err(LeaseConflict::Expired);
        }
        self.expires_at = Some(ttl.end(now));
        Ok(())
    }
}

/// Which orgs a caller can see. A store that is given a visibility returns nothing beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgVisibility {
    /// Every org, for the operator.
    All,
    /// The orgs of one partner.
    Partner(PartnerId),
    /// Those that one of the partner's keys created.
    MadeBy(PartnerId, KeyId),
    /// One org of one partner.
    One(PartnerId, OrgId),
}

impl OrgVisibility {
    /// What of it belongs to this partner; `None` when nothing does.
    #[must_use]
    pub fn narrowed_to(self, partner: PartnerId) -> Option<Self> {
        match self {
            Self::All => Some(Self::Partner(partner)),
            Self::Partner(own) | Self::MadeBy(own, _) | Self::One(own, _) => {
                (own == partner).then_some(self)
            }
        }
    }

    /// Whether the org is visible.
    #[must_use]
    pub fn includes(self, org: &Org) -> bool {
        match self {
            Self::All => true,
            Self::Partner(partner) => org.partner_id == partner,
            Self::MadeBy(partner, key) => org.partner_id == partner && org.created_by_key_id == key,
            Self::One(partner, id) => org.partner_id == partner && org.id == id,
        }
    }
}
