//! Files in the data folder that only their owner may read (mode 0600).
//!
//! Earlier versions left some of them readable by all users of the machine.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::settings::Settings;

const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// Makes the database, its log and the first admin key private. The pepper is made private where it is read.
pub fn make_all_private(settings: &Settings) {
    make_private(&settings.data_dir.join("admin-key"));
    let Some(database) = settings.database_url.sqlite_path() else {
        return;
    };
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        make_private(Path::new(&path));
    }
}

/// Takes a file from other users of this machine, and logs that. A file that belongs to somebody else can't
/// be changed, so the operator is warned.
pub fn make_private(path: &Path) {
    match restrict(path) {
        Ok(false) => {}
        Ok(true) => tracing::warn!(
            path = %path.display(),
            "other users could read this file; its mode is now 0600. If they may have read it, change \
             the secrets in it"
        ),
        Err(error) => tracing::error!(
            path = %path.display(),
            "other users of this machine can read this file, and changing its mode failed: {error}. Set \
             its mode to 0600 and its owner to the user of this server"
        ),
    }
}

/// Whether the mode had to be changed.
fn restrict(path: &Path) -> io::Result<bool> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if mode & OTHERS == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(MODE)).map(|()| true)
}
