//! PageBuilder of postings, sorted and prefix-compressed. `FORMAT.md` describes the bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Posting, Slot};
use crate::{Corrupt, Subject};

const VERSION: u8 = 1;
/// From how many bytes on a page takes no more, so that with the piece that makes it full its row fits
/// into a page of the file: up to about 4020 bytes of body do.
const FULL: usize = 3800;
/// How many slots of one subject are written in one piece: they take three bytes each or less, unless they
/// lie hours apart.
const MOST_SLOTS: usize = 64;

const CORRUPT: Corrupt = Corrupt("a page of the index of events");

/// A subject and its slots.
#[derive(Debug, Serialize, Deserialize)]
struct Group<'a> {
    /// The end of the subject; the rest is as in the subject before.
    #[serde(borrow, serialize_with = "in_one")]
    end: Cow<'a, [u8]>,
    slots: Vec<u64>,
}

fn in_one<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// A page as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The key of its first posting, which sorts as postings do.
    pub first: Vec<u8>,
    /// The encoded postings.
    pub body: Vec<u8>,
}

/// The key of a posting: bytes that sort as postings do.
#[must_use]
pub fn key((subject, slot): &Posting) -> Vec<u8> {
    [&subject[..], &slot.number().to_be_bytes()].concat()
}

/// The key right after that of a posting.
#[must_use]
pub fn key_after(subject: &Subject, slot: Slot) -> Vec<u8> {
    let mut key = key(&(*subject, slot));
    key.push(0);
    key
}

/// Encodes sorted postings as pages.
#[derive(Debug)]
pub struct PageBuilder {
    base: Slot,
    /// The subject that came last, and those of its slots that are not in a page yet.
    subject: Subject,
    slots: Vec<Slot>,
    /// The subject that the page ends with.
    before: Subject,
    page: Page,
    ready: Vec<Page>,
}

impl PageBuilder {
    /// For postings whose slots are not below this one.
    #[must_use]
    pub const fn new(base: Slot) -> Self {
        Self {
            base,
            subject: [0; 17],
            slots: Vec::new(),
            before: [0; 17],
            page: Page {
                first: Vec::new(),
                body: Vec::new(),
            },
            ready: Vec::new(),
        }
    }

    /// Adds a posting, which must be above the one before.
    ///
    /// # Errors
    /// [`Corrupt`] when it is not.
    pub fn push(&mut self, (subject, slot): Posting) -> Result<(), Corrupt> {
        if subject != self.subject || self.slots.len() >= MOST_SLOTS {
            self.end_group()?;
            self.subject = subject;
        }
        self.slots.push(slot);
        Ok(())
    }

    /// How many pages are ready.
    #[must_use]
    pub const fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes the pages that are ready.
    pub fn take(&mut self) -> Vec<Page> {
        std::mem::take(&mut self.ready)
    }

    /// Takes all pages, once there are no more postings.
    ///
    /// # Errors
    /// [`Corrupt`] when the postings were in no order.
    pub fn end(mut self) -> Result<Vec<Page>, Corrupt> {
        self.end_group()?;
        self.end_page();
        Ok(self.ready)
    }

    fn end_group(&mut self) -> Result<(), Corrupt> {
        let Some(first) = self.slots.first().copied() else {
            return Ok(());
        };
        if self.page.body.len() >= FULL {
            self.end_page();
        }
        let mut body = std::mem::take(&mut self.page.body);
        let shared = if body.is_empty() {
            self.page.first = key(&(self.subject, first));
            body.push(VERSION);
            body = write(&self.base.number(), body)?;
            0
        } else {
            let pairs = self.subject.iter().zip(&self.before);
            pairs.take_while(|(one, other)| one == other).count()
        };
        let mut above = self.base;
        let mut slots = Vec::with_capacity(self.slots.len());
        for slot in self.slots.drain(..) {
            let after = slot.number().checked_sub(above.number());
            slots.push(after.ok_or(CORRUPT)?);
            above = slot;
        }
        let group = Group {
            end: Cow::Borrowed(self.subject.get(shared..).unwrap_or_default()),
            slots,
        };
        self.page.body = write(&group, body)?;
        self.before = self.subject;
        Ok(())
    }

    fn end_page(&mut self) {
        if !self.page.body.is_empty() {
            let empty = Page {
                first: Vec::new(),
                body: Vec::with_capacity(FULL + FULL / 4),
            };
            self.ready.push(std::mem::replace(&mut self.page, empty));
        }
    }
}

fn write<T: Serialize>(value: &T, body: Vec<u8>) -> Result<Vec<u8>, Corrupt> {
    postcard::to_extend(value, body).map_err(|_| CORRUPT)
}

/// Gives each subject of a page with its slots to a function, in their order, until that has enough.
fn groups(
    body: &[u8],
    mut each: impl FnMut(&Subject, &mut dyn Iterator<Item = Slot>) -> bool,
) -> Result<(), Corrupt> {
    let Some((&VERSION, rest)) = body.split_first() else {
        return Err(CORRUPT);
    };
    let (base, mut rest): (u64, _) = postcard::take_from_bytes(rest).map_err(|_| CORRUPT)?;
    let mut subject: Subject = [0; 17];
    let mut whole = true;
    while !rest.is_empty() {
        let (group, others): (Group<'_>, _) =
            postcard::take_from_bytes(rest).map_err(|_| CORRUPT)?;
        rest = others;
        let shared = subject.len().checked_sub(group.end.len());
        // The first subject of a page is told as a whole.
        let shared = shared.filter(|shared| !whole || *shared == 0);
        whole = false;
        let end = shared.and_then(|shared| subject.get_mut(shared..));
        end.ok_or(CORRUPT)?.copy_from_slice(&group.end);
        let mut at = base;
        let mut slots = group.slots.iter().map(|after| {
            at = at.saturating_add(*after);
            Slot::new(at)
        });
        if !each(&subject, &mut slots) {
            break;
        }
    }
    Ok(())
}

/// The postings of a page.
///
/// # Errors
/// [`Corrupt`] when it is no page.
pub fn read_page(body: &[u8]) -> Result<Vec<Posting>, Corrupt> {
    let mut postings = Vec::new();
    groups(body, |subject, slots| {
        postings.extend(slots.map(|slot| (*subject, slot)));
        true
    })?;
    Ok(postings)
}

/// The slots that a page has for a subject, in their order.
///
/// # Errors
/// [`Corrupt`] when it is no page.
pub fn slots_of(body: &[u8], wanted: &Subject) -> Result<Vec<Slot>, Corrupt> {
    let mut found = Vec::new();
    groups(body, |subject, slots| {
        if subject == wanted {
            found.extend(slots);
        }
        subject <= wanted
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;
    use testkit::random::SeededRandom;

    use super::*;

    /// Sorted postings of so many subjects, some alike and some not, with up to so many slots each.
    fn postings(seed: u64, subjects: u64, most: u64) -> Vec<Posting> {
        let mut random = SeededRandom::new(seed);
        let mut below = |end: u64| random.next_u64() % end;
        let mut postings = Vec::new();
        for _ in 0..subjects {
            let mut subject = [7; 17];
            let from = usize::try_from(below(17)).unwrap();
            for byte in subject.iter_mut().skip(from) {
                *byte = u8::try_from(below(256)).unwrap();
            }
            let mut slot = 1000;
            for _ in 0..=below(most) {
                slot += [0, 1, 90, 1 << 20, 1 << 40][usize::try_from(below(5)).unwrap()];
                postings.push((subject, Slot::new(slot)));
            }
        }
        postings.sort_unstable();
        postings.dedup();
        postings
    }

    fn pages_of(postings: &[Posting], base: u64) -> Vec<Page> {
        let mut pages = PageBuilder::new(Slot::new(base));
        let mut all = Vec::new();
        for posting in postings {
            pages.push(*posting).unwrap();
            if pages.ready() > 2 {
                all.extend(pages.take());
            }
        }
        all.extend(pages.end().unwrap());
        all
    }

    #[test]
    fn postings_round_trip() {
        for (seed, subjects, most) in [
            (1, 0, 1),
            (2, 1, 1),
            (3, 2000, 1),
            (4, 300, 20),
            (5, 3, 5000),
        ] {
            let postings = postings(seed, subjects, most);
            let pages = pages_of(&postings, 1000);
            let mut decoded = Vec::new();
            for page in &pages {
                let of_page = read_page(&page.body).unwrap();
                assert_eq!(page.first, key(of_page.first().unwrap()));
                decoded.extend(of_page);
            }
            assert_eq!(decoded, postings);
            assert!(pages.is_sorted_by(|one, next| one.first < next.first));
            for subject in postings.chunk_by(|one, other| one.0 == other.0) {
                let wanted = subject.first().unwrap().0;
                let slots: Vec<Slot> = pages
                    .iter()
                    .flat_map(|page| slots_of(&page.body, &wanted).unwrap())
                    .collect();
                assert_eq!(
                    slots,
                    subject.iter().map(|(_, slot)| *slot).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn a_full_page_fits_into_a_page_of_the_file() {
        let busy =
            (0..100).flat_map(|one| (0..2000).map(move |slot| ([one; 17], Slot::new(slot * 300))));
        for (postings, base) in [(postings(6, 20_000, 1), 1000), (busy.collect(), 0)] {
            let pages = pages_of(&postings, base);
            let (last, full) = pages.split_last().unwrap();
            assert!(full.len() > 20 && last.body.len() < 4020);
            for page in full {
                let length = page.body.len();
                assert!((FULL..4020).contains(&length), "{length}");
            }
        }
    }

    #[test]
    fn unsorted_postings_are_an_error() {
        let mut pages = PageBuilder::new(Slot::new(9));
        pages.push(([1; 17], Slot::new(8))).unwrap();
        assert!(pages.end().is_err());
    }

    #[test]
    fn truncated_pages_and_unknown_versions_are_errors() {
        let whole = pages_of(&postings(7, 3, 3), 1000).swap_remove(0).body;
        let read = read_page(&whole).unwrap();
        assert!(read_page(&[]).is_err());
        for length in 0..whole.len() {
            if let Ok(some) = read_page(whole.get(..length).unwrap()) {
                assert!(read.starts_with(&some), "{length}");
            }
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            *flipped.get_mut(place).unwrap() ^= 0xff;
            // Whatever it makes of it, reading it does no harm.
            drop(read_page(&flipped));
            drop(slots_of(&flipped, &[7; 17]));
        }
        let mut other = whole;
        *other.first_mut().unwrap() = VERSION + 1;
        assert!(read_page(&other).is_err());
    }
}
