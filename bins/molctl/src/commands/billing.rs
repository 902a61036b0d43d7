//! `molctl billing`.

use clap::Args;
use molecule_client::OrgId;

use crate::{context::Context, failure::Failure};

/// Show the billing state of an org.
#[derive(Debug, Args)]
pub(crate) struct Billing {
    /// The id of the org.
    org: OrgId,
}

impl Billing {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        context
            .output
            .one(&context.client()?.billing(self.org).await?)
    }
}
