//! The first admin key: shown once, and written to a file where standard output is no terminal.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _, stdout},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use keys::PlainKey;

/// In the data folder.
const FILE: &str = "admin-key";

/// Prints the key, with a command that can be pasted. Without a terminal the key is also written to a file, and
/// the log has its path.
pub fn deliver(key: &PlainKey, address: SocketAddr, data_dir: &Path) {
    let in_file = (!stdout().is_terminal()).then(|| write(key, data_dir));
    match &in_file {
        Some(Ok(path)) => tracing::info!(
            path = %path.display(),
            "the first admin key was written to a file; move it to a secret store and delete the file"
        ),
        Some(Err(error)) => tracing::warn!(
            "writing the first admin key to a file in {} failed ({error}); it is on standard output \
             alone",
            data_dir.display()
        ),
        None => {}
    }
    if let Err(error) = print(key, address)
        && !matches!(in_file, Some(Ok(_)))
    {
        tracing::error!(
            "printing the first admin key failed ({error}); create another with \
             `molecule-cp admin-key create`"
        );
    }
}

fn print(key: &PlainKey, address: SocketAddr) -> io::Result<()> {
    let text = format!(
        "\nAdmin key, shown only once. Keep it safe:\n\n  {key}\n\nIssue a partner key with it:\n\n  \
         curl -X POST http://{address}/cp/admin/partner-keys \\\n    -H 'Authorization: Bearer {key}' \
         \\\n    -H 'Content-Type: application/json' \\\n    -d '{{\"name\": \"acme-ci-pipeline\", \
         \"scopes\": [\"orgs:create\", \"orgs:list\"]}}'\n\n",
        key = key.expose(),
    );
    let mut output = stdout();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Replaces the key of an earlier database.
fn write(key: &PlainKey, folder: &Path) -> io::Result<PathBuf> {
    storage::create_private_folder(folder)?;
    let path = folder.join(FILE);
    let temporary = folder.join(format!(".{FILE}-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = writeln!(file, "{}", key.expose())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}
