//! `molctl plan …`.

use clap::Subcommand;

use crate::{context::Context, failure::Failure, table::Column};

const PLANS: &[Column] = &[
    ("ID", "/id"),
    ("TITLE", "/title"),
    ("DESCRIPTION", "/description"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Plan {
    /// List the plans that your orgs can have.
    List,
}

impl Plan {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List = self;
        let plans = context.client()?.plans();
        context.output.list(PLANS, plans, None).await
    }
}
