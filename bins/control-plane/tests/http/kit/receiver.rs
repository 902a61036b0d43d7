//! A receiver of webhooks on this machine.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use time::OffsetDateTime;
use webhooks::{Received, WebhookSecret};

use super::within;

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line of the request.
    pub asked: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|header| header.0 == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:#?}")).1
    }

    /// What it is about.
    #[track_caller]
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether this secret has signed it just now.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let received = Received {
            id: self.header("webhook-id"),
            timestamp: self.header("webhook-timestamp"),
            signature: self.header("webhook-signature"),
            body: self.body.as_bytes(),
        };
        let secret = WebhookSecret::parse(secret).unwrap();
        received.verify(&secret, OffsetDateTime::now_utc()).is_ok()
    }
}

/// What a receiver does with a message.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// It answers with this status.
    Status(u16),
    /// It leads elsewhere.
    Redirect(String),
    /// It takes the message and never answers.
    Silence,
}

type React = Box<dyn Fn(usize) -> Reaction + Send + Sync>;

/// A receiver; it goes on until the test's process ends.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    /// A receiver that takes everything.
    pub fn start() -> Self {
        Self::reacting(|_| Reaction::Status(200))
    }

    /// A receiver that reacts so to the first message, `0`, and the next.
    pub fn reacting(react: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
        };
        let (own, react) = (receiver.clone(), Arc::<React>::new(Box::new(react)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (own, react) = (own.clone(), Arc::clone(&react));
                // Whoever ends in the middle of a message is not this test's concern.
                thread::spawn(move || own.serve(stream, &react));
            }
        });
        receiver
    }

    fn serve(&self, stream: TcpStream, react: &React) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = || {
            let mut text = String::new();
            reader.read_line(&mut text).ok()?;
            Some(text.trim_end().to_owned())
        };
        let asked = line()?;
        let mut headers = Vec::new();
        loop {
            let text = line()?;
            let Some((name, value)) = text.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut message = Message {
            asked,
            headers,
            body: String::new(),
        };
        let mut body = vec![0; message.header("content-length").parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        message.body = String::from_utf8(body).ok()?;
        let count = {
            let mut got = self.got.lock().unwrap();
            got.push(message);
            got.len() - 1
        };
        self.response(stream, react(count))
    }

    fn response(&self, mut stream: TcpStream, reaction: Reaction) -> Option<()> {
        let (status, more) = match reaction {
            Reaction::Status(status) => (status, String::new()),
            Reaction::Redirect(to) => (302, format!("location: {to}\r\n")),
            Reaction::Silence => {
                thread::sleep(Duration::from_secs(120));
                return None;
            }
        };
        let text = "so be it";
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n{text}",
            text.len()
        )
        .ok()
    }

    /// Where it listens, `http://…`.
    pub fn url(&self) -> String {
        format!("http://{}/hooks?x=1", self.address)
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it has got so far.
    pub fn got(&self) -> Vec<Message> {
        self.got.lock().unwrap().clone()
    }

    /// The first messages, once there are so many.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Message> {
        within(Duration::from_secs(20), "messages come", || {
            Some(self.got()).filter(|got| got.len() >= count)
        })
    }
}
