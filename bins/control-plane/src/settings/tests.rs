//! What is read, what is refused, and what is shown.

use super::*;

fn settings(toml: &str) -> anyhow::Result<Settings> {
    Settings::new(raw::parse(toml)?)
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
        "shutdown_grace = \"0\"",
        "database_url = \"sqlite:./data/molecule.db\"",
        "admin_rate_limit = \"6000/60\"",
        "auth_failure_limit = \"300/60\"",
        "idempotency_limit = \"50000/86400\"",
        "login_url = \"https://app.moleculesai.app/login\"",
        "sqlite_batch = \"512\"",
        "database_pool = \"16\"",
        "webhook_allow_private = \"false\"",
        "plans = \"free, standard, enterprise\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn numbers_and_booleans_need_no_quotes() {
    let text = settings("shutdown_grace = 5\nwebhook_allow_private = true").unwrap();
    let text = text.to_string();
    assert!(text.contains("shutdown_grace = \"5\""), "{text}");
    assert!(text.contains("webhook_allow_private = \"true\""), "{text}");
}

#[test]
fn lists_are_arrays_or_have_commas() {
    for list in ["\"gold,silver\"", "[\"gold\", \"silver\"]"] {
        let text = settings(&format!("plans = {list}")).unwrap().to_string();
        assert!(text.contains("plans = \"gold, silver\""), "{text}");
    }
    refused("plans = [\"gold,silver\"]", "can't have a comma");
    refused("plans = [1]", "string");
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
    refused("listen = \"8080\"", "such as 127.0.0.1:8080");
    refused("shutdown_grace = \"5s\"", "shutdown_grace");
    refused("shutdown_grace = \"301\"", "0 to 300");
    refused("admin_key = \"short\"", "32 to 256 characters");
    refused("pepper = \"short\"", "32 bytes or more");
    refused("admin_rate_limit = \"600\"", "limit/seconds");
    refused("database_url = \"mysql://x\"", "database_url");
    refused(
        "direct_database_url = \"postgres://localhost/cp\"",
        "direct_database_url",
    );
    refused("trusted_proxies = \"10.0.0.0/33\"", "trusted_proxies");
    refused("trusted_proxies = \"010.0.0.0/8\"", "trusted_proxies");
    refused("login_url = \"javascript:alert(1)\"", "login_url");
    refused("provisioner = \"magic\"", "provisioner");
    refused("redis_url = \"http://x\"", "redis_url");
    refused("audit = \"lax\"", "audit");
    refused("database_url = \"postgres://db/cp\"", "sslmode=verify-full");
    refused("database_pool = \"5\"", "from 6 to 255");
    refused("database_pool = \"256\"", "database_pool");
    refused("database_pool = \"many\"", "database_pool");
    refused("audit_retention_days = \"0\"", "audit_retention_days");
    refused("audit_retention_days = \"1.5\"", "audit_retention_days");
    refused("max_key_lifetime_days = \"0\"", "max_key_lifetime_days");
    refused(
        "max_key_lifetime_days = \"-1\"",
        "allow keys without an end",
    );
    refused("sqlite_batch = \"0\"", "sqlite_batch");
    refused("sqlite_batch = \"4097\"", "sqlite_batch");
    refused("webhook_allow_private = \"yes\"", "webhook_allow_private");
    refused("\nplans = {}", "line 2: ");
    refused("pepper = 1234", "expected a string");
    refused("plans = \" , \"", "plans");
    refused("plans = \"a\"\n[[plan]]\nid = \"a\"", "both given");
    refused("[[plan]]\nid = \"A\"", "the plan \"A\"");
    refused(
        "[[plan]]\nid = \"a\"\n[[plan]]\nid = \"a\"",
        "a is there twice",
    );
    refused("[[plan]]\nid = \"a\"\nprice = 3", "price");
    refused("[[plan]]\nid = \"a\"\noptions_schema = \"{\"", "not JSON");
    refused(
        "[[plan]]\nid = \"a\"\noptions_schema.type = \"no\"",
        "the plan \"a\"",
    );
    refused("lisen = \"x\"", "did you mean listen?");
}

#[test]
fn no_url_is_shown_with_its_secrets() {
    for url in [
        "public_url = \"https://me:s3cret@cp.example.com\"",
        "login_url = \"https://me:s3/cret@app.example.com/login\"",
        "provisioner = \"http\"\nprovisioner_url = \"http://10.0.0.7/orgs?token=s3cret&x=s3c\"\n\
         provisioner_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
        "database_url = \"postgres://localhost/cp?sslmode=disable&sslpassword=s3cret\"",
        "redis_url = \"redis://me:s3cret@localhost/1\"",
    ] {
        let text = settings(url).unwrap().to_string();
        assert!(!text.contains("s3c") && text.contains("***"), "{text}");
    }
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let toml = format!("admin_key_file = \"{}\"", file.display());
    refused(&toml, "admin_key_file");
    for (written, read) in [("\n", true), ("\r\n", true), ("", true), ("\n\n", false)] {
        std::fs::write(&file, format!("{}{written}", "k".repeat(32))).unwrap();
        match settings(&toml) {
            Ok(settings) => {
                assert!(read, "{written:?}");
                assert_eq!(settings.admin_key.unwrap().expose(), "k".repeat(32));
            }
            Err(error) => assert!(!read, "{written:?}: {error:#}"),
        }
    }
    std::fs::write(&file, "\n").unwrap();
    refused(&toml, "is empty");
    refused(
        &format!("{toml}\nadmin_key = \"{}\"", "k".repeat(32)),
        "both given",
    );
    refused("pepper_file = \"/nowhere\"", "/nowhere");
}

#[test]
fn a_flag_outweighs_the_file_of_a_secret_in_the_file() {
    let flags = RawSettings {
        admin_key: Some("k".repeat(32)),
        ..RawSettings::default()
    };
    let file = raw::parse("admin_key_file = \"/nowhere\"").unwrap();
    let settings = Settings::new(flags.or(file)).unwrap();
    assert_eq!(settings.admin_key.unwrap().expose(), "k".repeat(32));
}

#[test]
fn events_are_kept_for_ever_or_for_days() {
    assert_eq!(settings("").unwrap().audit_retention_days, None);
    let settings = settings("audit_retention_days = \"90\"").unwrap();
    assert_eq!(settings.audit_retention_days, Some(90));
    let text = settings.to_string();
    assert!(text.contains("audit_retention_days = \"90\""), "{text}");
}

#[test]
fn keys_live_for_ever_or_for_days() {
    assert_eq!(settings("").unwrap().max_key_lifetime_days, None);
    let settings = settings("max_key_lifetime_days = \"90\"").unwrap();
    assert_eq!(settings.max_key_lifetime_days, Some(90));
    let text = settings.to_string();
    assert!(text.contains("max_key_lifetime_days = \"90\""), "{text}");
}

#[test]
fn flags_outweigh_the_file() {
    let flags = RawSettings {
        listen: Some("127.0.0.1:1".into()),
        ..RawSettings::default()
    };
    let file = raw::parse("listen = \"127.0.0.1:2\"\ndata_dir = \"/x\"").unwrap();
    let settings = Settings::new(flags.or(file)).unwrap();
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.data_dir, PathBuf::from("/x"));
}

#[test]
fn plans_are_described_by_tables_and_shown_as_such() {
    let toml = r#"
        [[plan]]
        id = "large"
        title = "Large"
        options_schema = { properties = { size = { type = "integer" } } }

        [[plan]]
        id = "small"
        options_schema = '{"maxProperties": 0}'
    "#;
    let shown = settings(toml).unwrap().to_string();
    assert!(!shown.contains("plans ="), "{shown}");
    let (_, tables) = shown.split_once("\n\n").unwrap();
    let again = settings(tables).unwrap();
    assert_eq!(again.plans.to_string(), "large, small");
    assert_eq!(again.to_string(), shown);
    let options = |text: &str| orgs::OrgOptions::new(serde_json::from_str(text).unwrap()).unwrap();
    let large = ids::PlanName::new("large").unwrap();
    assert!(
        again
            .plans
            .option_faults(&large, &options(r#"{"size": 3}"#))
            .is_empty()
    );
    assert!(
        !again
            .plans
            .option_faults(&large, &options(r#"{"size": "3"}"#))
            .is_empty()
    );
}
