//! The store trait for slugs: which org has which, and since when one is free.

use ids::{OrgId, PartnerId};
use time::OffsetDateTime;

use super::OrgQueries;
use crate::Slug;

/// A request for a slug.
#[derive(Clone, Debug)]
pub struct SlugRequest {
    /// The slug.
    pub slug: Slug,
    /// The org that is to have it.
    pub org: OrgId,
    /// The partner whose org it is.
    pub partner: PartnerId,
    /// Another partner's org may have released it before this time, and no later.
    pub held_since: OffsetDateTime,
}

/// Writes of a store of slugs; all within the caller's transaction.
pub trait SlugStore: OrgQueries {
    /// Gives a slug to an org. `false` when another org has it, or when it was released by another
    /// partner's org at `held_since` or later.
    fn slug_acquire(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// The same for many, each slug to the first that asks for it; which of them were given.
    fn slugs_acquire(&mut self, requests: &[SlugRequest]) -> Result<Vec<bool>, Self::Error> {
        let acquire = |request: &SlugRequest| {
            self.slug_acquire(
                &request.slug,
                request.org,
                request.partner,
                request.held_since,
            )
        };
        requests.iter().map(acquire).collect()
    }

    /// Releases the slug that an org has.
    fn slug_release(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), Self::Error>;
}
