//! The settings as they were written: by flags, in the environment, in a file.

use std::{env, fmt, fs, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{Settings, names, plans::RawPlan};

macro_rules! raw_settings {
    (
        plain { $($(#[$doc:meta])* $name:ident $flag:literal $variable:literal;)* }
        secret { $($(#[$secret_doc:meta])* $secret:ident $file:ident $secret_flag:literal
            $secret_variable:literal;)* }
    ) => {
        /// The settings as they were written, by flags and environment or in a file.
        #[derive(Clone, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[command(next_help_heading = "Settings")]
        pub struct RawSettings {
            $(
                $(#[$doc])*
                #[serde(default, deserialize_with = "scalar")]
                #[arg(long = $flag, env = $variable, hide_env_values = true, global = true)]
                pub(super) $name: Option<String>,
            )*
            $(
                $(#[$secret_doc])*
                #[arg(
                    long = $secret_flag,
                    env = $secret_variable,
                    hide_env_values = true,
                    global = true
                )]
                pub(super) $secret: Option<String>,
                #[arg(
                    long = concat!($secret_flag, "-file"),
                    env = concat!($secret_variable, "_FILE"),
                    hide_env_values = true,
                    global = true,
                    help = concat!("File that holds what --", $secret_flag, " would say")
                )]
                pub(super) $file: Option<String>,
            )*
            /// Plans that orgs can have, each with what describes it.
            #[arg(skip)]
            #[serde(default)]
            pub(super) plan: Vec<RawPlan>,
        }

        impl RawSettings {
            /// The names in a file with settings.
            const NAMES: &[&str] =
                &["plan", $(stringify!($name),)* $(stringify!($secret), stringify!($file),)*];
            /// The names in the environment.
            const VARIABLES: &[&str] = &[
                "MOLECULE_CP_CONFIG",
                $($variable,)*
                $($secret_variable, concat!($secret_variable, "_FILE"),)*
            ];

            /// These settings where they say something, else those of the file. A secret and the file
            /// that holds it are one setting.
            pub(super) fn or(self, lower: Self) -> Self {
                let (upper, lower) = (self.without_empty(), lower.without_empty());
                $(
                    let ($secret, $file) = if upper.$secret.is_some() || upper.$file.is_some() {
                        (upper.$secret, upper.$file)
                    } else {
                        (lower.$secret, lower.$file)
                    };
                )*
                Self {
                    $($name: upper.$name.or(lower.$name),)*
                    $($secret, $file,)*
                    // A file alone has them.
                    plan: lower.plan,
                }
            }

            /// An empty value says nothing, as is the custom.
            fn without_empty(self) -> Self {
                let said = |value: Option<String>| value.filter(|text| !text.is_empty());
                Self {
                    $($name: said(self.$name),)*
                    $($secret: said(self.$secret), $file: said(self.$file),)*
                    plan: self.plan,
                }
            }

            /// Takes secrets from the files that hold them.
            pub(super) fn with_files(self) -> anyhow::Result<Self> {
                Ok(Self {
                    $($name: self.$name,)*
                    $(
                        $secret: secret(stringify!($secret), self.$secret, self.$file)?,
                        $file: None,
                    )*
                    plan: self.plan,
                })
            }
        }
    };
}

raw_settings! {
    plain {
        /// Address and port to listen on
        listen "listen" "MOLECULE_CP_LISTEN";
        /// How long the server goes on answering after SIGTERM, in seconds, for balancers to leave it
        shutdown_grace "shutdown-grace" "MOLECULE_CP_SHUTDOWN_GRACE";
        /// Folder of the SQLite file and the generated pepper
        data_dir "data-dir" "MOLECULE_CP_DATA_DIR";
        /// How many connections to PostgreSQL there may be, for all uses together
        database_pool "database-pool" "MOLECULE_CP_DATABASE_POOL";
        /// For how many days a partner key works at the most; without it, one may have no end
        max_key_lifetime_days "max-key-lifetime-days" "MOLECULE_CP_MAX_KEY_LIFETIME_DAYS";
        /// What partner keys begin with: a mark of your own and _pk_, such as acme_pk_
        key_prefix "key-prefix" "MOLECULE_CP_KEY_PREFIX";
        /// What earlier partner keys begin with that go on working, separated by commas
        retired_key_prefixes "retired-key-prefixes" "MOLECULE_CP_RETIRED_KEY_PREFIXES";
        /// Limit of each admin key, as limit/seconds
        admin_rate_limit "admin-rate-limit" "MOLECULE_CP_ADMIN_RATE_LIMIT";
        /// Limit of unknown tokens from one address, as limit/seconds
        auth_failure_limit "auth-failure-limit" "MOLECULE_CP_AUTH_FAILURE_LIMIT";
        /// With Redis: exact, where each call asks it, or leased, where permits are taken ahead
        limits "limits" "MOLECULE_CP_LIMITS";
        /// With rediss://: a file of certificates in PEM that are trusted in the place of the system's
        redis_ca_file "redis-ca-file" "MOLECULE_CP_REDIS_CA_FILE";
        /// Limit of kept answers to calls with an Idempotency-Key, of each credential, as limit/seconds
        idempotency_limit "idempotency-limit" "MOLECULE_CP_IDEMPOTENCY_LIMIT";
        /// URL under which clients reach this server
        public_url "public-url" "MOLECULE_CP_PUBLIC_URL";
        /// Page that customers log in on; the org's slug is added as its parameter org
        login_url "login-url" "MOLECULE_CP_LOGIN_URL";
        /// Networks, separated by commas, whose X-Forwarded-For is believed
        trusted_proxies "trusted-proxies" "MOLECULE_CP_TRUSTED_PROXIES";
        /// What makes orgs real: local, exec or http
        provisioner "provisioner" "MOLECULE_CP_PROVISIONER";
        /// With exec: the program, called with a verb such as provision
        provisioner_exec "provisioner-exec" "MOLECULE_CP_PROVISIONER_EXEC";
        /// With http: a file of certificates in PEM that are trusted beside those of the system
        provisioner_ca_file "provisioner-ca-file" "MOLECULE_CP_PROVISIONER_CA_FILE";
        /// How long one attempt may take, in seconds
        provisioner_timeout "provisioner-timeout" "MOLECULE_CP_PROVISIONER_TIMEOUT";
        /// How many attempts there may be at once
        provisioner_at_once "provisioner-at-once" "MOLECULE_CP_PROVISIONER_AT_ONCE";
        /// With exec: names, separated by commas, of variables that the program gets
        provisioner_env "provisioner-env" "MOLECULE_CP_PROVISIONER_ENV";
        /// What the audit log promises: strict or relaxed
        audit "audit" "MOLECULE_CP_AUDIT";
        /// After how many days audit events are deleted; without it they are kept
        audit_retention_days "audit-retention-days" "MOLECULE_CP_AUDIT_RETENTION_DAYS";
        /// How many changes to an SQLite file share a commit at the most; for measurements
        sqlite_batch "sqlite-batch" "MOLECULE_CP_SQLITE_BATCH";
        /// Whether webhooks may go to private and loopback addresses, and by http: true or false
        webhook_allow_private "webhook-allow-private" "MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE";
        /// Whether issuers of trust rules may have private and loopback addresses, and http: true or false; for tests
        oidc_allow_private "oidc-allow-private" "MOLECULE_CP_OIDC_ALLOW_PRIVATE";
        /// Limit of exchanged tokens, of each trust rule, as limit/seconds
        token_exchange_limit "token-exchange-limit" "MOLECULE_CP_TOKEN_EXCHANGE_LIMIT";
        /// URL of the list of keys that GitHub signs reports of leaked tokens with
        github_keys_url "github-keys-url" "MOLECULE_CP_GITHUB_KEYS_URL";
        /// A file with that list, in the place of the URL
        github_keys_file "github-keys-file" "MOLECULE_CP_GITHUB_KEYS_FILE";
        /// Plans that orgs can have, separated by commas
        plans "plans" "MOLECULE_CP_PLANS";
        /// More slugs that no org can have, separated by commas
        reserved_slugs "reserved-slugs" "MOLECULE_CP_RESERVED_SLUGS";
    }
    secret {
        /// sqlite:PATH or postgres://…
        database_url database_url_file "database-url" "MOLECULE_CP_DATABASE_URL";
        /// With a pooler in transaction mode: postgres://… of the server itself
        direct_database_url direct_database_url_file "direct-database-url"
            "MOLECULE_CP_DIRECT_DATABASE_URL";
        /// redis://… or rediss://…, through which instances share their rate limits
        redis_url redis_url_file "redis-url" "MOLECULE_CP_REDIS_URL";
        /// An admin key of your own, 32 characters or more
        admin_key admin_key_file "admin-key" "MOLECULE_CP_ADMIN_KEY";
        /// Secret that key digests are made with, 32 bytes or more
        pepper pepper_file "pepper" "MOLECULE_CP_PEPPER";
        /// Earlier peppers, separated by commas, under which older keys still verify
        retired_peppers retired_peppers_file "retired-peppers" "MOLECULE_CP_RETIRED_PEPPERS";
        /// With http: where the messages go
        provisioner_url provisioner_url_file "provisioner-url" "MOLECULE_CP_PROVISIONER_URL";
        /// With http: the secret that they are signed with, whsec_…
        provisioner_secret provisioner_secret_file "provisioner-secret"
            "MOLECULE_CP_PROVISIONER_SECRET";
    }
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

impl Sources {
    /// Reads and checks all settings.
    pub fn load(self) -> anyhow::Result<Settings> {
        names::check_environment(RawSettings::VARIABLES, env::vars_os())?;
        let file = match self.config.filter(|path| !path.as_os_str().is_empty()) {
            None => RawSettings::default(),
            Some(path) => {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("can't read the settings in {}", path.display()))?;
                parse(&text).with_context(|| path.display().to_string())?
            }
        };
        Settings::new(self.raw.or(file))
    }
}

/// Reads a file with settings.
pub(super) fn parse(text: &str) -> anyhow::Result<RawSettings> {
    names::check_file(RawSettings::NAMES, text)?;
    // The parser's own message would show the line, and a secret may stand in it.
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| {
            let before = text.bytes().take(span.start);
            before.filter(|&byte| byte == b'\n').count() + 1
        });
        anyhow::anyhow!("line {at}: {}", error.message())
    })
}

/// A setting as TOML writes it: a string, a number, a boolean, or an array of strings for a list with commas.
fn scalar<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    struct Scalar;

    impl<'de> Visitor<'de> for Scalar {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, a whole number, a boolean or an array of strings")
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element::<String>()? {
                if item.contains(',') {
                    return Err(A::Error::custom("an item of an array can't have a comma"));
                }
                list.push(item);
            }
            Ok(list.join(","))
        }
    }

    value.deserialize_any(Scalar).map(Some)
}

/// A secret that is given itself or in a file.
fn secret(
    name: &str,
    value: Option<String>,
    file: Option<String>,
) -> anyhow::Result<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => {
            bail!(
                "{name} and {name}_file are both given, by flag, variable or file; give one of them"
            )
        }
        (value, None) => Ok(value
            .map(|value| without_newline(&value).to_owned())
            .filter(|value| !value.is_empty())),
        (None, Some(path)) => {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{name}_file: can't read {path}"))?;
            let value = without_newline(&text);
            ensure!(!value.is_empty(), "{name}_file: {path} is empty");
            Ok(Some(value.to_owned()))
        }
    }
}

/// A text without one newline at its end, which editors and `echo` add.
pub fn without_newline(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    }
}
