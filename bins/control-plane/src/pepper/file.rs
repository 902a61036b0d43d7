//! The pepper's file: made together with an empty database, readable by its owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process,
};

use anyhow::{Context as _, bail};

use super::PepperReadings;
use crate::settings::without_newline;

/// How many random bytes a generated pepper has.
const BYTES: usize = 32;

/// The pepper in a file; it is made when it is missing and may be.
///
/// Of several processes that make it at the same time one does, and all read what that one has made.
pub fn read_or_generate(path: &Path, may_generate: bool) -> anyhow::Result<PepperReadings> {
    if let Some(pepper) = read(path)? {
        return Ok(pepper);
    }
    if !may_generate {
        bail!(
            "the database was made with a pepper, and there is none at {}; put the file back, or set \
             MOLECULE_CP_PEPPER to what it held",
            path.display()
        );
    }
    if generate(path).with_context(|| format!("can't write the pepper to {}", path.display()))? {
        tracing::info!(
            path = %path.display(),
            "a pepper was generated; back it up with the database"
        );
    }
    let made = read(path)?;
    made.with_context(|| format!("the pepper in {} has vanished", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Option<PepperReadings>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            warn_when_open_to_others(path);
            let readings = PepperReadings::of(without_newline(&text));
            readings
                .map(Some)
                .with_context(|| format!("the pepper in {}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("can't read the pepper in {}", path.display()))
        }
    }
}

/// Makes a pepper unless there is one; whether it was made.
///
/// It is written aside and then linked to its name, which fails when another process was quicker. So the
/// name never stands for half a pepper, and what it once stood for is never replaced.
fn generate(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    storage::create_private_folder(folder)?;
    let aside = folder.join(format!(
        ".pepper-{}-{}",
        process::id(),
        text.get(..8).unwrap_or("0")
    ));
    let written = write_new(&aside, &text).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // Some file systems have no links. There a crash may leave half a pepper behind, which is
        // refused later, but no other is ever put in its place either.
        Err(_) => match write_new(path, &text) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            written => written.map(|()| true),
        },
        Ok(()) => Ok(true),
    });
    let removed = fs::remove_file(&aside);
    // Also when another process has made it: nothing must depend on a name that a crash takes away.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    let made = written?;
    removed.and(synced).map(|()| made)
}

/// Writes a file that is not there yet, for its owner alone, and waits for the disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
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
