//! What is done about leaked keys.

use std::{collections::BTreeMap, sync::Arc, time::Duration as StdDuration};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{AdminKeyId, EventId, KeyId};
use keys::{
    AdminKey, KeyDigest, KeyKind, KeyStatus, KeyWithPartner, LeakLocation, LeakReport, LeakSubject,
    LeakUrl, OnLeak, PartnerKey, RevocationReason,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::{Duration, OffsetDateTime};
use tokio::{sync::Notify, time::sleep};
use webhooks::EventKind;

use super::{
    LeakedToken,
    found::{Found, LeakedKey, LeakedSecret},
};
use crate::{Env, Next, Service, webhooks::outbox::Outbox};

/// How many digests one query is about.
const LOOKUPS: usize = 250;
/// Between two queries, which are one reader's at the most: others ask meanwhile.
const LOOKUP_PAUSE: StdDuration = StdDuration::from_millis(2);
/// How many keys one transaction changes.
const KEYS: usize = 25;
/// How many reports are read at once.
const REPORTS: usize = 4;
/// For so long a report is left to the process that has taken it.
const OWN_FOR: Duration = Duration::milliseconds(800);
/// How long after a notice of a leak at one location the next one is sent.
const NOTICE_INTERVAL: Duration = Duration::DAY;

/// What a token turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A key of this server, in use or not.
    Known,
    /// No key of this server.
    Unknown,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Notified when a report is to be handled.
    #[must_use]
    pub fn leaks_wanted(&self) -> Arc<Notify> {
        self.waiting_leaks.wanted()
    }

    /// Handles reports that wait: those that this process has taken, then those that another one has left.
    ///
    /// # Errors
    /// When the database fails; what is left is handled later.
    pub async fn handle_leaks(&self) -> Result<Next, StoreError> {
        if let Some(report) = self.waiting_leaks.pop() {
            self.handle_report(report).await?;
            return Ok(Next::Again);
        }
        let until = self.env.now() - OWN_FOR;
        let left: Result<Vec<LeakReport>, StoreError> = self
            .db
            .read(move |view| view.leak_reports(until, REPORTS))
            .await;
        let left = left?;
        let more = left.len() == REPORTS;
        for report in left {
            self.handle_report(report).await?;
        }
        Ok(more.into())
    }

    async fn handle_report(&self, report: LeakReport) -> Result<(), StoreError> {
        let id = report.id;
        let handled = self.handle_tokens_of(report).await;
        if let Err(error) = &handled {
            if error.is_temporary() {
                return handled;
            }
            // It would be in the way of all others.
            tracing::error!(
                error = error.as_dyn(),
                report_id = %id,
                "handling a report of leaked tokens failed for good; it is dropped"
            );
        }
        self.db.write(move |tx| tx.leak_report_remove(id)).await
    }

    async fn handle_tokens_of(&self, report: LeakReport) -> Result<(), StoreError> {
        let location = Arc::new(report.location);
        let mut found = Found::default();
        for (kind, digests) in [
            (KeyKind::Partner, report.partner_digests),
            (KeyKind::Admin, report.admin_digests),
        ] {
            for digests in digests.chunks(LOOKUPS) {
                let known = self.lookup(kind, digests.to_vec()).await?;
                for (_, subject) in known {
                    found.add(subject, &location);
                }
            }
        }
        self.handle_found(found).await
    }

    /// Handles tokens that somebody has reported who may know what they were, in the tokens' order.
    ///
    /// # Errors
    /// When the database fails; it can be tried again.
    pub async fn leaks_handle(&self, tokens: Vec<LeakedToken>) -> Result<Vec<Verdict>, StoreError> {
        self.leaks.count_report(tokens.len());
        let mut found = Found::default();
        let mut verdicts = vec![Verdict::Unknown; tokens.len()];
        for is_partner in [true, false] {
            let mut places: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
            for (place, leaked) in tokens.iter().enumerate() {
                if (leaked.token.kind() == KeyKind::Partner) == is_partner {
                    for digest in self.settings.peppers.candidates(&leaked.token) {
                        places.entry(*digest.as_bytes()).or_default().push(place);
                    }
                }
            }
            let kind = if is_partner {
                KeyKind::Partner
            } else {
                KeyKind::Admin
            };
            let digests: Vec<KeyDigest> =
                places.keys().copied().map(KeyDigest::from_bytes).collect();
            for digests in digests.chunks(LOOKUPS) {
                for (digest, subject) in self.lookup(kind, digests.to_vec()).await? {
                    for &place in places.get(digest.as_bytes()).into_iter().flatten() {
                        if let Some(leaked) = tokens.get(place) {
                            found.add(subject.clone(), &Arc::new(leaked.location.clone()));
                        }
                        if let Some(verdict) = verdicts.get_mut(place) {
                            *verdict = Verdict::Known;
                        }
                    }
                }
            }
        }
        self.handle_found(found).await?;
        Ok(verdicts)
    }

    /// The keys that are stored under these digests.
    async fn lookup(
        &self,
        kind: KeyKind,
        digests: Vec<KeyDigest>,
    ) -> Result<Vec<(KeyDigest, LeakedKey)>, StoreError> {
        let _turn = self.leak_lookups.lock().await;
        let now = self.env.now();
        let found = self.db.read(move |view| {
            Ok::<_, StoreError>(match kind {
                KeyKind::Partner => {
                    let keys = view.keys_by_digest(&digests)?.into_iter();
                    keys.map(|(digest, found)| (digest, LeakedKey::of(&found, now)))
                        .collect()
                }
                KeyKind::Admin | KeyKind::Operator => {
                    let keys = view.admin_keys_by_digest(&digests)?.into_iter();
                    keys.map(|(digest, key)| (digest, LeakedKey::Admin(key.id)))
                        .collect()
                }
            })
        });
        let found = found.await?;
        sleep(LOOKUP_PAUSE).await;
        Ok(found)
    }

    async fn handle_found(&self, found: Found) -> Result<(), StoreError> {
        let Found {
            partner_keys,
            admin_keys,
        } = found;
        let keys: Vec<(KeyId, LeakedSecret)> = partner_keys.into_iter().collect();
        for keys in keys.chunks(KEYS) {
            let (keys, env, outbox) = (keys.to_vec(), self.env.clone(), self.outbox.clone());
            let handled: Result<Handled, StoreError> = self
                .db
                .write(move |tx| handle_keys(tx, &keys, &env, &outbox))
                .await;
            // Whatever became of the commit, what it may have revoked is not to be accepted.
            self.apply_key_changes().await;
            let handled = handled?;
            self.leaks.count_keys(handled.revoked, handled.notified);
            for id in handled.keys {
                tracing::warn!(key_id = %id, "a partner key has leaked");
            }
            self.outgoing.notify_one();
        }
        for (id, location) in admin_keys {
            let env = self.env.clone();
            let is_told: Result<bool, StoreError> = self
                .db
                .write(move |tx| tell_of_admin_key(tx, id, &location, &env))
                .await;
            if is_told? {
                self.leaks.count_admin_key();
                tracing::error!(
                    admin_key_id = %id,
                    "an admin key has leaked and can still be used; create another one and revoke it"
                );
            }
        }
        Ok(())
    }
}

/// What a transaction has done about leaked keys.
#[derive(Debug, Default)]
struct Handled {
    keys: Vec<KeyId>,
    revoked: usize,
    notified: usize,
}

/// Revokes leaked keys, or tells their partners, in the order of their ids. What is revoked already is left alone; a
/// key that is expired or disabled could be used again and is not.
fn handle_keys<T: Transaction>(
    tx: &mut T,
    keys: &[(KeyId, LeakedSecret)],
    env: &Env,
    outbox: &Outbox,
) -> Result<Handled, StoreError> {
    let now = env.now();
    let ids: Vec<KeyId> = keys.iter().map(|(id, _)| *id).collect();
    tx.keys_lock(&ids)?;
    let mut leaked = Vec::new();
    for (id, secret) in keys {
        let location = &secret.location;
        let held = tx.key(*id)?;
        let Some(held) = held.filter(|held| held.key.revoked_at.is_none()) else {
            continue;
        };
        if held.key.on_leak == OnLeak::Revoke || is_news(tx, LeakSubject::Key(*id), location, now)?
        {
            leaked.push((held, secret));
        }
    }
    // Rows are locked in one order: those of endpoints before the revision of keys.
    for (held, secret) in &leaked {
        announce(tx, held, &secret.location, (outbox, now))?;
    }
    for (held, _) in &leaked {
        let key = &held.key;
        if key.on_leak == OnLeak::Revoke {
            tx.idempotency_erase(key.id)?;
            tx.key_revoke(key.id, now, RevocationReason::Leaked, key.on_revoke)?;
        }
    }
    let mut handled = Handled::default();
    for (held, secret) in &leaked {
        record(tx, &held.key, secret, (env, now))?;
        handled.keys.push(held.key.id);
        match held.key.on_leak {
            OnLeak::Revoke => handled.revoked += 1,
            OnLeak::Notify => handled.notified += 1,
        }
    }
    Ok(handled)
}

/// Whether a leak that ends no key is to be told of: once a day for each location.
fn is_news<T: Transaction>(
    tx: &mut T,
    subject: LeakSubject,
    location: &LeakLocation,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    tx.leak_notice_insert(subject, &location.fingerprint(), now, now - NOTICE_INTERVAL)
}

/// Writes the messages about a leaked key.
fn announce<T: Transaction>(
    tx: &mut T,
    held: &KeyWithPartner,
    location: &LeakLocation,
    (outbox, now): (&Outbox, OffsetDateTime),
) -> Result<(), StoreError> {
    match held.key.on_leak {
        OnLeak::Notify => outbox.leaked_key(tx, &held.key, location, now),
        OnLeak::Revoke => {
            let revoked = PartnerKey {
                revoked_at: Some(now),
                revocation_reason: Some(RevocationReason::Leaked),
                ..held.key.clone()
            };
            outbox.leaked_key(tx, &revoked, location, now)?;
            outbox.key(tx, EventKind::KeyRevoked, &revoked, now)
        }
    }
}

/// Writes the events about a leaked key.
fn record<T: Transaction>(
    tx: &mut T,
    key: &PartnerKey,
    secret: &LeakedSecret,
    (env, now): (&Env, OffsetDateTime),
) -> Result<(), StoreError> {
    let event = |action, details| Event {
        id: env.id(),
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(key.partner_id),
        },
        action,
        target: Target::one(TargetKind::PartnerKey, key.id),
        org_id: key.org_id,
        outcome: Outcome::Success,
        request: None,
        details,
    };
    let mut details = of_location(&secret.location);
    details.insert("name".to_owned(), key.name.as_str().into());
    details.insert("key_prefix".to_owned(), (&*secret.key_prefix).into());
    details.insert("on_leak".to_owned(), key.on_leak.as_str().into());
    let leak: EventId = tx.event_record(&event(Action::KeyLeaked, details))?.id();
    if key.on_leak == OnLeak::Revoke {
        let mut details = Details::new();
        details.insert("name".to_owned(), key.name.as_str().into());
        details.insert("on_revoke".to_owned(), key.on_revoke.as_str().into());
        let reason = RevocationReason::Leaked.as_str();
        details.insert("reason".to_owned(), reason.into());
        details.insert("leak".to_owned(), leak.to_string().into());
        tx.event_record(&event(Action::KeyRevoke, details))?;
    }
    Ok(())
}

/// Records that an admin key has leaked that can be used; whether that is news. It is not revoked: nobody but its
/// holder could make another one by the API.
fn tell_of_admin_key<T: Transaction>(
    tx: &mut T,
    id: AdminKeyId,
    location: &LeakLocation,
    env: &Env,
) -> Result<bool, StoreError> {
    let now = env.now();
    let key = tx.admin_key(id)?;
    let Some(key) = key.filter(|key| key.status(now) == KeyStatus::Active) else {
        return Ok(false);
    };
    if !is_news(tx, LeakSubject::Admin(id), location, now)? {
        return Ok(false);
    }
    let AdminKey { name, role, .. } = key;
    let mut details = of_location(location);
    details.insert("name".to_owned(), name.as_str().into());
    details.insert("role".to_owned(), role.as_str().into());
    tx.event_record(&Event {
        id: env.id(),
        occurred_at: now,
        actor: Actor::System { partner_id: None },
        action: Action::AdminKeyLeaked,
        target: Target::one(TargetKind::AdminKey, id),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details,
    })?;
    Ok(true)
}

fn of_location(location: &LeakLocation) -> Details {
    let mut details = Details::new();
    let source = location.source.as_ref().map(ids::Name::as_str);
    let url = location.url.as_ref().map(LeakUrl::as_str);
    details.insert("source".to_owned(), source.into());
    details.insert("url".to_owned(), url.into());
    details
}
