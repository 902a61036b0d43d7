//! Answers of provisioners, by their text.

use super::*;

fn plain(output: &ProvisionOutput) -> (Option<String>, Option<String>) {
    let outputs = output.outputs.as_ref();
    let secrets = output.secrets.as_ref();
    (
        outputs.map(|all| format!("{all:?}")),
        secrets.map(|all| String::from_utf8(all.to_bytes().to_vec()).unwrap()),
    )
}

#[track_caller]
fn check(answer: &str, outputs: Option<&str>, secrets: Option<&str>) {
    let output = ProvisionOutput::parse(answer.as_bytes()).unwrap();
    let expect = (outputs.map(str::to_owned), secrets.map(str::to_owned));
    assert_eq!(plain(&output), expect, "{answer}");
}

#[track_caller]
fn refused(answer: impl AsRef<[u8]>, expect: &str) {
    let answer = answer.as_ref();
    let error = ProvisionOutput::parse(answer).unwrap_err();
    assert_eq!(
        error.to_string(),
        expect,
        "{}",
        String::from_utf8_lossy(answer)
    );
}

#[test]
fn what_is_named_is_set_and_the_rest_stays() {
    check("", None, None);
    check(" \r\n\t", None, None);
    check("{}", None, None);
    check(r#"{"outputs": {}}"#, Some("{}"), None);
    check(
        "\n{\"secrets\": {\"password\": \"hunter2\"}}\n",
        None,
        Some(r#"{"password":"hunter2"}"#),
    );
    check(
        r#"{"secrets": {"_B1": "", "a": "x\n\u0000\ud83d\ude00"}, "outputs": {"host": "db\u002d1"}}"#,
        Some(r#"{"host": "db-1"}"#),
        Some("{\"_B1\":\"\",\"a\":\"x\\n\\u0000\u{1f600}\"}"),
    );
}

#[test]
fn secrets_are_read_as_they_were_written() {
    let answer = r#"{"secrets": {"b": "2 \" \\", "a": "1"}}"#;
    let output = ProvisionOutput::parse(answer.as_bytes()).unwrap();
    let secrets = output.secrets.unwrap();
    assert_eq!(secrets.names(), ["a", "b"]);
    assert_eq!(
        OrgSecrets::from_bytes(&secrets.to_bytes()),
        Some(secrets.clone())
    );
    assert_eq!(
        OrgSecrets::from_bytes(br#"{"a":"1","b":"2 \" \\"}"#),
        Some(secrets),
        "the form is kept"
    );
    assert_eq!(OrgSecrets::from_bytes(b""), None);
}

#[test]
fn nothing_prints_a_value() {
    let answer = r#"{"outputs": {"host": "db-1"}, "secrets": {"password": "hunter2"}}"#;
    let output = ProvisionOutput::parse(answer.as_bytes()).unwrap();
    let printed = format!("{output:?} {output:#?}");
    assert!(printed.contains("password"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains("db-1"), "{printed}");
}

#[test]
fn what_is_no_object_is_refused() {
    refused("created", "it is not JSON: line 1, column 1");
    refused(
        "{\n\"outputs\": hunter2}",
        "it is not JSON: line 2, column 12",
    );
    refused(
        r#"{"outputs": {}} {"secrets": {}}"#,
        "it is not JSON: line 1, column 17",
    );
    for half in [
        "{",
        r#"{"outputs""#,
        r#"{"secrets": {"password": "hun"#,
        r#"{"secrets": {"password": "hunter2"}"#,
    ] {
        refused(half, "its JSON is cut off");
    }
    refused(b"\xff\xfe\0{}", "it is not UTF-8 text");
    refused("\0\0\0", "it is not JSON: line 1, column 1");
    for other in ["null", "1", "1.5", "-3", "true", "\"hunter2\"", "[{}]"] {
        refused(other, "it is JSON, but not an object");
    }
    refused("[".repeat(10_000), "its JSON is cut off");
    refused("{\"a\":".repeat(1000), "it is not JSON: line 1, column 636");
}

#[test]
fn what_is_in_the_object_is_checked() {
    for member in ["password", "Outputs", "", "hunter2"] {
        let answer = format!(r#"{{"{member}": {{}}}}"#);
        refused(
            answer,
            "it has a member that is neither outputs nor secrets",
        );
    }
    refused(
        r#"{"outputs": {}, "outputs": {}}"#,
        "it has the member outputs twice",
    );
    for value in ["null", "[]", "\"hunter2\"", "7"] {
        refused(
            format!(r#"{{"secrets": {value}}}"#),
            "secrets is not an object",
        );
    }
    for value in ["null", "7", "true", "[\"hunter2\"]", "{\"x\": \"hunter2\"}"] {
        refused(
            format!(r#"{{"secrets": {{"password": {value}}}}}"#),
            "the value of password in secrets is not a string",
        );
    }
    refused(
        r#"{"secrets": {"a": "1", "b": "2", "a": "1"}}"#,
        "secrets has the name a twice",
    );
    refused(
        r#"{"secrets": {"a": "1", "\u0061": "2"}}"#,
        "secrets has the name a twice",
    );
    refused(
        r#"{"secrets": {"a": "1"}, "outputs": {"a": "2"}}"#,
        "a is both an output and a secret",
    );
}

#[test]
fn names_are_those_of_variables() {
    let with = |name: &str| format!(r#"{{"outputs": {{"{name}": "x"}}}}"#);
    let long = "a".repeat(64);
    for name in ["a", "_", "A_1", "DATABASE_URL", &long] {
        assert!(
            ProvisionOutput::parse(with(name).as_bytes()).is_ok(),
            "{name}"
        );
    }
    let longer = "a".repeat(65);
    for name in ["", "1a", "a-b", "a b", "é", "a.b", "a\\u0000", &longer] {
        refused(
            with(name),
            "outputs has a name that is not 1 to 64 letters, digits and underscores with no digit in front",
        );
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let with = |count: usize, value: &str| {
        let entries: Vec<_> = (0..count).map(|n| format!(r#""a{n}":"{value}""#)).collect();
        format!(r#"{{"outputs":{{{}}}}}"#, entries.join(","))
    };
    assert!(ProvisionOutput::parse(with(64, "x").as_bytes()).is_ok());
    refused(with(65, "x"), "outputs has more than 64 entries");
    for letter in ["x", "é", "\u{1f600}"] {
        let longest = with(1, &letter.repeat(4096));
        assert!(
            ProvisionOutput::parse(longest.as_bytes()).is_ok(),
            "{letter}"
        );
        refused(
            with(1, &letter.repeat(4097)),
            "the value of a0 in outputs is longer than 4096 characters",
        );
    }
    refused(with(17, &"x".repeat(4096)), "it is longer than 64 KiB");
    let mut padded = with(1, "x").into_bytes();
    padded.resize(MAX_ANSWER, b' ');
    assert!(ProvisionOutput::parse(&padded).is_ok());
    padded.push(b' ');
    refused(&padded, "it is longer than 64 KiB");
}
