//! The first process of a container, which becomes the parent of every process that loses its own.
//!
//! When such a process ends, somebody has to wait for it, or its entry stays behind as a zombie. A server
//! must not wait for whomever it meets, for it would take the ends of the programs away from those of its
//! tasks that wait for them. So the first process does nothing but start the server as its child, pass
//! signals on to it, and wait for everybody.

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

/// What is added to a signal's number in the exit code of a shell.
const BY_SIGNAL: i32 = 128;

/// Whether this is the first process of a container.
pub fn is_needed() -> bool {
    process::id() == 1
}

/// Runs the same command line in a child, and ends as that does.
pub fn run() -> anyhow::Result<u8> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut quit = signal(SignalKind::quit())?;
        let server = start().context("the server can't be started")?;
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
    // What comes from a terminal comes to this process alone, and is passed on once.
    let child = command.args(arguments).process_group(0).spawn()?;
    Ok(Pid::from_child(&child))
}

/// Waits for everybody who has ended; tells how the server has, if it is among them.
fn reap(server: Pid) -> anyhow::Result<Option<WaitStatus>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((process, status))) if process == server => return Ok(Some(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error).context("the server can't be waited for"),
        }
    }
}

fn pass_on(server: Pid, signal: Signal) {
    // One that has ended needs no signal.
    let _ = kill_process(server, signal);
}

fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = status.terminating_signal().map(|signal| BY_SIGNAL + signal);
    let code = status.exit_status().or(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
