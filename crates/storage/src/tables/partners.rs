//! Partners.

use diesel::prelude::*;
use ids::{Page, PageRequest, PartnerId, TypedId as _};
use keys::{Changed, Partner, PartnerQueries, PartnerStore};
use stores::StoreError;

use super::{key_changes, locks::lock, values};
use crate::{
    connection::prepared,
    session::{Session, Writing},
};

diesel::table! {
    partners (id) {
        id -> Text,
        name -> Text,
        plan -> Text,
        rate_limit -> Nullable<BigInt>,
        rate_window -> Nullable<BigInt>,
        max_orgs -> Nullable<BigInt>,
        labels -> Text,
        created_at -> BigInt,
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = partners)]
pub(crate) struct PartnerRow {
    id: String,
    name: String,
    plan: String,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    max_orgs: Option<i64>,
    labels: String,
    created_at: i64,
}

impl From<&Partner> for PartnerRow {
    fn from(partner: &Partner) -> Self {
        let (rate_limit, rate_window) = values::limit_columns(partner.rate_limit);
        Self {
            id: partner.id.to_string(),
            name: partner.name.to_string(),
            plan: partner.plan.to_string(),
            rate_limit,
            rate_window,
            max_orgs: partner
                .max_orgs
                .map(|most| i64::try_from(most).unwrap_or(i64::MAX)),
            labels: values::labels_text(&partner.labels),
            created_at: values::micros(partner.created_at),
        }
    }
}

impl TryFrom<PartnerRow> for Partner {
    type Error = StoreError;

    fn try_from(row: PartnerRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of a partner")?,
            name: values::name(row.name, "the name of a partner")?,
            plan: row
                .plan
                .parse()
                .map_err(|_| values::corrupt("the plan of a partner"))?,
            rate_limit: values::limit((row.rate_limit, row.rate_window), "the limit of a partner")?,
            max_orgs: row
                .max_orgs
                .map(|most| values::number(most, "the number of a partner's orgs"))
                .transpose()?,
            labels: values::labels(&row.labels, "the labels of a partner")?,
            created_at: values::time(row.created_at, "the time of a partner")?,
        })
    }
}

impl<M> PartnerQueries for Session<M> {
    type Error = StoreError;

    fn partner(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        self.run(|connection| {
            let found = partners::table
                .find(id.to_string())
                .select(prepared::columns::<PartnerRow>());
            prepared::first_by_type::<_, PartnerRow>(connection, found)
        })?
        .map(Partner::try_from)
        .transpose()
    }

    fn partners(&mut self, page: PageRequest) -> Result<Page<Partner>, StoreError> {
        let mut query = partners::table
            .order(partners::id.desc())
            .limit(values::rows_for(page))
            .select(PartnerRow::as_select())
            .into_boxed();
        if let Some(after) = values::after::<PartnerId>(page) {
            query = query.filter(partners::id.lt(after));
        }
        let rows = self.run(|connection| query.load(connection))?;
        let items: Vec<_> = rows
            .into_iter()
            .map(Partner::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(items, page.limit, None, |partner: &_| {
            partner.id.ulid()
        }))
    }
}

impl PartnerStore for Session<Writing> {
    fn partner_insert(&mut self, partner: &Partner) -> Result<(), StoreError> {
        let row = PartnerRow::from(partner);
        let added = diesel::insert_into(partners::table).values(&row);
        self.run(|connection| prepared::execute(connection, added))?;
        Ok(())
    }

    fn partner_for_update(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        let row = partners::table.find(id.to_string()).select(partners::id);
        self.run(|connection| lock!(connection, row.for_no_key_update()))?;
        self.partner(id)
    }

    fn partners_lock(&mut self, ids: &[PartnerId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = partners::table
            .filter(partners::id.eq_any(ids))
            .order(partners::id)
            .select(partners::id);
        self.run(|connection| lock!(connection, rows.for_no_key_update()))
    }

    fn partner_update(&mut self, partner: &Partner) -> Result<(), StoreError> {
        let row = PartnerRow::from(partner);
        self.run(|connection| {
            diesel::update(partners::table.find(row.id))
                .set((
                    partners::name.eq(row.name),
                    partners::plan.eq(row.plan),
                    partners::rate_limit.eq(row.rate_limit),
                    partners::rate_window.eq(row.rate_window),
                    partners::max_orgs.eq(row.max_orgs),
                    partners::labels.eq(row.labels),
                ))
                .execute(connection)
        })?;
        key_changes::log(self, Changed::Partner(partner.id))
    }
}
