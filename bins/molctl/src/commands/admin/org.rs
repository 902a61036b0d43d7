//! `molctl admin org …`.

use clap::Subcommand;
use molecule_client::{NewBilling, NewSubscription, OrgFilters, OrgId, PartnerId, Time};

use super::super::{Much, ORGS, org::Filters, word};
use crate::{context::Context, failure::Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Org {
    /// List the orgs of all partners, newest first.
    List {
        /// Only orgs of this partner.
        #[arg(long)]
        partner: Option<PartnerId>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        much: Much,
    },
    /// Show one org.
    Get {
        /// The id of the org.
        org: OrgId,
    },
    /// Suspend an org that is ready.
    Suspend {
        /// The id of the org.
        org: OrgId,
    },
    /// Resume a suspended org.
    Resume {
        /// The id of the org.
        org: OrgId,
    },
    /// Try again to create an org that failed.
    Retry {
        /// The id of the org.
        org: OrgId,
    },
    /// Set the subscription of an org.
    SetBilling {
        /// The id of the org.
        org: OrgId,
        /// Whether the org is paid for: trialing, active, past_due or canceled.
        #[arg(long)]
        status: String,
        /// The plan of the org; without it, the present one stays.
        #[arg(long)]
        plan: Option<String>,
        /// The start of the paid period.
        #[arg(long, value_name = "TIME", value_parser = super::time)]
        period_start: Option<Time>,
        /// The end of the paid period.
        #[arg(long, value_name = "TIME", value_parser = super::time)]
        period_end: Option<Time>,
        /// The time at which the subscription ends; without it, it renews.
        #[arg(long, value_name = "TIME", value_parser = super::time)]
        cancel_at: Option<Time>,
    },
}

impl Org {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (admin, output) = (client.admin(), context.output);
        match self {
            Self::List {
                partner,
                filters,
                much,
            } => {
                let filters = OrgFilters {
                    partner_id: partner,
                    ..filters.build()
                };
                output.list(ORGS, admin.orgs(&filters), much.limit()).await
            }
            Self::Get { org } => output.one(&admin.org(org).await?),
            Self::Suspend { org } => output.one(&admin.suspend_org(org).await?),
            Self::Resume { org } => output.one(&admin.resume_org(org).await?),
            Self::Retry { org } => output.one(&admin.retry_org(org).await?),
            Self::SetBilling {
                org,
                status,
                plan,
                period_start,
                period_end,
                cancel_at,
            } => {
                let billing = NewBilling {
                    plan,
                    subscription: NewSubscription {
                        status: word(status),
                        current_period_start: period_start,
                        current_period_end: period_end,
                        cancel_at,
                    },
                };
                output.one(&admin.set_billing(org, &billing).await?)
            }
        }
    }
}
