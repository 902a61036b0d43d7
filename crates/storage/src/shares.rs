//! How the connections to PostgreSQL are shared among their uses.

/// How many connections to PostgreSQL a process has at the most, unless it is chosen.
pub const CONNECTIONS: u8 = 16;
/// How few can be chosen: one for each use.
pub const MIN_CONNECTIONS: u8 = OF_THREADS + 2;
/// One for control, one for events, two for the index of the log.
pub(crate) const OF_THREADS: u8 = 4;
/// How many readers and how many writers there are within so many connections to PostgreSQL.
pub(crate) fn shares(connections: u8) -> (u8, u8) {
    let rest = connections.max(MIN_CONNECTIONS) - OF_THREADS;
    // Changes take longer, and most questions are answered from memory.
    let writers = rest - (rest / 5 * 2).max(1);
    (rest - writers, writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_and_writers_share_what_the_threads_leave() {
        assert_eq!(shares(6), (1, 1));
        assert_eq!(shares(8), (1, 3));
        assert_eq!(shares(CONNECTIONS), (4, 8));
        for connections in MIN_CONNECTIONS..=u8::MAX {
            let (readers, writers) = shares(connections);
            assert!(readers >= 1 && writers >= readers);
            assert_eq!(readers + writers + OF_THREADS, connections);
        }
    }
}
