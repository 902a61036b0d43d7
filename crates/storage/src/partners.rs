//! Rows of partners.

use diesel::prelude::*;
use ids::{Page, PageRequest, PartnerId, TypedId as _};
use keys::Partner;
use stores::StoreError;

use crate::{
    dialect::{self, same},
    schema::partners,
    session::{Session, Writing},
    values,
};

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

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    id: PartnerId,
) -> Result<Option<Partner>, StoreError> {
    session
        .run(|connection| {
            let found = partners::table
                .find(id.to_string())
                .select(same::columns::<PartnerRow>());
            same::ask_one::<_, PartnerRow>(connection, found)
        })?
        .map(Partner::try_from)
        .transpose()
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    page: PageRequest,
) -> Result<Page<Partner>, StoreError> {
    let mut query = partners::table
        .order(partners::id.desc())
        .limit(values::rows_for(page))
        .select(PartnerRow::as_select())
        .into_boxed();
    if let Some(after) = values::after::<PartnerId>(page) {
        query = query.filter(partners::id.lt(after));
    }
    let rows = session.run(|connection| query.load(connection))?;
    let items: Vec<_> = rows
        .into_iter()
        .map(Partner::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Page::cut(items, page.limit, None, |partner: &_| {
        partner.id.ulid()
    }))
}

pub(crate) fn lock(
    session: &mut Session<Writing>,
    id: PartnerId,
) -> Result<Option<Partner>, StoreError> {
    session.run(|connection| dialect::lock_partner(connection, &id.to_string()))?;
    by_id(session, id)
}

pub(crate) fn lock_all(
    session: &mut Session<Writing>,
    ids: &[PartnerId],
) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    session.run(|connection| dialect::lock_partners(connection, &ids))
}

pub(crate) fn insert(session: &mut Session<Writing>, partner: &Partner) -> Result<(), StoreError> {
    let row = PartnerRow::from(partner);
    let added = diesel::insert_into(partners::table).values(&row);
    session.run(|connection| same::change(connection, added))?;
    Ok(())
}

pub(crate) fn update(session: &mut Session<Writing>, partner: &Partner) -> Result<(), StoreError> {
    let row = PartnerRow::from(partner);
    session.run(|connection| {
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
    Ok(())
}
