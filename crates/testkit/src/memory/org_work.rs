//! Which orgs are due, and what a clock set back has put off, in memory.

use std::collections::{BTreeMap, BTreeSet};

use ids::{OrgId, PartnerId};
use orgs::{DeletionSelector, DueLimits, DueOrg, DueOrgs, ExpiredOrgs, Lease, Org, OrgStatus};
use time::OffsetDateTime;

use super::session::{OrgRow, State};

impl State {
    pub(super) fn due_orgs(
        &self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> DueOrgs {
        let mut found = DueOrgs::default();
        for status in [
            OrgStatus::Provisioning,
            OrgStatus::Updating,
            OrgStatus::Deprovisioning,
        ] {
            let rows = self.orgs.rows();
            let pending = rows.filter(|row| row.org.status == status && row.due_at.is_some());
            let mut by_partner: BTreeMap<PartnerId, Vec<&OrgRow>> = BTreeMap::new();
            for row in pending.filter(|row| after.is_none_or(|it| row.org.partner_id > it)) {
                by_partner.entry(row.org.partner_id).or_default().push(row);
            }
            let seen_to = by_partner.keys().nth(limits.partners - 1).copied();
            found.after = found.after.into_iter().chain(seen_to).min();
            let is_due = |row: &OrgRow| row.due_at.is_some_and(|due| due <= now);
            let seen = by_partner.into_iter().take(limits.partners);
            let due: Vec<_> = seen
                .filter(|(_, rows)| rows.iter().any(|row| is_due(row)))
                .collect();
            let each = limits.orgs.div_ceil(due.len().max(1)).max(1);
            for (partner_id, mut rows) in due {
                rows.retain(|row| is_due(row) && !row.is_held(now));
                rows.sort_by_key(|row| (row.due_at, row.org.id));
                found.more |= rows.len() >= each;
                found
                    .orgs
                    .extend(rows.into_iter().take(each).map(|row| DueOrg {
                        id: row.org.id,
                        partner_id,
                        status,
                        due_at: row.due_at.unwrap(),
                    }));
            }
        }
        found
    }

    pub(super) fn expired_orgs(
        &self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> ExpiredOrgs {
        let rows = self.orgs.rows().map(|row| &row.org);
        let mut by_partner: BTreeMap<PartnerId, Vec<&Org>> = BTreeMap::new();
        for org in rows.filter(|org| org.status.is_deletable() && org.expires_at.is_some()) {
            by_partner.entry(org.partner_id).or_default().push(org);
        }
        by_partner.retain(|partner, _| after.is_none_or(|after| *partner > after));
        let seen_to = by_partner.keys().nth(limits.partners - 1).copied();
        let seen = by_partner.into_values().take(limits.partners);
        let expired: Vec<Vec<&Org>> = seen
            .map(|mut orgs| {
                orgs.retain(|org| is_expired(org, now));
                orgs.sort_by_key(|org| (org.expires_at, org.id));
                orgs
            })
            .filter(|orgs| !orgs.is_empty())
            .collect();
        let each = (limits.orgs / expired.len().max(1)).max(1);
        let shares = expired
            .into_iter()
            .flat_map(|orgs| orgs.into_iter().take(each));
        ExpiredOrgs {
            orgs: shares.map(|org| org.id).collect(),
            after: seen_to,
        }
    }

    pub(super) fn hasten_orgs(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> usize {
        let is_due = |row: &OrgRow| row.due_at.is_some_and(|due| due > later_than);
        let is_leased = |row: &OrgRow| row.lease.is_some_and(|lease| lease.until > later_than);
        let first = |which: &dyn Fn(&OrgRow) -> bool| -> Vec<OrgId> {
            let rows = self.orgs.rows().filter(|row| which(row));
            rows.map(|row| row.org.id).take(limit).collect()
        };
        let (due, leased) = (first(&is_due), first(&is_leased));
        let changed: BTreeSet<OrgId> = due.iter().chain(&leased).copied().collect();
        for id in &changed {
            if let Some(row) = self.orgs.get_mut(id) {
                if due.contains(id) {
                    row.due_at = Some(at);
                }
                if leased.contains(id) {
                    row.lease = row.lease.map(|lease| Lease { until: at, ..lease });
                }
            }
        }
        changed.len()
    }
}

/// Whether an org is to go, if it is not going or gone.
pub(super) fn is_doomed(which: &DeletionSelector, org: &Org) -> bool {
    match which {
        DeletionSelector::Labelled(visibility, labels) => {
            let fits = |(key, value): &(String, String)| org.labels.get(key) == Some(value);
            visibility.includes(org) && labels.iter().all(fits)
        }
        DeletionSelector::Expired(now) => is_expired(org, *now),
        DeletionSelector::ExpiredAmong(now, ids) => is_expired(org, *now) && ids.contains(&org.id),
        DeletionSelector::MadeBy(key) => org.created_by_key_id == *key && !org.delete_protection,
    }
}

/// Whether the lease of an org has run out.
fn is_expired(org: &Org, now: OffsetDateTime) -> bool {
    org.expires_at.is_some_and(|end| end <= now)
}
