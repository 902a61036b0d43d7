//! `molctl auth …`: a key for a pipeline, by the token that its provider signs for each job.

use std::{env, fs, io::Read as _, path::PathBuf};

use clap::{Args, Subcommand};
use molecule_client::{Client, Secret, TrustRuleId};
use serde_json::json;

use crate::{
    config::{self, Config, Profile},
    context::Context,
    failure::Failure,
};

/// The largest file that is taken for a token.
const MAX_TOKEN_FILE: u64 = 64 * 1024;
/// Where GitLab's pipelines have their token, unless another variable is named.
const GITLAB_VARIABLE: &str = "MOLCTL_ID_TOKEN";

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Exchange the token of this job for a key of minutes, and keep that for the commands that follow.
    ///
    /// The key is kept in the file of profiles, which its owner alone can read, and is never printed. The commands that
    /// follow find it there, unless MOLCTL_KEY is set.
    Exchange(Exchange),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["github", "gitlab", "jwt_file"]))]
pub(crate) struct Exchange {
    /// The trust rule of the pipeline.
    #[arg(long, env = "MOLCTL_TRUST_RULE", value_name = "ID")]
    rule: TrustRuleId,
    /// Take the token from GitHub Actions. The job needs the permission `id-token: write`.
    #[arg(long)]
    github: bool,
    /// Take the token from a variable of GitLab CI, which the job declares under `id_tokens`.
    #[arg(long, value_name = "VARIABLE", num_args = 0..=1, default_missing_value = GITLAB_VARIABLE)]
    gitlab: Option<String>,
    /// Take the token from a file.
    #[arg(long, value_name = "FILE")]
    jwt_file: Option<PathBuf>,
    /// With --github: the audience of the rule. Without it, the address of the server.
    #[arg(long, requires = "github")]
    audience: Option<String>,
    /// A scope that the key is to have, of those of the rule. It can be repeated. Without it, all of them.
    #[arg(long)]
    scope: Vec<String>,
}

impl Auth {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Exchange(exchange) = self;
        exchange.run(context).await
    }
}

impl Exchange {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = config::path()?;
        let name = context
            .globals
            .profile
            .as_deref()
            .unwrap_or(config::DEFAULT);
        let mut config = Config::read(&path)?;
        let known = config.profile(name).map(|profile| profile.server.clone());
        let server = context.globals.server.clone().or(known).ok_or_else(|| {
            Failure::Usage("No server is named. Set MOLCTL_SERVER, or use --server URL.".to_owned())
        })?;
        let client = context.client_of(&server, None)?;
        let token = self.token(&client).await?;
        let exchanged = client
            .exchange_token(self.rule, &token, &self.scope)
            .await?;
        let profile = Profile {
            server: client.server().to_owned(),
            keyring: false,
            key: Some(exchanged.access_token.clone()),
        };
        config.profiles.insert(name.to_owned(), profile);
        config.write(&path)?;
        if env::var_os("MOLCTL_KEY").is_some_and(|key| !key.is_empty()) {
            context
                .output
                .note("Warning: MOLCTL_KEY is set, and commands use that before the new key.");
        }
        context.output.one(&json!({
            "profile": name,
            "server": client.server(),
            "key_id": exchanged.key_id,
            "key_prefix": exchanged.access_token.prefix(),
            "scope": exchanged.scope,
            "expires_in": exchanged.expires_in,
            "kept_in": path.display().to_string(),
        }))
    }

    async fn token(&self, client: &Client) -> Result<Secret, Failure> {
        let text = if let Some(path) = &self.jwt_file {
            let shown = path.display();
            let mut text = String::new();
            fs::File::open(path)
                .and_then(|file| file.take(MAX_TOKEN_FILE).read_to_string(&mut text))
                .map_err(|error| Failure::Usage(format!("{shown} can't be read: {error}.")))?;
            text
        } else if let Some(name) = &self.gitlab {
            variable(name).ok_or_else(|| {
                Failure::NoCredential(format!(
                    "There is no variable {name}. Declare it under `id_tokens` of the job, with the audience of the \
                     trust rule."
                ))
            })?
        } else {
            let own = variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
            let url = variable("ACTIONS_ID_TOKEN_REQUEST_URL");
            let (Some(own), Some(url)) = (own, url) else {
                return Err(Failure::NoCredential(
                    "GitHub gives this job no token. Give the job `permissions: id-token: write`; jobs of pull \
                     requests from forks get none."
                        .to_owned(),
                ));
            };
            let audience = self.audience.as_deref().unwrap_or_else(|| client.server());
            return Ok(client
                .github_token(&url, &Secret::new(own), audience)
                .await?);
        };
        let token = Secret::new(text);
        let is_one =
            !token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic());
        if is_one {
            Ok(token)
        } else {
            Err(Failure::NoCredential(
                "What is there is not one token, alone and whole.".to_owned(),
            ))
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}
