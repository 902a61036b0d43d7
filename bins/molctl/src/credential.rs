//! Which server is called with which key, and where they come from.

use std::{
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use molecule_client::Secret;

use crate::{
    args::Globals,
    config::{self, Config},
    failure::Failure,
    keyring,
};

/// The largest file that is taken for a key.
const MAX_KEY_FILE: u64 = 4096;

/// A key, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) key: Secret,
    /// As in `mol_pk_0nFlq… from MOLCTL_KEY`.
    pub(crate) source: String,
    /// Where another key can be kept instead.
    pub(crate) location: KeyLocation,
}

/// Where a key is kept.
#[derive(Clone, Debug)]
pub(crate) enum KeyLocation {
    /// Where molctl can't write: the environment, standard input or the terminal.
    Elsewhere,
    /// A file with nothing else in it.
    File(PathBuf),
    /// A profile, in the file of profiles or in the keyring.
    Profile(String),
}

impl KeyLocation {
    /// Whether a key can be kept here, as far as that can be told without a change.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Elsewhere => Ok(()),
            Self::File(path) => {
                let opened = fs::OpenOptions::new().append(true).open(path);
                let folder = writable_folder(path);
                opened.map(drop).and(folder).map_err(|error| {
                    Failure::Local(format!("{} can't be written: {error}.", path.display()))
                })
            }
            // What is there, once more.
            Self::Profile(_) => {
                let path = config::path()?;
                Config::read(&path)?.write(&path)
            }
        }
    }

    /// Keeps a key instead of the one that was there, in one step.
    pub(crate) fn keep(&self, key: &Secret) -> Result<(), Failure> {
        match self {
            Self::Elsewhere => Ok(()),
            Self::File(path) => config::write_private(path, &format!("{}\n", key.expose())),
            Self::Profile(name) => {
                let path = config::path()?;
                let mut config = Config::read(&path)?;
                let Some(profile) = config.profiles.get_mut(name) else {
                    return Err(Failure::Local(format!("The profile {name} is gone.")));
                };
                if profile.keyring {
                    return keyring::keep(&config::entry(&path, name), key).map_err(|error| {
                        Failure::Local(format!("The keyring can't keep the key: {error}."))
                    });
                }
                profile.key = Some(key.clone());
                config.write(&path)
            }
        }
    }
}

/// Whether files can be made where this one is.
fn writable_folder(path: &Path) -> std::io::Result<()> {
    let probe = path.with_extension(format!("probe.{}", std::process::id()));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)?;
    fs::remove_file(probe)
}

/// What a command works with.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) credential: Option<Credential>,
}

/// The key that the arguments or the environment name, before any profile.
pub(crate) fn given(globals: &Globals) -> Result<Option<Credential>, Failure> {
    if globals.key_stdin {
        let mut text = String::new();
        std::io::stdin()
            .take(MAX_KEY_FILE)
            .read_to_string(&mut text)
            .map_err(|error| {
                Failure::Usage(format!(
                    "The key can't be read from standard input: {error}."
                ))
            })?;
        return one(&text, "standard input", KeyLocation::Elsewhere).map(Some);
    }
    if let Some(path) = &globals.key_file {
        return from_file(path).map(Some);
    }
    // A profile that is named outweighs the environment.
    let named = globals.profile.is_some() && env::var_os("MOLCTL_PROFILE").is_none();
    match env::var("MOLCTL_KEY") {
        Ok(key) if !key.trim().is_empty() && !named => {
            one(&key, "MOLCTL_KEY", KeyLocation::Elsewhere).map(Some)
        }
        _ => Ok(None),
    }
}

fn from_file(path: &Path) -> Result<Credential, Failure> {
    let shown = path.display();
    let failed = |error: std::io::Error| {
        Failure::Usage(format!("The key file {shown} can't be read: {error}."))
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let location = KeyLocation::File(path.to_owned());
    one(&text, &shown.to_string(), location)
}

/// A text with one key in it; line ends around it, and a byte order mark, are not part of it.
fn one(text: &str, source: &str, location: KeyLocation) -> Result<Credential, Failure> {
    let key = Secret::new(text.trim_start_matches('\u{feff}'));
    if key.expose().is_empty() {
        return Err(Failure::NoCredential(format!(
            "There is no key in {source}."
        )));
    }
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::NoCredential(format!(
            "What {source} holds is not one key, alone and whole."
        )));
    }
    Ok(Credential {
        key,
        source: source.to_owned(),
        location,
    })
}

/// The server and the key by arguments, environment and profiles.
pub(crate) fn target(globals: &Globals) -> Result<Target, Failure> {
    let given = given(globals)?;
    let path = config::path()?;
    let name = globals.profile.as_deref().unwrap_or(config::DEFAULT);
    // A file that is not needed may be broken.
    if let (Some(server), Some(credential), None) = (&globals.server, &given, &globals.profile) {
        return Ok(Target {
            server: server.clone(),
            credential: Some(credential.clone()),
        });
    }
    let config = Config::read(&path)?;
    let profile = config.profile(name);
    if let (Some(named), None) = (&globals.profile, profile) {
        let known: Vec<_> = config.profiles.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        return Err(Failure::Usage(format!(
            "There is no profile {named:?}; there are: {known}. Make it by: molctl login --profile {named} --server URL"
        )));
    }
    let server = globals
        .server
        .clone()
        .or_else(|| Some(profile?.server.clone()))
        .ok_or_else(|| {
            Failure::Usage(
                "No server is named. Log in by `molctl login --server URL`, or set MOLCTL_SERVER."
                    .to_owned(),
            )
        })?;
    if given.is_some() {
        return Ok(Target {
            server,
            credential: given,
        });
    }
    let Some(profile) = profile else {
        return Ok(Target {
            server,
            credential: None,
        });
    };
    let bare = |url: &str| url.trim().trim_end_matches('/').to_owned();
    if bare(&profile.server) != bare(&server) {
        return Err(Failure::Usage(format!(
            "The key of profile {name} is for {}, and is not sent to {server}. Set MOLCTL_KEY for that server, or log \
             in to it.",
            profile.server
        )));
    }
    let credential = if profile.keyring {
        let key = keyring::read(&config::entry(&path, name)).map_err(|error| {
            Failure::NoCredential(format!(
                "The key of profile {name} can't be read from the keyring: {error}."
            ))
        })?;
        let source = format!("profile {name} (keyring)");
        let location = KeyLocation::Profile(name.to_owned());
        Some(Credential {
            key,
            source,
            location,
        })
    } else {
        profile.key.clone().map(|key| Credential {
            key,
            source: format!("profile {name} ({})", path.display()),
            location: KeyLocation::Profile(name.to_owned()),
        })
    };
    if credential.is_none() {
        return Err(Failure::NoCredential(format!(
            "The profile {name} has no key. Log in again by: molctl login --profile {name} --server {server}"
        )));
    }
    Ok(Target { server, credential })
}
