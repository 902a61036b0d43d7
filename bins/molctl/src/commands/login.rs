//! `molctl login`.

use std::io::{self, IsTerminal as _};

use clap::Args;
use molecule_client::Secret;
use serde_json::json;

use super::Prepared;
use crate::{
    args::Globals,
    config::{self, Config, Profile},
    context::Context,
    credential::{self, Credential, KeyLocation},
    failure::Failure,
    keyring,
};

/// Keep a server and its key as a profile.
///
/// The key is asked for at the terminal, or read by --key-stdin, --key-file or from MOLCTL_KEY. It is checked with the
/// server, and then kept in a file that only you can read.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Keep the key in the file of profiles even if the system has a keyring.
    #[arg(long)]
    in_file: bool,
}

impl Login {
    /// Asks for the key, unless it is given.
    pub(crate) fn prepare(&self, globals: &Globals) -> Result<Prepared, Failure> {
        // Here a profile is what is made, so a key of the environment is taken beside it.
        let nameless = Globals {
            profile: None,
            ..globals.clone()
        };
        let login = match credential::given(&nameless)? {
            Some(credential) => credential,
            None if io::stdin().is_terminal() => {
                let key = rpassword::prompt_password("Key: ")
                    .map_err(|error| Failure::Usage(format!("The key can't be read: {error}.")))?;
                Credential {
                    key: Secret::new(key),
                    source: "the terminal".to_owned(),
                    location: KeyLocation::Elsewhere,
                }
            }
            None => {
                return Err(Failure::Usage(
                    "There is no terminal to ask for the key. Run: molctl login --server URL --key-stdin < FILE"
                        .to_owned(),
                ));
            }
        };
        Ok(Prepared { login: Some(login) })
    }

    pub(crate) async fn run(self, context: &Context, prepared: Prepared) -> Result<(), Failure> {
        let path = config::path()?;
        let name = context
            .globals
            .profile
            .as_deref()
            .unwrap_or(config::DEFAULT);
        let mut config = Config::read(&path)?;
        let known = config.profile(name).map(|profile| profile.server.clone());
        let server = context.globals.server.clone().or(known).ok_or_else(|| {
            Failure::Usage("No server is named. Run: molctl login --server URL".to_owned())
        })?;
        let credential = prepared
            .login
            .ok_or_else(|| Failure::NoCredential("There is no key.".to_owned()))?;
        let client = context.client_of(&server, Some(&credential))?;
        let caller = client.whoami().await?.credential;
        if server.starts_with("http://") && !is_local(&server) {
            context
                .output
                .note("Warning: http sends the key in plain text. Use https.");
        }
        let prefix = credential.key.prefix().to_owned();
        let kept = if self.in_file {
            Err("that is what --in-file asks for".to_owned())
        } else {
            keyring::keep(&config::entry(&path, name), &credential.key)
        };
        let profile = Profile {
            server: client.server().to_owned(),
            keyring: kept.is_ok(),
            key: kept.is_err().then_some(credential.key),
        };
        config.profiles.insert(name.to_owned(), profile);
        config.write(&path)?;
        let kept_in = match kept {
            Ok(()) => {
                context
                    .output
                    .note("The key is kept in the keyring of the system.");
                "keyring".to_owned()
            }
            Err(why) => {
                let shown = path.display();
                context.output.note(&format!(
                    "The key is kept in {shown}, which only you can read, and not in a keyring: {why}."
                ));
                shown.to_string()
            }
        };
        context.output.one(&json!({
            "profile": name,
            "server": client.server(),
            "key_prefix": prefix,
            "key_id": caller.id,
            "key_name": caller.name,
            "kept_in": kept_in,
        }))
    }
}

fn is_local(server: &str) -> bool {
    let host = server.strip_prefix("http://").unwrap_or(server);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| host.starts_with(local))
}
