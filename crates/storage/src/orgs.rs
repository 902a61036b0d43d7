//! Rows of orgs.

use std::collections::HashMap;

use diesel::{expression::SqlLiteral, prelude::*, sql_types::Bool};
use ids::{KeyId, OrgId, PartnerId};
use orgs::{Failure, NewOrg, Org, OrgStatus, OrgVisibility, Slug};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    connection::AnyBackend,
    dialect::{self, same},
    schema::{org_labels, orgs as table},
    session::{Session, Writing},
    steps,
    subscriptions::SubscriptionRow,
    values,
};

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = table)]
pub(crate) struct OrgRow {
    pub(crate) id: String,
    pub(crate) partner_id: String,
    pub(crate) created_by_key_id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) plan: String,
    pub(crate) status: String,
    pub(crate) external_id: Option<String>,
    pub(crate) labels: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) ready_at: Option<i64>,
    pub(crate) deleted_at: Option<i64>,
    pub(crate) failure_code: Option<String>,
    pub(crate) failure_message: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) expires_at: Option<i64>,
}

impl From<&Org> for OrgRow {
    fn from(org: &Org) -> Self {
        let failure = org.failure.as_ref();
        Self {
            id: org.id.to_string(),
            partner_id: org.partner_id.to_string(),
            created_by_key_id: org.created_by_key_id.to_string(),
            name: org.name.to_string(),
            slug: org.slug.to_string(),
            plan: org.plan.to_string(),
            status: org.status.to_string(),
            external_id: org.external_id.as_ref().map(ToString::to_string),
            labels: values::labels_text(&org.labels),
            created_at: values::micros(org.created_at),
            updated_at: values::micros(org.updated_at),
            ready_at: org.ready_at.map(values::micros),
            deleted_at: org.deleted_at.map(values::micros),
            failure_code: failure.map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message.clone()),
            attempts: org.attempts.into(),
            expires_at: org.expires_at.map(values::micros),
        }
    }
}

impl TryFrom<OrgRow> for Org {
    type Error = StoreError;

    fn try_from(row: OrgRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of an org")?,
            partner_id: values::id(&row.partner_id, "the partner of an org")?,
            created_by_key_id: values::id(&row.created_by_key_id, "the maker of an org")?,
            name: values::name(row.name, "the name of an org")?,
            slug: Slug::new(row.slug).map_err(|_| values::corrupt("the slug of an org"))?,
            plan: ids::PlanName::new(row.plan)
                .map_err(|_| values::corrupt("the plan of an org"))?,
            status: row
                .status
                .parse()
                .map_err(|_| values::corrupt("the status of an org"))?,
            external_id: row
                .external_id
                .map(|text| values::name(text, "the external id of an org"))
                .transpose()?,
            labels: values::labels(&row.labels, "the labels of an org")?,
            created_at: values::time(row.created_at, "the time of an org")?,
            updated_at: values::time(row.updated_at, "the last change of an org")?,
            ready_at: values::optional_time(row.ready_at, "the readiness of an org")?,
            expires_at: values::optional_time(row.expires_at, "the end of an org's lease")?,
            deleted_at: values::optional_time(row.deleted_at, "the deletion of an org")?,
            failure: row
                .failure_code
                .zip(row.failure_message)
                .map(|(code, message)| Failure { code, message }),
            attempts: values::number(row.attempts, "the attempts at an org")?,
        })
    }
}

/// The condition of the indexes of live orgs, word for word: an engine does not see it in a value that is
/// bound.
pub(crate) fn is_live() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status <> 'deleted'")
}

/// The condition of the indexes of orgs that are not going or gone.
pub(crate) fn is_staying() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status <> 'deprovisioning' AND orgs.status <> 'deleted'")
}

/// The condition of the indexes of deleted orgs.
pub(crate) fn is_deleted() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status = 'deleted'")
}

/// Orgs that are asked for.
pub(crate) type Query<'a> = table::BoxedQuery<'a, AnyBackend>;

/// The orgs that the caller may see, and no others.
pub(crate) fn visible<'a>(visibility: OrgVisibility) -> Query<'a> {
    let query = table::table.into_boxed::<AnyBackend>();
    let of = |query: Query<'a>, partner: PartnerId| {
        query.filter(table::partner_id.eq(partner.to_string()))
    };
    match visibility {
        OrgVisibility::All => query,
        OrgVisibility::Partner(partner) => of(query, partner),
        OrgVisibility::MadeBy(partner, key) => {
            of(query, partner).filter(table::created_by_key_id.eq(key.to_string()))
        }
        OrgVisibility::One(partner, id) => of(query, partner).filter(table::id.eq(id.to_string())),
    }
}

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    visibility: OrgVisibility,
    id: OrgId,
) -> Result<Option<Org>, StoreError> {
    session
        .run(|connection| {
            let found = table::table
                .find(id.to_string())
                .select(same::columns::<OrgRow>());
            same::ask_one::<_, OrgRow>(connection, found)
        })?
        .map(Org::try_from)
        .transpose()
        .map(|org| org.filter(|org| visibility.includes(org)))
}

/// Those that have all of the labels, of live orgs or of deleted ones.
pub(crate) fn labelled<'a>(
    mut query: Query<'a>,
    labels: &'a [(String, String)],
    live: bool,
) -> Query<'a> {
    for (key, value) in labels {
        // Within one partner's rows both sides have an index that begins with the partner.
        query = query.filter(diesel::dsl::exists(
            org_labels::table
                .filter(org_labels::partner_id.eq(table::partner_id))
                .filter(org_labels::org_id.eq(table::id))
                .filter(org_labels::label_key.eq(key))
                .filter(org_labels::label_value.eq(value))
                .filter(org_labels::live.eq(live)),
        ));
    }
    query
}

/// How many orgs each partner has that are not deleted, in the order of the question.
pub(crate) fn live_counts<M>(
    session: &mut Session<M>,
    partners: &[PartnerId],
) -> Result<Vec<u64>, StoreError> {
    let ids: Vec<String> = partners.iter().map(ToString::to_string).collect();
    let counts =
        session.run(|connection| dialect::counts::live_orgs_of_partners(connection, &ids))?;
    in_order(&ids, counts)
}

/// How many orgs each key has made that are not deleted, in the order of the question.
pub(crate) fn live_counts_of_keys<M>(
    session: &mut Session<M>,
    keys: &[KeyId],
) -> Result<Vec<u64>, StoreError> {
    let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let counts = session.run(|connection| dialect::counts::live_orgs_of_keys(connection, &ids))?;
    in_order(&ids, counts)
}

fn in_order(ids: &[String], counts: Vec<(String, i64)>) -> Result<Vec<u64>, StoreError> {
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    let count = |id| counts.get(id).copied().unwrap_or_default();
    ids.iter()
        .map(|id| values::number(count(id), "a number of orgs"))
        .collect()
}

/// An org that is to be added, with what else stands in its row or beside it.
pub(crate) struct NewRow {
    pub(crate) org: OrgRow,
    pub(crate) steps: String,
    pub(crate) lease_token: Option<String>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) subscription: SubscriptionRow,
}

impl From<&NewOrg> for NewRow {
    fn from(new: &NewOrg) -> Self {
        Self {
            org: OrgRow::from(&new.org),
            steps: steps::text(&new.steps),
            lease_token: new.lease.map(|lease| lease.token.0.to_string()),
            lease_until: new.lease.map(|lease| values::micros(lease.until)),
            subscription: new
                .subscription
                .as_ref()
                .map(SubscriptionRow::from)
                .unwrap_or_default(),
        }
    }
}

pub(crate) fn insert(session: &mut Session<Writing>, orgs: &[NewOrg]) -> Result<(), StoreError> {
    let rows: Vec<NewRow> = orgs.iter().map(NewRow::from).collect();
    session.run(|connection| dialect::many::orgs_insert(connection, &rows))?;
    for (new, row) in orgs.iter().zip(&rows) {
        for (key, value) in new.org.labels.iter() {
            session.run(|connection| {
                diesel::insert_into(org_labels::table)
                    .values((
                        org_labels::org_id.eq(&row.org.id),
                        org_labels::partner_id.eq(&row.org.partner_id),
                        org_labels::label_key.eq(key),
                        org_labels::label_value.eq(value),
                        org_labels::live.eq(new.org.status != OrgStatus::Deleted),
                    ))
                    .execute(connection)
            })?;
        }
    }
    Ok(())
}

pub(crate) fn lock(
    session: &mut Session<Writing>,
    visibility: OrgVisibility,
    id: OrgId,
) -> Result<Option<Org>, StoreError> {
    session.run(|connection| dialect::lock_org(connection, &id.to_string()))?;
    by_id(session, visibility, id)
}

pub(crate) fn update(
    session: &mut Session<Writing>,
    org: &Org,
    due_at: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    let row = OrgRow::from(org);
    let changed = diesel::update(table::table.find(row.id)).set((
        table::name.eq(row.name),
        table::plan.eq(row.plan),
        table::status.eq(row.status),
        table::updated_at.eq(row.updated_at),
        table::ready_at.eq(row.ready_at),
        table::deleted_at.eq(row.deleted_at),
        table::failure_code.eq(row.failure_code),
        table::failure_message.eq(row.failure_message),
        table::attempts.eq(row.attempts),
        table::due_at.eq(due_at.map(values::micros)),
    ));
    session.run(|connection| same::change(connection, changed))?;
    retire_labels(session, &[org])
}

/// Has the labels of those orgs that are deleted now found among those of deleted ones.
pub(crate) fn retire_labels(
    session: &mut Session<Writing>,
    orgs: &[&Org],
) -> Result<(), StoreError> {
    let gone = orgs
        .iter()
        .filter(|org| org.status == OrgStatus::Deleted && org.labels.iter().next().is_some());
    let ids: Vec<String> = gone.map(|org| org.id.to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    session.run(|connection| {
        diesel::update(org_labels::table.filter(org_labels::org_id.eq_any(&ids)))
            .set(org_labels::live.eq(false))
            .execute(connection)
    })?;
    Ok(())
}
