//! The events of what the program itself does to admin keys.

use api::Time;
use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::AdminKeyId;
use keys::AdminKey;
use stores::{StoreError, Transaction};

use super::SystemUser;
use crate::Env;

/// Writes the events of what the program itself does to admin keys, and for whom.
pub(super) struct SystemRecorder(pub(super) Env, pub(super) Option<SystemUser>);

impl SystemRecorder {
    pub(super) fn revoke<T: Transaction>(
        &self,
        tx: &mut T,
        id: AdminKeyId,
    ) -> Result<bool, StoreError> {
        let changed = tx.admin_key_revoke(id, self.0.now())?;
        if changed {
            self.record(tx, Action::AdminKeyRevoke, id, self.details())?;
        }
        Ok(changed)
    }

    pub(super) fn record_created<T: Transaction>(
        &self,
        tx: &mut T,
        key: &AdminKey,
    ) -> Result<(), StoreError> {
        let mut details = self.details();
        details.insert("name".to_owned(), key.name.as_str().into());
        details.insert("role".to_owned(), key.role.as_str().into());
        if let Some(end) = key.expires_at {
            details.insert("expires_at".to_owned(), Time(end).to_string().into());
        }
        if let Some(networks) = &key.allowed_cidrs {
            let networks: Vec<String> = networks.iter().collect();
            details.insert("allowed_cidrs".to_owned(), networks.into());
        }
        self.record(tx, Action::AdminKeyCreate, key.id, details)
    }

    fn details(&self) -> Details {
        self.1.as_ref().map(SystemUser::details).unwrap_or_default()
    }

    fn record<T: Transaction>(
        &self,
        tx: &mut T,
        action: Action,
        id: AdminKeyId,
        details: Details,
    ) -> Result<(), StoreError> {
        let event = Event {
            id: self.0.id(),
            occurred_at: self.0.now(),
            actor: Actor::System { partner_id: None },
            action,
            target: Target::one(TargetKind::AdminKey, id),
            org_id: None,
            outcome: Outcome::Success,
            request: None,
            details,
        };
        tx.event_record(&event).map(drop)
    }
}
