//! `molctl audit` and `molctl admin audit`.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use futures_util::TryStreamExt as _;
use molecule_client::{AuditEvent, Client, EventFilters, EventId, Items, OrgId, PartnerId, Time};
use tokio::time::sleep;

use super::{Much, admin::time, word};
use crate::{
    context::Context,
    failure::Failure,
    output::{self, Format, to_value},
    table::Column,
};

const EVENTS: &[Column] = &[
    ("AT", "/occurred_at"),
    ("ACTION", "/action"),
    ("OUTCOME", "/outcome"),
    ("STATUS", "/status_code"),
    ("ACTOR", "/actor/id /actor/type"),
    ("TARGET", "/target/id"),
    ("REQUEST", "/request_id"),
];

/// How often new events are looked for.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);
/// How many events are looked back upon with --follow; more than come within the interval.
const FOLLOWED: usize = 1000;

/// List audit events, newest first, or follow them as they come.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Print new events as they come, oldest first, until interrupted.
    #[arg(long, conflicts_with_all = ["limit", "all", "until"])]
    follow: bool,
    /// Only events of requests with this key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only events about this org.
    #[arg(long)]
    org: Option<OrgId>,
    /// Only events with this action, such as org.create.
    #[arg(long)]
    action: Option<String>,
    /// Only events with this outcome: success, denied or failed.
    #[arg(long)]
    outcome: Option<String>,
    /// Only the events of the request with this id.
    #[arg(long)]
    request_id: Option<String>,
    /// Only events at this time or later, such as 2026-04-23T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    /// Only events before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// Only events of this partner. For operators.
    #[arg(long)]
    partner: Option<PartnerId>,
    #[command(flatten)]
    much: Much,
}

impl Audit {
    pub(crate) async fn run(self, context: &Context, by_admin: bool) -> Result<(), Failure> {
        if self.follow && matches!(context.output.0, Format::Json | Format::Yaml) {
            return Err(Failure::Usage(
                "Events without end are no document: use --output ndjson with --follow.".to_owned(),
            ));
        }
        if self.partner.is_some() && !by_admin {
            return Err(Failure::Usage(
                "--partner is for operators: use molctl admin audit.".to_owned(),
            ));
        }
        let client = context.client()?;
        let filters = EventFilters {
            key_id: self.key,
            org_id: self.org,
            partner_id: self.partner,
            action: self.action.map(word),
            outcome: self.outcome.map(word),
            request_id: self.request_id,
            since: self.since,
            until: self.until,
        };
        if self.follow {
            return follow(context, &client, filters, by_admin).await;
        }
        context
            .output
            .list(
                EVENTS,
                events(&client, &filters, by_admin),
                self.much.limit(),
            )
            .await
    }
}

fn events(client: &Client, filters: &EventFilters, by_admin: bool) -> Items<AuditEvent> {
    if by_admin {
        client.admin().audit_events(filters)
    } else {
        client.audit_events(filters)
    }
}

/// Prints events that were not seen before. Each call is an event itself, so those of listing are left out.
async fn follow(
    context: &Context,
    client: &Client,
    filters: EventFilters,
    by_admin: bool,
) -> Result<(), Failure> {
    let mut seen: BTreeSet<EventId> = BTreeSet::new();
    let mut first = true;
    loop {
        let mut items = events(client, &filters, by_admin);
        let mut new = Vec::new();
        // The list is a little behind, and sorted: behind the oldest that was seen nothing is new.
        let oldest = seen.first().copied();
        while let Some(event) = items.try_next().await? {
            if oldest.is_some_and(|oldest| event.id < oldest) || new.len() >= FOLLOWED {
                break;
            }
            if event.action.as_str() != "audit.list" && !seen.contains(&event.id) {
                new.push(event);
            }
            if first && new.len() >= 10 {
                break;
            }
        }
        first = false;
        for event in new.iter().rev() {
            if context.output.0 == Format::Table {
                let rows = crate::table::table(EVENTS, &[to_value(event)?]);
                output::text(rows.split_once('\n').map_or("", |(_, row)| row))?;
            } else {
                context.output.one(event)?;
            }
            seen.insert(event.id);
        }
        while seen.len() > FOLLOWED {
            seen.pop_first();
        }
        sleep(FOLLOW_INTERVAL).await;
    }
}
