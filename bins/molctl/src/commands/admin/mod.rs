//! `molctl admin …`: for operators.

mod key;
mod org;
mod partner;
mod trust_rule;

use clap::Subcommand;
use molecule_client::{NewRateLimit, Time};

use super::{Much, audit};
use crate::{context::Context, failure::Failure, table::Column};

const INSTANCES: &[Column] = &[
    ("ID", "/id"),
    ("HOST", "/host"),
    ("VERSION", "/version"),
    ("STARTED", "/started_at"),
    ("LAST SEEN", "/last_seen_at"),
    ("LAG MS", "/lag_ms"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Partners, who own keys and orgs.
    #[command(subcommand)]
    Partner(partner::Partner),
    /// Partner keys.
    #[command(subcommand)]
    Key(key::Key),
    /// Trust rules, by which pipelines get keys without a stored secret.
    #[command(subcommand)]
    TrustRule(trust_rule::TrustRule),
    /// Orgs of all partners.
    #[command(subcommand)]
    Org(org::Org),
    Audit(audit::Audit),
    /// List the instances of the server.
    Instances {
        #[command(flatten)]
        much: Much,
    },
}

impl Admin {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Partner(command) => command.run(context).await,
            Self::Key(command) => command.run(context).await,
            Self::TrustRule(command) => command.run(context).await,
            Self::Org(command) => command.run(context).await,
            Self::Audit(command) => command.run(context, true).await,
            Self::Instances { much } => {
                let client = context.client()?;
                context
                    .output
                    .list(INSTANCES, client.admin().instances(), much.limit())
                    .await
            }
        }
    }
}

/// A limit as `limit/seconds`.
fn rate_limit(text: &str) -> Result<NewRateLimit, &'static str> {
    const FORM: &str = "must be limit/seconds, such as 600/60";
    let (limit, window_seconds) = text.split_once('/').ok_or(FORM)?;
    let number = |text: &str| text.parse().map_err(|_| FORM);
    Ok(NewRateLimit {
        limit: number(limit)?,
        window_seconds: number(window_seconds)?,
    })
}

/// A time as the API takes it.
pub(crate) fn time(text: &str) -> Result<Time, &'static str> {
    serde_json::from_value(text.into()).map_err(|_| "must be a time such as 2026-04-23T08:00:00Z")
}
