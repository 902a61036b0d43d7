//! Quotas: how many orgs partners and keys may have.
//!
//! A creation under a quota locks the row of the partner or key that has the quota, from before it counts until
//! its transaction ends. So no two creations pass with the same count.

use std::collections::BTreeMap;

use ids::{KeyId, PartnerId};
use keys::KeyWithPartner;
use stores::{StoreError, Transaction};

use crate::Error;

/// Whose orgs are counted before another one is created.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The partners of both. They are locked even where a key alone is counted, so that a partner whose quota
    /// is found later is not locked after the key.
    locked: Vec<PartnerId>,
    partners: Vec<PartnerId>,
    keys: Vec<KeyId>,
}

impl<'a> FromIterator<&'a KeyWithPartner> for Counted {
    fn from_iter<I: IntoIterator<Item = &'a KeyWithPartner>>(all: I) -> Self {
        let mut counted = Self::default();
        for KeyWithPartner { key, partner } in all {
            if partner.max_orgs.is_some() || key.max_live_orgs.is_some() {
                counted.locked.push(partner.id);
            }
            if partner.max_orgs.is_some() {
                counted.partners.push(partner.id);
            }
            if key.max_live_orgs.is_some() {
                counted.keys.push(key.id);
            }
        }
        // The order in which rows are locked.
        for partners in [&mut counted.locked, &mut counted.partners] {
            partners.sort_unstable();
            partners.dedup();
        }
        counted.keys.sort_unstable();
        counted.keys.dedup();
        counted
    }
}

impl Counted {
    /// Whether there is nothing to count.
    pub(super) const fn is_empty(&self) -> bool {
        self.locked.is_empty()
    }
}

/// How many orgs there are of those that are counted, with those that the transaction adds.
#[derive(Debug)]
pub(super) struct Quotas {
    partners: BTreeMap<PartnerId, u64>,
    keys: BTreeMap<KeyId, u64>,
}

impl Quotas {
    /// Locks the rows of those that are counted until the transaction ends. What is read of them afterwards
    /// does not change.
    pub(super) fn lock<T: Transaction>(tx: &mut T, counted: &Counted) -> Result<(), StoreError> {
        if counted.is_empty() {
            return Ok(());
        }
        tx.partners_lock(&counted.locked)?;
        tx.keys_lock(&counted.keys)
    }

    /// Counts the orgs of those that are locked.
    pub(super) fn count<T: Transaction>(tx: &mut T, counted: Counted) -> Result<Self, StoreError> {
        let Counted { partners, keys, .. } = counted;
        let of_partners = tx.live_org_counts(&partners)?;
        let of_keys = tx.live_org_counts_of_keys(&keys)?;
        Ok(Self {
            partners: partners.into_iter().zip(of_partners).collect(),
            keys: keys.into_iter().zip(of_keys).collect(),
        })
    }

    /// Whether all was counted that has to be before this key creates an org.
    pub(super) fn cover(&self, KeyWithPartner { key, partner }: &KeyWithPartner) -> bool {
        (partner.max_orgs.is_none() || self.partners.contains_key(&partner.id))
            && (key.max_live_orgs.is_none() || self.keys.contains_key(&key.id))
    }

    /// Whether there is room for one more org of this key.
    pub(super) fn check(
        &self,
        KeyWithPartner { key, partner }: &KeyWithPartner,
    ) -> Result<(), Error> {
        if let Some(max) = partner.max_orgs
            && self
                .partners
                .get(&partner.id)
                .is_none_or(|&used| used >= max)
        {
            return Err(Error::OrgQuota(max));
        }
        if let Some(max) = key.max_live_orgs
            && self.keys.get(&key.id).is_none_or(|&used| used >= max)
        {
            return Err(Error::KeyOrgQuota(max));
        }
        Ok(())
    }

    /// Takes the place of one more org of this key.
    pub(super) fn take(&mut self, held: &KeyWithPartner) -> Result<(), Error> {
        self.check(held)?;
        self.used(held, |used| used.saturating_add(1));
        Ok(())
    }

    /// Gives a place back whose org was rejected after all.
    pub(super) fn give_back(&mut self, held: &KeyWithPartner) {
        self.used(held, |used| used.saturating_sub(1));
    }

    fn used(&mut self, held: &KeyWithPartner, change: impl Fn(u64) -> u64) {
        if let Some(used) = self.partners.get_mut(&held.partner.id) {
            *used = change(*used);
        }
        if let Some(used) = self.keys.get_mut(&held.key.id) {
            *used = change(*used);
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::build::Build;

    use super::*;

    fn held(build: &Build, of_partner: Option<u64>, of_key: Option<u64>) -> KeyWithPartner {
        let mut partner = build.partner();
        partner.max_orgs = of_partner;
        let mut key = build.key(&partner);
        key.max_live_orgs = of_key;
        KeyWithPartner { key, partner }
    }

    /// As if so many orgs had been counted for each.
    fn counted(all: &[&KeyWithPartner], used: u64) -> Quotas {
        let Counted { partners, keys, .. } = all.iter().copied().collect();
        Quotas {
            partners: partners.into_iter().map(|id| (id, used)).collect(),
            keys: keys.into_iter().map(|id| (id, used)).collect(),
        }
    }

    #[test]
    fn places_are_taken_until_none_is_left_and_can_be_given_back() {
        let held = held(&Build::new(), Some(9), Some(4));
        let mut quotas = counted(&[&held], 2);
        assert!(quotas.take(&held).is_ok());
        assert!(quotas.take(&held).is_ok());
        assert!(matches!(quotas.take(&held), Err(Error::KeyOrgQuota(4))));
        quotas.give_back(&held);
        assert!(quotas.check(&held).is_ok());
        assert!(quotas.take(&held).is_ok());
        let mut full = counted(&[&held], 9);
        assert!(matches!(full.take(&held), Err(Error::OrgQuota(9))));
    }

    #[test]
    fn keys_of_one_partner_share_its_places() {
        let build = Build::new();
        let one = held(&build, Some(3), None);
        let mut other = one.clone();
        other.key = build.key(&one.partner);
        let mut quotas = counted(&[&one, &other], 1);
        assert!(quotas.take(&one).is_ok());
        assert!(quotas.take(&other).is_ok());
        assert!(matches!(quotas.take(&one), Err(Error::OrgQuota(3))));
    }

    #[test]
    fn whoever_has_no_quota_is_covered_and_whoever_was_not_counted_is_not() {
        let build = Build::new();
        let (free, limited) = (held(&build, None, None), held(&build, None, Some(1)));
        let counts: Counted = [&free].into_iter().collect();
        assert!(counts.is_empty());
        let mut quotas = counted(&[&free], 0);
        assert!(quotas.cover(&free) && quotas.take(&free).is_ok());
        assert!(!quotas.cover(&limited) && quotas.take(&limited).is_err());
        let counts: Counted = [&limited].into_iter().collect();
        assert_eq!(counts.locked, [limited.partner.id], "before its key");
    }
}
