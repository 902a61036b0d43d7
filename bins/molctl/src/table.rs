//! Tables and lists of fields, for people.

use serde_json::Value;

/// A column: its title, and where its value is, as a JSON pointer; of several with spaces between them, the first
/// that leads to a value.
pub(crate) type Column = (&'static str, &'static str);

/// The fields that come first.
const FIRST: &[&str] = &["id", "name", "slug", "status", "key", "secret"];

/// The widest cell, in characters.
const MAX_CELL: usize = 60;

/// Rows below the titles of their columns.
pub(crate) fn table(columns: &[Column], rows: &[Value]) -> String {
    let titles: Vec<String> = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect();
    let cells = rows.iter().map(|row| {
        let value = |pointers: &str| {
            let mut values = pointers.split(' ').filter_map(|at| row.pointer(at));
            values.find(|value| !value.is_null())
        };
        columns
            .iter()
            .map(|(_, pointers)| short(&cell(value(pointers).unwrap_or(&Value::Null))))
            .collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The fields of an object, a line each; nested ones have a dot in their name.
pub(crate) fn fields(object: &Value) -> String {
    let mut found = Vec::new();
    flatten("", object, &mut found);
    let width = found
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    found
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

fn flatten(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let members: Vec<(String, &Value)> = if let Some(members) = value.as_object()
        && !members.is_empty()
    {
        let mut members: Vec<_> = members
            .iter()
            .map(|(name, value)| (clean(name), value))
            .collect();
        members.sort_by_key(|(name, _)| {
            FIRST
                .iter()
                .position(|first| first == name)
                .unwrap_or(FIRST.len())
        });
        members
    } else if let Some(items) = value.as_array()
        && items.iter().any(Value::is_object)
    {
        (0..).map(|n: usize| n.to_string()).zip(items).collect()
    } else {
        found.push((name.to_owned(), cell(value)));
        return;
    };
    for (member, value) in members {
        let path = if name.is_empty() {
            member
        } else {
            format!("{name}.{member}")
        };
        flatten(&path, value, found);
    }
}

/// A value in one line, without what could move the cursor of a terminal.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => clean(text),
        Value::Array(items) if !items.iter().any(Value::is_object) => {
            items.iter().map(cell).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            clean(&value.to_string())
        }
    }
}

/// Control characters, and those that change the direction of text, become a mark.
pub(crate) fn clean(text: &str) -> String {
    let hidden =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}

fn short(text: &str) -> String {
    if text.chars().nth(MAX_CELL).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            json!({"a": "é", "b": {"c": 1}}),
            json!({"a": "long", "b": null}),
        ];
        let text = table(&[("NAME", "/a"), ("N", "/b/c")], &rows);
        assert_eq!(text, "NAME  N\né     1\nlong  -\n");
    }

    #[test]
    fn a_column_shows_the_first_value_that_is_there() {
        let rows = [
            json!({"id": "pak_1", "type": "partner_key"}),
            json!({"id": null, "type": "system"}),
        ];
        let text = table(&[("ACTOR", "/id /type")], &rows);
        assert_eq!(text, "ACTOR\npak_1\nsystem\n");
    }

    #[test]
    fn fields_are_named_by_their_path() {
        let object =
            json!({"id": "x", "list": ["a", "b"], "steps": [{"n": 1}], "sub": {"y": true}});
        let text = fields(&object);
        for line in [
            "id         x",
            "list       a b",
            "steps.0.n  1",
            "sub.y      true",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_terminal_is_not_steered_by_what_it_shows() {
        assert_eq!(
            clean("a\u{1b}[31m\r\n\u{202e}b"),
            "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b"
        );
    }
}
