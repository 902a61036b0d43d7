//! `molctl admin partner …`.

use clap::{Args, Subcommand, ValueEnum};
use molecule_client::{NewPartner, NewRateLimit, PartnerChanges, PartnerId};

use super::{
    super::{Much, changed, label, label_changes, word},
    rate_limit,
};
use crate::{context::Context, failure::Failure, table::Column};

const PARTNERS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PLAN", "/plan"),
    ("MAX ORGS", "/max_orgs"),
    ("CREATED", "/created_at"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Partner {
    /// Create a partner.
    Create {
        /// The name of the partner.
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// List partners, newest first.
    List {
        #[command(flatten)]
        much: Much,
    },
    /// Show one partner.
    Get {
        /// The id of the partner.
        partner: PartnerId,
    },
    /// Change a partner. What is not named stays as it is.
    Update {
        /// The id of the partner.
        partner: PartnerId,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: Fields,
        /// What to put back to its default. It can be repeated.
        #[arg(long, value_name = "FIELD")]
        clear: Vec<Clear>,
        /// A label to remove. It can be repeated.
        #[arg(long, value_name = "KEY")]
        remove_label: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// The plan that the partner has bought: free, standard, partner or enterprise.
    #[arg(long)]
    plan: Option<String>,
    /// A limit that all keys of the partner share, as limit/seconds.
    #[arg(long, value_parser = rate_limit)]
    rate_limit: Option<NewRateLimit>,
    /// The most orgs that the partner may have.
    #[arg(long, value_name = "N")]
    max_orgs: Option<u64>,
    /// A label, as key:value. It can be repeated.
    #[arg(long, value_parser = label, value_name = "KEY:VALUE")]
    label: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    Plan,
    RateLimit,
    MaxOrgs,
    Labels,
}

impl Partner {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let admin = client.admin();
        match self {
            Self::Create { name, fields } => {
                let asked = NewPartner {
                    name,
                    plan: fields.plan.map(word),
                    rate_limit: fields.rate_limit,
                    max_orgs: fields.max_orgs,
                    labels: (!fields.label.is_empty()).then(|| fields.label.into_iter().collect()),
                };
                context.output.one(&admin.create_partner(&asked).await?)
            }
            Self::List { much } => {
                context
                    .output
                    .list(PARTNERS, admin.partners(), much.limit())
                    .await
            }
            Self::Get { partner } => context.output.one(&admin.partner(partner).await?),
            Self::Update {
                partner,
                name,
                fields,
                clear,
                remove_label,
            } => {
                let labels = label_changes(fields.label, remove_label);
                let changes = PartnerChanges {
                    name,
                    plan: changed(&clear, Clear::Plan, fields.plan.map(word)),
                    rate_limit: changed(&clear, Clear::RateLimit, fields.rate_limit),
                    max_orgs: changed(&clear, Clear::MaxOrgs, fields.max_orgs),
                    labels: changed(&clear, Clear::Labels, labels),
                };
                context
                    .output
                    .one(&admin.change_partner(partner, &changes).await?)
            }
        }
    }
}
