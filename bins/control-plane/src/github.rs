//! GitHub's secret scanning partner program: who has signed a report.
//!
//! <https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program>

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::{
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    pkcs8::DecodePublicKey as _,
};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use webhooks::{AddressPolicy, EndpointUrl};

use crate::webhooks::{BodyLimits, HttpSender};

/// How often the list is asked for at the most.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// A list of this age is asked for again: a key that is not on it any more is trusted for no longer.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How many keys a list may have; GitHub's has a few.
const MAX_KEYS: usize = 100;
/// Of the list.
const LIST: BodyLimits = BodyLimits {
    bytes: 64 * 1024,
    within: Duration::from_secs(5),
};
/// For the whole request of the list.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How many reports are read and verified at once: each may be large.
const AT_ONCE: usize = 16;
/// How many of one address: anybody may send a body slowly, and only its end tells whether GitHub has signed it.
const AT_ONCE_BY_ADDRESS: usize = 4;
/// The longest identifier and signature that are looked at.
const MAX_TEXT: usize = 512;

/// Where the list of keys is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GithubKeysSource {
    File(PathBuf),
    Url(EndpointUrl),
}

impl GithubKeysSource {
    /// The settings; at most one of them.
    pub fn new(
        url: Option<&str>,
        file: Option<&str>,
        reach: AddressPolicy,
    ) -> anyhow::Result<Option<Self>> {
        match (url, file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                bail!("github_keys_url and github_keys_file are both given; give one of them")
            }
            (Some(url), None) => {
                let url = EndpointUrl::new(url, reach).context("github_keys_url")?;
                Ok(Some(Self::Url(url)))
            }
            (None, Some(file)) => Ok(Some(Self::File(file.into()))),
        }
    }
}

/// The keys that GitHub signs with.
pub struct GithubKeys {
    source: GithubKeysSource,
    sender: HttpSender,
    known: Mutex<Known>,
    turns: Turns,
}

/// Leave to read and verify reports.
#[derive(Default)]
struct Turns(parking_lot::Mutex<HashMap<IpAddr, usize>>);

/// Leave to read and verify one report, until it is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    address: IpAddr,
}

impl Turns {
    fn take(&self, address: IpAddr) -> Option<Turn<'_>> {
        let mut taken = self.0.lock();
        let own = taken.get(&address).copied().unwrap_or_default();
        if own >= AT_ONCE_BY_ADDRESS || taken.values().sum::<usize>() >= AT_ONCE {
            return None;
        }
        taken.insert(address, own + 1);
        Some(Turn {
            turns: self,
            address,
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.0.lock();
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, VerifyingKey>,
    /// When the list was last asked for.
    asked_at: Option<Instant>,
    /// When it was last read.
    read_at: Option<Instant>,
}

/// The list as GitHub publishes it.
#[derive(Deserialize)]
struct List {
    public_keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    key_identifier: String,
    key: String,
}

/// The list of keys can't be read; later it may.
#[derive(Clone, Copy, Debug)]
pub struct ListUnavailable;

impl GithubKeys {
    /// The keys of this list, which is read when it is needed. A file is read at once.
    pub fn new(source: GithubKeysSource, sender: HttpSender) -> anyhow::Result<Self> {
        let mut known = Known::default();
        if let GithubKeysSource::File(path) = &source {
            known.keys = read_file(path)?;
            known.asked_at = Some(Instant::now());
            known.read_at = known.asked_at;
        }
        Ok(Self {
            source,
            sender,
            known: Mutex::new(known),
            turns: Turns::default(),
        })
    }

    /// Leave to read and verify one report of an address; `None` while many others are.
    pub fn turn(&self, address: IpAddr) -> Option<Turn<'_>> {
        self.turns.take(address)
    }

    /// The key of this identifier, if GitHub has one.
    ///
    /// # Errors
    /// When the list can't be read and the key is not known.
    pub async fn key(&self, identifier: &str) -> Result<Option<VerifyingKey>, ListUnavailable> {
        if identifier.len() > MAX_TEXT {
            return Ok(None);
        }
        let mut known = self.known.lock().await;
        let is_old = known.read_at.is_none_or(|at| at.elapsed() >= MAX_AGE);
        if !is_old && let Some(key) = known.keys.get(identifier) {
            return Ok(Some(*key));
        }
        if known.asked_at.is_none_or(|at| at.elapsed() >= MIN_INTERVAL) {
            known.asked_at = Some(Instant::now());
            match self.read().await {
                Ok(keys) => {
                    known.keys = keys;
                    known.read_at = Some(Instant::now());
                }
                Err(error) => tracing::warn!("reading GitHub's list of keys failed: {error:#}"),
            }
        }
        match known.keys.get(identifier) {
            Some(key) => Ok(Some(*key)),
            // The list was read since this identifier may have been added.
            None if known.read_at.is_some() && known.read_at >= known.asked_at => Ok(None),
            None => Err(ListUnavailable),
        }
    }

    async fn read(&self) -> anyhow::Result<HashMap<String, VerifyingKey>> {
        match &self.source {
            GithubKeysSource::File(path) => read_file(path),
            GithubKeysSource::Url(url) => {
                let received = timeout(FETCH_TIMEOUT, self.sender.fetch(url, LIST)).await;
                let received = received
                    .context("there was no answer in time")?
                    .map_err(anyhow::Error::msg)?;
                ensure!(
                    received.status_code == 200 && received.is_whole,
                    "the answer had the status {} and was {}",
                    received.status_code,
                    if received.is_whole {
                        "whole"
                    } else {
                        "cut off"
                    }
                );
                read_list(&received.body)
            }
        }
    }
}

fn read_file(path: &Path) -> anyhow::Result<HashMap<String, VerifyingKey>> {
    let read = fs::read(path).map_err(anyhow::Error::from);
    read.and_then(|bytes| read_list(&bytes))
        .with_context(|| format!("github_keys_file: {}", path.display()))
}

fn read_list(bytes: &[u8]) -> anyhow::Result<HashMap<String, VerifyingKey>> {
    let list: List = serde_json::from_slice(bytes)
        .context("it is no list of keys, {\"public_keys\": [{\"key_identifier\", \"key\"}]}")?;
    ensure!(list.public_keys.len() <= MAX_KEYS, "it has too many keys");
    let mut keys = HashMap::new();
    for listed in list.public_keys {
        let key = VerifyingKey::from_public_key_pem(&listed.key)
            .map_err(|_| anyhow::anyhow!("a key is no P-256 key in PEM"))?;
        keys.insert(listed.key_identifier, key);
    }
    Ok(keys)
}

/// Whether a signature, base64 of ASN.1, is this key's over a body.
pub fn is_signed(key: &VerifyingKey, signature: &str, body: &[u8]) -> bool {
    if signature.len() > MAX_TEXT {
        return false;
    }
    let der = STANDARD.decode(signature.trim());
    let signature = der.ok().and_then(|der| Signature::from_der(&der).ok());
    signature.is_some_and(|signature| key.verify(body, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// GitHub's documented example of a signature, and the key that made it.
    const BODY: &[u8] =
        br#"[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]"#;
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n";
    const SIGNATURE: &str = "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==";

    fn list(identifier: &str, key: &str) -> String {
        let keys = serde_json::json!({"public_keys": [
            {"key_identifier": identifier, "key": key, "is_current": true},
        ]});
        keys.to_string()
    }

    fn key() -> VerifyingKey {
        read_list(list("a", KEY).as_bytes()).unwrap()["a"]
    }

    #[test]
    fn githubs_documented_example_is_verified() {
        assert!(is_signed(&key(), SIGNATURE, BODY));
    }

    #[test]
    fn one_byte_more_or_less_or_other_is_not() {
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert!(!is_signed(&key(), SIGNATURE, &body), "{at}");
        }
        assert!(!is_signed(&key(), SIGNATURE, &BODY[1..]));
        assert!(!is_signed(&key(), SIGNATURE, &[BODY, b"\n"].concat()));
        for signature in ["", "x", "MEQ=", &SIGNATURE[4..], &"A".repeat(600)] {
            assert!(!is_signed(&key(), signature, BODY), "{signature}");
        }
    }

    #[test]
    fn a_list_with_something_else_is_refused() {
        for text in ["", "{}", "[]", "{\"public_keys\": 1}", &list("a", "PEM")] {
            assert!(read_list(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read_list(br#"{"public_keys": []}"#).unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_identifier_has_the_list_read_again_at_most_once_a_minute() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut write = |text: String| {
            file.as_file_mut().set_len(0).unwrap();
            let path = file.path().to_owned();
            fs::write(&path, text).unwrap();
            file.flush().unwrap();
            path
        };
        let path = write(list("first", KEY));
        let sender = HttpSender::new(AddressPolicy::Public).unwrap();
        let keys = GithubKeys::new(GithubKeysSource::File(path), sender).unwrap();
        assert!(keys.key("first").await.unwrap().is_some());
        write(list("second", KEY));
        assert!(keys.key("second").await.unwrap().is_none(), "too soon");
        tokio::time::advance(MIN_INTERVAL).await;
        assert!(keys.key("second").await.unwrap().is_some());
        assert!(keys.key("first").await.unwrap().is_none());
        // A list that can't be read takes nothing away until it is old, and what it may have is not denied.
        write("broken".to_owned());
        tokio::time::advance(MIN_INTERVAL).await;
        assert!(keys.key("third").await.is_err());
        assert!(keys.key("second").await.unwrap().is_some());
    }

    #[test]
    fn one_address_leaves_turns_to_others() {
        let turns = Turns::default();
        let [one, other] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        let mut held: Vec<_> = (0..AT_ONCE_BY_ADDRESS)
            .map(|_| turns.take(one).unwrap())
            .collect();
        assert!(turns.take(one).is_none());
        let others = turns.take(other).unwrap();
        held.pop();
        assert!(turns.take(one).is_some(), "a turn that has ended is free");
        drop((held, others));
        assert!(turns.0.lock().is_empty());
    }

    #[test]
    fn one_source_and_no_more() {
        let source = |url, file| GithubKeysSource::new(url, file, AddressPolicy::Public);
        assert_eq!(source(None, None).unwrap(), None);
        let url = "https://api.github.com/meta/public_keys/secret_scanning";
        assert!(source(Some(url), None).unwrap().is_some());
        assert!(source(Some(url), Some("keys.json")).is_err());
        assert!(source(Some("http://api.github.com/"), None).is_err());
        assert!(source(Some("https://127.0.0.1/"), None).is_err());
    }
}
