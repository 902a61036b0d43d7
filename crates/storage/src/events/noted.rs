//! Which mentions a session has written already, so that a busy second's are not written with every commit.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::segment::Subject;

/// How many subjects are remembered; what comes on top is written again, which does no harm.
const MOST: usize = 65_536;

/// The subjects that the newest second is known to mention, because this session has committed that.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    second: i64,
    subjects: HashSet<Subject, RandomState>,
    /// Written in the transaction that is open.
    written: Vec<(i64, Subject)>,
}

impl Noted {
    /// Leaves of a second's subjects those that are yet to be noted.
    pub(super) fn retain_new(&self, second: i64, subjects: &mut Vec<Subject>) {
        if second == self.second {
            subjects.retain(|subject| !self.subjects.contains(subject));
        }
    }

    /// Takes note of what was written, which counts once it is committed.
    pub(super) fn wrote(&mut self, second: i64, subjects: &[Subject]) {
        self.written
            .extend(subjects.iter().map(|subject| (second, *subject)));
    }

    /// What was written is there for good.
    pub(crate) fn committed(&mut self) {
        for (second, subject) in self.written.drain(..) {
            if second > self.second {
                self.second = second;
                self.subjects.clear();
            }
            if second == self.second && self.subjects.len() < MOST {
                self.subjects.insert(subject);
            }
        }
    }

    /// Some of what was written is undone; nobody asks which.
    pub(crate) fn undone(&mut self) {
        self.written.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Subject = [1; 17];
    const TWO: Subject = [2; 17];

    fn new(noted: &Noted, second: i64) -> Vec<Subject> {
        let mut subjects = vec![ONE, TWO];
        noted.retain_new(second, &mut subjects);
        subjects
    }

    #[test]
    fn what_is_committed_need_not_be_written_again_within_its_second() {
        let mut noted = Noted::default();
        noted.wrote(7, &[ONE]);
        assert_eq!(new(&noted, 7), [ONE, TWO]);
        noted.committed();
        assert_eq!(new(&noted, 7), [TWO]);
        assert_eq!(new(&noted, 8), [ONE, TWO]);
        noted.wrote(8, &[TWO]);
        noted.committed();
        assert_eq!(new(&noted, 7), [ONE, TWO]);
        assert_eq!(new(&noted, 8), [ONE]);
        // A straggler of an earlier second is written, and changes nothing.
        noted.wrote(7, &[ONE]);
        noted.committed();
        assert_eq!(new(&noted, 8), [ONE]);
    }

    #[test]
    fn what_is_undone_is_written_again() {
        let mut noted = Noted::default();
        noted.wrote(7, &[ONE, TWO]);
        noted.undone();
        noted.committed();
        assert_eq!(new(&noted, 7), [ONE, TWO]);
    }
}
