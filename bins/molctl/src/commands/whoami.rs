//! `molctl whoami`.

use clap::Args;
use molecule_client::Whoami as Answer;
use serde::Serialize;

use crate::{context::Context, failure::Failure};

/// Show the key, its partner and its limits, and where the key comes from.
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

/// The answer of the server, and what it can't know.
#[derive(Serialize)]
struct Shown<'a> {
    server: &'a str,
    key: String,
    #[serde(flatten)]
    whoami: Answer,
}

impl Whoami {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, credential) = context.client_and_source()?;
        let whoami = client.whoami().await?;
        let key = format!("{}… from {}", credential.key.prefix(), credential.source);
        let shown = Shown {
            server: client.server(),
            key,
            whoami,
        };
        context.output.one(&shown)
    }
}
