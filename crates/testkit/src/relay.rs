//! A relay in front of a server on this machine, to cut one client off from it.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What the relay does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Bytes go both ways.
    Open,
    /// Connections stay, and nothing comes through: as when packets are lost.
    Silent,
    /// Connections are closed, new ones at once: as when nothing listens.
    Cut,
    /// The relay has ended.
    Ended,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    connections: Vec<TcpStream>,
}

/// A port of its own from which all goes to another port, until it is cut.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// A relay to a port of 127.0.0.1.
    ///
    /// # Panics
    /// When the system has no port to give.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Open,
            connections: Vec::new(),
        }));
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                match accepting.lock().unwrap().mode {
                    Mode::Ended => return,
                    Mode::Cut => continue,
                    Mode::Open | Mode::Silent => {}
                }
                // The target may be gone as well.
                if let (Ok(client), Ok(server)) =
                    (client, TcpStream::connect(("127.0.0.1", target)))
                {
                    relay(&accepting, client, server);
                }
            }
        });
        Self { port, state }
    }

    /// The port that clients connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A URL of the target, with this relay's port.
    ///
    /// # Panics
    /// When the URL has another port.
    #[must_use]
    pub fn url(&self, url: &str, target: u16) -> String {
        let (from, to) = (format!(":{target}/"), format!(":{}/", self.port));
        assert!(url.contains(&from), "{url} has another port");
        url.replace(&from, &to)
    }

    /// Lets nothing through, and keeps the connections.
    pub fn silence(&self) {
        self.set(Mode::Silent);
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Lets everything through again.
    pub fn restore(&self) {
        self.set(Mode::Open);
    }

    fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.mode = mode;
        if matches!(mode, Mode::Cut | Mode::Ended) {
            for connection in state.connections.drain(..) {
                // It may be closed already.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn relay(state: &Arc<Mutex<State>>, client: TcpStream, server: TcpStream) {
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        // Each write of the one side is a packet of its own for the other, as it was.
        to.set_nodelay(true).unwrap();
        let state = Arc::clone(state);
        thread::spawn(move || copy(&state, from, to));
    }
    state.lock().unwrap().connections.extend([client, server]);
}

fn copy(state: &Mutex<State>, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while state.lock().unwrap().mode == Mode::Silent {
            thread::sleep(Duration::from_millis(2));
        }
        let read = buffer.get(..count).unwrap_or_default();
        if to.write_all(read).is_err() {
            break;
        }
    }
    // The other side may have closed it.
    let _ = to.shutdown(Shutdown::Write);
}
