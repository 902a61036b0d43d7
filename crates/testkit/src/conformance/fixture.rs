//! What the rules share: a database with a builder, and lists walked page by page.

use std::future::Future;

use audit::Event;
use ids::{KeyId, OrgId, Page, PageRequest, TypedId, Ulid};
use keys::{KeyDigest, Partner, PartnerKey};
use orgs::{Org, OrgStatus, OrgVisibility, Step, StepName};
use stores::{Database, StoreError, prelude::*};
use time::{Duration, OffsetDateTime};

use crate::{build::Build, clock::START};

/// A page that holds all there is in these tests, whatever it costs.
pub(super) const ALL: PageRequest = PageRequest::new(1000, None).with_budget(usize::MAX);

/// This many microseconds after the start.
pub(super) fn at(micros: i64) -> OffsetDateTime {
    START + Duration::microseconds(micros)
}

/// A database under test and a builder of what goes into it.
pub(super) struct Fixture<D> {
    pub(super) db: D,
    pub(super) build: Build,
}

impl<D: Database> Fixture<D> {
    pub(super) const fn new(db: D) -> Self {
        let build = Build::new();
        Self { db, build }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D::View) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.db.read(work).await.unwrap()
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut D::Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.db.write(work).await.unwrap()
    }

    /// A stored partner.
    pub(super) async fn partner(&self) -> Partner {
        let partner = self.build.partner();
        self.add_partner(&partner).await;
        partner
    }

    pub(super) async fn add_partner(&self, partner: &Partner) {
        let partner = partner.clone();
        self.write(move |tx| tx.partner_insert(&partner)).await;
    }

    /// A stored key.
    pub(super) async fn key(&self, partner: &Partner) -> PartnerKey {
        let key = self.build.key(partner);
        self.add_key(&key).await;
        key
    }

    /// Stores a key under a fresh digest.
    pub(super) async fn add_key(&self, key: &PartnerKey) -> KeyDigest {
        let (key, digest) = (key.clone(), self.build.digest());
        self.write(move |tx| tx.key_insert(&key, &digest)).await;
        digest
    }

    pub(super) async fn stored_key(&self, id: KeyId) -> PartnerKey {
        self.read(move |view| view.key(id)).await.unwrap().key
    }

    /// A stored org of a stored partner.
    pub(super) async fn any_org(&self) -> Org {
        let partner = self.partner().await;
        let key = self.key(&partner).await;
        self.org(&key).await
    }

    /// A stored org.
    pub(super) async fn org(&self, key: &PartnerKey) -> Org {
        let org = self.build.org(key);
        self.add_org(&org).await;
        org
    }

    /// Claims the org's slug and stores the org.
    pub(super) async fn add_org(&self, org: &Org) {
        assert!(
            self.try_add_org(org, START).await,
            "{:?} is taken",
            org.slug
        );
    }

    /// Stores the org if its slug can be had.
    pub(super) async fn try_add_org(&self, org: &Org, held_since: OffsetDateTime) -> bool {
        let org = org.clone();
        self.write(move |tx| acquire_slug_and_insert(tx, &org, held_since))
            .await
    }

    /// Deletes an org and frees its slug.
    pub(super) async fn delete_org(&self, org: &Org, when: OffsetDateTime) {
        let mut org = org.clone();
        org.status = OrgStatus::Deleted;
        org.deleted_at = Some(when);
        self.write(move |tx| {
            tx.org_update(&org, None)?;
            tx.slug_release(org.id, when)
        })
        .await;
    }

    pub(super) async fn stored_org(&self, id: OrgId) -> Org {
        let org = self
            .read(move |view| view.org(OrgVisibility::All, id))
            .await;
        org.unwrap()
    }

    /// Stores an event in a transaction.
    pub(super) async fn add_event(&self, event: &Event) {
        let event = event.clone();
        self.write(move |tx| tx.event_record(&event).map(drop))
            .await;
    }

    /// Checks that a list holds exactly these, newest first, however it is cut into pages.
    pub(super) async fn check_pages<I: TypedId, T: Send + 'static>(
        &self,
        expect: &[I],
        id: impl Fn(&T) -> I,
        list: impl Fn(&mut D::View, PageRequest) -> Result<Page<T>, StoreError> + Clone + Send + 'static,
    ) {
        let total = expect.len();
        for limit in [1, 2, 3, total.max(1), total + 1] {
            let (mut actual, mut after) = (Vec::new(), None);
            loop {
                let (list, page) = (list.clone(), PageRequest::new(limit, after));
                let page = self.read(move |view| list(view, page)).await;
                actual.extend(page.items.iter().map(|item| id(item).ulid()));
                assert!(actual.len() <= total, "too many, {limit} a page");
                let more_expected = actual.len() < total;
                assert_eq!(page.has_more(), more_expected, "has_more, {limit} a page");
                if page.next.is_none() {
                    break;
                }
                assert_eq!(page.items.len(), limit, "a page before the last is full");
                after = page.next;
            }
            let expect: Vec<Ulid> = expect.iter().map(|id| id.ulid()).collect();
            assert_eq!(actual, expect, "{limit} a page");
        }
    }
}

/// Claims the org's slug and, if it can be had, stores the org.
pub(super) fn acquire_slug_and_insert(
    tx: &mut impl stores::Transaction,
    org: &Org,
    held_since: OffsetDateTime,
) -> Result<bool, StoreError> {
    let claimed = tx.slug_acquire(&org.slug, org.id, org.partner_id, held_since)?;
    if claimed {
        tx.org_insert(org, &StepName::PROVISIONING_STEPS.map(Step::pending))?;
    }
    Ok(claimed)
}

/// Runs `count` pieces of work at once and gathers what they return.
pub(super) async fn at_once<T, F>(count: usize, work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(work(n))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// The ids of a list.
pub(super) fn ids_of<T, I>(items: &[T], id: impl Fn(&T) -> I) -> Vec<I> {
    items.iter().map(id).collect()
}
