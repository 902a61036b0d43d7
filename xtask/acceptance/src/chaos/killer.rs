//! A server that is killed every so often and started again on the same data.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use testkit::server::Setup;

/// Whoever kills the server and starts it again.
pub(super) struct Killer {
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicU32>,
    thread: JoinHandle<Result<()>>,
}

impl Killer {
    /// Starts a server and begins.
    pub(super) fn start(mut setup: Setup, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let kills = Arc::new(AtomicU32::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&kills));
        let thread = thread::spawn(move || {
            loop {
                let began = Instant::now();
                let mut server = setup.start()?;
                // On a busy machine the start takes long; else the server would hardly ever be there.
                thread::sleep(every.max(began.elapsed()));
                ensure!(server.is_running()?, "the server ended by itself");
                server.kill()?;
                // Each start has a log of its own, so that all of them can be searched.
                let kills = count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
                setup.log.set_file_name(format!("{kills}.log"));
                if stopped.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        });
        Self {
            stop,
            kills,
            thread,
        }
    }

    /// How often it has killed.
    pub(super) fn kills(&self) -> u32 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Whether it has given up.
    pub(super) fn gave_up(&self) -> bool {
        self.thread.is_finished()
    }

    /// Kills once more and ends.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread
            .join()
            .map_err(|_| anyhow!("the killer has panicked"))?
    }
}
