//! Group commit: what waits for the thread that writes, and who is answered when.

pub(crate) mod acks;
pub(crate) mod queue;
mod waits;
