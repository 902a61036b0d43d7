//! Reports of leaked tokens that wait to be handled, and of which leaks somebody was told.

use diesel::{dsl::count_star, prelude::*};
use ids::RequestId;
use keys::{
    KeyDigest, LeakLocation, LeakQueries, LeakReport, LeakStore, LeakSubject, LeakUrl,
    MAX_LEAK_NOTICES, MAX_LEAK_REPORTS,
};
use stores::StoreError;
use time::OffsetDateTime;

use super::values;
use crate::{
    connection::prepared,
    session::{Session, Writing},
};

diesel::table! {
    leak_reports (id) {
        id -> Text,
        received_at -> BigInt,
        source -> Nullable<Text>,
        url -> Nullable<Text>,
        partner_digests -> Binary,
        admin_digests -> Binary,
    }
}

diesel::table! {
    leak_notices (subject, location) {
        subject -> Text,
        location -> Binary,
        told_at -> BigInt,
    }
}

/// The bytes of a digest. Digests of a report stand one behind the other.
const DIGEST: usize = 32;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = leak_reports)]
struct ReportRow {
    id: String,
    received_at: i64,
    source: Option<String>,
    url: Option<String>,
    partner_digests: Vec<u8>,
    admin_digests: Vec<u8>,
}

fn digest_bytes(digests: &[KeyDigest]) -> Vec<u8> {
    digests
        .iter()
        .flat_map(|digest| *digest.as_bytes())
        .collect()
}

fn digests(bytes: &[u8]) -> Result<Vec<KeyDigest>, StoreError> {
    let (digests, rest) = bytes.as_chunks::<DIGEST>();
    if !rest.is_empty() {
        return Err(values::corrupt("the digests of a report"));
    }
    Ok(digests.iter().copied().map(KeyDigest::from_bytes).collect())
}

impl From<&LeakReport> for ReportRow {
    fn from(report: &LeakReport) -> Self {
        let location = &report.location;
        Self {
            id: report.id.to_string(),
            received_at: values::micros(report.received_at),
            source: location.source.as_ref().map(ToString::to_string),
            url: location.url.as_ref().map(|url| url.as_str().to_owned()),
            partner_digests: digest_bytes(&report.partner_digests),
            admin_digests: digest_bytes(&report.admin_digests),
        }
    }
}

impl TryFrom<ReportRow> for LeakReport {
    type Error = StoreError;

    fn try_from(row: ReportRow) -> Result<Self, StoreError> {
        let url = row.url.map(LeakUrl::new).transpose();
        Ok(Self {
            id: values::id(&row.id, "the id of a report")?,
            received_at: values::time(row.received_at, "the time of a report")?,
            location: LeakLocation {
                source: row
                    .source
                    .map(|text| values::name(text, "the source of a report"))
                    .transpose()?,
                url: url.map_err(|_| values::corrupt("the URL of a report"))?,
            },
            partner_digests: digests(&row.partner_digests)?,
            admin_digests: digests(&row.admin_digests)?,
        })
    }
}

impl<M> LeakQueries for Session<M> {
    type Error = StoreError;

    fn leak_reports(
        &mut self,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<LeakReport>, StoreError> {
        let found = leak_reports::table
            .filter(leak_reports::received_at.le(values::micros(until)))
            .order(leak_reports::id)
            .limit(values::row_count(limit))
            .select(ReportRow::as_select());
        let rows: Vec<ReportRow> = self.run(|connection| found.load(connection))?;
        rows.into_iter().map(LeakReport::try_from).collect()
    }
}

impl LeakStore for Session<Writing> {
    fn leak_reports_insert(&mut self, reports: &[LeakReport]) -> Result<usize, StoreError> {
        let waiting: i64 =
            self.run(|connection| leak_reports::table.select(count_star()).first(connection))?;
        let waiting: usize = values::number(waiting, "a count of reports")?;
        let reports = reports
            .iter()
            .take(MAX_LEAK_REPORTS.saturating_sub(waiting));
        let mut added = 0;
        for report in reports {
            let row = ReportRow::from(report);
            let report = diesel::insert_into(leak_reports::table).values(&row);
            added += self.run(|connection| prepared::execute(connection, report))?;
        }
        Ok(added)
    }

    fn leak_report_remove(&mut self, id: RequestId) -> Result<(), StoreError> {
        let handled = diesel::delete(leak_reports::table.find(id.to_string()));
        self.run(|connection| prepared::execute(connection, handled))?;
        Ok(())
    }

    fn leak_notice_insert(
        &mut self,
        subject: LeakSubject,
        location: &[u8; 32],
        at: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let subject = subject.to_string();
        let of_key = leak_notices::table.filter(leak_notices::subject.eq(&subject));
        let old = of_key.filter(leak_notices::told_at.lt(values::micros(since)));
        self.run(|connection| prepared::execute(connection, diesel::delete(old)))?;
        let told: Vec<Vec<u8>> = self.run(|connection| {
            leak_notices::table
                .filter(leak_notices::subject.eq(&subject))
                .select(leak_notices::location)
                .load(connection)
        })?;
        let is_known = told.iter().any(|known| known.as_slice() == location);
        if is_known || told.len() >= MAX_LEAK_NOTICES {
            return Ok(false);
        }
        let notice = diesel::insert_into(leak_notices::table).values((
            leak_notices::subject.eq(&subject),
            leak_notices::location.eq(location.as_slice()),
            leak_notices::told_at.eq(values::micros(at)),
        ));
        self.run(|connection| prepared::execute(connection, notice))?;
        Ok(true)
    }
}
