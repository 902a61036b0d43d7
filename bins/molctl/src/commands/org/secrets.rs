//! `molctl org secrets`.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use clap::Args;
use molecule_client::{Client, OrgId};
use serde_json::Value;

use crate::{context::Context, failure::Failure, output::to_value};

/// Read the secrets of an org. Each reading is an audit event.
#[derive(Debug, Args)]
pub(crate) struct Secrets {
    /// The id of the org.
    org: OrgId,
    /// Write them to this file, which only you can read, as NAME='value' for a shell.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Show them on the terminal.
    #[arg(long)]
    show: bool,
}

impl Secrets {
    pub(crate) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let org = self.org;
        if self.env.is_none() && !self.show && io::stdout().is_terminal() {
            return Err(Failure::Usage(format!(
                "The secrets are not shown on a terminal unless you ask for it. Run: molctl org secrets {org} \
                 --show, or: molctl org secrets {org} --env FILE"
            )));
        }
        let secrets = client.org_secrets(org).await?.secrets;
        match &self.env {
            None => context.output.one(&secrets),
            Some(path) => {
                write_private(path, &shell_lines(&to_value(&secrets)?)).map_err(|error| {
                    Failure::Local(format!("{} can't be written: {error}.", path.display()))
                })?;
                context
                    .output
                    .note(&format!("The secrets are in {}.", path.display()));
                Ok(())
            }
        }
    }
}

/// A line for each secret, which a shell reads as it is.
fn shell_lines(secrets: &Value) -> String {
    let mut lines = String::new();
    for (name, value) in secrets.as_object().into_iter().flatten() {
        let quoted = value.as_str().unwrap_or_default().replace('\'', r"'\''");
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{name}='{quoted}'");
    }
    lines
}

/// Writes a file that only its owner can read, also where there was another one.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_mode(0o600);
    file.set_permissions(permissions)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shell_reads_every_value_as_it_is() {
        let secrets = json!({"A": "it's $HOME `x`\n\"y\"", "B": ""});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, "old, and longer than what is written").unwrap();
        write_private(&file, &shell_lines(&secrets)).unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let script = format!(". {}; printf '%s|%s' \"$A\" \"$B\"", file.display());
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"it's $HOME `x`\n\"y\"|");
    }
}
