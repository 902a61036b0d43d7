//! How orgs end by the lot or by themselves: deleted by label, when their lease runs out, and with the key
//! that made them.

use std::{sync::Arc, time::Duration as StdDuration};

use audit::{Action, Actor, AuditStore as _, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, KeyId, OrgId};
use keys::{KeyQueries as _, KeyStore as _};
use orgs::{DeletionSelector, Move, Org, OrgQueries as _, OrgStore as _, OrgsDeletion, Ttl};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    Audited, Caller, Context, Error, OrgConflict, Rejection, Rendered, Service, audited::Done,
    authorize::permit_org_plan, orgs::visibility,
};

/// How many orgs one call deletes by label at the most.
const MOST: usize = 1000;
/// How many orgs the system sends off in one transaction, so that nobody waits long for it.
const BATCH: usize = 200;
/// The longest pause between two batches. Each is as long as the batch took, so that a hundred thousand
/// orgs of one key leave the writer to others half of the time.
const MAX_PAUSE: StdDuration = StdDuration::from_millis(500);
/// How often it is asked which orgs are to go.
const BEAT: StdDuration = StdDuration::from_millis(500);

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Has the lease of an org end this long after the call.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility, the key is held to other plans, it has no lease,
    /// or it is going already.
    pub async fn org_renew(
        &self,
        context: &Context,
        id: OrgId,
        ttl: Ttl,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.call.at;
        self.idempotent_write(context, None, render, move |tx, caller| {
            let mut org = tx
                .org_for_update(visibility(caller), id)?
                .ok_or(Error::NotFound)?;
            permit_org_plan(caller, &org.plan)?;
            org.renew(ttl, now).map_err(OrgConflict::from)?;
            tx.org_renew(id, ttl.end(now))?;
            let slug = org.slug.to_string();
            Ok(Done::new(200, org)
                .detail("slug", slug)
                .detail("ttl_seconds", ttl.seconds()))
        })
        .await
    }

    /// Has the orgs taken away that have some labels, up to a thousand of them; those that are going
    /// already are not among them. A dry run tells which they are.
    ///
    /// # Errors
    /// When one of them has a plan that the key is not held to: then none is taken away.
    pub async fn orgs_delete(
        &self,
        context: &Context,
        asked: OrgsDeletion,
    ) -> Result<Audited<Vec<Org>>, Rejection> {
        let OrgsDeletion { labels, dry_run } = asked;
        if dry_run {
            let which = DeletionSelector::Labelled(visibility(&context.caller), labels.clone());
            let caller = context.caller.clone();
            return self
                .audited_list(context, move |view| {
                    let orgs = view.doomed_orgs(&which, MOST)?;
                    permit_plans(&caller, &orgs)?;
                    Ok(told(200, &caller, &labels, orgs).detail("dry_run", true))
                })
                .await;
        }
        let now = context.call.at;
        let answer = self
            .audited_write(context, move |tx, caller| {
                let which = DeletionSelector::Labelled(visibility(caller), labels.clone());
                let mut orgs = tx.doomed_orgs_for_update(&which, MOST)?;
                permit_plans(caller, &orgs)?;
                begin_deprovision(tx, &mut orgs, now)?;
                Ok(told(202, caller, &labels, orgs))
            })
            .await?;
        for org in &answer.value {
            self.statuses.changed(org.id);
        }
        self.due.notify_one();
        Ok(answer)
    }

    /// Sends orgs off whose lease has run out, and those that revoked keys leave behind, until `stop`
    /// turns true.
    pub async fn end_orgs(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let began = Instant::now();
            let pause = match self.end_orgs_due().await {
                Ok(0) => BEAT,
                Ok(_) => began.elapsed().min(MAX_PAUSE),
                Err(error) => {
                    tracing::warn!(
                        error = error.as_dyn(),
                        "orgs that are to go can't be sent off; trying again"
                    );
                    BEAT
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Sends off up to a batch of orgs whose lease has run out, and one of those that a revoked key
    /// leaves behind; tells how many there were.
    ///
    /// # Errors
    /// When storage can't say which they are, or can't take it.
    pub async fn end_orgs_due(&self) -> Result<usize, StoreError> {
        let now = self.env.now();
        let (expired, key) = self
            .db
            .read(move |view| {
                let expired = view.doomed_orgs(&DeletionSelector::Expired(now), 1)?;
                Ok::<_, StoreError>((expired, view.key_with_orgs_to_go()?))
            })
            .await?;
        let mut sent = 0;
        if !expired.is_empty() {
            sent += self.end(DeletionSelector::Expired(now), None, now).await?;
        }
        if let Some(key) = key {
            // A creation that began before the revocation may be about to add an org.
            self.db.write(move |tx| tx.key_await_uses(key)).await?;
            sent += self
                .end(DeletionSelector::MadeBy(key), Some(key), now)
                .await?;
        }
        if sent > 0 {
            tracing::info!(orgs = sent, "orgs were sent on their way out");
            self.due.notify_one();
        }
        Ok(sent)
    }

    /// Sends off up to a batch, each with its event; with the last of a revoked key's the note of it
    /// is taken back. Until then the key goes behind the others that are noted.
    async fn end(
        &self,
        which: DeletionSelector,
        revoked: Option<KeyId>,
        now: OffsetDateTime,
    ) -> Result<usize, StoreError> {
        let ids: Vec<EventId> = (0..BATCH).map(|_| self.env.id()).collect();
        let sent: Vec<OrgId> = self
            .db
            .write(move |tx| {
                if let Some(key) = revoked {
                    tx.key_for_update(key)?;
                }
                let mut orgs = tx.doomed_orgs_for_update(&which, BATCH)?;
                begin_deprovision(tx, &mut orgs, now)?;
                for (org, &id) in orgs.iter().zip(&ids) {
                    tx.event_insert(&event_of(org, revoked, id, now))?;
                }
                if let Some(key) = revoked {
                    let again = (orgs.len() == BATCH).then_some(now);
                    tx.key_orgs_to_go(key, again)?;
                }
                Ok::<_, StoreError>(orgs.iter().map(|org| org.id).collect())
            })
            .await?;
        for &id in &sent {
            self.statuses.changed(id);
        }
        Ok(sent.len())
    }
}

/// Whether the caller may delete all of these.
fn permit_plans(caller: &Caller, orgs: &[Org]) -> Result<(), Error> {
    orgs.iter()
        .try_for_each(|org| permit_org_plan(caller, &org.plan))
}

/// Sends orgs on their way out, whose rows are held.
fn begin_deprovision<T: Transaction>(
    tx: &mut T,
    orgs: &mut [Org],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for org in &mut *orgs {
        org.apply(Move::Delete, now)
            .map_err(|_| StoreError::Corrupt { what: "the status" })?;
    }
    if !orgs.is_empty() {
        let ids: Vec<OrgId> = orgs.iter().map(|org| org.id).collect();
        tx.orgs_send_off(&ids, now)?;
    }
    Ok(())
}

/// The orgs that were picked by label, and what their one event says.
fn told(
    status: u16,
    caller: &Caller,
    labels: &[(String, String)],
    orgs: Vec<Org>,
) -> Done<Vec<Org>> {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    let ids: Vec<String> = orgs.iter().map(|org| org.id.to_string()).collect();
    let done = Done::new(status, orgs)
        .detail("labels", labels)
        .detail("count", ids.len())
        .detail("orgs", ids);
    match caller {
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => done.in_org(org),
            None => done,
        },
        Caller::Admin(_) => done,
    }
}

/// The event of an org that the system sends off: its lease has run out, or the key that made it is
/// revoked.
fn event_of(org: &Org, revoked: Option<KeyId>, id: EventId, now: OffsetDateTime) -> Event {
    let mut details = Details::new();
    details.insert("slug".to_owned(), org.slug.as_str().into());
    let action = match revoked {
        None => Action::OrgExpired,
        Some(key) => {
            details.insert("reason".to_owned(), "key-revoked".into());
            details.insert("key_id".to_owned(), key.to_string().into());
            Action::OrgDelete
        }
    };
    Event {
        id,
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(org.partner_id),
        },
        action,
        target: Target::one(TargetKind::Org, org.id),
        org_id: Some(org.id),
        outcome: Outcome::Success,
        request: None,
        details,
    }
}
