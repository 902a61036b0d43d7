//! A file as a disk has it: what it keeps for certain, and what it may have forgotten.

use std::collections::VecDeque;

use super::Cut;
use testkit::random::SeededRandom;

/// What of a file is written as a whole or not at all.
const SECTOR: usize = 512;

/// How much of what was not synced is there after the power failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survival {
    Nothing,
    Everything,
    /// Each write or not.
    Writes,
    /// Each sector of each write or not.
    Sectors,
}

impl Survival {
    pub(super) fn of(random: &mut SeededRandom) -> Self {
        match random.below(4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Writes,
            _ => Self::Sectors,
        }
    }

    /// Whether the next write, or sector, is there.
    fn keeps(self, random: &mut SeededRandom) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Writes | Self::Sectors => random.below(2) == 0,
        }
    }
}

/// A change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    /// One that failed.
    None,
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
            Self::None => {}
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// A change that is not known to be kept.
#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    /// When it had ended, if it has.
    ended: Option<u64>,
}

/// A file as the disk has it.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDisk {
    pub(super) is_there: bool,
    kept: Vec<u8>,
    /// How long it is to the server, which may be more than is kept.
    pub(super) length: usize,
    pending: VecDeque<(u64, Pending)>,
}

impl OnDisk {
    /// One with this content for certain, if it is there.
    pub(super) fn new(content: Option<Vec<u8>>) -> Self {
        let is_there = content.is_some();
        let kept = content.unwrap_or_default();
        Self {
            is_there,
            length: kept.len(),
            kept,
            pending: VecDeque::new(),
        }
    }

    /// A change begins.
    pub(super) fn begin(&mut self, now: u64, change: Change) {
        self.length = match &change {
            Change::Write { offset, bytes } => self.length.max(offset + bytes.len()),
            Change::Length(length) => *length,
            Change::None => self.length,
        };
        let pending = Pending {
            change,
            ended: None,
        };
        self.pending.push_back((now, pending));
    }

    /// The change that began then ends; a write has written so many bytes, and what tells no number has
    /// failed.
    pub(super) fn end(&mut self, begun: u64, now: u64, result: Option<usize>) {
        let mut pending = self.pending.iter_mut();
        let Some((_, own)) = pending.find(|(other, _)| *other == begun) else {
            return;
        };
        own.ended = Some(now);
        match (&mut own.change, result) {
            (Change::Write { bytes, .. }, Some(written)) => bytes.truncate(written),
            (_, Some(_)) => {}
            (change, None) => *change = Change::None,
        }
    }

    /// Keeps what had ended before.
    pub(super) fn keep(&mut self, before: u64) {
        let mut rest = VecDeque::new();
        for (begun, pending) in self.pending.drain(..) {
            if pending.ended.is_some_and(|ended| ended < before) {
                pending.change.make(&mut self.kept);
            } else {
                rest.push_back((begun, pending));
            }
        }
        self.pending = rest;
    }

    /// What is there after the power failed.
    pub(super) fn after(
        self,
        survives: Survival,
        random: &mut SeededRandom,
        cut: &mut Cut,
    ) -> Vec<u8> {
        let mut content = self.kept;
        for (_, Pending { change, .. }) in self.pending {
            let whole = match (&change, survives) {
                (Change::Write { offset, bytes }, Survival::Sectors) => {
                    let mut whole = true;
                    for (at, sector) in sectors(*offset, bytes) {
                        if survives.keeps(random) {
                            put(&mut content, at, sector);
                        } else {
                            whole = false;
                        }
                    }
                    whole
                }
                _ => {
                    let keeps = survives.keeps(random);
                    if keeps {
                        change.make(&mut content);
                    }
                    keeps
                }
            };
            *(if whole { &mut cut.kept } else { &mut cut.lost }) += 1;
        }
        content
    }
}

/// The sectors of a file that a write is about, and what it has of each.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let (sector, others) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        let begun = at;
        (at, rest) = (at + sector.len(), others);
        (!sector.is_empty()).then_some((begun, sector))
    })
}

#[cfg(test)]
impl OnDisk {
    /// What is there for certain.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// How many changes may be lost.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there of a file of `.` after two writes of `x` that overlap, and how many were lost.
    fn after(survives: Survival, seed: u64) -> (Vec<u8>, usize) {
        let mut file = OnDisk::new(Some(vec![b'.'; 4096]));
        for (begun, offset) in [(1, 500), (2, 1000)] {
            let bytes = vec![b'x'; 2000];
            file.begin(begun, Change::Write { offset, bytes });
        }
        let mut cut = Cut::default();
        let content = file.after(survives, &mut SeededRandom::stream(seed, 0), &mut cut);
        assert_eq!(cut.kept + cut.lost, 2);
        (content, cut.lost)
    }

    #[test]
    fn of_what_was_not_synced_as_much_is_there_as_is_asked_for() {
        let (none, all) = (vec![b'.'; 4096], after(Survival::Everything, 1).0);
        assert_eq!(after(Survival::Nothing, 1), (none.clone(), 2));
        assert_eq!(after(Survival::Everything, 1), (all.clone(), 0));
        assert_eq!(all.iter().filter(|byte| **byte == b'x').count(), 2500);
        let outcomes = |survives| {
            let all = (0..64).map(move |seed| after(survives, seed).0);
            all.collect::<std::collections::BTreeSet<_>>()
        };
        // Both, either and neither.
        let writes = outcomes(Survival::Writes);
        assert_eq!(writes.len(), 4);
        assert!(writes.contains(&none) && writes.contains(&all));
        for torn in outcomes(Survival::Sectors) {
            for (of_torn, of_all) in torn.iter().zip(&all) {
                assert!(of_torn == of_all || *of_torn == b'.');
            }
        }
        assert!(outcomes(Survival::Sectors).len() > writes.len());
    }

    #[test]
    fn a_write_is_cut_where_sectors_end() {
        let bytes = [7; 1000];
        let cut: Vec<_> = sectors(500, &bytes)
            .map(|(at, sector)| (at, sector.len()))
            .collect();
        assert_eq!(cut, [(500, 12), (512, 512), (1024, 476)]);
        assert_eq!(sectors(512, &bytes[..512]).count(), 1);
        assert_eq!(sectors(0, &[]).count(), 0);
    }
}
