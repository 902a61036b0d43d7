//! The one way in which a use case runs: with its event, durable before the answer.

use std::{sync::Arc, time::Duration};

use api::ErrorCode;
use audit::{AuditStore as _, Details, Event, Receipt, Target};
use ids::{EventId, OrgId};
use keys::{HeldKey, KeyStatus, PartnerKey};
use ratelimit::{Decision, Limiter};
use serde_json::Value;
use stores::{Database, Queries, StoreError, Transaction};
use time::OffsetDateTime;

use crate::{Caller, Context, Error, LimitName, Service, abandoned::RecordIfAbandoned, authorize};

/// How long the record of a fault is waited for; then the answer leaves without.
const FAULT_TIMEOUT: Duration = Duration::from_millis(1500);

/// What a use case has done, and what its event says beside the call.
#[derive(Debug)]
pub(crate) struct Done<T> {
    value: T,
    status: u16,
    target: Option<Target>,
    org_id: Option<OrgId>,
    details: Details,
}

impl<T> Done<T> {
    /// Done, answered with this HTTP status.
    pub(crate) fn new(status: u16, value: T) -> Self {
        Self {
            value,
            status,
            target: None,
            org_id: None,
            details: Details::new(),
        }
    }

    /// To this, which the call could not name.
    pub(crate) fn on(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// In this org.
    pub(crate) fn in_org(mut self, org: OrgId) -> Self {
        self.org_id = Some(org);
        self
    }

    /// With this worth knowing.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same of another value.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        let Self {
            value,
            status,
            target,
            org_id,
            details,
        } = self;
        Done {
            value: f(value),
            status,
            target,
            org_id,
            details,
        }
    }

    /// The HTTP status of the answer.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The value, and what it was done to and in which org.
    pub(crate) const fn parts(&self) -> (&T, Option<&Target>, Option<OrgId>) {
        (&self.value, self.target.as_ref(), self.org_id)
    }

    fn complete(&self, event: &mut Event) {
        if let Some(target) = &self.target {
            event.target = target.clone();
        }
        event.org_id = event.org_id.or(self.org_id);
        event.details.clone_from(&self.details);
    }
}

/// What a call gets, with its event on record.
#[derive(Debug)]
pub struct Audited<T> {
    /// What was asked for.
    pub value: T,
    /// The HTTP status that the event tells of.
    pub status: u16,
    /// The event.
    pub event: EventId,
}

impl<T> Audited<T> {
    /// The same answer with another value.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Audited<U> {
        Audited {
            value: f(self.value),
            status: self.status,
            event: self.event,
        }
    }
}

/// Why a call gets nothing, with its event on record.
#[derive(Debug)]
pub struct Rejection {
    /// Why.
    pub error: Error,
    /// The event; `None` when nobody is known to have called, or storage can't take it.
    pub event: Option<EventId>,
    /// The limits that the call counted against.
    pub limits: Vec<(LimitName, Decision)>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Runs a change: the credential is looked at again beside it, and the event commits with it.
    ///
    /// When the change is refused, what it did is undone and the event of the refusal is written in
    /// the same transaction.
    pub(crate) async fn audited_write<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Done<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let id: EventId = self.env.id();
        let asked = context.clone();
        let written = self.db.write(move |tx| {
            let changed = tx.savepoint(|tx| {
                let caller = current(tx, &asked)?;
                work(tx, &caller)
            });
            match changed {
                Ok(done) => {
                    let receipt = tx.event_insert(&done_event(&asked, id, &done))?;
                    Ok((receipt, Ok(done)))
                }
                Err(Error::Store(error)) => Err(error),
                Err(refused) => {
                    let receipt = tx.event_insert(&rejected_event(&asked, id, refused.code()))?;
                    Ok((receipt, Err(refused)))
                }
            }
        });
        // The note is a transaction of its own: beside a change it would hold the key's row together with
        // others, in an order that nobody has chosen.
        let (outcome, ()) = tokio::join!(written, self.note_use(context));
        self.conclude(context, outcome).await
    }

    /// What a call gets of a change: what was done or refused is on record by the event of this receipt,
    /// or storage has failed.
    pub(crate) async fn conclude<T>(
        &self,
        context: &Context,
        outcome: Result<(Receipt, Result<Done<T>, Error>), StoreError>,
    ) -> Result<Audited<T>, Rejection> {
        match outcome {
            Ok((receipt, Ok(Done { value, status, .. }))) => Ok(Audited {
                value,
                status,
                event: receipt.id(),
            }),
            Ok((receipt, Err(error))) => Err(refusal(context, error, Some(receipt.id()))),
            // When a connection breaks at a commit, nobody can tell whether the change and its event are
            // on record. A second event would make two of one call, so there is none.
            Err(fault @ StoreError::Unavailable(_)) => {
                log_fault(context, &fault);
                Err(refusal(context, fault.into(), None))
            }
            Err(fault) => Err(self.reject_fault(context, fault).await),
        }
    }

    /// Runs a question; its event is durable before the answer.
    pub(crate) async fn audited_read<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut D::View) -> Result<Done<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let guard = RecordIfAbandoned::new(&self.db, &self.env, context);
        let found = self.db.read(work).await;
        guard.disarm();
        self.found(context, found).await
    }

    /// Runs the questions of a list, within the share that lists have of the database; its event is durable
    /// before the answer.
    pub(crate) async fn audited_list<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut D::View) -> Result<Done<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let guard = RecordIfAbandoned::new(&self.db, &self.env, context);
        let found = self.db.read_list(context.caller.requester(), work).await;
        guard.disarm();
        self.found(context, found).await
    }

    async fn found<T>(
        &self,
        context: &Context,
        found: Result<Done<T>, Error>,
    ) -> Result<Audited<T>, Rejection> {
        match found {
            Ok(done) => self.audited_value(context, done).await,
            Err(Error::Store(StoreError::Throttled)) => {
                Err(self.reject(context, Error::TooManyLists).await)
            }
            Err(Error::Store(error)) => Err(self.reject_fault(context, error).await),
            Err(error) => Err(self.reject(context, error).await),
        }
    }

    /// Records a question that needed no look into the database.
    pub(crate) async fn audited_value<T>(
        &self,
        context: &Context,
        done: Done<T>,
    ) -> Result<Audited<T>, Rejection> {
        let id: EventId = self.env.id();
        let actor = context.caller.actor();
        let mut event = Box::new(context.call.event(id, actor, done.status));
        done.complete(&mut event);
        match self.put_on_record(context, event).await {
            Ok(event) => Ok(Audited {
                value: done.value,
                status: done.status,
                event,
            }),
            Err(error) => Err(refusal(context, error.into(), None)),
        }
    }

    /// Records that a call was refused.
    pub async fn reject(&self, context: &Context, error: Error) -> Rejection {
        match self.reject_as(context, error.code()).await {
            Ok(id) => refusal(context, error, Some(id)),
            Err(fault) => refusal(context, fault.into(), None),
        }
    }

    /// Records that a call was refused for a reason that only its transport knows.
    ///
    /// # Errors
    /// When storage can't take the event; the call must then be answered with that.
    pub async fn reject_as(
        &self,
        context: &Context,
        code: ErrorCode,
    ) -> Result<EventId, StoreError> {
        let id: EventId = self.env.id();
        self.put_on_record(context, Box::new(rejected_event(context, id, code)))
            .await
    }

    /// Makes the event of a call that changes nothing durable, and the note of its key's use with it:
    /// both wait for the disk at the same time. The event's id comes back.
    async fn put_on_record(
        &self,
        context: &Context,
        event: Box<Event>,
    ) -> Result<EventId, StoreError> {
        if context.used().is_none() {
            return self.db.append(event).await;
        }
        let (recorded, ()) = tokio::join!(self.db.append(event), self.note_use(context));
        recorded
    }

    /// Records that storage failed, if storage can take that.
    pub(crate) async fn reject_fault(&self, context: &Context, fault: StoreError) -> Rejection {
        log_fault(context, &fault);
        let error = Error::from(fault);
        let record = self.reject_as(context, error.code());
        // The call has waited for the database once already.
        let event = tokio::time::timeout(FAULT_TIMEOUT, record).await;
        refusal(context, error, event.ok().and_then(Result::ok))
    }
}

fn log_fault(context: &Context, fault: &StoreError) {
    tracing::error!(
        error = fault.as_dyn(),
        request_id = &*context.call.request_id,
        "the database did not do what was asked"
    );
}

/// The event of a change that was made.
pub(crate) fn done_event<T>(context: &Context, id: EventId, done: &Done<T>) -> Event {
    let actor = context.caller.actor();
    let mut event = context.call.event(id, actor, done.status);
    done.complete(&mut event);
    event
}

pub(crate) fn rejected_event(context: &Context, id: EventId, code: ErrorCode) -> Event {
    let mut event = context
        .call
        .event(id, context.caller.actor(), code.status());
    event
        .details
        .insert("code".to_owned(), code.as_str().into());
    event
}

fn refusal(context: &Context, error: Error, event: Option<EventId>) -> Rejection {
    Rejection {
        error,
        event,
        limits: context.limits.clone(),
    }
}

/// The caller as it stands within this transaction, if it still may do what it asks.
pub(crate) fn current<Q: Queries>(tx: &mut Q, context: &Context) -> Result<Caller, Error> {
    let caller = match &context.caller {
        Caller::Admin(key) => {
            let key = tx.admin_key(key.id)?.ok_or(Error::InvalidKey)?;
            if key.revoked_at.is_some() {
                return Err(Error::KeyRevoked);
            }
            Caller::Admin(Arc::new(key))
        }
        Caller::Partner(held) => {
            let held = tx.key(held.key.id)?.ok_or(Error::InvalidKey)?;
            return partner_caller(Arc::new(held), context);
        }
    };
    authorize::permit(&caller, &context.call)?;
    Ok(caller)
}

/// The caller whose key stands so, if it still may do what it asks.
pub(crate) fn partner_caller(held: Arc<HeldKey>, context: &Context) -> Result<Caller, Error> {
    active(&held.key, context.call.at)?;
    let caller = Caller::Partner(held);
    authorize::permit(&caller, &context.call)?;
    Ok(caller)
}

/// Whether a key may be used at all.
pub(crate) fn active(key: &PartnerKey, now: OffsetDateTime) -> Result<(), Error> {
    match key.status(now) {
        KeyStatus::Active => Ok(()),
        KeyStatus::Disabled => Err(Error::KeyDisabled),
        KeyStatus::Expired => Err(Error::KeyExpired),
        KeyStatus::Revoked => Err(Error::KeyRevoked),
    }
}
