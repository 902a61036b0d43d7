//! Work on several threads.

use std::thread::scope;

use anyhow::{Result, anyhow};

/// Does something for each number below `count`, on so many threads; the results in no order.
pub(crate) fn in_parts<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let work = &work;
    scope(|scope| {
        let part = |first: usize| move || (first..count).step_by(threads).map(work).collect();
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        let mut done = Vec::with_capacity(count);
        for part in parts {
            let part: Result<Vec<T>> = part.join().map_err(|_| anyhow!("a thread panicked"))?;
            done.extend(part?);
        }
        Ok(done)
    })
}
