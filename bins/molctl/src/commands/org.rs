//! `molctl org …`.

mod secrets;
mod update;

use std::io::{self, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use futures_util::TryStreamExt as _;
use molecule_client::{
    Client, Error, KeyId, NewOrg, OrgDeletion, OrgFilters, OrgId, OrgState, OrgStatus, Time, Word,
    is_pending,
};
use serde_json::{Map, Value};

use super::{Much, ORGS, admin::time, expect_status, label, object};
use crate::{context::Context, durations::Span, failure::Failure, table::Column};

const STATES: &[Column] = &[
    ("AT", "/updated_at"),
    ("SLUG", "/slug"),
    ("STATUS", "/status"),
];
const DELETED: &[Column] = &[("ID", "/id"), ("SLUG", "/slug"), ("STATUS", "/status")];

#[derive(Debug, Subcommand)]
pub(crate) enum Org {
    Create(Create),
    List(List),
    /// Show one org.
    Get {
        /// The id of the org.
        org: OrgId,
    },
    Status(Status),
    /// Give an org a lease of this length from now.
    Renew {
        /// The id of the org.
        org: OrgId,
        /// How long the org lasts from now unless it is renewed again: 60s to 30d.
        #[arg(long)]
        ttl: Span,
    },
    Delete(Delete),
    /// Show what the provisioner of an org has handed back, such as addresses.
    Outputs {
        /// The id of the org.
        org: OrgId,
    },
    Secrets(secrets::Secrets),
    Update(update::Update),
    /// Have the secrets of an org replaced, and wait until the new ones are there.
    RotateSecrets {
        /// The id of the org.
        org: OrgId,
        /// How long to wait.
        #[arg(long, default_value = "10m", value_name = "TIME")]
        timeout: Span,
    },
}

/// Create an org.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The part of the URL that names the org.
    slug: String,
    /// The plan of the org.
    #[arg(long)]
    plan: String,
    /// The name of the org; without it, the slug.
    #[arg(long)]
    name: Option<String>,
    /// Your own identifier for the org.
    #[arg(long)]
    external_id: Option<String>,
    /// A label, as key:value. It can be repeated.
    #[arg(long, value_parser = label, value_name = "KEY:VALUE")]
    label: Vec<(String, String)>,
    /// A lease: the org is deleted after this time unless it is renewed, 60s to 30d.
    #[arg(long, value_name = "TIME")]
    ttl: Option<Span>,
    /// An Idempotency-Key: with the same one, the same command creates nothing twice within 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Options that fit the plan's schema, a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    options: Option<Map<String, Value>>,
    /// Refuse to delete the org, until an update takes that away.
    #[arg(long, conflicts_with = "ttl")]
    delete_protection: bool,
    /// Wait until the org is ready.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "10m", value_name = "TIME")]
    timeout: Span,
}

/// List orgs, newest first.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    much: Much,
}

/// Which orgs to list.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Only orgs with this status. Without it, deleted orgs are left out.
    #[arg(long)]
    status: Option<Word<OrgStatus>>,
    /// Only the org with this slug.
    #[arg(long)]
    slug: Option<String>,
    /// Only orgs with this external id.
    #[arg(long)]
    external_id: Option<String>,
    /// Only orgs with this label, as key:value. It can be repeated.
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Only orgs of this plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only orgs created with this key.
    #[arg(long, value_name = "KEY")]
    created_by_key: Option<KeyId>,
    /// Only orgs created at this time or later, such as 2026-04-23T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    created_since: Option<Time>,
    /// Only orgs created before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    created_until: Option<Time>,
    /// Only orgs with a lease that ends before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_before: Option<Time>,
}

impl Filters {
    pub(crate) fn build(self) -> OrgFilters {
        OrgFilters {
            status: self.status,
            slug: self.slug,
            external_id: self.external_id,
            label: self.label,
            plan: self.plan,
            created_by_key_id: self.created_by_key,
            created_since: self.created_since,
            created_until: self.created_until,
            expires_before: self.expires_before,
            partner_id: None,
        }
    }
}

/// Show the status of an org and its steps.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The id of the org.
    org: OrgId,
    /// Print each change until the server is no longer at work on the org.
    #[arg(long)]
    watch: bool,
}

/// Delete an org, or all orgs that have all of these labels.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The id of the org.
    #[arg(required_unless_present = "label", conflicts_with = "label")]
    org: Option<OrgId>,
    /// Delete the orgs with this label, as key:value. It can be repeated.
    #[arg(long, value_name = "KEY:VALUE", value_parser = full_label)]
    label: Vec<String>,
    /// Only list what would be deleted by label.
    #[arg(long, requires = "label")]
    dry_run: bool,
    /// Delete by label without asking.
    #[arg(long, requires = "label")]
    yes: bool,
    /// Wait until the orgs are gone.
    #[arg(long)]
    wait: bool,
    /// How long to wait for each.
    #[arg(long, default_value = "10m", value_name = "TIME")]
    timeout: Span,
}

/// A label whose value is not empty, as a variable of a pipeline may be.
fn full_label(text: &str) -> Result<String, &'static str> {
    match label(text)? {
        (_, value) if value.is_empty() => {
            Err("has no value; check that the variable it comes from is set")
        }
        _ => Ok(text.to_owned()),
    }
}

impl Org {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Create(command) => command.run(context, &client).await,
            Self::List(List { filters, much }) => {
                output
                    .list(ORGS, client.orgs(&filters.build()), much.limit())
                    .await
            }
            Self::Get { org } => output.one(&client.org(org).await?),
            Self::Status(Status { org, watch: false }) => {
                output.one(&client.org_status(org).await?)
            }
            Self::Status(Status { org, watch: true }) => watch(context, &client, org).await,
            Self::Renew { org, ttl } => output.one(&client.renew_org(org, ttl.seconds()).await?),
            Self::Delete(command) => command.run(context, &client).await,
            Self::Outputs { org } => output.one(&client.org(org).await?.outputs),
            Self::Secrets(command) => command.run(context, &client).await,
            Self::Update(command) => command.run(context, &client).await,
            Self::RotateSecrets { org, timeout } => {
                client.rotate_org_secrets(org).await?;
                context.goes_on.set(
                    &(),
                    format!("The server goes on. Look by: molctl org status {org}"),
                );
                let state = client.wait_for_org(org, timeout.0).await?;
                expect_status(&state, "ready")?;
                if state.failure.is_some() {
                    let text =
                        format!("The secrets of {org} were not replaced; the old ones stay.");
                    return Err(Failure::OrgFailed(text));
                }
                output.one(&state)
            }
        }
    }
}

async fn watch(context: &Context, client: &Client, org: OrgId) -> Result<(), Failure> {
    let mut states = client.watch_org(org);
    let mut last = None;
    while let Some(state) = states.try_next().await? {
        context
            .output
            .state(STATES, &state, !is_pending(&state.status))?;
        last = Some(state);
    }
    match last {
        Some(state) if state.status == OrgStatus::Failed => expect_status(&state, "ready"),
        _ => Ok(()),
    }
}

impl Create {
    async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let slug = self.slug.clone();
        let asked = NewOrg {
            name: self.name.unwrap_or_else(|| slug.clone()),
            slug: slug.clone(),
            plan: self.plan,
            external_id: self.external_id,
            labels: (!self.label.is_empty()).then(|| self.label.into_iter().collect()),
            ttl_seconds: self.ttl.map(Span::seconds),
            options: self.options,
            delete_protection: self.delete_protection.then_some(true),
        };
        context.goes_on.set(
            &(),
            format!("The org may have been created. Look by: molctl org list --slug {slug}"),
        );
        let org = match self.idempotency_key {
            Some(key) => client.with_idempotency_key(key).create_org(&asked).await?,
            None => client.create_org(&asked).await?,
        };
        if !self.wait {
            return context.output.one(&org);
        }
        let id = org.id;
        context.goes_on.set(
            &org,
            format!(
                "The server goes on creating the org {id}. Delete it by: molctl org delete {id}"
            ),
        );
        context
            .output
            .note(&format!("The org {id} is being created."));
        match client.wait_for_org(id, self.timeout.0).await {
            Ok(state) => {
                context.output.one(&client.org(id).await?)?;
                expect_status(&state, "ready")
            }
            Err(error @ Error::StillPending(..)) => {
                // The id is needed to go on waiting, or to delete it.
                context.output.one(&org)?;
                Err(error.into())
            }
            Err(error) => {
                context.output.note(&format!(
                    "The org {id} was created; what became of it is not known."
                ));
                Err(error.into())
            }
        }
    }
}

impl Delete {
    async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let ids = match self.org {
            Some(org) => {
                if let OrgDeletion::Going(org) = client.delete_org(org).await?
                    && !self.wait
                {
                    return context.output.one(&org);
                }
                vec![org]
            }
            None => {
                if self.dry_run {
                    return context
                        .output
                        .all(DELETED, &client.delete_orgs(&self.label, true).await?);
                }
                self.confirm(context, client).await?;
                let deleted = client.delete_orgs(&self.label, false).await?;
                if !self.wait {
                    return context.output.all(DELETED, &deleted);
                }
                deleted.iter().map(|org| org.id).collect()
            }
        };
        context
            .goes_on
            .set(&(), "The server goes on deleting.".to_owned());
        let mut states: Vec<OrgState> = Vec::new();
        for id in ids {
            let state = client.wait_for_org(id, self.timeout.0).await?;
            expect_status(&state, "deleted")?;
            states.push(state);
        }
        match (&*states, self.org) {
            ([state], Some(_)) => context.output.one(state),
            _ => context.output.all(DELETED, &states),
        }
    }

    /// Asks at the terminal, with what would be deleted at hand.
    async fn confirm(&self, context: &Context, client: &Client) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let labels: Vec<_> = self
                .label
                .iter()
                .map(|label| format!("--label '{label}'"))
                .collect();
            return Err(Failure::Usage(format!(
                "There is no terminal to ask whether to delete. Run: molctl org delete {} --yes",
                labels.join(" ")
            )));
        }
        let orgs = client.delete_orgs(&self.label, true).await?;
        let mut stderr = io::stderr();
        for org in &orgs {
            let _ = writeln!(stderr, "{}  {}  {}", org.id, org.slug, org.status);
        }
        let _ = write!(stderr, "Delete these {} orgs? [y/N] ", orgs.len());
        let _ = stderr.flush();
        // The answer is read by a thread of its own, so that an interrupt is heard meanwhile.
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = read.await.ok().and_then(Result::ok).unwrap_or_default();
        if matches!(line.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            let _ = context;
            Err(Failure::Usage("Nothing was deleted.".to_owned()))
        }
    }
}
