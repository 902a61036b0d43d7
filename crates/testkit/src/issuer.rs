//! An issuer of tokens on this machine, as a provider of pipelines is one.
//!
//! Its keys are test keys that everybody can read: no system may trust them.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value, json};

/// The public halves of the test keys.
const PUBLIC: &str = include_str!("issuer/test-keys.json");
/// How long an issuer that hangs does so.
const HANG: Duration = Duration::from_secs(60);

/// One of the test keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestKey {
    /// An RSA key.
    Rsa1,
    /// Another one.
    Rsa2,
    /// A key on P-256.
    P256One,
    /// Another one.
    P256Two,
}

impl TestKey {
    /// Its name, which tokens have in `kid`.
    #[must_use]
    pub const fn kid(self) -> &'static str {
        match self {
            Self::Rsa1 => "rsa-1",
            Self::Rsa2 => "rsa-2",
            Self::P256One => "p256-1",
            Self::P256Two => "p256-2",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa1 | Self::Rsa2 => Algorithm::RS256,
            Self::P256One | Self::P256Two => Algorithm::ES256,
        }
    }

    fn encoding(self) -> EncodingKey {
        let pem = match self {
            Self::Rsa1 => include_str!("issuer/test-rsa-1.pem"),
            Self::Rsa2 => include_str!("issuer/test-rsa-2.pem"),
            Self::P256One => include_str!("issuer/test-p256-1.pem"),
            Self::P256Two => include_str!("issuer/test-p256-2.pem"),
        };
        let base64: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let der = BASE64_STANDARD.decode(base64).unwrap();
        if self.algorithm() == Algorithm::RS256 {
            EncodingKey::from_rsa_der(&der)
        } else {
            EncodingKey::from_ec_der(&der)
        }
    }

    /// The public half, as a JSON Web Key.
    #[must_use]
    pub fn public(self) -> Value {
        let all: Value = serde_json::from_str(PUBLIC).unwrap();
        let mut key = all.get(self.kid()).unwrap().clone();
        let members = key.as_object_mut().unwrap();
        members.insert("kid".into(), self.kid().into());
        members.insert("use".into(), "sig".into());
        key
    }

    /// A token with this header and these claims as they are, signed by the key.
    #[must_use]
    pub fn sign(self, header: &str, claims: &str) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.encoding(), self.algorithm());
        format!("{message}.{}", signature.unwrap())
    }
}

/// How an issuer behaves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// It says that these are its keys.
    Keys(Vec<TestKey>),
    /// It has this for its keys.
    Document(String),
    /// Its configuration is this.
    Configuration(Value),
    /// It never answers.
    Hangs,
    /// It answers without end.
    Endless,
    /// It sends every caller elsewhere.
    Redirects(String),
    /// It answers with this status.
    Fails(u16),
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    asked: AtomicU64,
    ids: AtomicU64,
    /// What `/token` gives a token of, as GitHub's own service does.
    job: Mutex<Option<Value>>,
    stopped: AtomicBool,
}

/// A running issuer; it stops when dropped.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    shared: Arc<Shared>,
}

impl Issuer {
    /// Starts an issuer with one RSA key and one on P-256.
    ///
    /// # Panics
    /// When the system has no port to give.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Keys(vec![TestKey::Rsa1, TestKey::P256One])),
            asked: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            job: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let (serving, own) = (Arc::clone(&shared), url.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, own) = (Arc::clone(&serving), own.clone());
                thread::spawn(move || answer(&stream, &shared, &own));
            }
        });
        Self { url, shared }
    }

    /// The issuer, as tokens name it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// From now on it behaves so.
    pub fn behave(&self, behaviour: Behaviour) {
        let mut current = self.shared.behaviour.lock();
        *current
            .as_deref_mut()
            .unwrap_or_else(|_| panic!("the issuer has panicked")) = behaviour;
    }

    /// From now on a GET of `/token?audience=…` by the bearer `runner` has a token with these claims as its answer.
    pub fn gives_tokens_of(&self, job: Value) {
        *self.shared.job.lock().unwrap() = Some(job);
    }

    /// The claims of a new token, valid for ten minutes, for this audience. Further claims are added, and `null`
    /// takes one out.
    ///
    /// # Panics
    /// When the further claims are no object.
    #[must_use]
    pub fn claims(&self, audience: &str, more: &Value) -> Map<String, Value> {
        self.shared.claims(&self.url, audience, more)
    }

    /// A new token for this audience, see [`Issuer::claims`].
    #[must_use]
    pub fn token(&self, key: TestKey, audience: &str, more: &Value) -> String {
        self.shared.token(&self.url, key, audience, more)
    }
}

impl Shared {
    fn claims(&self, own: &str, audience: &str, more: &Value) -> Map<String, Value> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "iss": own, "aud": audience, "iat": now, "nbf": now, "exp": now + 600,
            "jti": format!("{now}-{id}"),
        });
        let mut claims = claims.as_object().unwrap().clone();
        for (name, value) in more.as_object().unwrap() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    fn token(&self, own: &str, key: TestKey, audience: &str, more: &Value) -> String {
        let claims = Value::Object(self.claims(own, audience, more)).to_string();
        let alg = if key.algorithm() == Algorithm::RS256 {
            "RS256"
        } else {
            "ES256"
        };
        let header = json!({"alg": alg, "kid": key.kid(), "typ": "JWT"}).to_string();
        key.sign(&header, &claims)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The thread that accepts sees it at the next connection.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

/// Reads one request and answers it; the connection ends with it.
fn answer(stream: &TcpStream, shared: &Shared, own: &str) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let asked = line.clone();
    let mut is_runner = false;
    while line.trim_end() != "" {
        line.clear();
        if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            return;
        }
        let header = line.to_ascii_lowercase();
        is_runner |= header.trim_end() == "authorization: bearer runner";
    }
    let target = asked.split(' ').nth(1).unwrap_or_default();
    if let Some(query) = target.strip_prefix("/token?") {
        let job = shared.job.lock().unwrap().clone();
        let audience = query.rsplit_once("audience=").map(|(_, text)| text);
        let (Some(job), Some(audience), true) = (job, audience, is_runner) else {
            return send(stream, 403, "", "");
        };
        let audience = audience.replace("%3A", ":").replace("%2F", "/");
        let token = shared.token(own, TestKey::Rsa1, &audience, &job);
        let headers = "content-type: application/json\r\n";
        return send(stream, 200, headers, &json!({"value": token}).to_string());
    }
    let is_keys = asked.contains("/keys");
    if is_keys {
        shared.asked.fetch_add(1, Ordering::SeqCst);
    }
    let behaviour = shared.behaviour.lock();
    let behaviour = behaviour.unwrap_or_else(PoisonError::into_inner).clone();
    let configuration = json!({"issuer": own, "jwks_uri": format!("{own}/keys")});
    let keys = |keys: &[TestKey]| {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        json!({"keys": keys}).to_string()
    };
    let body = match behaviour {
        Behaviour::Hangs => {
            let _ = stream.set_read_timeout(Some(HANG));
            let _ = reader.read(&mut [0]);
            return;
        }
        Behaviour::Endless => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            let mut stream = stream;
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 65_536]);
            }
            return;
        }
        Behaviour::Redirects(to) => {
            return send(stream, 302, &format!("location: {to}\r\n"), "");
        }
        Behaviour::Fails(status) => return send(stream, status, "", ""),
        Behaviour::Document(text) if is_keys => text,
        Behaviour::Keys(own) if is_keys => keys(&own),
        Behaviour::Configuration(_) if is_keys => keys(&[TestKey::Rsa1]),
        Behaviour::Configuration(other) => other.to_string(),
        Behaviour::Document(_) | Behaviour::Keys(_) => configuration.to_string(),
    };
    send(stream, 200, "", &body);
}

fn send(mut stream: &TcpStream, status: u16, headers: &str, body: &str) {
    let mut answer = String::new();
    let _ = write!(
        answer,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes());
}
