//! What is read, what is refused, and what is shown.

use super::*;

fn settings(toml: &str) -> anyhow::Result<Settings> {
    Settings::new(toml::from_str(toml)?)
}

#[track_caller]
fn refused(toml: &str, by: &str) {
    let Err(error) = settings(toml) else {
        panic!("{toml} was taken")
    };
    let text = format!("{error:#}");
    assert!(text.contains(by), "{text}");
}

#[test]
fn without_a_word_the_defaults_hold() {
    let text = settings("").unwrap().to_string();
    for line in [
        "listen = \"127.0.0.1:8080\"",
        "database_url = \"sqlite:./data/molecule.db\"",
        "admin_rate_limit = \"6000/60\"",
        "auth_failure_limit = \"300/60\"",
        "login_url = \"https://app.moleculesai.app/login\"",
        "sqlite_batch = \"512\"",
        "webhook_allow_private = \"false\"",
        "plans = \"free, standard, enterprise\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn secrets_are_masked() {
    let secret = "s".repeat(40);
    let text = settings(&format!(
        "admin_key = \"{secret}\"\npepper = \"{secret}\"\nretired_peppers = \"{secret}\"\n\
         database_url = \"postgres://me:{secret}@localhost/cp\""
    ));
    let text = text.unwrap().to_string();
    assert!(!text.contains("ssss"), "{text}");
    assert_eq!(text.matches(MASKED).count(), 3);
}

#[test]
fn what_is_wrong_is_named() {
    refused("listen = \"8080\"", "listen");
    refused("admin_key = \"short\"", "32 to 256 characters");
    refused("pepper = \"short\"", "32 bytes or more");
    refused("admin_rate_limit = \"600\"", "limit/seconds");
    refused("database_url = \"mysql://x\"", "database_url");
    refused("trusted_proxies = \"10.0.0.0/33\"", "trusted_proxies");
    refused("trusted_proxies = \"010.0.0.0/8\"", "trusted_proxies");
    refused("login_url = \"javascript:alert(1)\"", "login_url");
    refused("provisioner = \"magic\"", "provisioner");
    refused("redis_url = \"redis://x\"", "redis_url");
    refused("audit = \"lax\"", "audit");
    refused("sqlite_batch = \"0\"", "sqlite_batch");
    refused("sqlite_batch = \"4097\"", "sqlite_batch");
    refused("webhook_allow_private = \"yes\"", "webhook_allow_private");
    refused("plans = \" , \"", "plans");
    refused("lisen = \"x\"", "lisen");
}

#[test]
fn flags_outweigh_the_file() {
    let flags = RawSettings {
        listen: Some("127.0.0.1:1".into()),
        ..RawSettings::default()
    };
    let file = toml::from_str("listen = \"127.0.0.1:2\"\ndata_dir = \"/x\"").unwrap();
    let settings = Settings::new(flags.or(file)).unwrap();
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.data_dir, PathBuf::from("/x"));
}
