//! The protocol between a server and the guard of one of its programs.
//!
//! To the guard: the org as one line of JSON, then a byte [`HEARTBEAT`] every [`HEARTBEAT_INTERVAL`], and
//! [`TERMINATE`] when the program must end. From the guard: lines, each a [`Report`]. What the program has said
//! on standard output comes in one line before the last.

use std::{fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};

pub const HEARTBEAT: u8 = b'.';
pub const TERMINATE: u8 = b'!';
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// After this long without a heartbeat the guard takes the server for dead.
///
/// A lease lasts 10 s and is renewed every 3 s, so at least 7 s are left when a server dies. This timeout
/// and [`SHORT_GRACE`] together are less.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between SIGTERM and SIGKILL when the server is gone.
pub const SHORT_GRACE: Duration = Duration::from_secs(2);
/// Between SIGTERM and SIGKILL when the server asks for the end.
///
/// A server that can't renew its lease closes the pipe after 6 s, for [`SHORT_GRACE`]. With all other reasons
/// the lease was renewed at most 3 s before.
pub const GRACE: Duration = Duration::from_secs(5);

/// What a program has written to standard output. It may hold secrets, and does not print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer(pub Vec<u8>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program runs, and leads the process group of this id.
    Started(i32),
    /// It could not be started.
    Refused(String),
    /// This is what it has written to standard output, up to one byte more than is allowed.
    Answer(Answer),
    /// It has ended by itself, with this exit code.
    Exited(i32),
    /// It was ended by this signal, which was not the guard's.
    Signalled(i32),
    /// It was ended by the guard.
    Ended,
}

impl Report {
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => rest.parse().ok().map(Self::Started),
            "refused" => Some(Self::Refused(rest.to_owned())),
            "answer" => Some(Self::Answer(Answer(BASE64_STANDARD.decode(rest).ok()?))),
            "exited" => rest.parse().ok().map(Self::Exited),
            "signalled" => rest.parse().ok().map(Self::Signalled),
            "ended" => Some(Self::Ended),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(group) => write!(f, "started {group}"),
            Self::Refused(why) => write!(f, "refused {}", why.replace('\n', " ")),
            Self::Answer(Answer(bytes)) => write!(f, "answer {}", BASE64_STANDARD.encode(bytes)),
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Signalled(signal) => write!(f, "signalled {signal}"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for report in [
            Report::Started(17),
            Report::Refused("No such file (os error 2)".to_owned()),
            Report::Answer(Answer(b"{\n\xff\0}".to_vec())),
            Report::Exited(75),
            Report::Signalled(9),
            Report::Ended,
        ] {
            assert_eq!(Report::parse(&report.to_string()), Some(report));
        }
        for text in ["", "exited", "exited x", "hello 1"] {
            assert_eq!(Report::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_program_is_gone_before_its_org_can_be_taken_over() {
        let lease = Duration::from_secs(10);
        let renewal = Duration::from_secs(3);
        assert!(renewal + HEARTBEAT_TIMEOUT + SHORT_GRACE < lease);
        assert!(renewal + GRACE < lease);
    }
}
