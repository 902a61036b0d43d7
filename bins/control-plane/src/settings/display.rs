//! The settings in force as TOML, as `molecule-cp config` prints them.

use std::fmt;

use storage::AuditMode;
use trust::IssuerPolicy;
use webhooks::AddressPolicy;

use super::{MASKED, Settings, masked, plans};
use crate::github::GithubKeysSource;

/// Secrets are masked.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |is_set: bool| if is_set { MASKED } else { "" };
        let networks = self
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let audit = match self.audit {
            AuditMode::Strict => "strict",
            AuditMode::Relaxed => "relaxed",
        };
        let rows = [
            ("listen", self.listen.to_string()),
            ("shutdown_grace", self.shutdown_grace.as_secs().to_string()),
            ("data_dir", self.data_dir.display().to_string()),
            ("database_url", self.database_url.to_string()),
            (
                "direct_database_url",
                if self.database_url.has_direct() {
                    self.database_url.direct().to_string()
                } else {
                    String::new()
                },
            ),
            ("database_pool", self.database_pool.to_string()),
            ("sqlite_batch", self.sqlite_batch.to_string()),
            ("key_prefix", self.key_prefixes.current().to_string()),
            (
                "retired_key_prefixes",
                self.key_prefixes
                    .retired()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            ("admin_key", secret(self.admin_key.is_some()).to_owned()),
            ("pepper", secret(self.pepper.is_some()).to_owned()),
            (
                "retired_peppers",
                secret(!self.retired_peppers.is_empty()).to_owned(),
            ),
            ("admin_rate_limit", self.admin_rate_limit.to_string()),
            ("auth_failure_limit", self.auth_failure_limit.to_string()),
            ("idempotency_limit", self.idempotency_limit.to_string()),
            (
                "public_url",
                masked(self.public_url.as_deref().unwrap_or_default()),
            ),
            ("login_url", masked(&self.login_url)),
            ("trusted_proxies", networks.join(",")),
            ("audit", audit.to_owned()),
            (
                "audit_retention_days",
                self.audit_retention_days
                    .map(|days| days.to_string())
                    .unwrap_or_default(),
            ),
            (
                "max_key_lifetime_days",
                self.max_key_lifetime_days
                    .map(|days| days.to_string())
                    .unwrap_or_default(),
            ),
            (
                "webhook_allow_private",
                (self.webhook_address_policy == AddressPolicy::Anywhere).to_string(),
            ),
            (
                "oidc_allow_private",
                (self.issuer_policy == IssuerPolicy::AnyScheme).to_string(),
            ),
            (
                "token_exchange_limit",
                self.token_exchange_limit.to_string(),
            ),
            ("reserved_slugs", self.more_reserved_slugs.join(",")),
        ];
        let (github_url, github_file) = match &self.github_keys {
            None => (String::new(), String::new()),
            Some(GithubKeysSource::Url(url)) => (url.to_string(), String::new()),
            Some(GithubKeysSource::File(path)) => (String::new(), path.display().to_string()),
        };
        let github = [
            ("github_keys_url", github_url),
            ("github_keys_file", github_file),
        ];
        let (plans, tables) = plans::rows(&self.plans);
        for (name, value) in rows
            .into_iter()
            .chain(plans.map(|plans| ("plans", plans)))
            .chain(github)
            .chain(self.limits.rows())
            .chain(self.provisioner.rows())
        {
            writeln!(f, "{name} = {}", toml::Value::String(value))?;
        }
        f.write_str(&tables)
    }
}
