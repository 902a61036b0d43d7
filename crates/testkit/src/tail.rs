//! Following the audit log over HTTP as a reader outside does, by times and by ids, and telling in the
//! end what such a reader has missed or has seen changed.

use std::collections::BTreeMap;

use audit::LAG;
use ids::{EventId, TypedId as _};
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// The events that a reader has got, by id.
type Events = BTreeMap<String, Value>;

/// A reader that stays [`LAG`] behind the clock. It reads what is new with each [`Tail::step`].
pub struct Tail<F> {
    /// Gets a path below `/cp/admin/audit-events`, which is a query or nothing.
    get: F,
    began: OffsetDateTime,
    since: OffsetDateTime,
    by_time: Events,
    by_id: Events,
    repeated: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// How many events there were.
    pub events: usize,
    /// Those that were there in the end, and had not been when the reader passed.
    pub missed: Vec<Value>,
    /// Those that were not the same in the end.
    pub changed: Vec<Value>,
    /// How many were read twice by times.
    pub repeated: usize,
}

impl Report {
    /// Whether each event was seen once and as it is.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missed.is_empty() && self.changed.is_empty() && self.repeated == 0
    }
}

impl<F: FnMut(&str) -> Value> Tail<F> {
    /// A reader of what happens from now on.
    pub fn new(get: F) -> Self {
        let began = OffsetDateTime::now_utc();
        Self {
            get,
            began,
            since: began,
            by_time: Events::new(),
            by_id: Events::new(),
            repeated: 0,
        }
    }

    /// Reads what is new, up to what is [`LAG`] old.
    pub fn step(&mut self) {
        let until = OffsetDateTime::now_utc() - LAG;
        if until <= self.since {
            return;
        }
        for event in self.between(self.since, until) {
            let repeated = self.by_time.insert(id_of(&event), event).is_some();
            self.repeated += usize::from(repeated);
        }
        self.since = until;
        // From the newest down to the last that is known.
        let last = self.by_id.keys().next_back().cloned();
        let known = |event: &Value| match &last {
            Some(last) => id_of(event) <= *last,
            None => id_time(event) < self.began,
        };
        let mut new = Vec::new();
        walk(&mut self.get, "", |event| {
            let goes_on = !known(&event);
            if goes_on {
                new.push(event);
            }
            goes_on
        });
        let settled = new.into_iter().filter(|event| id_time(event) < until);
        self.by_id
            .extend(settled.map(|event| (id_of(&event), event)));
    }

    /// Reads the rest, then all once more, and compares.
    pub fn finish(mut self) -> Report {
        let end = OffsetDateTime::now_utc();
        while self.since < end {
            std::thread::sleep(std::time::Duration::from_millis(100));
            self.step();
        }
        // Times between the first and the last step, and ids of the same times.
        let (began, end) = (self.began, self.since);
        let minute = Duration::MINUTE;
        let all = self.between(began - minute, end + minute);
        let (mut missed, mut changed, mut events) = (Vec::new(), Vec::new(), 0);
        for event in all {
            let id = id_of(&event);
            let mut check = |got: &Events, time: OffsetDateTime| {
                if time < began || time >= end {
                    return;
                }
                events += 1;
                match got.get(&id) {
                    None => missed.push(event.clone()),
                    Some(known) if *known != event => changed.push(event.clone()),
                    Some(_) => {}
                }
            };
            check(&self.by_time, time_of(&event));
            check(&self.by_id, id_time(&event));
        }
        Report {
            events: events / 2,
            missed,
            changed,
            repeated: self.repeated,
        }
    }

    fn between(&mut self, since: OffsetDateTime, until: OffsetDateTime) -> Vec<Value> {
        let (since, until) = (text(since), text(until));
        let query = format!("since={since}&until={until}&");
        let mut events = Vec::new();
        walk(&mut self.get, &query, |event| {
            events.push(event);
            true
        });
        events
    }
}

/// Reads the pages of a list for as long as each event is wanted.
fn walk(get: &mut impl FnMut(&str) -> Value, query: &str, mut take: impl FnMut(Value) -> bool) {
    let mut path = format!("?{query}limit=100");
    loop {
        let page = get(&path);
        for event in page.get("data").and_then(Value::as_array).unwrap() {
            if !take(event.clone()) {
                return;
            }
        }
        let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) else {
            return;
        };
        path = format!("?{query}limit=100&cursor={cursor}");
    }
}

fn member<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap()
}

fn id_of(event: &Value) -> String {
    member(event, "id").to_owned()
}

/// The time in the id, to the millisecond.
fn id_time(event: &Value) -> OffsetDateTime {
    let id: EventId = member(event, "id").parse().unwrap();
    let ms = i128::from(id.ulid().timestamp_ms());
    OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).unwrap()
}

fn time_of(event: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(member(event, "occurred_at"), &Rfc3339).unwrap()
}

/// As a query takes it, in whole microseconds.
fn text(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(time.microsecond() * 1000).unwrap();
    whole.format(&Rfc3339).unwrap()
}
