//! Settings of the provisioner.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use webhooks::{AddressPolicy, EndpointUrl, WebhookSecret};

use super::{MASKED, RawSettings, list, parsed};

pub enum ProvisionerSettings {
    /// None: an org is ready as soon as it is recorded.
    Local,
    Exec(ExecSettings),
    Http(HttpSettings),
}

pub struct ExecSettings {
    pub program: PathBuf,
    /// For one run.
    pub timeout: Duration,
    pub at_once: usize,
    /// Environment variables that are passed on.
    pub pass: Vec<String>,
}

pub struct HttpSettings {
    pub url: EndpointUrl,
    /// Signs the messages.
    pub secret: WebhookSecret,
    /// Certificates that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// For one response.
    pub timeout: Duration,
    pub at_once: usize,
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
        belongs("provisioner_url", &raw.provisioner_url, &["http"])?;
        belongs("provisioner_secret", &raw.provisioner_secret, &["http"])?;
        belongs("provisioner_ca_file", &raw.provisioner_ca_file, &["http"])?;
        let both = ["exec", "http"];
        belongs("provisioner_timeout", &raw.provisioner_timeout, &both)?;
        belongs("provisioner_at_once", &raw.provisioner_at_once, &both)?;
        match kind {
            "local" => Ok(Self::Local),
            "exec" => exec(raw).map(Self::Exec),
            "http" => http(raw).map(Self::Http),
            other => bail!("provisioner: {other:?} is not offered; there are local, exec and http"),
        }
    }

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
            Self::Http(http) => vec![
                ("provisioner", "http".to_owned()),
                ("provisioner_url", masked(&http.url)),
                ("provisioner_secret", MASKED.to_owned()),
                (
                    "provisioner_ca_file",
                    http.ca_file
                        .as_ref()
                        .map(|path| path.display().to_string())
                        .unwrap_or_default(),
                ),
                ("provisioner_timeout", http.timeout.as_secs().to_string()),
                ("provisioner_at_once", http.at_once.to_string()),
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

fn http(raw: &RawSettings) -> anyhow::Result<HttpSettings> {
    let url = raw
        .provisioner_url
        .as_ref()
        .context("provisioner_url: name the service that the provisioner http asks")?;
    let secret = raw.provisioner_secret.as_ref().context(
        "provisioner_secret: give the service and this server one secret, as made by: \
         echo whsec_$(openssl rand -base64 32)",
    )?;
    Ok(HttpSettings {
        url: EndpointUrl::new(url, AddressPolicy::Anywhere).context("provisioner_url")?,
        secret: WebhookSecret::parse(secret).context("provisioner_secret")?,
        ca_file: raw.provisioner_ca_file.as_ref().map(PathBuf::from),
        timeout: seconds(raw, "30")?,
        at_once: at_once(raw, "32")?,
    })
}

/// The URL without the values of its query, which may be secrets.
fn masked(url: &EndpointUrl) -> String {
    let mut shown = url.parts().clone();
    let names: Vec<String> = shown
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    if !names.is_empty() {
        let masked: Vec<String> = names.iter().map(|name| format!("{name}=***")).collect();
        shown.set_query(Some(&masked.join("&")));
    }
    shown.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(toml: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        Ok(ProvisionerSettings::new(&toml::from_str(toml)?)?.rows())
    }

    #[track_caller]
    fn refused(toml: &str, by: &str) {
        let text = format!("{:#}", rows(toml).unwrap_err());
        assert!(text.contains(by), "{text}");
    }

    const EXEC: &str = "provisioner = \"exec\"\nprovisioner_exec = \"/bin/true\"\n";
    const HTTP: &str = "provisioner = \"http\"\nprovisioner_url = \"http://10.0.0.7:9000/orgs\"\n";
    const SECRET: &str = "provisioner_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

    #[test]
    fn what_is_not_said_has_a_default() {
        let of = |toml: &str| rows(toml).unwrap();
        assert_eq!(of(""), [("provisioner", "local".to_owned())]);
        let has = |rows: &[(&str, String)], name: &str, value: &str| {
            assert!(
                rows.contains(&(name, value.to_owned())),
                "{name} in {rows:?}"
            );
        };
        has(&of(EXEC), "provisioner_timeout", "600");
        has(&of(EXEC), "provisioner_at_once", "8");
        let http = of(&format!("{HTTP}{SECRET}"));
        has(&http, "provisioner_timeout", "30");
        has(&http, "provisioner_at_once", "32");
        has(&http, "provisioner_secret", MASKED);
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("provisioner = \"magic\"", "local, exec and http");
        refused("provisioner = \"exec\"", "provisioner_exec");
        refused("provisioner_exec = \"/bin/true\"", "provisioner is local");
        refused(&format!("{EXEC}{SECRET}"), "provisioner_secret");
        refused("provisioner = \"http\"", "provisioner_url");
        refused(HTTP, "openssl rand");
        refused(&format!("{HTTP}provisioner_secret = \"short\""), "whsec_");
        refused(
            "provisioner = \"http\"\nprovisioner_url = \"ftp://x\"\nprovisioner_secret = \"x\"",
            "provisioner_url",
        );
        for (name, value) in [
            ("timeout", "0"),
            ("timeout", "soon"),
            ("at_once", "0"),
            ("env", "A=B"),
            ("env", "MOLECULE_CP_PEPPER"),
        ] {
            let name = format!("provisioner_{name}");
            refused(&format!("{EXEC}{name} = \"{value}\""), &name);
        }
    }
}
