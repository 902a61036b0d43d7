//! Schemas of the document as tables of members.

use serde_json::{Map, Value};

use super::html::{escape, phrase, table};

/// The members of an object's schema; empty where it has none.
pub fn members(schema: &Value) -> String {
    let parts = schema
        .get("allOf")
        .or_else(|| schema.get("oneOf"))
        .and_then(Value::as_array);
    if let Some(parts) = parts {
        let joint = if schema.get("allOf").is_some() {
            "all of"
        } else {
            "one of"
        };
        let parts: String = parts
            .iter()
            .map(|part| format!("<li>{}{}</li>\n", described(part), members(part)))
            .collect();
        return format!("<p>{joint}:</p>\n<ul>\n{parts}</ul>\n");
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let rows: Vec<_> = properties
        .iter()
        .map(|(name, form)| {
            let required = if is_required(schema, name) { "yes" } else { "" };
            vec![
                format!("<code>{}</code>", escape(name)),
                kind(form),
                required.to_owned(),
                text(form, "description").map_or_else(String::new, phrase),
            ]
        })
        .collect();
    table(&["member", "type", "required", "meaning"], &rows)
}

fn described(part: &Value) -> String {
    text(part, "description").map_or_else(|| kind(part), phrase)
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|required| required == name))
}

/// What a value may be, in a few words.
pub fn kind(form: &Value) -> String {
    if let Some(name) = reference(form) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for joint in ["oneOf", "allOf"] {
        if let Some(parts) = form.get(joint).and_then(Value::as_array) {
            let parts: Vec<_> = parts.iter().map(kind).collect();
            let word = if joint == "oneOf" { " or " } else { " and " };
            return parts.join(word);
        }
    }
    let mut words = vec![types(form)];
    words.extend(bounds(form));
    if let Some(items) = form.get("items") {
        words.push(format!("of {}", kind(items)));
    }
    words.join(", ")
}

fn types(form: &Value) -> String {
    match form.get("type") {
        Some(Value::String(one)) => escape(one),
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(Value::as_str)
            .map(escape)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    }
}

/// What narrows a value beside its type.
fn bounds(form: &Value) -> Vec<String> {
    let Some(members) = form.as_object() else {
        return Vec::new();
    };
    let mut words = Vec::new();
    if let Some(values) = members.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| format!("<code>{}</code>", escape(plain(value))))
            .collect();
        words.push(format!("one of {}", values.join(" ")));
    }
    if let Some(format) = text(form, "format") {
        words.push(escape(format));
    }
    if let Some(pattern) = text(form, "pattern") {
        words.push(format!("<code>{}</code>", escape(pattern)));
    }
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " members"),
    ] {
        words.extend(range(members, least, most).map(|range| format!("{range}{unit}")));
    }
    if let Some(default) = members.get("default") {
        words.push(format!("default <code>{}</code>", escape(plain(default))));
    }
    words
}

fn range(members: &Map<String, Value>, least: &str, most: &str) -> Option<String> {
    match (members.get(least), members.get(most)) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

/// The name of the schema that is referred to.
pub fn reference(form: &Value) -> Option<&str> {
    text(form, "$ref")?.strip_prefix("#/components/schemas/")
}

/// A member that is a text.
pub fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// A value as it stands in a sentence.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
