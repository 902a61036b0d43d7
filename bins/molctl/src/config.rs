//! Profiles: a server and a key each, in a file that its owner alone can read.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use molecule_client::Secret;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The profile that is used when none is named.
pub(crate) const DEFAULT: &str = "default";

/// A server and where its key is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) server: String,
    /// The key, where the system has no keyring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Secret>,
    /// Whether the key is in the keyring of the system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keyring: bool,
}

/// The file of profiles.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// Where the file is: `MOLCTL_CONFIG`, or `molctl/config.toml` where the system keeps such files.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("MOLCTL_CONFIG")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("molctl/config.toml")))
        .or_else(|| set("HOME").map(|folder| folder.join(".config/molctl/config.toml")))
        .ok_or_else(|| {
            Failure::Usage(
                "There is no home folder. Name the file of profiles in MOLCTL_CONFIG.".to_owned(),
            )
        })
}

/// The name of a profile's key in the keyring: other files may have profiles of the same name.
pub(crate) fn entry(path: &Path, profile: &str) -> String {
    format!("{profile} ({})", path.display())
}

impl Config {
    /// Reads the file; one that isn't there has no profiles.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::Usage(format!("{shown} can't be read: {error}."))),
        };
        let config: Self =
            toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
                // The error as a whole would show the line, and with it a key.
                Failure::Usage(format!(
                    "{shown} is broken: {}. Fix it, or delete it and log in again.",
                    error.message()
                ))
            })?;
        let has_key = config
            .profiles
            .values()
            .any(|profile| profile.key.is_some());
        let mode = fs::metadata(path)
            .map(|file| file.mode())
            .unwrap_or_default();
        if has_key && mode & 0o077 != 0 {
            return Err(Failure::Usage(format!(
                "{shown} holds a key, and others can read it. Run: chmod 600 {shown}"
            )));
        }
        Ok(config)
    }

    /// The profile of this name.
    pub(crate) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// Writes the file anew, in one step.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| Failure::Local(error.to_string()))?;
        write_private(path, &text)
    }
}

/// Writes a file that its owner alone can read, in one step: it is as it was, or it is the new one.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display();
    let failed =
        |error: std::io::Error| Failure::Local(format!("{shown} can't be written: {error}."));
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let new = path.with_extension(format!("new.{}", std::process::id()));
    let result = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, path));
    if result.is_err() {
        // What is half written holds a key.
        let _ = fs::remove_file(&new);
    }
    result.map_err(failed)
}
