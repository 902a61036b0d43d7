//! Which orgs are due, and what a clock set back has put off, in memory.

use std::collections::{BTreeMap, BTreeSet};

use ids::{OrgId, PartnerId};
use orgs::{DueLimits, DueOrg, DueOrgs, Lease, OrgStatus};
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
        for status in [OrgStatus::Provisioning, OrgStatus::Deprovisioning] {
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
