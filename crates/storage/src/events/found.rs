//! What a walk through the log has found.

use std::collections::BTreeMap;

use audit::{Event, EventFilter};
use audit_log::Segment;
use ids::{EventId, Page, TypedId as _, Ulid};
use stores::StoreError;

use super::bounds::Bounds;
use crate::tables::{audit_events::End, values};

/// The events nearest to one end so far, each id once.
pub(super) struct Found<'a> {
    pub(super) filter: &'a EventFilter,
    pub(super) bounds: Bounds,
    pub(super) end: End,
    most: usize,
    events: BTreeMap<EventId, Event>,
}

impl<'a> Found<'a> {
    /// Nothing yet, of a page of up to `limit` events.
    pub(super) const fn new(
        filter: &'a EventFilter,
        bounds: Bounds,
        end: End,
        limit: usize,
    ) -> Self {
        Self {
            filter,
            bounds,
            end,
            // One more tells whether there are others.
            most: limit.saturating_add(1),
            events: BTreeMap::new(),
        }
    }

    /// How many are wanted.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// Adds an event if the filter lists it within the bounds.
    pub(super) fn offer(&mut self, event: &Event) {
        if self.filter.includes(event) && self.bounds.include(event.id.ulid()) {
            self.add(event.clone());
        }
    }

    fn add(&mut self, event: Event) {
        if self.is_beyond(event.id.ulid()) {
            return;
        }
        self.events.entry(event.id).or_insert(event);
        if self.events.len() > self.most {
            match self.end {
                End::Newest => self.events.pop_first(),
                End::Oldest => self.events.pop_last(),
            };
        }
    }

    /// Adds the events of a segment; how many it has.
    pub(super) fn add_of(&mut self, segment: &Segment<'_>) -> Result<usize, StoreError> {
        let mut entries = segment.entries().iter();
        while let Some(entry) = match self.end {
            End::Newest => entries.next_back(),
            End::Oldest => entries.next(),
        } {
            let id = entry.id();
            if self.is_beyond(id) {
                break;
            }
            if self.bounds.include(id) && segment.may_match(self.filter, entry) {
                let event = segment.event(entry).map_err(values::undecodable)?;
                if self.filter.includes(&event) {
                    self.add(event);
                }
            }
        }
        Ok(segment.entries().len())
    }

    /// Whether there are as many as wanted, and all of them come before this id.
    pub(super) fn is_beyond(&self, id: Ulid) -> bool {
        let last = match self.end {
            End::Newest => self.events.first_key_value(),
            End::Oldest => self.events.last_key_value(),
        };
        self.events.len() >= self.most
            && last.is_none_or(|(last, _)| self.is_after(id, last.ulid()))
    }

    /// Whether an id comes after a position, in the direction of the walk.
    fn is_after(&self, id: Ulid, position: Ulid) -> bool {
        match self.end {
            End::Newest => id < position,
            End::Oldest => id > position,
        }
    }

    /// Nothing after this position is looked for any more.
    pub(super) fn stop_at(&mut self, position: Ulid) {
        self.bounds = match self.end {
            End::Newest => self.bounds.and_from(position),
            End::Oldest => self.bounds.and_up_to(position),
        };
    }

    /// The page, when the walk has ended at this position. What was found beyond it is left to the next
    /// page: between it and the position there may be others.
    pub(super) fn page(mut self, limit: usize, stopped: Option<Ulid>) -> Page<Event> {
        let mut events = std::mem::take(&mut self.events);
        if let Some(position) = stopped {
            events.retain(|id, _| !self.is_after(id.ulid(), position));
        }
        let ascending = events.into_values();
        let items = match self.end {
            End::Newest => ascending.rev().collect(),
            End::Oldest => ascending.collect(),
        };
        Page::cut(items, limit, stopped, |event: &Event| event.id.ulid())
    }
}
