//! The first admin key: shown once, and kept in a file where nobody may be watching.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _, stdout},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use keys::PlainKey;

/// The file in the data folder.
const FILE: &str = "admin-key";

/// Shows the key on standard output, with a line that can be pasted as it is. Where that is no terminal,
/// the key is also written to a file in the data folder, and the log says where.
pub fn hand_over(key: &PlainKey, address: SocketAddr, data_dir: &Path) {
    let in_file = (!stdout().is_terminal()).then(|| write(key, data_dir));
    match &in_file {
        Some(Ok(path)) => tracing::info!(
            path = %path.display(),
            "the first admin key is in a file; put it into a secret store and delete the file"
        ),
        Some(Err(error)) => tracing::warn!(
            "the first admin key can't be written to a file in {} ({error}); it is on standard output \
             alone",
            data_dir.display()
        ),
        None => {}
    }
    if let Err(error) = show(key, address)
        && !matches!(in_file, Some(Ok(_)))
    {
        tracing::error!(
            "the first admin key could not be shown ({error}); make another with \
             `molecule-cp admin-key create`"
        );
    }
}

fn show(key: &PlainKey, address: SocketAddr) -> io::Result<()> {
    let text = format!(
        "\nAdmin key, shown this once. Keep it safe:\n\n  {key}\n\nIssue a partner key with it:\n\n  \
         curl -X POST http://{address}/cp/admin/partner-keys \\\n    -H 'Authorization: Bearer {key}' \
         \\\n    -H 'Content-Type: application/json' \\\n    -d '{{\"name\": \"acme-ci-pipeline\", \
         \"scopes\": [\"orgs:create\", \"orgs:list\"]}}'\n\n",
        key = key.expose(),
    );
    let mut output = stdout();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes the key for its owner alone. What stands there from an earlier database is replaced.
fn write(key: &PlainKey, folder: &Path) -> io::Result<PathBuf> {
    storage::create_private_folder(folder)?;
    let path = folder.join(FILE);
    let aside = folder.join(format!(".{FILE}-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)?;
    let written = writeln!(file, "{}", key.expose())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&aside, &path));
    if written.is_err() {
        // Half a key is of no use to anybody.
        let _ = fs::remove_file(&aside);
    }
    written?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}
