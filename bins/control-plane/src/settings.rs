//! Settings. Flags take precedence over the environment, a file and the defaults.

mod display;
mod limits;
mod names;
mod options_schema;
mod plans;
mod provisioner;
mod raw;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use ipnet::IpNet;
use keys::{KeyPrefix, KeyPrefixes, PlainKey};
use orgs::{PlanCatalogue, ReservedSlugs};
use ratelimit::RateLimit;
use storage::{AuditMode, CONNECTIONS, DatabaseUrl, MIN_CONNECTIONS};
use trust::IssuerPolicy;
use webhooks::AddressPolicy;

pub use self::{
    limits::LimitSettings,
    provisioner::{ExecSettings, HttpSettings, ProvisionerSettings},
    raw::{RawSettings, Sources, without_newline},
};
use crate::{github::GithubKeysSource, pepper::PepperReadings};

const MASKED: &str = "[set]";
/// In seconds.
const MAX_SHUTDOWN_GRACE: u64 = 300;
/// As many as may wait for a commit.
const MAX_SQLITE_BATCH: usize = 4096;

pub struct Settings {
    pub listen: SocketAddr,
    /// From SIGTERM until the server stops listening.
    pub shutdown_grace: Duration,
    pub data_dir: PathBuf,
    pub database_url: DatabaseUrl,
    /// Connections to PostgreSQL, for all uses together.
    pub database_pool: u8,
    /// The most changes to an SQLite file that share a commit.
    pub sqlite_batch: NonZeroUsize,
    /// The prefixes of partner keys.
    pub key_prefixes: KeyPrefixes,
    /// The operator's own admin key.
    pub admin_key: Option<PlainKey>,
    /// `None` when it is in the data folder.
    pub pepper: Option<PepperReadings>,
    pub retired_peppers: Vec<PepperReadings>,
    /// The limit of each admin key.
    pub admin_rate_limit: RateLimit,
    /// The limit of unknown tokens from one address.
    pub auth_failure_limit: RateLimit,
    /// Where limits are kept.
    pub limits: LimitSettings,
    /// How many answers to calls with an `Idempotency-Key` are kept for one credential.
    pub idempotency_limit: RateLimit,
    /// The URL under which clients reach this server; `None` for the one where it listens.
    pub public_url: Option<String>,
    /// The page that customers log in on.
    pub login_url: String,
    /// Whether responses to reads wait for their audit event.
    pub audit: AuditMode,
    /// `None` keeps audit events for ever.
    pub audit_retention_days: Option<u16>,
    pub max_key_lifetime_days: Option<u16>,
    /// Whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Which addresses webhooks may have.
    pub webhook_address_policy: AddressPolicy,
    /// Which issuers trust rules may have.
    pub issuer_policy: IssuerPolicy,
    /// How many tokens each trust rule exchanges.
    pub token_exchange_limit: RateLimit,
    /// The keys that GitHub signs reports with, if they are taken.
    pub github_keys: Option<GithubKeysSource>,
    pub provisioner: ProvisionerSettings,
    /// The plans that orgs can have.
    pub plans: PlanCatalogue,
    /// The slugs that no org can have.
    pub reserved_slugs: ReservedSlugs,
    more_reserved_slugs: Vec<String>,
}

impl Settings {
    fn new(raw: RawSettings) -> anyhow::Result<Self> {
        let raw = raw.with_files()?;
        let limits = LimitSettings::new(&raw)?;
        let provisioner = ProvisionerSettings::new(&raw)?;
        let audit = match raw.audit.as_deref() {
            None | Some("strict") => AuditMode::Strict,
            Some("relaxed") => AuditMode::Relaxed,
            Some(other) => bail!("audit: {other:?} is not offered; there are strict and relaxed"),
        };
        let data_dir = PathBuf::from(raw.data_dir.unwrap_or_else(|| "./data".to_owned()));
        let database_url: DatabaseUrl = match raw.database_url {
            Some(url) => url.parse().context("database_url")?,
            None => format!("sqlite:{}", data_dir.join("molecule.db").display())
                .parse()
                .context("data_dir")?,
        };
        let database_url = match raw.direct_database_url {
            Some(direct) => direct
                .parse()
                .and_then(|direct| database_url.with_direct(&direct))
                .context("direct_database_url")?,
            None => database_url,
        };
        let key_prefixes = key_prefixes(raw.key_prefix, raw.retired_key_prefixes.as_deref())?;
        let private = parsed("webhook_allow_private", raw.webhook_allow_private, "false")?;
        let oidc_private = parsed("oidc_allow_private", raw.oidc_allow_private, "false")?;
        let more_reserved_slugs = list(raw.reserved_slugs.as_deref());
        Ok(Self {
            listen: address(raw.listen.as_deref().unwrap_or("127.0.0.1:8080"))?,
            shutdown_grace: shutdown_grace(raw.shutdown_grace.as_deref())?,
            data_dir,
            database_url,
            database_pool: database_pool(raw.database_pool.as_deref())?,
            sqlite_batch: sqlite_batch(raw.sqlite_batch.as_deref())?,
            admin_key: raw
                .admin_key
                .map(|text| key_prefixes.operator(&text))
                .transpose()
                .context("admin_key")?,
            key_prefixes,
            pepper: raw
                .pepper
                .as_deref()
                .map(PepperReadings::of)
                .transpose()
                .context("pepper")?,
            // In files, one for each line is common.
            retired_peppers: list(
                raw.retired_peppers
                    .map(|text| text.replace('\n', ","))
                    .as_deref(),
            )
            .iter()
            .map(|text| PepperReadings::of(text))
            .collect::<Result<_, _>>()
            .context("retired_peppers")?,
            admin_rate_limit: parsed("admin_rate_limit", raw.admin_rate_limit, "6000/60")?,
            auth_failure_limit: parsed("auth_failure_limit", raw.auth_failure_limit, "300/60")?,
            limits,
            idempotency_limit: parsed("idempotency_limit", raw.idempotency_limit, "50000/86400")?,
            public_url: raw
                .public_url
                .map(|url| web_url("public_url", &url))
                .transpose()?,
            login_url: web_url(
                "login_url",
                raw.login_url
                    .as_deref()
                    .unwrap_or("https://app.moleculesai.app/login"),
            )?,
            audit,
            audit_retention_days: days(
                "audit_retention_days",
                raw.audit_retention_days.as_deref(),
                "keep all events",
            )?,
            max_key_lifetime_days: days(
                "max_key_lifetime_days",
                raw.max_key_lifetime_days.as_deref(),
                "allow keys without an end",
            )?,
            trusted_proxies: list(raw.trusted_proxies.as_deref())
                .iter()
                .map(|text| network(text))
                .collect::<Result<_, _>>()?,
            webhook_address_policy: AddressPolicy::allowing_private(private),
            issuer_policy: if oidc_private {
                IssuerPolicy::AnyScheme
            } else {
                IssuerPolicy::Https
            },
            token_exchange_limit: parsed(
                "token_exchange_limit",
                raw.token_exchange_limit,
                "6000/60",
            )?,
            github_keys: GithubKeysSource::new(
                raw.github_keys_url.as_deref(),
                raw.github_keys_file.as_deref(),
                AddressPolicy::allowing_private(private),
            )?,
            provisioner,
            plans: plans::catalogue(raw.plans.as_deref(), raw.plan)?,
            reserved_slugs: ReservedSlugs::with(more_reserved_slugs.iter().cloned()),
            more_reserved_slugs,
        })
    }
}

/// The prefixes of partner keys.
fn key_prefixes(current: Option<String>, retired: Option<&str>) -> anyhow::Result<KeyPrefixes> {
    let current: KeyPrefix = match current {
        None => KeyPrefix::default(),
        Some(text) => text
            .parse()
            .with_context(|| format!("key_prefix: {text:?}"))?,
    };
    let retired = list(retired);
    let retired = retired.iter().map(|text| {
        let prefix = text.parse::<KeyPrefix>();
        prefix.with_context(|| format!("retired_key_prefixes: {text:?}"))
    });
    let retired = retired.collect::<Result<_, _>>()?;
    KeyPrefixes::new(current, retired).context("key_prefix and retired_key_prefixes")
}

/// A number of seconds up to [`MAX_SHUTDOWN_GRACE`].
fn shutdown_grace(raw: Option<&str>) -> anyhow::Result<Duration> {
    let Some(text) = raw else {
        return Ok(Duration::ZERO);
    };
    let seconds = text
        .parse()
        .ok()
        .filter(|&seconds| seconds <= MAX_SHUTDOWN_GRACE);
    seconds.map(Duration::from_secs).with_context(|| {
        format!(
            "shutdown_grace: {text:?} is not a number of seconds from 0 to {MAX_SHUTDOWN_GRACE}"
        )
    })
}

/// A number from [`MIN_CONNECTIONS`] on.
fn database_pool(raw: Option<&str>) -> anyhow::Result<u8> {
    let Some(text) = raw else {
        return Ok(CONNECTIONS);
    };
    text.parse()
        .ok()
        .filter(|&connections| connections >= MIN_CONNECTIONS)
        .with_context(|| {
            format!(
                "database_pool: {text:?} is not a number from {MIN_CONNECTIONS} to {}; each use of the                  database (to read, to write, events, control, the index of events) needs a connection                  or two of its own",
                u8::MAX
            )
        })
}

/// A number from 1 to [`MAX_SQLITE_BATCH`].
fn sqlite_batch(raw: Option<&str>) -> anyhow::Result<NonZeroUsize> {
    let Some(text) = raw else {
        return Ok(storage::SQLITE_BATCH);
    };
    text.parse()
        .ok()
        .filter(|batch: &NonZeroUsize| batch.get() <= MAX_SQLITE_BATCH)
        .with_context(|| {
            format!("sqlite_batch: {text:?} is not a number from 1 to {MAX_SQLITE_BATCH}")
        })
}

/// A number of days; without it, `otherwise`.
fn days(name: &str, raw: Option<&str>, otherwise: &str) -> anyhow::Result<Option<u16>> {
    let Some(text) = raw else { return Ok(None) };
    let days = text.parse().ok().filter(|days| *days > 0);
    ensure!(
        days.is_some(),
        "{name}: {text:?} is not a number of days from 1 to {}; leave it out to {otherwise}",
        u16::MAX
    );
    Ok(days)
}

/// A web address without a slash at its end.
fn web_url(name: &str, text: &str) -> anyhow::Result<String> {
    let plain = (text.starts_with("http://") || text.starts_with("https://"))
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        plain,
        "{name}: must begin with http:// or https:// and hold no spaces"
    );
    Ok(text.trim_end_matches('/').to_owned())
}

/// A URL without user name and password.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => url.to_owned(),
    }
}

fn parsed<T: std::str::FromStr>(name: &str, raw: Option<String>, default: &str) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    raw.as_deref()
        .unwrap_or(default)
        .parse()
        .with_context(|| name.to_owned())
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| {
        format!("listen: {text:?} is not an IP address and a port such as 127.0.0.1:8080")
    })
}

fn list(raw: Option<&str>) -> Vec<String> {
    let items = raw.unwrap_or_default().split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A network, or one address.
fn network(text: &str) -> anyhow::Result<IpNet> {
    keys::parse_network(text).with_context(|| {
        format!(
            "trusted_proxies: {text:?} is not a network such as 10.0.0.0/8; leading zeros are refused"
        )
    })
}

#[cfg(test)]
mod tests;
