//! The store traits for partners.

use ids::{Page, PageRequest, PartnerId};

use crate::Partner;

/// Queries of a store of partners.
pub trait PartnerQueries {
    /// The store's error.
    type Error;

    /// One partner.
    fn partner(&mut self, id: PartnerId) -> Result<Option<Partner>, Self::Error>;

    /// Partners, newest first.
    fn partners(&mut self, page: PageRequest) -> Result<Page<Partner>, Self::Error>;
}

/// Writes of a store of partners; all within the caller's transaction.
///
/// Every update raises the revision of keys in the same transaction, and is logged under it.
pub trait PartnerStore: PartnerQueries {
    /// Adds a partner.
    fn partner_insert(&mut self, partner: &Partner) -> Result<(), Self::Error>;

    /// One partner, locked against other writers until the transaction ends.
    fn partner_for_update(&mut self, id: PartnerId) -> Result<Option<Partner>, Self::Error>;

    /// Locks partners against other writers until the transaction ends, in the order in which they are named:
    /// that of their ids.
    fn partners_lock(&mut self, ids: &[PartnerId]) -> Result<(), Self::Error>;

    /// Writes everything but the id and the time of creation.
    fn partner_update(&mut self, partner: &Partner) -> Result<(), Self::Error>;
}
