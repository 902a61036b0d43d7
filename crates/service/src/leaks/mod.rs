//! Reports of leaked tokens, by anybody: what is real among them is revoked, or its partner is told.
//!
//! A report of anybody is stored before it is answered, and handled afterwards: so neither the answer nor its time
//! tells what was real, and no report is lost when the process ends. See `docs/leaks.md`.

mod counts;
mod found;
mod handle;
mod waiting;

use std::{net::IpAddr, time::Duration};

use keys::{KeyKind, LeakLocation, LeakReport, PlainKey};
use ratelimit::{Limiter, RateLimit, Subject};
use stores::{Database, StoreError, prelude::*};

use crate::{
    Error, LimitName, Service,
    runtime::batcher::{Batcher, BatcherConfig},
};

pub(crate) use self::{counts::LeakCounters, waiting::WaitingReports};
pub use self::{counts::LeakCounts, handle::Verdict};

/// How many reports one address may send.
const REPORT_LIMIT: RateLimit = RateLimit::literal(60, 3600);
/// How many reports are stored in one transaction.
const BATCH: usize = 20;
/// Reports are stored by one transaction at a time, at a steady pace: callers that nobody knows never crowd out those
/// who have keys.
const CONFIG: BatcherConfig = BatcherConfig {
    workers: 1,
    capacity: 400,
    wait_timeout: Duration::from_secs(5),
    min_interval: Duration::from_millis(10),
};

/// The reports that wait to be stored. Whether each was, or too many others wait to be handled.
pub(crate) type ReportBatcher = Batcher<Subject, LeakReport, bool>;

pub(crate) fn report_batcher() -> ReportBatcher {
    Batcher::new(CONFIG)
}

/// A token that was reported, and where it was seen.
#[derive(Clone, Debug)]
pub struct LeakedToken {
    /// The token, whose form and checksum are right.
    pub token: PlainKey,
    /// Where it was seen.
    pub location: LeakLocation,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Charges an address for a report.
    ///
    /// # Errors
    /// When the address has sent too many.
    pub async fn leak_report_charge(&self, address: IpAddr) -> Result<(), Error> {
        let subject = Subject::leak_reports(address);
        let decision = self.limiter.check(subject, REPORT_LIMIT).await;
        match decision.retry_after {
            None => Ok(()),
            Some(retry_after) => Err(Error::RateLimited {
                limits: vec![LimitName::Address],
                retry_after,
            }),
        }
    }

    /// Whether an address that is charged for what it sends in vain may send more.
    ///
    /// # Errors
    /// When it may not.
    pub async fn leak_report_check(&self, address: IpAddr) -> Result<(), Error> {
        let subject = Subject::leak_reports(address);
        let decision = self.limiter.peek(subject, REPORT_LIMIT).await;
        match decision.retry_after {
            None => Ok(()),
            Some(retry_after) => Err(Error::RateLimited {
                limits: vec![LimitName::Address],
                retry_after,
            }),
        }
    }

    /// Takes a report of tokens whose form and checksum are right. It is stored when this returns, and handled soon.
    ///
    /// # Errors
    /// When too many reports wait, or the database fails.
    pub async fn leak_report(
        &self,
        address: IpAddr,
        tokens: &[PlainKey],
        location: LeakLocation,
    ) -> Result<(), StoreError> {
        self.leaks.count_report(tokens.len());
        if tokens.is_empty() {
            return Ok(());
        }
        let digests = |is_wanted: fn(KeyKind) -> bool| {
            let tokens = tokens.iter().filter(|token| is_wanted(token.kind()));
            tokens
                .flat_map(|token| self.settings.peppers.candidates(token))
                .collect()
        };
        let report = LeakReport {
            id: self.env.id(),
            received_at: self.env.now(),
            location,
            partner_digests: digests(|kind| kind == KeyKind::Partner),
            admin_digests: digests(|kind| kind != KeyKind::Partner),
        };
        let (db, stored) = (self.db.clone(), report.clone());
        let store = move |reports: Vec<LeakReport>| store(db.clone(), reports);
        let subject = Subject::leak_reports(address);
        let is_stored = self.leak_reports.run(subject, stored, BATCH, store).await;
        match is_stored {
            Ok(true) => {
                self.waiting_leaks.push(subject, report);
                Ok(())
            }
            Ok(false) => {
                self.leaks.count_refused();
                Err(StoreError::Overloaded)
            }
            Err(error) => {
                self.leaks.count_refused();
                Err(error)
            }
        }
    }

    /// What has been reported and found since the process began.
    #[must_use]
    pub fn leak_counts(&self) -> LeakCounts {
        self.leaks.counts()
    }
}

/// Stores reports; whether each was.
async fn store<D: Database>(db: D, reports: Vec<LeakReport>) -> Vec<Result<bool, StoreError>> {
    let count = reports.len();
    let added: Result<usize, StoreError> =
        db.write(move |tx| tx.leak_reports_insert(&reports)).await;
    match added {
        Ok(added) => (0..count).map(|place| Ok(place < added)).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
