//! Which questions an issuer is asked.

use std::sync::atomic::AtomicU64;

use ids::{TypedId as _, Ulid};
use serde_json::json;
use testkit::issuer::TestKey;
use trust::IssuerPolicy;

use super::*;

/// An issuer that counts what it is asked.
#[derive(Default)]
struct Counting {
    asked: AtomicU64,
    keys: Mutex<Vec<TestKey>>,
    takes: Duration,
}

impl IssuerClient for Counting {
    async fn fetch(&self, _: &Issuer, _: PartnerId) -> Result<KeySet, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        let keys = self.keys.lock().unwrap();
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        let document = json!({"keys": keys}).to_string();
        KeySet::read(document.as_bytes()).map_err(|error| error.to_string())
    }
}

struct Fixture {
    keys: IssuerKeys,
    client: Arc<Counting>,
    issuer: Issuer,
}

impl Fixture {
    fn new(keys: &[TestKey], takes: Duration) -> Self {
        Self {
            keys: IssuerKeys::default(),
            client: Arc::new(Counting {
                keys: Mutex::new(keys.to_vec()),
                takes,
                ..Counting::default()
            }),
            issuer: Issuer::new("https://ci.example", IssuerPolicy::Https).unwrap(),
        }
    }

    /// Whether there is a key for a token that names this one, and how often the issuer was asked so far.
    async fn ask(&self, kid: &str) -> (Result<bool, String>, u64) {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        let token = TestKey::P256One.sign(&header, "{}");
        let token = Jwt::parse(&token).unwrap();
        let partner = PartnerId::from_ulid(Ulid::from(1));
        let found = self
            .keys
            .get(&self.client, (&self.issuer, partner), &token)
            .await;
        let found = found.map(|keys| keys.has_key_for(&token));
        (found, self.client.asked.load(Ordering::SeqCst))
    }

    fn become_keys(&self, keys: &[TestKey]) {
        *self.client.keys.lock().unwrap() = keys.to_vec();
    }
}

const ONE: &[TestKey] = &[TestKey::P256One];
const BOTH: &[TestKey] = &[TestKey::P256One, TestKey::P256Two];

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_once_an_hour() {
    let fixture = Fixture::new(ONE, Duration::ZERO);
    for _ in 0..5 {
        assert_eq!(fixture.ask("p256-1").await, (Ok(true), 1));
    }
    tokio::time::advance(REFRESH_AFTER).await;
    // In the background, with what is kept.
    assert_eq!(fixture.ask("p256-1").await, (Ok(true), 1));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fixture.ask("p256-1").await, (Ok(true), 2));
    tokio::time::advance(TTL).await;
    assert_eq!(fixture.ask("p256-1").await, (Ok(true), 3));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_asked_for_at_once_and_then_once_a_minute() {
    let fixture = Fixture::new(ONE, Duration::ZERO);
    assert_eq!(fixture.ask("p256-1").await, (Ok(true), 1));
    fixture.become_keys(BOTH);
    assert_eq!(fixture.ask("p256-2").await, (Ok(true), 2));
    for _ in 0..5 {
        assert_eq!(fixture.ask("nobody's").await, (Ok(false), 2));
    }
    tokio::time::advance(UNKNOWN_KEY_INTERVAL).await;
    for _ in 0..5 {
        assert_eq!(fixture.ask("nobody's").await, (Ok(false), 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_asked_about_again_after_a_while_and_fresh_keys_go_on() {
    let fixture = Fixture::new(&[], Duration::ZERO);
    for _ in 0..5 {
        let (found, asked) = fixture.ask("p256-1").await;
        assert!(found.is_err() && asked == 1);
    }
    tokio::time::advance(FAILURE_INTERVAL).await;
    fixture.become_keys(ONE);
    assert_eq!(fixture.ask("p256-1").await, (Ok(true), 2));
    fixture.become_keys(&[]);
    assert!(fixture.ask("p256-2").await.0.is_err());
    // The keys that are there are used until their hour is over.
    tokio::time::advance(REFRESH_AFTER).await;
    for _ in 0..5 {
        assert_eq!(fixture.ask("p256-1").await.0, Ok(true));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::advance(TTL).await;
    assert!(fixture.ask("p256-1").await.0.is_err());
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_share_one_question_and_nobody_waits_without_end() {
    let fixture = Arc::new(Fixture::new(ONE, Duration::from_secs(1)));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.ask("p256-1").await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), (Ok(true), 1));
    }
    let slow = Fixture::new(ONE, Duration::from_secs(3600));
    let began = Instant::now();
    assert!(slow.ask("p256-1").await.0.is_err());
    assert_eq!(began.elapsed(), FETCH_TIMEOUT);
    assert!(slow.ask("p256-1").await.0.is_err());
    assert_eq!(began.elapsed(), FETCH_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_for_one_issuer_than_a_bound() {
    let fixture = Arc::new(Fixture::new(ONE, Duration::from_secs(1)));
    let calls: Vec<_> = (0..MAX_WAITING + 50)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.ask("p256-1").await.0 })
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        refused += usize::from(call.await.unwrap().is_err());
    }
    assert_eq!(refused, 50);
}
