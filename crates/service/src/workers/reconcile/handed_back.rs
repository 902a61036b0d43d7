//! What a provisioner has handed back, made ready to be stored with the outcome of its attempt.

use std::collections::BTreeMap;

use keys::Peppers;
use orgs::{Failure, Org, ProvisionError, ProvisionOutput, Provisioner, SecretMask, Verb};
use ratelimit::Limiter;
use stores::{Database, SealedOrgSecrets, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

use crate::{Env, Service, orgs::secrets};

/// Outputs and sealed secrets; what the provisioner did not name stays as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct HandedBack {
    outputs: Option<BTreeMap<String, String>>,
    secrets: Option<NewSecrets>,
}

/// Secrets in place of those that an org has.
#[derive(Clone, Debug)]
pub(super) struct NewSecrets {
    names: Vec<String>,
    sealed: SealedOrgSecrets,
}

impl HandedBack {
    pub(super) fn new(
        (env, peppers): (&Env, &Peppers),
        org: &Org,
        output: ProvisionOutput,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            outputs: output.outputs,
            secrets: output.secrets.map(|plain| NewSecrets {
                names: plain.names(),
                sealed: secrets::seal(env, peppers, org.id, &plain, now),
            }),
        }
    }

    /// Writes into the org what stands in its row; the secrets that are to be stored beside it.
    pub(super) fn apply(&self, org: &mut Org) -> Option<&NewSecrets> {
        if let Some(outputs) = &self.outputs {
            org.outputs.clone_from(outputs);
        }
        let secrets = self.secrets.as_ref()?;
        org.secret_names.clone_from(&secrets.names);
        Some(secrets)
    }
}

impl NewSecrets {
    pub(super) fn store<T: Transaction>(&self, tx: &mut T) -> Result<(), StoreError> {
        if self.names.is_empty() {
            tx.org_secrets_erase(self.sealed.org)
        } else {
            tx.org_secrets_put(&self.sealed)
        }
    }
}

/// A rotation must not be taken for done when the secrets are as before: a program that does not know the verb
/// may end as if it did.
pub(super) fn check_rotation(
    verb: Verb,
    org: &Org,
    output: ProvisionOutput,
) -> Result<ProvisionOutput, ProvisionError> {
    if verb != Verb::Rotate || org.secret_names.is_empty() || output.secrets.is_some() {
        return Ok(output);
    }
    Err(ProvisionError::Failed(Failure {
        code: "provisioner-output-invalid".to_owned(),
        message: "the provisioner handed back no secrets".to_owned(),
    }))
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// The secrets that an org has, to be hidden in what its provisioner says.
    pub(super) async fn known_secrets(&self, org: &Org) -> Result<SecretMask, StoreError> {
        let mut mask = SecretMask::default();
        if org.secret_names.is_empty() {
            return Ok(mask);
        }
        let id = org.id;
        let stored: Result<_, StoreError> = self.db.read(move |view| view.org_secrets(&[id])).await;
        if let Some(sealed) = stored?.first()
            && let Some(plain) = secrets::open(&self.settings.peppers, sealed)
        {
            mask.add(&plain);
        }
        Ok(mask)
    }
}
