//! Ports for programs that must be told theirs, such as PostgreSQL and nginx.

use std::{
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    ops::Range,
};

/// Below what Linux, macOS and Windows give to outgoing connections. A port of theirs can be taken by any call
/// between its choice and the program's start, and a call to it while nobody listens can be its own answer.
const PORTS: Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that nobody listens on, chosen at random, so that tests at the same time choose others.
///
/// # Panics
/// When a thousand are taken.
#[must_use]
pub fn free() -> u16 {
    (0..1000)
        .map(|_| {
            let random = RandomState::new().hash_one(());
            PORTS.start + u16::try_from(random % u64::from(PORTS.end - PORTS.start)).unwrap()
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}
