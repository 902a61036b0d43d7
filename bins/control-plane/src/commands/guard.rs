//! `molecule-cp guard`: runs one program for a server, and ends it when the server is gone.
//!
//! A server that is killed can do nothing any more, and its programs would go on while another server
//! takes their orgs up. So each program has a guard: a process that does nothing but wait for the
//! program and listen to the server. When the server asks for it, falls silent or is gone, the guard ends
//! the program with its whole process group. `provisioner/report.rs` has what the two say to each other.

use std::{
    ffi::OsStr,
    io::{BufRead as _, Read as _, Write as _, stdin, stdout},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::{
    io::Errno,
    process::{
        Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, getrlimit,
        kill_process_group, setrlimit, test_kill_process_group, waitid,
    },
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::provisioner::report::{ALIVE, END, GENTLE, Report, SILENCE, SWIFT};

/// The longest org that is taken, in bytes.
const MAX_ORG: u64 = 1024 * 1024;
/// How often to look whether those who were killed are gone, and how long apart.
const GLANCES: u32 = 25;
const GLANCE: Duration = Duration::from_millis(10);

/// Runs the program to its end.
pub fn run(descriptors: Option<u64>, program: &OsStr, verb: &str) -> anyhow::Result<()> {
    turn_deaf()?;
    if descriptors.is_some() {
        // The server has raised its own limit, which programs are not used to.
        let limit = Rlimit {
            current: descriptors,
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, limit)?;
    }
    let mut org = Vec::new();
    stdin().lock().take(MAX_ORG).read_until(b'\n', &mut org)?;
    ensure!(
        org.last() == Some(&b'\n'),
        "guard is run by the server, for the programs that it starts"
    );
    let spawned = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return say(&Report::Refused(error.to_string())),
    };
    if let Some(input) = child.stdin.take() {
        hand_over(input, org);
    }
    let group = Arc::new(Group::led_by(&child));
    // A server that can't be told is gone, which the watch finds out.
    let _ = say(&Report::Started(group.leader.as_raw_pid()));
    let orders = listen();
    let watched = Arc::clone(&group);
    thread::spawn(move || watched.watch(&orders));
    let status = group.wait_for_leader()?;
    group.close(&mut child)?;
    let report = if group.was_ended.load(Ordering::SeqCst) {
        Report::Ended
    } else {
        let code = status.exit_status().map(Report::Exited);
        let signal = status.terminating_signal().map(Report::Signalled);
        code.or(signal)
            .context("the program has neither ended nor been ended")?
    };
    say(&report)
}

/// Signals that are meant for the server or for all of its processes are not the guard's: it ends when
/// the program has ended.
fn turn_deaf() -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ] {
        // What is caught once stays caught, and a program that is started gets the default back.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Gives the org to the program, which may never read it.
fn hand_over(mut input: ChildStdin, org: Vec<u8>) {
    thread::spawn(move || {
        let _ = input.write_all(&org);
    });
}

/// What the server says, byte by byte; it ends with the server.
fn listen() -> Receiver<u8> {
    let (say, hear) = mpsc::channel();
    thread::spawn(move || {
        for byte in stdin().lock().bytes() {
            let Ok(byte) = byte else { break };
            if say.send(byte).is_err() {
                break;
            }
        }
    });
    hear
}

fn say(report: &Report) -> anyhow::Result<()> {
    let mut output = stdout().lock();
    writeln!(output, "{report}")?;
    Ok(output.flush()?)
}

/// The program and whatever it has started in its process group.
struct Group {
    leader: Pid,
    was_ended: AtomicBool,
    /// From then on the group's number may be somebody else's.
    is_closed: Mutex<bool>,
}

impl Group {
    fn led_by(child: &Child) -> Self {
        Self {
            leader: Pid::from_child(child),
            was_ended: AtomicBool::new(false),
            is_closed: Mutex::new(false),
        }
    }

    fn signal(&self, signal: Signal) {
        let is_closed = self.is_closed.lock();
        if !*is_closed.unwrap_or_else(PoisonError::into_inner) {
            // One that has ended needs no signal.
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Listens until the program is to end, and ends it.
    fn watch(&self, orders: &Receiver<u8>) {
        let mut patience = loop {
            match orders.recv_timeout(SILENCE) {
                Ok(ALIVE) => {}
                Ok(END) => break GENTLE,
                Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    break SWIFT;
                }
            }
        };
        self.was_ended.store(true, Ordering::SeqCst);
        let began = Instant::now();
        self.signal(Signal::TERM);
        // A program that is stopped could not act on it.
        self.signal(Signal::CONT);
        while let Some(left) = patience.checked_sub(began.elapsed()) {
            match orders.recv_timeout(left.min(SILENCE)) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    patience = patience.min(began.elapsed() + SWIFT);
                    thread::sleep(patience.saturating_sub(began.elapsed()));
                }
            }
        }
        self.signal(Signal::KILL);
    }

    /// Waits until the leader has ended, and leaves its number taken.
    fn wait_for_leader(&self) -> anyhow::Result<WaitIdStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.leader), options) {
                Ok(Some(status)) => return Ok(status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("the program can't be waited for"),
            }
        }
    }

    /// Ends whomever the leader has left behind, and lets go of its number.
    fn close(&self, leader: &mut Child) -> anyhow::Result<()> {
        {
            let is_closed = self.is_closed.lock();
            let mut is_closed = is_closed.unwrap_or_else(PoisonError::into_inner);
            let _ = kill_process_group(self.leader, Signal::KILL);
            leader.wait()?;
            *is_closed = true;
        }
        for _ in 0..GLANCES {
            if test_kill_process_group(self.leader).is_err() {
                break;
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}
