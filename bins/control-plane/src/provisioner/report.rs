//! What a server and the guard of one of its programs say to each other.
//!
//! To the guard: the org as one line of JSON, then a byte [`ALIVE`] every [`BEAT`], and [`END`] when the
//! program is to end. From the guard: lines, each a [`Report`].

use std::{fmt, time::Duration};

/// The server lives and wants the program to go on.
pub const ALIVE: u8 = b'.';
/// The program is to end.
pub const END: u8 = b'!';
/// How often the server gives a sign of life.
pub const BEAT: Duration = Duration::from_secs(1);
/// After how long without one the guard takes the server for dead.
///
/// A lease lasts 10 s and is prolonged every 3 s, so it has 7 s left when a server falls silent at the
/// worst moment. Silence and [`SWIFT`] together are less.
pub const SILENCE: Duration = Duration::from_secs(3);
/// How long a program may take to end when its server is gone, before it is killed.
pub const SWIFT: Duration = Duration::from_secs(2);
/// How long a program may take to end when the server asks for it.
///
/// A server that can't prolong its lease asks after 6 s and takes the swift way; all other reasons come
/// while the lease is prolonged, 3 s after the last time at the most.
pub const GENTLE: Duration = Duration::from_secs(5);

/// What the guard has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program runs, and leads the process group of this number.
    Started(i32),
    /// It could not be started.
    Refused(String),
    /// It has ended by itself, with this exit code.
    Exited(i32),
    /// It was ended by this signal, which was not the guard's.
    Signalled(i32),
    /// It was ended by the guard.
    Ended,
}

impl Report {
    /// The report in a line, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => rest.parse().ok().map(Self::Started),
            "refused" => Some(Self::Refused(rest.to_owned())),
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
        assert!(renewal + SILENCE + SWIFT < lease);
        assert!(renewal + GENTLE < lease);
    }
}
