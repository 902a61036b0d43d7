//! Group commit for the prototypes: one thread takes all that waits and has it committed at once.

use anyhow::{Context as _, Result};
use audit::Event;
use tokio::sync::{mpsc, oneshot};

/// How many events share a commit at the most, as in the design in use.
const BATCH: usize = 512;

/// What a prototype does with the events of a batch, on a thread of its own.
pub(crate) trait Sink: Send + 'static {
    /// Makes events durable.
    fn commit(&mut self, events: &[Event]) -> Result<()>;
}

/// The events that wait for a sink.
#[derive(Clone)]
pub(crate) struct Batcher(mpsc::Sender<(Box<Event>, oneshot::Sender<()>)>);

impl Batcher {
    pub(crate) fn start(mut sink: impl Sink) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(Box<Event>, oneshot::Sender<()>)>(4096);
        std::thread::spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
                let (events, callers): (Vec<Event>, Vec<_>) = batch
                    .drain(..)
                    .map(|(event, caller)| (*event, caller))
                    .unzip();
                if let Err(error) = sink.commit(&events) {
                    // Nobody is answered, and the measurement fails.
                    eprintln!("nothing is appended any more: {error:#}");
                    return;
                }
                for caller in callers {
                    // Whoever has gone away needs no answer.
                    let _ = caller.send(());
                }
            }
        });
        Self(sender)
    }

    /// Waits until the event is durable.
    pub(crate) async fn append(&self, event: Event) -> Result<()> {
        let (caller, durable) = oneshot::channel();
        self.0
            .send((Box::new(event), caller))
            .await
            .context("the batcher has ended")?;
        durable.await.context("the batcher has ended")
    }
}
