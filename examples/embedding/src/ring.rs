//! The shop's own store of keys: a map from digests to keys.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use getrandom::SysRng;
use ids::{AdminKeyId, KeyId, Labels, Name, PartnerId, Sequence};
use keys::{KeyKind, OnLeak, OnRevoke, PartnerKey, Pepper, Peppers, PlainKey};
use rand_core::UnwrapErr;
use ratelimit::RateLimit;
use scopes::ScopeSet;
use time::OffsetDateTime;

/// Why there can be no shop.
#[derive(Debug)]
pub enum SetupError {
    /// The system gives no randomness.
    NoRandomness(getrandom::Error),
    /// The pepper does not do.
    Pepper(keys::InvalidPepper),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pepper for the keys could not be made")
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoRandomness(error) => Some(error),
            Self::Pepper(error) => Some(error),
        }
    }
}

/// The keys that were issued, by digest. The secrets themselves are not here.
pub struct KeyRing {
    peppers: Peppers,
    ids: Mutex<Sequence>,
    by_digest: RwLock<BTreeMap<[u8; 32], PartnerKey>>,
}

impl KeyRing {
    /// A ring without keys, under a pepper that lives as long as it does.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self, SetupError> {
        let mut pepper = [0; 32];
        getrandom::fill(&mut pepper).map_err(SetupError::NoRandomness)?;
        let pepper = Pepper::new(pepper).map_err(SetupError::Pepper)?;
        Ok(Self {
            peppers: Peppers::new(pepper, []),
            ids: Mutex::new(Sequence::new()),
            by_digest: RwLock::default(),
        })
    }

    /// Issues a key and gives its secret, which can't be had again.
    pub fn issue(
        &self,
        name: Name,
        scopes: ScopeSet,
        limit: RateLimit,
        now: OffsetDateTime,
    ) -> PlainKey {
        let mut random = UnwrapErr(SysRng);
        let secret = PlainKey::generate(KeyKind::Partner, &mut random);
        let unix_ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let mut ids = self.ids();
        let key = PartnerKey {
            id: ids.next::<KeyId>(unix_ms, &mut random),
            partner_id: ids.next::<PartnerId>(unix_ms, &mut random),
            name,
            scopes,
            org_id: None,
            org_plans: None,
            allowed_cidrs: None,
            rate_limit: Some(limit),
            expires_at: None,
            max_live_orgs: None,
            max_ttl_seconds: None,
            on_revoke: OnRevoke::Keep,
            on_leak: OnLeak::Revoke,
            disabled: false,
            labels: Labels::default(),
            key_prefix: secret.display_prefix().to_owned(),
            created_at: now,
            created_by: ids.next::<AdminKeyId>(unix_ms, &mut random).into(),
            last_used_at: None,
            revoked_at: None,
            revocation_reason: None,
            rotation: None,
        };
        drop(ids);
        let digest = *self.peppers.digest(&secret).as_bytes();
        self.by_digest
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest, key);
        secret
    }

    /// The key that was presented, whatever its status.
    pub fn find(&self, presented: &PlainKey) -> Option<PartnerKey> {
        let keys = self
            .by_digest
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.peppers
            .candidates(presented)
            .find_map(|digest| keys.get(digest.as_bytes()).cloned())
    }

    /// Revokes a key, from the next request on; a key that is revoked already keeps its time.
    pub fn revoke(&self, id: KeyId, now: OffsetDateTime) {
        let mut keys = self
            .by_digest
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.values_mut().find(|key| key.id == id) {
            key.revoked_at.get_or_insert(now);
        }
    }

    fn ids(&self) -> MutexGuard<'_, Sequence> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}
