//! Who makes the changes of an indexer.

use stores::StoreError;

use super::Halt;
use crate::session::{Session, Writing};

/// Who makes the changes of an indexer, and knows in whose company it is.
pub(crate) trait IndexWriter: Send + 'static {
    /// Begins to index, unless somebody else does: what is unfinished was cut off and is given up. Whether
    /// it has begun.
    fn acquire(&mut self) -> Result<bool, Halt>;

    /// Lets somebody else index.
    fn release(&mut self) -> Result<(), Halt>;

    /// Up to which number every segment is there that ever will be; `None` while others are in the way.
    fn wait_for_inflight(&mut self) -> Result<Option<i64>, Halt>;

    /// Makes a change, all of it or nothing.
    fn change<T: Send + 'static>(
        &mut self,
        change: impl Fn(&mut Session<Writing>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Halt>;
}
