//! Rows of partner keys.

use diesel::prelude::*;
use ids::{KeyId, Page, PageRequest, TypedId as _, Ulid};
use keys::{KeyDigest, KeyFilter, KeyWithPartner, OnRevoke, PartnerKey};
use scopes::ScopeSet;
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    announcements,
    connection::AnyBackend,
    dialect::{self, same},
    paged,
    partners::PartnerRow,
    peppers,
    schema::{partner_keys, partners},
    session::{Session, Writing},
    values,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = partner_keys)]
pub(crate) struct KeyRow {
    id: String,
    partner_id: String,
    name: String,
    scopes: String,
    org_id: Option<String>,
    org_plans: Option<String>,
    allowed_cidrs: Option<String>,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    expires_at: Option<i64>,
    disabled: bool,
    labels: String,
    key_prefix: String,
    created_at: i64,
    created_by: String,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    max_live_orgs: Option<i64>,
    on_revoke: String,
}

impl From<&PartnerKey> for KeyRow {
    fn from(key: &PartnerKey) -> Self {
        let (rate_limit, rate_window) = values::limit_columns(key.rate_limit);
        Self {
            id: key.id.to_string(),
            partner_id: key.partner_id.to_string(),
            name: key.name.to_string(),
            scopes: key.scopes.to_string(),
            org_id: key.org_id.map(|id| id.to_string()),
            org_plans: key.org_plans.as_deref().map(values::plans_text),
            allowed_cidrs: key.allowed_cidrs.as_ref().map(values::networks_text),
            rate_limit,
            rate_window,
            expires_at: key.expires_at.map(values::micros),
            disabled: key.disabled,
            labels: values::labels_text(&key.labels),
            key_prefix: key.key_prefix.clone(),
            created_at: values::micros(key.created_at),
            created_by: key.created_by.to_string(),
            last_used_at: key.last_used_at.map(values::micros),
            revoked_at: key.revoked_at.map(values::micros),
            max_live_orgs: key
                .max_live_orgs
                .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            on_revoke: key.on_revoke.as_str().to_owned(),
        }
    }
}

impl TryFrom<KeyRow> for PartnerKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of a key")?,
            partner_id: values::id(&row.partner_id, "the partner of a key")?,
            name: values::name(row.name, "the name of a key")?,
            scopes: ScopeSet::parse_list(&row.scopes)
                .map_err(|_| values::corrupt("the scopes of a key"))?,
            org_id: values::optional_id(row.org_id.as_deref(), "the org of a key")?,
            org_plans: row
                .org_plans
                .map(|text| values::plans(&text, "the plans of a key"))
                .transpose()?,
            allowed_cidrs: row
                .allowed_cidrs
                .map(|text| values::networks(&text, "the networks of a key"))
                .transpose()?,
            rate_limit: values::limit((row.rate_limit, row.rate_window), "the limit of a key")?,
            expires_at: values::optional_time(row.expires_at, "the end of a key")?,
            max_live_orgs: row
                .max_live_orgs
                .map(|count| values::number(count, "the orgs of a key"))
                .transpose()?,
            on_revoke: row
                .on_revoke
                .parse()
                .map_err(|_| values::corrupt("what becomes of a key's orgs"))?,
            disabled: row.disabled,
            labels: values::labels(&row.labels, "the labels of a key")?,
            key_prefix: row.key_prefix,
            created_at: values::time(row.created_at, "the time of a key")?,
            created_by: values::id(&row.created_by, "the maker of a key")?,
            last_used_at: values::optional_time(row.last_used_at, "the last use of a key")?,
            revoked_at: values::optional_time(row.revoked_at, "the revocation of a key")?,
        })
    }
}

pub(crate) fn held((key, partner): (KeyRow, PartnerRow)) -> Result<KeyWithPartner, StoreError> {
    Ok(KeyWithPartner {
        key: key.try_into()?,
        partner: partner.try_into()?,
    })
}

pub(crate) fn by_digest<M>(
    session: &mut Session<M>,
    digests: &[KeyDigest],
) -> Result<Option<KeyWithPartner>, StoreError> {
    // One prepared statement, asked once for each pepper; the current one's digest is the first.
    for digest in digests {
        let row = session.run(|connection| {
            let found = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::digest.eq(digest.as_bytes().as_slice()))
                .select((same::columns::<KeyRow>(), same::columns::<PartnerRow>()));
            same::ask_one(connection, found)
        })?;
        if let Some(row) = row {
            return held(row).map(Some);
        }
    }
    Ok(None)
}

pub(crate) fn by_digests<M>(
    session: &mut Session<M>,
    digests: &[KeyDigest],
) -> Result<Vec<(KeyDigest, KeyWithPartner)>, StoreError> {
    let digests: Vec<&[u8]> = digests
        .iter()
        .map(|digest| &digest.as_bytes()[..])
        .collect();
    let rows: Vec<(Vec<u8>, KeyRow, PartnerRow)> = session.run(|connection| {
        partner_keys::table
            .inner_join(partners::table)
            .filter(partner_keys::digest.eq_any(digests))
            .select((
                partner_keys::digest,
                KeyRow::as_select(),
                PartnerRow::as_select(),
            ))
            .load(connection)
    })?;
    rows.into_iter()
        .map(|(digest, key, partner)| Ok((values::digest(digest)?, held((key, partner))?)))
        .collect()
}

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    id: KeyId,
) -> Result<Option<KeyWithPartner>, StoreError> {
    session
        .run(|connection| {
            let found = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::id.eq(id.to_string()))
                .select((same::columns::<KeyRow>(), same::columns::<PartnerRow>()));
            same::ask_one(connection, found)
        })?
        .map(held)
        .transpose()
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    filter: &KeyFilter,
    page: PageRequest,
) -> Result<Page<PartnerKey>, StoreError> {
    paged::page(
        session,
        page,
        |key: &PartnerKey| key.id.ulid(),
        |key| filter.includes(key),
        |session, below, limit| next(session, filter, below, limit),
    )
}

/// The next keys below an id, of the partner that the filter names.
fn next<M>(
    session: &mut Session<M>,
    filter: &KeyFilter,
    below: Option<Ulid>,
    limit: i64,
) -> Result<Vec<PartnerKey>, StoreError> {
    let mut query = partner_keys::table
        .order(partner_keys::id.desc())
        .limit(limit)
        .select(KeyRow::as_select())
        .into_boxed::<AnyBackend>();
    if let Some(id) = filter.id {
        query = query.filter(partner_keys::id.eq(id.to_string()));
    } else if let Some(partner) = filter.partner_id {
        query = query.filter(partner_keys::partner_id.eq(partner.to_string()));
    }
    if let Some(below) = below {
        query = query.filter(partner_keys::id.lt(KeyId::from_ulid(below).to_string()));
    }
    let rows = session.run(|connection| query.load(connection))?;
    rows.into_iter().map(PartnerKey::try_from).collect()
}

pub(crate) fn lock(
    session: &mut Session<Writing>,
    id: KeyId,
) -> Result<Option<KeyWithPartner>, StoreError> {
    session.run(|connection| dialect::lock_key(connection, &id.to_string()))?;
    by_id(session, id)
}

pub(crate) fn lock_all(session: &mut Session<Writing>, ids: &[KeyId]) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    session.run(|connection| dialect::lock_keys(connection, &ids))
}

pub(crate) fn lock_for_use(
    session: &mut Session<Writing>,
    id: KeyId,
) -> Result<Option<KeyWithPartner>, StoreError> {
    session.run(|connection| dialect::lock_key_for_use(connection, &id.to_string()))?;
    by_id(session, id)
}

pub(crate) fn with_orgs_to_go<M>(session: &mut Session<M>) -> Result<Option<KeyId>, StoreError> {
    let id: Option<String> = session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::orgs_to_go_since.is_not_null())
            .order((partner_keys::orgs_to_go_since, partner_keys::id))
            .select(partner_keys::id)
            .first(connection)
            .optional()
    })?;
    values::optional_id(id.as_deref(), "the id of a key")
}

pub(crate) fn note_orgs_to_go(
    session: &mut Session<Writing>,
    id: KeyId,
    since: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    session.run(|connection| {
        diesel::update(partner_keys::table.find(id.to_string()))
            .set(partner_keys::orgs_to_go_since.eq(since.map(values::micros)))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn insert(
    session: &mut Session<Writing>,
    key: &PartnerKey,
    digest: &KeyDigest,
) -> Result<(), StoreError> {
    let row = KeyRow::from(key);
    let pepper = partner_keys::pepper_id.eq(peppers::column(digest));
    let digest = partner_keys::digest.eq(digest.as_bytes().as_slice());
    let announce = partner_keys::end_to_announce.eq(row.expires_at);
    let added = diesel::insert_into(partner_keys::table).values((&row, digest, pepper, announce));
    session.run(|connection| same::change(connection, added))?;
    Ok(())
}

pub(crate) fn update(session: &mut Session<Writing>, key: &PartnerKey) -> Result<(), StoreError> {
    let row = KeyRow::from(key);
    let to_announce = announcements::key_end_to_announce(session, &row.id, row.expires_at)?;
    session.run(|connection| {
        diesel::update(partner_keys::table.find(row.id))
            .set((
                partner_keys::name.eq(row.name),
                partner_keys::scopes.eq(row.scopes),
                partner_keys::org_plans.eq(row.org_plans),
                partner_keys::allowed_cidrs.eq(row.allowed_cidrs),
                partner_keys::rate_limit.eq(row.rate_limit),
                partner_keys::rate_window.eq(row.rate_window),
                partner_keys::expires_at.eq(row.expires_at),
                partner_keys::end_to_announce.eq(to_announce),
                partner_keys::max_live_orgs.eq(row.max_live_orgs),
                partner_keys::on_revoke.eq(row.on_revoke),
                partner_keys::disabled.eq(row.disabled),
                partner_keys::labels.eq(row.labels),
            ))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn revoke(
    session: &mut Session<Writing>,
    id: KeyId,
    at: OffsetDateTime,
    orgs: OnRevoke,
) -> Result<bool, StoreError> {
    let at = values::micros(at);
    let go_since = (orgs == OnRevoke::Delete).then_some(at);
    let live = partner_keys::table
        .find(id.to_string())
        .filter(partner_keys::revoked_at.is_null());
    let rows = session.run(|connection| {
        let revoked = diesel::update(live).set((
            partner_keys::revoked_at.eq(at),
            partner_keys::orgs_to_go_since.eq(go_since),
        ));
        same::change(connection, revoked)
    })?;
    Ok(rows > 0)
}

pub(crate) fn touch(
    session: &mut Session<Writing>,
    id: KeyId,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let at = values::micros(at);
    let used_before = partner_keys::table.find(id.to_string()).filter(
        partner_keys::last_used_at
            .is_null()
            .or(partner_keys::last_used_at.lt(at).assume_not_null()),
    );
    let noted = diesel::update(used_before).set(partner_keys::last_used_at.eq(at));
    session.run(|connection| same::change(connection, noted))?;
    Ok(())
}
