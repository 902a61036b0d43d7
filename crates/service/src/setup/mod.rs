//! What a server and the command line do to a database before and beside serving.
//!
//! It owns the checks of peppers and the operator's admin keys. It must not know requests.

use std::sync::Arc;

use audit::{AuditVisibility, Details, EventFilter};
use ids::{AdminKeyId, Name, PageRequest, TypedId as _};
use instances::Instance;
use keys::{
    AdminKey, AdminKeyDraft, AdminKeyOrigin, KeyDigest, KeyKind, PepperId, Peppers, PlainKey,
};
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

pub(crate) mod instance;
pub(crate) mod peppers;
mod recorder;

use self::{
    instance::{NewInstance, OtherInstance},
    recorder::SystemRecorder,
};
use crate::{Env, OrphanPolicy, Orphans};

/// Why a server can't start on this database.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The pepper is not the one that the stored digests were made with.
    #[error(
        "the pepper is not the one that this database was made with: no key would verify; put the \
         right pepper back, or name it among the retired ones"
    )]
    ForeignPepper,
    /// Keys would be unknown from now on, and secrets could not be read any more.
    #[error(
        "{0}: they would be lost. Give the pepper among the retired ones, or start once with --force to give \
         them up; `molecule-cp pepper status` tells more"
    )]
    Orphans(Orphans),
    /// A live instance has another admin key of the settings.
    #[error(
        "{0}. Two of them would end each other's admin keys. Start all with the same one, or stop the others \
         first; one that was killed counts as live for 5 seconds"
    )]
    OtherAdminKey(OtherInstance),
    /// The database did not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a start has created.
#[derive(Debug, Default)]
pub struct FirstStart {
    /// The first admin key, shown once.
    pub admin_key: Option<PlainKey>,
    /// The instance that was registered, if one was to be.
    pub instance: Option<Instance>,
}

/// The system user who used the command line.
#[derive(Clone, Debug)]
pub struct SystemUser {
    /// The name of the user, as the system knows it.
    pub name: String,
    /// The name of the machine.
    pub host: String,
}

impl SystemUser {
    pub(crate) fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("system_user".to_owned(), self.name.as_str().into());
        details.insert("host".to_owned(), self.host.as_str().into());
        details
    }
}

/// Makes new ids rise above those of all stored events, so that the log goes on where another process has ended,
/// although the clock was set back since.
///
/// # Errors
/// When the database fails.
pub async fn resume_ids<D: Database>(db: &D, env: &Env) -> Result<(), StoreError> {
    let newest = PageRequest::new(1, None);
    let all = EventFilter::all(AuditVisibility::All);
    let page = db.read(move |view| view.events(&all, newest)).await?;
    if let Some(event) = page.items.first() {
        env.advance_past(event.id.ulid());
    }
    Ok(())
}

/// Gets a migrated database ready to serve: the pepper is checked or stored, the operator's own admin key is
/// activated, where there is no admin key at all, one is created, and the instance is registered.
///
/// # Errors
/// When the pepper is another one, when keys need one that is not given, when a live instance has another
/// operator's key, or the database fails.
pub async fn prepare<D: Database>(
    db: &D,
    env: &Env,
    peppers: &Peppers,
    operator_key: Option<&PlainKey>,
    orphans: OrphanPolicy,
    instance: Option<NewInstance>,
) -> Result<FirstStart, SetupError> {
    let fresh = env.key(KeyKind::Admin);
    let webhook_secrets = peppers::orphaned_webhook_secrets(db, peppers).await?;
    let operator = match operator_key {
        None => None,
        Some(key) => Some(Operator {
            candidates: peppers.candidates(key).collect(),
            new: Prepared {
                key: admin_key(env, AdminKeyOrigin::Settings, settings_key()?),
                digest: peppers.digest(key),
            },
        }),
    };
    let start = Arc::new(Start {
        checks: peppers.check_values().collect(),
        given: peppers.ids().collect(),
        now: env.now(),
        generated: Prepared {
            key: admin_key(env, AdminKeyOrigin::Generated, first_key()?),
            digest: peppers.digest(&fresh),
        },
        operator,
        orphans: (orphans, webhook_secrets),
        instance: instance.map(|new| new.into_instance(env)),
        recorder: SystemRecorder(env.clone(), None),
    });
    let run = |is_writable: bool| {
        let start = Arc::clone(&start);
        db.write(move |tx| start.run(tx, is_writable))
    };
    let (is_created, instance) = match run(true).await {
        // A start on a database that can't be written to for now must not need to write.
        Err(SetupError::Store(error)) if error.is_temporary() => run(false).await?,
        outcome => outcome?,
    };
    Ok(FirstStart {
        admin_key: is_created.then_some(fresh),
        instance,
    })
}

/// What a start does in its transaction.
struct Start {
    checks: Vec<String>,
    given: Vec<PepperId>,
    now: OffsetDateTime,
    generated: Prepared,
    operator: Option<Operator>,
    /// What to do about orphans, and how many of them are webhook secrets.
    orphans: (OrphanPolicy, u64),
    instance: Option<Instance>,
    recorder: SystemRecorder,
}

impl Start {
    /// Whether the first admin key was made, and the instance as it was registered.
    fn run<T: Transaction>(
        &self,
        tx: &mut T,
        is_writable: bool,
    ) -> Result<(bool, Option<Instance>), SetupError> {
        check_pepper(tx, &self.checks)?;
        let operators_key = match &self.operator {
            Some(operator) => Some(operator.activate(tx, &self.recorder)?),
            None => None,
        };
        end_settings_keys(tx, &self.recorder, operators_key)?;
        peppers::check(tx, &self.given, self.now, self.orphans)?;
        let first = self.operator.is_none() && tx.admin_keys()?.is_empty();
        if first {
            self.generated.insert(tx, &self.recorder)?;
        }
        // Last, for it waits for other starts.
        let registered = match &self.instance {
            None => None,
            Some(instance) => {
                let registered = instance::register(tx, instance, operators_key, is_writable)?;
                Some(registered)
            }
        };
        Ok((first, registered))
    }
}

/// Creates an admin key; the secret is shown once. On a database without a pepper, the current one is stored.
///
/// # Errors
/// When the database's pepper is not the current one, for then the key might verify nowhere; or the
/// database fails.
pub async fn admin_key_create<D: Database>(
    db: &D,
    env: &Env,
    peppers: &Peppers,
    draft: AdminKeyDraft,
    by: SystemUser,
) -> Result<(AdminKey, PlainKey), SetupError> {
    let secret = env.key(KeyKind::Admin);
    let prepared = Prepared {
        key: admin_key(env, AdminKeyOrigin::Generated, draft),
        digest: peppers.digest(&secret),
    };
    let key = prepared.key.clone();
    let recorder = SystemRecorder(env.clone(), Some(by));
    let current: Vec<String> = peppers.check_values().take(1).collect();
    db.write(move |tx| -> Result<(), SetupError> {
        check_pepper(tx, &current)?;
        Ok(prepared.insert(tx, &recorder)?)
    })
    .await?;
    Ok((key, secret))
}

/// Revokes an admin key; `false` when it was revoked already or is not there.
///
/// # Errors
/// When the database fails.
pub async fn admin_key_revoke<D: Database>(
    db: &D,
    env: &Env,
    id: AdminKeyId,
    by: SystemUser,
) -> Result<bool, StoreError> {
    let recorder = SystemRecorder(env.clone(), Some(by));
    db.write(move |tx| recorder.revoke(tx, id)).await
}

/// Checks that the stored digests were made with one of these peppers, and stores the current one.
fn check_pepper<T: Transaction>(tx: &mut T, checks: &[String]) -> Result<(), SetupError> {
    let Some(current) = checks.first() else {
        return Err(SetupError::ForeignPepper);
    };
    // Another start may be quicker, with the same pepper or with one of its own: then look again.
    for _ in 0..3 {
        let stored = tx.pepper_check()?;
        if stored.as_ref() == Some(current) {
            return Ok(());
        }
        if stored
            .as_ref()
            .is_some_and(|stored| !checks.contains(stored))
        {
            return Err(SetupError::ForeignPepper);
        }
        if tx.pepper_check_replace(stored.as_deref(), current)? {
            return Ok(());
        }
    }
    Err(SetupError::ForeignPepper)
}

fn first_key() -> Result<AdminKeyDraft, StoreError> {
    operator_named("first admin key")
}

fn settings_key() -> Result<AdminKeyDraft, StoreError> {
    operator_named("admin key of the settings")
}

fn operator_named(name: &str) -> Result<AdminKeyDraft, StoreError> {
    Name::new(name)
        .map(AdminKeyDraft::operator)
        .map_err(|_| StoreError::Corrupt { what: "the name" })
}

fn admin_key(env: &Env, origin: AdminKeyOrigin, draft: AdminKeyDraft) -> AdminKey {
    let AdminKeyDraft {
        name,
        role,
        expires_at,
        allowed_cidrs,
    } = draft;
    AdminKey {
        id: env.id(),
        name,
        origin,
        role,
        expires_at,
        allowed_cidrs,
        created_at: env.now(),
        revoked_at: None,
    }
}

/// An admin key that may be added.
struct Prepared {
    key: AdminKey,
    digest: KeyDigest,
}

impl Prepared {
    fn insert<T: Transaction>(
        &self,
        tx: &mut T,
        recorder: &SystemRecorder,
    ) -> Result<(), StoreError> {
        tx.admin_key_insert(&self.key, &self.digest)?;
        recorder.record_created(tx, &self.key)
    }
}

/// The admin key that the settings name.
struct Operator {
    candidates: Vec<KeyDigest>,
    new: Prepared,
}

impl Operator {
    /// Takes the key into use; its id.
    fn activate<T: Transaction>(
        &self,
        tx: &mut T,
        recorder: &SystemRecorder,
    ) -> Result<AdminKeyId, StoreError> {
        let mut known = None;
        for digest in &self.candidates {
            known = tx.admin_key_by_digest(std::slice::from_ref(digest))?;
            if let Some(key) = &known {
                // Under a retired pepper it would need that for as long as it is set.
                if *digest != self.new.digest {
                    tx.admin_key_digest_renew(key.id, digest, &self.new.digest)?;
                }
                break;
            }
        }
        match &known {
            None => self.new.insert(tx, recorder)?,
            Some(key) if key.revoked_at.is_some() => {
                tx.admin_key_restore(key.id)?;
                recorder.record_created(tx, key)?;
            }
            Some(_) => {}
        }
        Ok(known.map_or(self.new.key.id, |key| key.id))
    }
}

/// Ends every admin key that came from settings which no longer name it.
fn end_settings_keys<T: Transaction>(
    tx: &mut T,
    recorder: &SystemRecorder,
    but: Option<AdminKeyId>,
) -> Result<(), StoreError> {
    for key in tx.admin_keys()? {
        if key.origin == AdminKeyOrigin::Settings && Some(key.id) != but && key.revoked_at.is_none()
        {
            recorder.revoke(tx, key.id)?;
        }
    }
    Ok(())
}
