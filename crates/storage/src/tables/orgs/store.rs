//! What is changed about orgs.

use diesel::prelude::*;
use ids::OrgId;
use orgs::{NewOrg, Org, OrgQueries as _, OrgStore, OrgVisibility, Step};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    labels,
    row::{NewRow, OrgRow, StateRow, orgs as table},
    steps,
};
use crate::{
    connection::{bulk, prepared},
    session::{Session, Writing},
    tables::{locks::lock, values, webhook_announcements},
};

impl OrgStore for Session<Writing> {
    fn orgs_insert(&mut self, orgs: &[NewOrg]) -> Result<(), StoreError> {
        let rows: Vec<NewRow> = orgs.iter().map(NewRow::from).collect();
        self.run(|connection| bulk::insert(connection, &rows))?;
        orgs.iter()
            .try_for_each(|new| labels::insert(self, &new.org))
    }

    fn org_for_update(
        &mut self,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Option<Org>, StoreError> {
        let row = table::table.find(id.to_string()).select(table::id);
        self.run(|connection| lock!(connection, row.for_no_key_update()))?;
        self.org(visibility, id)
    }

    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), StoreError> {
        let changed = diesel::update(table::table.find(org.id.to_string())).set((
            StateRow::from(org),
            table::due_at.eq(due_at.map(values::micros)),
        ));
        self.run(|connection| prepared::execute(connection, changed))?;
        labels::retire(self, &[org])
    }

    fn org_edit(
        &mut self,
        org: &Org,
        work: Option<(&[Step], OffsetDateTime)>,
    ) -> Result<(), StoreError> {
        let OrgRow {
            id,
            external_id,
            labels,
            delete_protection,
            state,
            ..
        } = OrgRow::from(org);
        let work = work.map(|(steps, due_at)| {
            let due_at = Some(values::micros(due_at));
            (
                table::steps.eq(steps::text(steps)),
                table::due_at.eq(due_at),
            )
        });
        self.run(|connection| {
            diesel::update(table::table.find(id))
                .set((
                    state,
                    table::external_id.eq(external_id),
                    table::labels.eq(labels),
                    table::delete_protection.eq(delete_protection),
                    work,
                ))
                .execute(connection)
        })?;
        labels::replace(self, org)
    }

    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), StoreError> {
        let id = id.to_string();
        let end = values::micros(expires_at);
        let to_announce = webhook_announcements::end_to_announce(self, &id, end)?;
        self.run(|connection| {
            diesel::update(table::table.find(&id))
                .set((
                    table::expires_at.eq(end),
                    table::end_to_announce.eq(to_announce),
                ))
                .execute(connection)
        })?;
        Ok(())
    }
}
