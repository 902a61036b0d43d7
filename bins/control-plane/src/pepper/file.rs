//! The pepper file: generated together with an empty database, private to its owner.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use anyhow::{Context as _, bail};

use super::PepperReadings;
use crate::{private_files::make_private, settings::without_newline};

const BYTES: usize = 32;

/// Reads the pepper, which is generated first when it is missing and `may_generate`.
///
/// Of several processes that generate it at once one succeeds, and all read its pepper.
pub fn read_or_generate(path: &Path, may_generate: bool) -> anyhow::Result<PepperReadings> {
    if let Some(pepper) = read(path)? {
        return Ok(pepper);
    }
    if !may_generate {
        bail!(
            "the database needs its pepper, and there is none at {}; restore the file, or set \
             MOLECULE_CP_PEPPER to its content",
            path.display()
        );
    }
    if generate(path).with_context(|| format!("writing the pepper to {} failed", path.display()))? {
        tracing::info!(
            path = %path.display(),
            "pepper generated; back it up with the database"
        );
    }
    let generated = read(path)?;
    generated.with_context(|| format!("the pepper in {} was removed", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Option<PepperReadings>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            make_private(path);
            let readings = PepperReadings::of(without_newline(&text));
            readings
                .map(Some)
                .with_context(|| format!("the pepper in {}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("reading the pepper in {} failed", path.display()))
        }
    }
}

/// Generates a pepper unless there is one; true when it did.
///
/// A temporary file is linked to the name, which fails when another process was first. So the file is never
/// incomplete and never replaced.
fn generate(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    storage::create_private_folder(folder)?;
    let temporary = folder.join(format!(
        ".pepper-{}-{}",
        process::id(),
        text.get(..8).unwrap_or("0")
    ));
    let written =
        write_new(&temporary, &text).and_then(|()| match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            // Some file systems have no links. There a crash may leave an incomplete pepper, which is refused
            // later and never replaced either.
            Err(_) => match write_new(path, &text) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                written => written.map(|()| true),
            },
            Ok(()) => Ok(true),
        });
    let removed = fs::remove_file(&temporary);
    // Also when another process has made it: the name must survive a crash before the pepper is used.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    let generated = written?;
    removed.and(synced).map(|()| generated)
}

/// Writes a new file (mode 0600), durably.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[track_caller]
    fn check_value(path: &Path, may_generate: bool) -> String {
        let readings = read_or_generate(path, may_generate).unwrap();
        readings.pick(|_| false).check_value()
    }

    #[test]
    fn whoever_generates_at_the_same_time_reads_one_pepper() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = folder.path().join(format!("{round}/pepper"));
            let barrier = std::sync::Barrier::new(4);
            let read = std::thread::scope(|scope| {
                let one = || {
                    barrier.wait();
                    check_value(&path, true)
                };
                let all = [(); 4].map(|()| scope.spawn(one));
                all.map(|thread| thread.join().unwrap())
            });
            assert!(read.iter().all(|value| *value == read[0]), "{read:?}");
            assert_eq!(check_value(&path, false), read[0]);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_generated_pepper_is_its_owners_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/pepper");
        let first = check_value(&path, true);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(first, check_value(&path, false));
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_pepper_is_never_replaced_beside_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        assert!(read_or_generate(&path, false).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_cut_pepper_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        fs::write(&path, "abc").unwrap();
        assert!(read_or_generate(&path, true).is_err());
    }
}
