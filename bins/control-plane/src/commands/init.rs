//! An init process, for a server that is the first process of a container.
//!
//! The first process inherits orphans, and must reap them or they stay as zombies. A server that reaped every
//! child would take exit codes away from its tasks that wait for programs. So the first process spawns the
//! server as its child, forwards signals to it, and reaps all others.

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{self, Command},
};

use anyhow::Context as _;
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait},
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// As shells do, the exit code after a signal is its number and this.
const BY_SIGNAL: i32 = 128;

pub fn is_needed() -> bool {
    process::id() == 1
}

/// Runs the same command line in a child, and exits with its code.
pub fn run() -> anyhow::Result<u8> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut quit = signal(SignalKind::quit())?;
        let server = start().context("starting the server failed")?;
        loop {
            tokio::select! {
                _ = ended.recv() => {
                    if let Some(status) = reap(server)? {
                        return Ok(exit_code(status));
                    }
                }
                _ = terminate.recv() => pass_on(server, Signal::TERM),
                _ = interrupt.recv() => pass_on(server, Signal::INT),
                _ = hang_up.recv() => pass_on(server, Signal::HUP),
                _ = quit.recv() => pass_on(server, Signal::QUIT),
            }
        }
    })
}

fn start() -> std::io::Result<Pid> {
    let mut arguments = env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // A terminal signals this process alone, which forwards it once.
    let child = command.args(arguments).process_group(0).spawn()?;
    Ok(Pid::from_child(&child))
}

/// Reaps all children that have ended; returns the status of the server if it is one of them.
fn reap(server: Pid) -> anyhow::Result<Option<WaitStatus>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((process, status))) if process == server => return Ok(Some(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error).context("waiting for the server failed"),
        }
    }
}

fn pass_on(server: Pid, signal: Signal) {
    // An error means that it has ended.
    let _ = kill_process(server, signal);
}

fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = status.terminating_signal().map(|signal| BY_SIGNAL + signal);
    let code = status.exit_status().or(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
