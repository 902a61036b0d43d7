//! What a command prints on standard output.

use std::io::{self, Write as _};

use clap::ValueEnum;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use molecule_client::Error;
use serde::Serialize;
use serde_json::Value;

use crate::{
    failure::Failure,
    table::{self, Column},
};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document; a list is an array.
    Json,
    /// One YAML document.
    Yaml,
    /// A JSON document in each line, as it comes.
    Ndjson,
}

/// Standard output in one format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output(pub(crate) Format);

impl Output {
    /// Prints one resource.
    pub(crate) fn one(self, resource: &impl Serialize) -> Result<(), Failure> {
        match self.0 {
            Format::Table => text(&table::fields(&to_value(resource)?)),
            Format::Json => json(resource),
            Format::Yaml => yaml(resource),
            Format::Ndjson => line(resource),
        }
    }

    /// Prints the items of a list, `limit` at the most; `None` for all.
    pub(crate) async fn list<T: Serialize>(
        self,
        columns: &[Column],
        items: impl Stream<Item = Result<T, Error>> + Unpin,
        limit: Option<usize>,
    ) -> Result<(), Failure> {
        // One more than is printed tells whether there are more.
        let mut items = items.take(limit.map_or(usize::MAX, |limit| limit.saturating_add(1)));
        let mut rows = Vec::new();
        while let Some(item) = items.try_next().await? {
            if Some(rows.len()) == limit {
                // In every format: a program that takes the first items for all of them is wrong.
                let _ = writeln!(
                    io::stderr(),
                    "There are more than {}: see --limit and --all.",
                    rows.len()
                );
                break;
            }
            if self.0 == Format::Ndjson {
                line(&item)?;
            }
            rows.push(item);
        }
        self.rows(columns, &rows)
    }

    /// Prints rows; in lines they are printed already.
    fn rows<T: Serialize>(self, columns: &[Column], rows: &[T]) -> Result<(), Failure> {
        match self.0 {
            Format::Ndjson => Ok(()),
            Format::Table if rows.is_empty() => {
                self.note("There are none.");
                Ok(())
            }
            Format::Table => {
                let rows: Vec<_> = rows.iter().map(to_value).collect::<Result<_, _>>()?;
                text(&table::table(columns, &rows))
            }
            Format::Json => json(&rows),
            Format::Yaml => yaml(&rows),
        }
    }

    /// Prints a list that is there as a whole.
    pub(crate) fn all<T: Serialize>(self, columns: &[Column], rows: &[T]) -> Result<(), Failure> {
        if self.0 == Format::Ndjson {
            rows.iter().try_for_each(line)?;
        }
        self.rows(columns, rows)
    }

    /// Prints one of several states as it comes: in a document that can be one alone, the last counts.
    pub(crate) fn state(
        self,
        columns: &[Column],
        state: &impl Serialize,
        last: bool,
    ) -> Result<(), Failure> {
        match self.0 {
            Format::Table => {
                let rows = table::table(columns, &[to_value(state)?]);
                // The titles are left out.
                text(rows.split_once('\n').map_or("", |(_, row)| row))
            }
            Format::Ndjson => self.one(state),
            Format::Json | Format::Yaml if last => self.one(state),
            Format::Json | Format::Yaml => Ok(()),
        }
    }

    /// Tells a person something on standard error.
    pub(crate) fn note(self, note: &str) {
        if self.0 == Format::Table {
            let _ = writeln!(io::stderr(), "{note}");
        }
    }
}

/// Writes to standard output.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                Failure::PipeClosed
            } else {
                Failure::Local(format!("Standard output can't be written: {error}."))
            }
        })
}

/// One document, its members in the order of the API.
fn json(value: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(value);
    text(&(document.map_err(unwritable)? + "\n"))
}

fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let document =
        serde_saphyr::to_string(value).map_err(|error| Failure::Local(error.to_string()))?;
    text(&format!("{}\n", document.trim_end()))
}

fn line<T: Serialize>(value: &T) -> Result<(), Failure> {
    text(&(serde_json::to_string(value).map_err(unwritable)? + "\n"))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes it so")]
fn unwritable(error: serde_json::Error) -> Failure {
    Failure::Local(error.to_string())
}

pub(crate) fn to_value(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(unwritable)
}
