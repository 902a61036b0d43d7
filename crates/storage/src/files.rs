//! An SQLite file and its folder, which are their owner's alone.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::connection::error::OpenError;

/// Makes a folder and those above it where they are missing, for its owner alone (mode 0700).
///
/// # Errors
/// When the folder can't be made.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes an empty database file and its folder where they are missing.
///
/// SQLite gives its log and its index of the log the mode that the database file has, so the mode is
/// chosen here (0600).
pub(crate) fn create_database_file(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent() {
        create_private_folder(folder).map_err(|source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        })?;
    }
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(OpenError::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("deep/data");
        let file = data.join("cp.db");
        create_database_file(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&data), mode(&file)), (0o700, 0o600));
        // What is there stays as it is.
        fs::write(&file, "a database").unwrap();
        create_database_file(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"a database");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("a file");
        fs::write(&in_the_way, "").unwrap();
        let error = create_database_file(&in_the_way.join("data/cp.db")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a file/data"), "{text}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
