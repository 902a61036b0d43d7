//! Ends that are to be announced, each once: of orgs by their lease, and of keys.
//!
//! The rows of orgs and keys have the end that is still to be announced in a column of their own, which has
//! an index: what has been announced is not met again.

use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use ids::{KeyId, OrgId};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{AnnouncementQueries, AnnouncementStore};

use super::{
    orgs::{is_staying, orgs},
    partner_keys::partner_keys,
    values,
    webhook_announcements::{self, webhook_announcements as announcements},
};
use crate::session::{Session, Writing};

impl<M> AnnouncementQueries for Session<M> {
    type Error = StoreError;

    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        let (from, until) = (values::micros(from), values::micros(until));
        let announced = announcements::table
            .filter(announcements::subject.eq(partner_keys::id))
            .filter(announcements::ends_at.gt(from));
        let ids: Vec<String> = self.run(|connection| {
            partner_keys::table
                .filter(partner_keys::end_to_announce.gt(from))
                .filter(partner_keys::end_to_announce.le(until))
                .filter(partner_keys::expires_at.gt(from))
                .filter(partner_keys::revoked_at.is_null())
                .filter(not(exists(announced)))
                .order((partner_keys::end_to_announce, partner_keys::id))
                .limit(values::row_count(limit))
                .select(partner_keys::id)
                .load(connection)
        })?;
        ids.iter()
            .map(|id| values::id(id, "the id of a key"))
            .collect()
    }

    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, StoreError> {
        let (from, until) = (values::micros(from), values::micros(until));
        let announced = announcements::table
            .filter(announcements::subject.eq(orgs::id))
            .filter(announcements::ends_at.gt(from));
        let ids: Vec<String> = self.run(|connection| {
            orgs::table
                .filter(is_staying())
                .filter(orgs::end_to_announce.gt(from))
                .filter(orgs::end_to_announce.le(until))
                .filter(orgs::expires_at.gt(from))
                .filter(not(exists(announced)))
                .order((orgs::end_to_announce, orgs::id))
                .limit(values::row_count(limit))
                .select(orgs::id)
                .load(connection)
        })?;
        ids.iter()
            .map(|id| values::id(id, "the id of an org"))
            .collect()
    }
}

impl AnnouncementStore for Session<Writing> {
    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let ends_at = values::micros(ends_at);
        let is_new =
            self.run(|connection| webhook_announcements::insert(connection, subject, ends_at))?;
        // An end that was put off meanwhile is announced in its turn.
        self.run(|connection| {
            if subject.parse::<OrgId>().is_ok() {
                let org = orgs::table
                    .find(subject)
                    .filter(orgs::expires_at.le(ends_at));
                diesel::update(org)
                    .set(orgs::end_to_announce.eq(None::<i64>))
                    .execute(connection)
            } else {
                let key = partner_keys::table
                    .find(subject)
                    .filter(partner_keys::expires_at.le(ends_at));
                diesel::update(key)
                    .set(partner_keys::end_to_announce.eq(None::<i64>))
                    .execute(connection)
            }
        })?;
        Ok(is_new)
    }
}
