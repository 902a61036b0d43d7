//! Settings of where rate limits are kept.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use ratelimit_redis::{Mode, RedisUrl};

use super::RawSettings;

/// Where rate limits are kept.
pub enum LimitSettings {
    /// In the memory of each instance.
    Memory,
    /// In Redis, for all instances.
    Redis {
        url: RedisUrl,
        mode: Mode,
        /// The file of authorities whose certificates are trusted.
        authorities: Option<String>,
    },
}

impl LimitSettings {
    pub fn new(raw: &RawSettings) -> anyhow::Result<Self> {
        let Some(url) = &raw.redis_url else {
            ensure!(
                raw.redis_ca_file.is_none(),
                "redis_ca_file is given, but redis_url is not; give both or neither"
            );
            ensure!(
                raw.limits.is_none(),
                "limits is given, but redis_url is not: without Redis each instance has limits of its own"
            );
            return Ok(Self::Memory);
        };
        let mode = match raw.limits.as_deref() {
            None | Some("exact") => Mode::Exact,
            Some("leased") => Mode::Leased,
            Some(other) => bail!("limits: {other:?} is not offered; there are exact and leased"),
        };
        let authorities = raw.redis_ca_file.clone();
        let pem = authorities.as_deref().map(fs::read_to_string).transpose();
        let pem = pem.with_context(|| {
            let path = authorities.as_deref().unwrap_or_default();
            format!("redis_ca_file: can't read {path}")
        })?;
        let url = RedisUrl::new(url, pem.as_deref()).context("redis_url")?;
        Ok(Self::Redis {
            url,
            mode,
            authorities,
        })
    }

    /// What is in force, secrets masked.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let (url, mode, authorities) = match self {
            Self::Memory => (String::new(), "", None),
            Self::Redis {
                url,
                mode,
                authorities,
            } => {
                let mode = match mode {
                    Mode::Exact => "exact",
                    Mode::Leased => "leased",
                };
                (url.to_string(), mode, authorities.clone())
            }
        };
        vec![
            ("redis_url", url),
            ("limits", mode.to_owned()),
            ("redis_ca_file", authorities.unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(toml: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        Ok(LimitSettings::new(&toml::from_str(toml)?)?.rows())
    }

    #[track_caller]
    fn refused(toml: &str, by: &str) {
        let text = format!("{:#}", rows(toml).unwrap_err());
        assert!(text.contains(by), "{text}");
    }

    #[test]
    fn without_redis_each_instance_has_its_own() {
        let rows = rows("").unwrap();
        assert!(rows.iter().all(|(_, value)| value.is_empty()), "{rows:?}");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let rows = rows("redis_url = \"redis://:s3cret@cache:7000/2\"").unwrap();
        assert!(rows.contains(&("redis_url", "redis://***@cache:7000/2".to_owned())));
        assert!(rows.contains(&("limits", "exact".to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("redis_url = \"cache:6379\"", "redis_url");
        refused("redis_url = \"rediss://h/#insecure\"", "redis_ca_file");
        refused("limits = \"leased\"", "redis_url");
        refused(
            "redis_url = \"redis://h\"\nlimits = \"lax\"",
            "exact and leased",
        );
        refused("redis_ca_file = \"x\"", "redis_url");
        refused(
            "redis_url = \"rediss://h\"\nredis_ca_file = \"/nowhere\"",
            "redis_ca_file: can't read /nowhere",
        );
    }
}
