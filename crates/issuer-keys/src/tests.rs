use serde_json::json;

use super::*;

// Made with the test keys of `testkit`, by OpenSSL.
const RS256: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInJzYS0xIiwgInR5cCI6ICJKV1QifQ.eyJpc3MiOiAiaHR0cHM6Ly9jaS5leGFtcGxlIiwgInN1YiI6ICJhY21lIiwgImp0aSI6ICIxIn0.SHhz748COGxC_hEcqPgC_ZMbwRHrFWP5aIJ1dnarhDQF6ca7ylC5eJTXAucogGDChxWEEZ4BIKUKJwhkByp3LLLdAuhIy_nM6zlRFAdP3IQTPlBIMjt9XzUkup-xhBJb-PdC6B6ILMm4Oq2rKMM-5hwchgCdSkFPoHXJy0rQVB10PCCNYk6XBliq5StrM_eMX5WEUDcIKjih-Htf2hN2_cEknSJcVjxXQ1vc3THfim_7kVWmk5NtJkko6D_7Srv4HmUr8J97h_aIomCVtvfWHt7SVAZVAdS5OJKElPbe_SIhm5kNw3RQysowlRAm-4ufZuT872MOGLp8lOJCucLqQQ";
const ES256: &str = "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogInAyNTYtMSIsICJ0eXAiOiAiSldUIn0.eyJpc3MiOiAiaHR0cHM6Ly9jaS5leGFtcGxlIiwgInN1YiI6ICJhY21lIiwgImp0aSI6ICIxIn0.uapgEwXFPAQXyjtn4v8xCwkAMvXqY0d5LXcpy_0fr3o54oDglrn8D-TNXr8n25L_B236H5JJIWiin1ed4shOhQ";
const NAMELESS: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUifQ.rOUaudYyqZV_4cKH0Y6nrAmIVkPqWNI05P9dSLaDpP3eyPAzDyqlAKHZgKN8MlqSJQal4hMR6joar1tvbr6SzbYZ17lZt-bSq9T2ndH2rSnfQUY2X8VQhSi0NuCkpMVJI5t3kGT8ZcFaBSjYeYTD0-4tqS9aYCuBaFgZr6D7rQioRJv-UvrWovi72yTTtK5G84ijSORxLOSexk9TGRXISPAk4zg6AGJXQd_bKMHEKlO5mLSRyLjX4J6v4j0jcDWT_hFt1XLLyB1lu0PBQOQObgaO3YWF1UouvpwticS-FHvNME9CCeJsg4-4DGvsWcxAunLY33nquJfFOknsnnqhRw";
const RSA_N: &str = "4rQz-IslaydojODLH21x0jN_YrG99OLujhUeTaRNXepmFiNCiir2JGH1O-uKl0i3fwYm7zR4G34NHVUR9ii_M8X0gKcEwqwZHf7znmxWUM_JCQcBbyLkSi-i10s8QtKQw5dHYG3D46ETpPAHNy-7UalZUBye2zPOm6NwdINr615G8W8jdaHbeJk6c7HRM4W0vOkzql3Rsi0xxC_xegGwIJeySEZD43CXYMMT2wXEYbvObrWUbSS4muaK57UD0wCdWLC7lpF9r8OHvkH6j5M-S-4ZkuhADXJapZNVsxVYsRx4igvgttvQxohSWNcg0_7LdaG7m5Q02lC5FaKmvdA9lQ";
const P256: [&str; 2] = [
    "eZuS8wjcmd769Q9QcnaonlSMNU9gLZVeHeO_9uTlYCU",
    "apcp2W6zF_Hfp_Gi_zzmLXY_Uo4YYjZ-MORb1SurEKM",
];

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "rsa-1", "alg": "RS256", "use": "sig", "n": RSA_N, "e": "AQAB", "x5t": "x"})
}

fn p256() -> Value {
    let [x, y] = P256;
    json!({"kty": "EC", "crv": "P-256", "kid": "p256-1", "x": x, "y": y})
}

fn set(keys: &[Value]) -> Result<KeySet, InvalidKeySet> {
    KeySet::read(json!({"keys": keys, "more": 1}).to_string().as_bytes())
}

#[track_caller]
fn check(keys: &[Value], token: &str, expect: Result<(), Denial>) {
    let token = Jwt::parse(token).unwrap();
    assert_eq!(set(keys).unwrap().verify(&token), expect, "{keys:?}");
}

#[test]
fn a_token_is_verified_by_the_key_that_it_names() {
    let keys = [p256(), rsa()];
    check(&keys, RS256, Ok(()));
    check(&keys, ES256, Ok(()));
    let mut other = rsa();
    other["kid"] = json!("rsa-2");
    check(&[other.clone()], RS256, Err(Denial::UnknownKey));
    check(&[other, p256()], RS256, Err(Denial::UnknownKey));
    // One of another kind under the same name can't be confused with it.
    let mut curve = p256();
    curve["kid"] = json!("rsa-1");
    check(&[curve, p256()], RS256, Err(Denial::UnknownKey));
}

#[test]
fn a_changed_token_is_refused() {
    for token in [RS256, ES256] {
        let signature = token.rfind('.').unwrap() + 1;
        let mut changed = token.to_owned();
        let other = if &token[signature..=signature] == "A" {
            "B"
        } else {
            "A"
        };
        changed.replace_range(signature..=signature, other);
        check(&[rsa(), p256()], &changed, Err(Denial::Signature));
        check(
            &[rsa(), p256()],
            &token[..signature + 8],
            Err(Denial::Signature),
        );
    }
    // The signature of one token on the claims of another.
    let (rest, _) = ES256.rsplit_once('.').unwrap();
    let stolen = format!("{rest}.{}", RS256.rsplit_once('.').unwrap().1);
    check(&[rsa(), p256()], &stolen, Err(Denial::Signature));
}

#[test]
fn a_token_that_names_no_key_is_signed_with_the_only_one_of_its_kind() {
    let token = Jwt::parse(NAMELESS).unwrap();
    assert_eq!(set(&[rsa(), p256()]).unwrap().verify(&token), Ok(()));
    assert_eq!(
        set(&[rsa(), rsa()]).unwrap().verify(&token),
        Err(Denial::UnknownKey)
    );
}

#[test]
fn keys_that_are_weak_or_for_something_else_are_left_out() {
    let with = |name: &str, value: Value| {
        let mut key = rsa();
        key[name] = value;
        key
    };
    let short = &RSA_N[..170];
    for key in [
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("alg", json!("RS512")),
        with("kty", json!("oct")),
        with("n", json!(short)),
        with("n", json!("")),
        with("e", json!("AQ")),
        with("e", json!("Ag")),
        with("e", json!("AAAAAAE")),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"}),
        json!({"kty": "EC", "crv": "P-384", "x": P256[0], "y": P256[1]}),
        json!({"kty": "EC", "crv": "P-256", "x": P256[0]}),
        json!("rsa"),
    ] {
        assert_eq!(
            set(std::slice::from_ref(&key)).err(),
            Some(InvalidKeySet::NoKey),
            "{key}"
        );
    }
}

#[test]
fn what_is_no_set_is_refused() {
    let error = |text: &str| KeySet::read(text.as_bytes()).err();
    assert_eq!(error("[]"), Some(InvalidKeySet::Json));
    assert_eq!(
        error(r#"{"keys": [], "keys": []}"#),
        Some(InvalidKeySet::Json)
    );
    assert_eq!(error("{}"), Some(InvalidKeySet::NoList));
    assert_eq!(error(r#"{"keys": {}}"#), Some(InvalidKeySet::NoList));
    assert_eq!(error(r#"{"keys": []}"#), Some(InvalidKeySet::NoKey));
    assert_eq!(set(&vec![rsa(); 101]).err(), Some(InvalidKeySet::TooMany));
}
