//! Rows of webhook endpoints.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use ids::{EndpointId, Page, PageRequest, PartnerId, TypedId as _};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Endpoint, EndpointUrl, EventKind, EventKinds, OldSecret, SealedSecrets};

use crate::{
    connection::AnyBackend,
    dialect,
    schema::webhook_endpoints as table,
    session::{Session, Writing},
    values,
};

/// What stands between the events of one endpoint.
const SEPARATOR: &str = " ";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = table)]
pub(crate) struct EndpointRow {
    id: String,
    partner_id: String,
    url: String,
    events: String,
    secret: Option<Vec<u8>>,
    old_secret: Option<Vec<u8>>,
    old_secret_until: Option<i64>,
    created_at: i64,
    disabled_at: Option<i64>,
    older_secrets: Option<String>,
}

impl EndpointRow {
    fn of(endpoint: &Endpoint, secrets: &SealedSecrets) -> Self {
        Self {
            id: endpoint.id.to_string(),
            partner_id: endpoint.partner_id.to_string(),
            url: endpoint.url.to_string(),
            events: endpoint.events.names().join(SEPARATOR),
            secret: Some(secrets.current.clone()),
            old_secret: secrets.old.clone(),
            old_secret_until: endpoint.old_secret_until.map(values::micros),
            created_at: values::micros(endpoint.created_at),
            disabled_at: endpoint.disabled_at.map(values::micros),
            older_secrets: older_text(&secrets.older),
        }
    }

    /// The endpoint with its secrets.
    pub(crate) fn with_secrets(mut self) -> Result<(Endpoint, SealedSecrets), StoreError> {
        let secrets = SealedSecrets {
            current: self
                .secret
                .take()
                .ok_or(values::corrupt("the secret of a webhook endpoint"))?,
            old: self.old_secret.take(),
            older: older(self.older_secrets.take().as_deref())?,
        };
        Ok((self.try_into()?, secrets))
    }
}

impl TryFrom<EndpointRow> for Endpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of a webhook endpoint")?,
            partner_id: values::id(&row.partner_id, "the partner of a webhook endpoint")?,
            url: EndpointUrl::stored(row.url)
                .map_err(|_| values::corrupt("the URL of a webhook endpoint"))?,
            events: kinds(&row.events)
                .ok_or(values::corrupt("the events of a webhook endpoint"))?,
            created_at: values::time(row.created_at, "the time of a webhook endpoint")?,
            old_secret_until: values::optional_time(
                row.old_secret_until,
                "the overlap of a webhook endpoint",
            )?,
            disabled_at: values::optional_time(row.disabled_at, "the end of a webhook endpoint")?,
        })
    }
}

/// What stands in the column `older_secrets`: the times until which secrets sign, and the secrets.
type OlderSecrets = Vec<(i64, Vec<u8>)>;

fn older_text(older: &[OldSecret]) -> Option<String> {
    let pairs = older
        .iter()
        .map(|old| (values::micros(old.until), old.sealed.clone()));
    let pairs = OlderSecrets::from_iter(pairs);
    let text = serde_json::to_string(&pairs).ok();
    text.filter(|_| !pairs.is_empty())
}

fn older(text: Option<&str>) -> Result<Vec<OldSecret>, StoreError> {
    let what = "the older secrets of a webhook endpoint";
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let pairs: OlderSecrets = serde_json::from_str(text).map_err(|_| values::corrupt(what))?;
    pairs
        .into_iter()
        .map(|(until, sealed)| {
            Ok(OldSecret {
                sealed,
                until: values::time(until, what)?,
            })
        })
        .collect()
}

fn kinds(text: &str) -> Option<EventKinds> {
    let kinds: Option<Vec<EventKind>> = text.split(SEPARATOR).map(EventKind::parse).collect();
    EventKinds::new(kinds?).ok()
}

/// The endpoints of a partner that are not deleted.
fn of_partner<'a>(partner: PartnerId) -> table::BoxedQuery<'a, AnyBackend> {
    table::table
        .filter(table::partner_id.eq(partner.to_string()))
        .filter(table::deleted_at.is_null())
        .into_boxed::<AnyBackend>()
}

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    partner: PartnerId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    row(session, partner, id)?
        .map(Endpoint::try_from)
        .transpose()
}

fn row<M>(
    session: &mut Session<M>,
    partner: PartnerId,
    id: EndpointId,
) -> Result<Option<EndpointRow>, StoreError> {
    session.run(|connection| {
        of_partner(partner)
            .filter(table::id.eq(id.to_string()))
            .select(EndpointRow::as_select())
            .first(connection)
            .optional()
    })
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    partner: PartnerId,
    page: PageRequest,
) -> Result<Page<Endpoint>, StoreError> {
    let mut query = of_partner(partner)
        .order(table::id.desc())
        .limit(values::rows_for(page))
        .select(EndpointRow::as_select());
    if let Some(after) = values::after::<EndpointId>(page) {
        query = query.filter(table::id.lt(after));
    }
    let rows: Vec<EndpointRow> = session.run(|connection| query.load(connection))?;
    let items: Vec<Endpoint> = rows
        .into_iter()
        .map(Endpoint::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Page::cut(items, page.limit, None, |endpoint| {
        endpoint.id.ulid()
    }))
}

pub(crate) fn listeners_of<M>(
    session: &mut Session<M>,
    questions: &[(PartnerId, EventKind)],
) -> Result<Vec<Vec<EndpointId>>, StoreError> {
    let partners: BTreeSet<String> = questions.iter().map(|(id, _)| id.to_string()).collect();
    let partners = Vec::from_iter(partners);
    let rows = session.run(|connection| dialect::many::endpoints_of(connection, &partners))?;
    let mut of_partners: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    for (partner, id, events) in &rows {
        of_partners.entry(partner).or_default().push((id, events));
    }
    questions
        .iter()
        .map(|(partner, kind)| {
            let all = of_partners.get(partner.to_string().as_str());
            all.into_iter()
                .flatten()
                .filter(|(_, events)| events.split(SEPARATOR).any(|event| event == kind.as_str()))
                .map(|(id, _)| values::id(id, "the id of a webhook endpoint"))
                .collect()
        })
        .collect()
}

pub(crate) fn sealed_secrets<M>(
    session: &mut Session<M>,
    after: Option<EndpointId>,
    limit: usize,
) -> Result<Vec<(EndpointId, SealedSecrets)>, StoreError> {
    let mut query = table::table
        .filter(table::deleted_at.is_null())
        .order(table::id)
        .limit(values::row_count(limit))
        .select(EndpointRow::as_select())
        .into_boxed::<AnyBackend>();
    if let Some(after) = after {
        query = query.filter(table::id.gt(after.to_string()));
    }
    let rows = session.run(|connection| query.load(connection))?;
    rows.into_iter()
        .map(|row| {
            let (endpoint, secrets) = row.with_secrets()?;
            Ok((endpoint.id, secrets))
        })
        .collect()
}

pub(crate) fn insert(
    session: &mut Session<Writing>,
    endpoint: &Endpoint,
    secrets: &SealedSecrets,
) -> Result<(), StoreError> {
    let row = EndpointRow::of(endpoint, secrets);
    session.run(|connection| {
        diesel::insert_into(table::table)
            .values(&row)
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn lock(
    session: &mut Session<Writing>,
    partner: PartnerId,
    id: EndpointId,
) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
    session.run(|connection| dialect::webhooks::lock_endpoint(connection, &id.to_string()))?;
    row(session, partner, id)?
        .map(EndpointRow::with_secrets)
        .transpose()
}

pub(crate) fn update(
    session: &mut Session<Writing>,
    endpoint: &Endpoint,
    secrets: &SealedSecrets,
) -> Result<(), StoreError> {
    let row = EndpointRow::of(endpoint, secrets);
    let place = table::table
        .find(&row.id)
        .filter(table::deleted_at.is_null());
    session.run(|connection| {
        diesel::update(place)
            .set((
                table::secret.eq(&row.secret),
                table::old_secret.eq(&row.old_secret),
                table::old_secret_until.eq(row.old_secret_until),
                table::older_secrets.eq(&row.older_secrets),
                table::disabled_at.eq(row.disabled_at),
            ))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn delete(
    session: &mut Session<Writing>,
    partner: PartnerId,
    id: EndpointId,
    at: OffsetDateTime,
) -> Result<bool, StoreError> {
    let place = table::table
        .find(id.to_string())
        .filter(table::partner_id.eq(partner.to_string()))
        .filter(table::deleted_at.is_null());
    let rows = session.run(|connection| {
        diesel::update(place)
            .set((
                table::deleted_at.eq(values::micros(at)),
                table::forget_after.eq(0),
                table::secret.eq(None::<Vec<u8>>),
                table::old_secret.eq(None::<Vec<u8>>),
                table::older_secrets.eq(None::<String>),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}
