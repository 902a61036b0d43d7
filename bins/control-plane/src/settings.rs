//! The settings: flags over the environment over a file over the defaults.

mod provisioner;

use std::{fmt, fs, net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use ids::PlanName;
use ipnet::IpNet;
use keys::{Pepper, PlainKey};
use orgs::{PlanCatalogue, ReservedSlugs};
use ratelimit::RateLimit;
use serde::Deserialize;
use storage::{AuditMode, DatabaseUrl};
use webhooks::Reach;

pub use self::provisioner::{ExecSettings, HttpSettings, ProvisionerSettings};

/// What stands in for a secret wherever settings are shown.
const MASKED: &str = "[set]";
/// The most changes that may share a commit: as many as may wait for one.
const MAX_SQLITE_BATCH: usize = 4096;

macro_rules! raw_settings {
    ($($(#[$doc:meta])* $name:ident $flag:literal $variable:literal;)*) => {
        /// The settings as they were written, by flags and environment or in a file.
        #[derive(Clone, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RawSettings {
            $(
                $(#[$doc])*
                #[arg(long = $flag, env = $variable, hide_env_values = true, global = true)]
                $name: Option<String>,
            )*
        }

        impl RawSettings {
            /// These settings where they say something, else those of the file.
            fn or(self, file: Self) -> Self {
                // An empty variable says nothing, as is the custom.
                let said = |value: Option<String>| value.filter(|text| !text.is_empty());
                Self { $($name: said(self.$name).or(file.$name),)* }
            }
        }
    };
}

raw_settings! {
    /// Address and port to listen on
    listen "listen" "MOLECULE_CP_LISTEN";
    /// Folder of the SQLite file and the generated pepper
    data_dir "data-dir" "MOLECULE_CP_DATA_DIR";
    /// sqlite:PATH or postgres://…
    database_url "database-url" "MOLECULE_CP_DATABASE_URL";
    /// Not offered yet
    redis_url "redis-url" "MOLECULE_CP_REDIS_URL";
    /// An admin key of your own, 32 characters or more
    admin_key "admin-key" "MOLECULE_CP_ADMIN_KEY";
    /// Secret that key digests are made with, 32 bytes or more
    pepper "pepper" "MOLECULE_CP_PEPPER";
    /// Earlier peppers, separated by commas, under which older keys still verify
    retired_peppers "retired-peppers" "MOLECULE_CP_RETIRED_PEPPERS";
    /// Limit of each admin key, as limit/seconds
    admin_rate_limit "admin-rate-limit" "MOLECULE_CP_ADMIN_RATE_LIMIT";
    /// Limit of unknown tokens from one address, as limit/seconds
    auth_failure_limit "auth-failure-limit" "MOLECULE_CP_AUTH_FAILURE_LIMIT";
    /// URL under which clients reach this server
    public_url "public-url" "MOLECULE_CP_PUBLIC_URL";
    /// Page that customers log in on; the org's slug is added as its parameter org
    login_url "login-url" "MOLECULE_CP_LOGIN_URL";
    /// Networks, separated by commas, whose X-Forwarded-For is believed
    trusted_proxies "trusted-proxies" "MOLECULE_CP_TRUSTED_PROXIES";
    /// What makes orgs real: local, exec or http
    provisioner "provisioner" "MOLECULE_CP_PROVISIONER";
    /// With exec: the program, called with provision or deprovision
    provisioner_exec "provisioner-exec" "MOLECULE_CP_PROVISIONER_EXEC";
    /// With http: where the messages go
    provisioner_url "provisioner-url" "MOLECULE_CP_PROVISIONER_URL";
    /// With http: the secret that they are signed with, whsec_…
    provisioner_secret "provisioner-secret" "MOLECULE_CP_PROVISIONER_SECRET";
    /// How long one attempt may take, in seconds
    provisioner_timeout "provisioner-timeout" "MOLECULE_CP_PROVISIONER_TIMEOUT";
    /// How many attempts there may be at once
    provisioner_at_once "provisioner-at-once" "MOLECULE_CP_PROVISIONER_AT_ONCE";
    /// With exec: names, separated by commas, of variables that the program gets
    provisioner_env "provisioner-env" "MOLECULE_CP_PROVISIONER_ENV";
    /// What the audit log promises: strict or relaxed
    audit "audit" "MOLECULE_CP_AUDIT";
    /// How many changes to an SQLite file share a commit at the most; for measurements
    sqlite_batch "sqlite-batch" "MOLECULE_CP_SQLITE_BATCH";
    /// Whether webhooks may go to private and loopback addresses, and by http: true or false
    webhook_allow_private "webhook-allow-private" "MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE";
    /// Plans that orgs can have, separated by commas
    plans "plans" "MOLECULE_CP_PLANS";
    /// More slugs that no org can have, separated by commas
    reserved_slugs "reserved-slugs" "MOLECULE_CP_RESERVED_SLUGS";
}

/// Where the settings come from.
#[derive(Clone, Default, clap::Args)]
pub struct Sources {
    /// A TOML file with settings under the names of the flags, with underscores
    #[arg(long, env = "MOLECULE_CP_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    raw: RawSettings,
}

/// The settings in force.
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where files are kept.
    pub data_dir: PathBuf,
    /// Which database.
    pub database_url: DatabaseUrl,
    /// How many changes to an SQLite file share a commit at the most.
    pub sqlite_batch: NonZeroUsize,
    /// The operator's own admin key.
    pub admin_key: Option<PlainKey>,
    /// The pepper, if it is not in a file.
    pub pepper: Option<Pepper>,
    /// Earlier peppers.
    pub retired_peppers: Vec<Pepper>,
    /// The limit of each admin key.
    pub admin_rate_limit: RateLimit,
    /// The limit of unknown tokens from one address.
    pub auth_failure_limit: RateLimit,
    /// Under which URL clients reach this server, when it is not where it listens.
    pub public_url: Option<String>,
    /// The page that customers log in on.
    pub login_url: String,
    /// When the answers to questions may leave.
    pub audit: AuditMode,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where partners may have messages sent.
    pub webhook_reach: Reach,
    /// What makes orgs real.
    pub provisioner: ProvisionerSettings,
    /// The plans that orgs can have.
    pub plans: PlanCatalogue,
    /// The slugs that no org can have.
    pub reserved_slugs: ReservedSlugs,
    more_reserved_slugs: Vec<String>,
}

impl Sources {
    /// Reads and checks all settings.
    pub fn load(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            None => RawSettings::default(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("can't read the settings in {}", path.display()))?;
                // The parser's own message would show the line, and a secret may stand in it.
                toml::from_str(&text).map_err(|error| {
                    let at = error.span().map_or(0, |span| {
                        text.bytes()
                            .take(span.start)
                            .filter(|&byte| byte == b'\n')
                            .count()
                            + 1
                    });
                    anyhow::anyhow!("{}, line {at}: {}", path.display(), error.message())
                })?
            }
        };
        Settings::new(self.raw.or(file))
    }
}

impl Settings {
    fn new(raw: RawSettings) -> anyhow::Result<Self> {
        ensure!(
            raw.redis_url.is_none(),
            "redis_url: shared limits are not offered yet; leave it out"
        );
        let provisioner = ProvisionerSettings::new(&raw)?;
        let audit = match raw.audit.as_deref() {
            None | Some("strict") => AuditMode::Strict,
            Some("relaxed") => AuditMode::Relaxed,
            Some(other) => bail!("audit: {other:?} is not offered; there are strict and relaxed"),
        };
        let data_dir = PathBuf::from(raw.data_dir.unwrap_or_else(|| "./data".to_owned()));
        let database_url = match raw.database_url {
            Some(url) => url.parse().context("database_url")?,
            None => format!("sqlite:{}", data_dir.join("molecule.db").display())
                .parse()
                .context("data_dir")?,
        };
        let private = parsed("webhook_allow_private", raw.webhook_allow_private, "false")?;
        let more_reserved_slugs = list(raw.reserved_slugs.as_deref());
        Ok(Self {
            listen: parsed("listen", raw.listen, "127.0.0.1:8080")?,
            data_dir,
            database_url,
            sqlite_batch: sqlite_batch(raw.sqlite_batch.as_deref())?,
            admin_key: raw
                .admin_key
                .map(|text| PlainKey::operator(&text))
                .transpose()
                .context("admin_key")?,
            pepper: raw.pepper.map(Pepper::new).transpose().context("pepper")?,
            retired_peppers: list(raw.retired_peppers.as_deref())
                .into_iter()
                .map(Pepper::new)
                .collect::<Result<_, _>>()
                .context("retired_peppers")?,
            admin_rate_limit: parsed("admin_rate_limit", raw.admin_rate_limit, "6000/60")?,
            auth_failure_limit: parsed("auth_failure_limit", raw.auth_failure_limit, "300/60")?,
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
            trusted_proxies: list(raw.trusted_proxies.as_deref())
                .iter()
                .map(|text| network(text))
                .collect::<Result<_, _>>()?,
            webhook_reach: Reach::allowing_private(private),
            provisioner,
            plans: PlanCatalogue::new(
                list(Some(
                    raw.plans.as_deref().unwrap_or("free,standard,enterprise"),
                ))
                .into_iter()
                .map(PlanName::new)
                .collect::<Result<Vec<_>, _>>()
                .context("plans")?,
            )
            .context("plans")?,
            reserved_slugs: ReservedSlugs::with(more_reserved_slugs.iter().cloned()),
            more_reserved_slugs,
        })
    }
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

fn parsed<T: std::str::FromStr>(name: &str, raw: Option<String>, default: &str) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    raw.as_deref()
        .unwrap_or(default)
        .parse()
        .with_context(|| name.to_owned())
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

/// The settings in force as TOML, secrets masked.
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
            ("data_dir", self.data_dir.display().to_string()),
            ("database_url", self.database_url.to_string()),
            ("sqlite_batch", self.sqlite_batch.to_string()),
            ("admin_key", secret(self.admin_key.is_some()).to_owned()),
            ("pepper", secret(self.pepper.is_some()).to_owned()),
            (
                "retired_peppers",
                secret(!self.retired_peppers.is_empty()).to_owned(),
            ),
            ("admin_rate_limit", self.admin_rate_limit.to_string()),
            ("auth_failure_limit", self.auth_failure_limit.to_string()),
            ("public_url", self.public_url.clone().unwrap_or_default()),
            ("login_url", self.login_url.clone()),
            ("trusted_proxies", networks.join(",")),
            ("audit", audit.to_owned()),
            (
                "webhook_allow_private",
                (self.webhook_reach == Reach::Anywhere).to_string(),
            ),
            ("plans", self.plans.to_string()),
            ("reserved_slugs", self.more_reserved_slugs.join(",")),
        ];
        for (name, value) in rows.into_iter().chain(self.provisioner.rows()) {
            writeln!(f, "{name} = {}", toml::Value::String(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
