//! The only ways to run a use case: its audit event is durable before the response leaves.
//!
//! A use case gives an [`Auditable`] value, and the functions here make it an [`Audited`] one, of which alone
//! a response can be made.

mod abandoned;

use std::{sync::Arc, time::Duration};

use api::ErrorCode;
use audit::{Details, Event, Receipt, Target};
use ids::{EventId, OrgId};
use ratelimit::{Decision, Limiter};
use serde_json::Value;
use stores::{Database, Queries, StoreError, Transaction};

use self::abandoned::RecordIfAbandoned;
use crate::{Caller, Context, Deprecation, Error, LimitName, Service, authorize::authorize};

/// How long the event of a storage failure is waited for; then the response leaves without.
pub(crate) const FAULT_TIMEOUT: Duration = Duration::from_millis(1500);

/// A use case's result, and what its event says beside the request.
#[derive(Debug)]
pub(crate) struct Auditable<T> {
    value: T,
    status: u16,
    target: Option<Target>,
    org_id: Option<OrgId>,
    details: Details,
}

impl<T> Auditable<T> {
    /// A result with this HTTP status.
    pub(crate) fn new(status: u16, value: T) -> Self {
        Self {
            value,
            status,
            target: None,
            org_id: None,
            details: Details::new(),
        }
    }

    /// Sets the event's target, where the route could not name it.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    pub(crate) fn in_org(mut self, org: OrgId) -> Self {
        self.org_id = Some(org);
        self
    }

    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Auditable<U> {
        let Self {
            value,
            status,
            target,
            org_id,
            details,
        } = self;
        Auditable {
            value: f(value),
            status,
            target,
            org_id,
            details,
        }
    }

    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The value, the target and the org.
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

/// A use case's result whose event is durable.
#[derive(Debug)]
pub struct Audited<T> {
    /// The result.
    pub value: T,
    /// The HTTP status that the event records.
    pub status: u16,
    /// The event.
    pub event: EventId,
}

impl<T> Audited<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Audited<U> {
        Audited {
            value: f(self.value),
            status: self.status,
            event: self.event,
        }
    }
}

/// Why a request was rejected; its event is durable.
#[derive(Debug)]
pub struct Rejection {
    /// The reason.
    pub error: Error,
    /// The event; `None` when the caller is unknown, or storage can't take the event.
    pub event: Option<EventId>,
    /// The rate limits, as they are after this request.
    pub limits: Vec<(LimitName, Decision)>,
    /// What the caller is to know of its secret.
    pub deprecation: Option<Deprecation>,
}

impl Rejection {
    pub(crate) fn new(context: &Context, error: Error, event: Option<EventId>) -> Self {
        Self {
            error,
            event,
            limits: context.limits.clone(),
            deprecation: context.deprecation(),
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Runs a write. The credential is read and authorized again within the transaction, and the event
    /// commits with the change.
    ///
    /// When the change is rejected, the savepoint undoes what it did, and the event of the rejection is
    /// written in the same transaction.
    pub(crate) async fn audited_write<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Auditable<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let id: EventId = self.env.id();
        let request = context.clone();
        let written = self.db.write(move |tx| {
            let result = tx.savepoint(|tx| {
                let caller = reauthorized(tx, &request)?;
                work(tx, &caller)
            });
            insert_event(tx, &request, id, result)
        });
        // The key's last use is a transaction of its own: within the change's it would hold the key's row
        // together with others, in an order that nobody has chosen.
        let (written, ()) = tokio::join!(written, self.record_key_use(context));
        self.finish_write(context, written).await
    }

    /// What a request gets of a write: its result or rejection, which the receipt's event records, or a
    /// storage failure.
    pub(crate) async fn finish_write<T>(
        &self,
        context: &Context,
        written: Result<(Receipt, Result<Auditable<T>, Error>), StoreError>,
    ) -> Result<Audited<T>, Rejection> {
        match written {
            Ok((receipt, Ok(Auditable { value, status, .. }))) => Ok(Audited {
                value,
                status,
                event: receipt.id(),
            }),
            Ok((receipt, Err(error))) => Err(Rejection::new(context, error, Some(receipt.id()))),
            // When a connection breaks at a commit, nobody can tell whether the change and its event are
            // there. Another event would make two of one request, so none is written.
            Err(fault @ StoreError::Unavailable(_)) => {
                log_fault(context, &fault);
                Err(Rejection::new(context, fault.into(), None))
            }
            Err(fault) => Err(self.reject_fault(context, fault).await),
        }
    }

    /// Runs a read; its event is durable before the response.
    pub(crate) async fn audited_read<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut D::View) -> Result<Auditable<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let guard = RecordIfAbandoned::new(&self.db, &self.env, context);
        let read = self.db.read(work).await;
        guard.disarm();
        self.finish_read(context, read).await
    }

    /// Runs the queries of a list, within the share of the readers that lists have; its event is durable
    /// before the response.
    pub(crate) async fn audited_list<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut D::View) -> Result<Auditable<T>, Error> + Send + 'static,
    ) -> Result<Audited<T>, Rejection> {
        let guard = RecordIfAbandoned::new(&self.db, &self.env, context);
        let read = self.db.read_list(context.caller.requester(), work).await;
        guard.disarm();
        self.finish_read(context, read).await
    }

    async fn finish_read<T>(
        &self,
        context: &Context,
        read: Result<Auditable<T>, Error>,
    ) -> Result<Audited<T>, Rejection> {
        match read {
            Ok(auditable) => self.audited_value(context, auditable).await,
            Err(Error::Store(StoreError::Throttled)) => {
                Err(self.reject(context, Error::TooManyLists).await)
            }
            Err(Error::Store(error)) => Err(self.reject_fault(context, error).await),
            Err(error) => Err(self.reject(context, error).await),
        }
    }

    /// Records a result that no transaction has recorded.
    pub(crate) async fn audited_value<T>(
        &self,
        context: &Context,
        auditable: Auditable<T>,
    ) -> Result<Audited<T>, Rejection> {
        let event = Box::new(success_event(context, self.env.id(), &auditable));
        match self.append_event(context, event).await {
            Ok(event) => Ok(Audited {
                value: auditable.value,
                status: auditable.status,
                event,
            }),
            Err(error) => Err(Rejection::new(context, error.into(), None)),
        }
    }

    /// Records that a request was rejected.
    pub async fn reject(&self, context: &Context, error: Error) -> Rejection {
        match self.reject_as(context, error.code()).await {
            Ok(id) => Rejection::new(context, error, Some(id)),
            Err(fault) => Rejection::new(context, fault.into(), None),
        }
    }

    /// Records that a request was rejected for a reason that only its transport knows.
    ///
    /// # Errors
    /// When storage can't take the event; the response must then be that error.
    pub async fn reject_as(
        &self,
        context: &Context,
        code: ErrorCode,
    ) -> Result<EventId, StoreError> {
        let event = rejected_event(context, self.env.id(), code);
        self.append_event(context, Box::new(event)).await
    }

    /// Makes an event durable that belongs to no change, and beside it the key's last use: both wait for the
    /// disk at the same time.
    async fn append_event(
        &self,
        context: &Context,
        event: Box<Event>,
    ) -> Result<EventId, StoreError> {
        if context.used_key().is_none() {
            return self.db.append(event).await;
        }
        let (recorded, ()) = tokio::join!(self.db.append(event), self.record_key_use(context));
        recorded
    }

    /// Records that storage failed, if storage can take that.
    pub(crate) async fn reject_fault(&self, context: &Context, fault: StoreError) -> Rejection {
        log_fault(context, &fault);
        let error = Error::from(fault);
        let record = self.reject_as(context, error.code());
        // The request has waited for the database once already.
        let event = tokio::time::timeout(FAULT_TIMEOUT, record).await;
        Rejection::new(context, error, event.ok().and_then(Result::ok))
    }
}

fn log_fault(context: &Context, fault: &StoreError) {
    tracing::error!(
        error = fault.as_dyn(),
        request_id = &*context.request.request_id,
        "request failed in storage"
    );
}

/// Writes the event of a write's result; a storage failure has none, and ends the transaction.
pub(crate) fn insert_event<T, X: Transaction>(
    tx: &mut X,
    context: &Context,
    id: EventId,
    result: Result<Auditable<T>, Error>,
) -> Result<(Receipt, Result<Auditable<T>, Error>), StoreError> {
    let event = match &result {
        Ok(auditable) => success_event(context, id, auditable),
        Err(Error::Store(fault)) => return Err(fault.clone()),
        Err(error) => rejected_event(context, id, error.code()),
    };
    Ok((tx.event_record(&event)?, result))
}

fn success_event<T>(context: &Context, id: EventId, auditable: &Auditable<T>) -> Event {
    let actor = context.caller.actor();
    let mut event = context.request.event(id, actor, auditable.status);
    auditable.complete(&mut event);
    event
}

pub(crate) fn rejected_event(context: &Context, id: EventId, code: ErrorCode) -> Event {
    let actor = context.caller.actor();
    let mut event = context.request.event(id, actor, code.status());
    event
        .details
        .insert("code".to_owned(), code.as_str().into());
    event
}

/// The caller as it is within this transaction, if it still may do what it asks.
pub(crate) fn reauthorized<Q: Queries>(tx: &mut Q, context: &Context) -> Result<Caller, Error> {
    let caller = match &context.caller {
        Caller::Admin(key) => {
            Caller::Admin(Arc::new(tx.admin_key(key.id)?.ok_or(Error::InvalidKey)?))
        }
        Caller::Partner(held) => {
            Caller::Partner(Arc::new(tx.key(held.key.id)?.ok_or(Error::InvalidKey)?))
        }
    };
    authorize(&caller, &context.request)?;
    Ok(caller)
}
