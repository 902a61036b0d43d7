//! What the settings say of the provisioner.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};

use super::{RawSettings, list, parsed};

/// Which provisioner makes orgs real.
pub enum ProvisionerSettings {
    /// None: they stand on the control plane's own records.
    Local,
    /// A program.
    Exec(ExecSettings),
}

/// What a program is run with.
pub struct ExecSettings {
    /// The program.
    pub program: PathBuf,
    /// How long one run may take.
    pub timeout: Duration,
    /// How many runs there may be at once.
    pub at_once: usize,
    /// The variables of the server's own environment that it gets.
    pub pass: Vec<String>,
}

impl ProvisionerSettings {
    pub(super) fn new(raw: &RawSettings) -> anyhow::Result<Self> {
        let kind = raw.provisioner.as_deref().unwrap_or("local");
        let belongs = |name: &str, value: &Option<String>, to: &[&str]| {
            ensure!(
                value.is_none() || to.contains(&kind),
                "{name} is for the provisioner {}, and provisioner is {kind}",
                to.join(" and ")
            );
            Ok(())
        };
        belongs("provisioner_exec", &raw.provisioner_exec, &["exec"])?;
        belongs("provisioner_env", &raw.provisioner_env, &["exec"])?;
        belongs("provisioner_timeout", &raw.provisioner_timeout, &["exec"])?;
        belongs("provisioner_at_once", &raw.provisioner_at_once, &["exec"])?;
        match kind {
            "local" => Ok(Self::Local),
            "exec" => exec(raw).map(Self::Exec),
            other => bail!("provisioner: {other:?} is not offered; there are local and exec"),
        }
    }

    /// The settings as they would be written.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Local => vec![("provisioner", "local".to_owned())],
            Self::Exec(exec) => vec![
                ("provisioner", "exec".to_owned()),
                ("provisioner_exec", exec.program.display().to_string()),
                ("provisioner_timeout", exec.timeout.as_secs().to_string()),
                ("provisioner_at_once", exec.at_once.to_string()),
                ("provisioner_env", exec.pass.join(",")),
            ],
        }
    }
}

fn exec(raw: &RawSettings) -> anyhow::Result<ExecSettings> {
    let program = raw
        .provisioner_exec
        .as_ref()
        .context("provisioner_exec: name the program that the provisioner exec runs")?;
    let pass = list(raw.provisioner_env.as_deref());
    for name in &pass {
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        ensure!(
            is_name && !name.starts_with("MOLECULE_"),
            "provisioner_env: {name:?} is not the name of a variable that can be passed on"
        );
    }
    Ok(ExecSettings {
        program: program.into(),
        timeout: seconds(raw, "600")?,
        at_once: at_once(raw, "8")?,
        pass,
    })
}

fn seconds(raw: &RawSettings, default: &str) -> anyhow::Result<Duration> {
    let name = "provisioner_timeout";
    let seconds: u64 = parsed(name, raw.provisioner_timeout.clone(), default)?;
    ensure!(
        (1..=86_400).contains(&seconds),
        "{name}: must be 1 to 86400 seconds"
    );
    Ok(Duration::from_secs(seconds))
}

fn at_once(raw: &RawSettings, default: &str) -> anyhow::Result<usize> {
    let name = "provisioner_at_once";
    let count = parsed(name, raw.provisioner_at_once.clone(), default)?;
    ensure!((1..=1000).contains(&count), "{name}: must be 1 to 1000");
    Ok(count)
}
