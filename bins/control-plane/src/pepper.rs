//! The pepper's file: made together with an empty database, readable by its owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use keys::{Pepper, Peppers};

use crate::settings::Settings;

/// How many random bytes a generated pepper has.
const BYTES: usize = 32;

/// The peppers of the settings and the file.
///
/// When there is neither and the database is empty, one is made; with a database that knows a pepper
/// already, that would lock out every key, so it is an error instead.
pub fn load(settings: &Settings, database_is_empty: bool) -> anyhow::Result<Peppers> {
    let current = match &settings.pepper {
        Some(pepper) => pepper.clone(),
        None => from_file(&path(settings), database_is_empty)?,
    };
    Ok(Peppers::new(
        current,
        settings.retired_peppers.iter().cloned(),
    ))
}

fn path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("pepper")
}

fn from_file(path: &Path, may_generate: bool) -> anyhow::Result<Pepper> {
    match fs::read_to_string(path) {
        Ok(text) => {
            warn_when_open_to_others(path);
            Pepper::new(text.trim().as_bytes())
                .with_context(|| format!("the pepper in {}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && may_generate => generate(path),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "the database was made with a pepper, and there is none at {}; put the file back, or set \
             MOLECULE_CP_PEPPER to what it held",
            path.display()
        ),
        Err(error) => {
            Err(error).with_context(|| format!("can't read the pepper in {}", path.display()))
        }
    }
}

fn generate(path: &Path) -> anyhow::Result<Pepper> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = || format!("can't write the pepper to {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(written)?;
    // Written aside and renamed, so that a crash leaves no half pepper behind.
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .with_context(written)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .with_context(written)?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .with_context(written)?;
    fs::rename(&aside, path).with_context(written)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(written)?;
    tracing::info!(path = %path.display(), "a pepper was generated; back it up with the database");
    Pepper::new(text.into_bytes()).context("the generated pepper")
}

fn warn_when_open_to_others(path: &Path) {
    let others = fs::metadata(path).map(|meta| meta.permissions().mode() & 0o077);
    if others.is_ok_and(|bits| bits != 0) {
        tracing::warn!(
            path = %path.display(),
            "other users of this machine can read the pepper; set its mode to 0600"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_pepper_is_its_owners_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/pepper");
        let first = from_file(&path, true).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = from_file(&path, false).unwrap();
        assert_eq!(first.check_value(), again.check_value());
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_pepper_is_never_replaced_beside_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        assert!(from_file(&path, false).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_cut_pepper_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        fs::write(&path, "abc").unwrap();
        assert!(from_file(&path, true).is_err());
    }
}
