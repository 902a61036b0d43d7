//! `molctl workspace …`.

use clap::Subcommand;
use molecule_client::{NewWorkspace, OrgId};

use super::Much;
use crate::{context::Context, failure::Failure, table::Column};

const WORKSPACES: &[Column] = &[
    ("ID", "/id"),
    ("SLUG", "/slug"),
    ("NAME", "/name"),
    ("CREATED", "/created_at"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Workspace {
    /// Create a workspace in an org that is ready.
    Create {
        /// The id of the org.
        org: OrgId,
        /// The name of the workspace.
        name: String,
        /// The part of the URL that names the workspace. Without it, it is made from the name.
        #[arg(long)]
        slug: Option<String>,
    },
    /// List the workspaces of an org, newest first.
    List {
        /// The id of the org.
        org: OrgId,
        #[command(flatten)]
        much: Much,
    },
}

impl Workspace {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Create { org, name, slug } => {
                let created = client
                    .create_workspace(org, &NewWorkspace { name, slug })
                    .await?;
                context.output.one(&created)
            }
            Self::List { org, much } => {
                context
                    .output
                    .list(WORKSPACES, client.workspaces(org), much.limit())
                    .await
            }
        }
    }
}
