//! One operation of the document as a section of the page.

use serde_json::Value;

use super::{
    html::{code_block, escape, phrase, prose, table},
    schema::{kind, members, reference, text},
};

/// An operation, its method and its path.
pub struct Call<'a> {
    /// Its method, in lower case.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// What the document says of it.
    pub operation: &'a Value,
}

impl Call<'_> {
    /// Its name for programs.
    pub fn id(&self) -> &str {
        text(self.operation, "operationId").unwrap_or_default()
    }

    /// Its method and path.
    pub fn head(&self) -> String {
        let method = escape(self.method);
        format!(
            "<span class=\"method {method}\">{}</span> <code>{}</code>",
            method.to_uppercase(),
            escape(self.path)
        )
    }

    /// What it does, in a few words.
    pub fn summary(&self) -> String {
        escape(text(self.operation, "summary").unwrap_or_default())
    }

    /// The section; `whole` is the document.
    pub fn section(&self, whole: &Value) -> String {
        let mut html = format!(
            "<section aria-labelledby=\"{id}\">\n<h3 id=\"{id}\">{}</h3>\n<p>{}</p>\n",
            self.summary(),
            self.head(),
            id = escape(self.id()),
        );
        html += &prose(text(self.operation, "description").unwrap_or_default());
        if let Some(action) = text(self.operation, "x-audit-action") {
            html += &format!(
                "<p class=\"soft\">Recorded as <code>{}</code>.</p>\n",
                escape(action)
            );
        }
        html += &self.parameters();
        html += &self.body(whole);
        html += "<h4>Call</h4>\n";
        html += &code_block(&self.curl(whole));
        html += &self.answers(whole);
        html + "</section>\n"
    }

    fn parameters(&self) -> String {
        let Some(parameters) = self.operation.get("parameters").and_then(Value::as_array) else {
            return String::new();
        };
        let rows: Vec<_> = parameters
            .iter()
            .map(|parameter| {
                vec![
                    format!(
                        "<code>{}</code>",
                        escape(text(parameter, "name").unwrap_or_default())
                    ),
                    escape(text(parameter, "in").unwrap_or_default()),
                    parameter.get("schema").map_or_else(String::new, kind),
                    text(parameter, "description").map_or_else(String::new, phrase),
                ]
            })
            .collect();
        let head = ["parameter", "in", "type", "meaning"];
        format!("<h4>Parameters</h4>\n{}", table(&head, &rows))
    }

    fn request(&self) -> Option<&Value> {
        self.operation
            .pointer("/requestBody/content/application~1json")
    }

    fn body(&self, whole: &Value) -> String {
        let Some(schema) = self.request().and_then(|content| content.get("schema")) else {
            return String::new();
        };
        let form = reference(schema)
            .and_then(|name| whole.pointer(&format!("/components/schemas/{name}")))
            .unwrap_or(schema);
        format!(
            "<h4>Body</h4>\n<p>{}: {}</p>\n{}",
            kind(schema),
            text(form, "description").map_or_else(String::new, phrase),
            members(form)
        )
    }

    fn curl(&self, whole: &Value) -> String {
        let server = whole
            .pointer("/servers/0/url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let id = match self.path {
            path if path.contains("/partners/") => "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X",
            path if path.contains("/partner-keys/") => "pak_01J9ZK60AB1CD2EF3GH4JK5MN6",
            _ => "org_01J9ZK6V3QG8W0T5N4R2M7XACD",
        };
        let path = self
            .path
            .replace("{id}", id)
            .replace("{code}", "rate-limited");
        let mut line = match self.method {
            "get" => format!("curl {server}{path}"),
            method => format!("curl -X {} {server}{path}", method.to_uppercase()),
        };
        if !self.is_open() {
            line += " \\\n  -H \"Authorization: Bearer $KEY\"";
        }
        if self.method == "post" {
            line += " \\\n  -H \"Idempotency-Key: $(uuidgen)\"";
        }
        match self.request().and_then(|content| content.get("example")) {
            Some(example) if example.as_object().is_some_and(|object| !object.is_empty()) => {
                // Within single quotes, a single quote ends them.
                let json = example.to_string().replace('\'', r"'\''");
                format!("{line} \\\n  --json '{json}'")
            }
            _ => line,
        }
    }

    fn is_open(&self) -> bool {
        self.operation
            .get("security")
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
    }

    fn answers(&self, whole: &Value) -> String {
        let Some(responses) = self.operation.get("responses").and_then(Value::as_object) else {
            return String::new();
        };
        let mut examples = String::new();
        let mut rows = Vec::new();
        for (status, response) in responses {
            let response = shared(whole, response);
            let content = response
                .get("content")
                .and_then(Value::as_object)
                .and_then(|content| content.iter().next());
            let is_problem = content.is_some_and(|(kind, _)| kind == "application/problem+json");
            let says = text(response, "description").unwrap_or_default();
            let body = match content {
                Some(_) if is_problem => "<a href=\"#schema-Problem\">Problem</a>".to_owned(),
                Some((name, content)) => match content.get("schema") {
                    Some(schema) if reference(schema).is_some() => kind(schema),
                    _ => escape(name),
                },
                None => String::new(),
            };
            let says = if is_problem {
                linked(says)
            } else {
                phrase(says)
            };
            rows.push(vec![escape(status), says, body, headers(response)]);
            if let Some(example) = content.and_then(|(_, content)| content.get("example")) {
                examples += &format!(
                    "<h4>Example of {}</h4>\n{}",
                    escape(status),
                    code_block(&format!("{example:#}"))
                );
            }
        }
        let head = ["status", "meaning", "body", "headers"];
        format!("<h4>Answers</h4>\n{}{examples}", table(&head, &rows))
    }
}

/// The answer itself, where many calls share it.
fn shared<'a>(whole: &'a Value, response: &'a Value) -> &'a Value {
    text(response, "$ref")
        .and_then(|target| whole.pointer(target.strip_prefix('#')?))
        .unwrap_or(response)
}

/// A text in which the codes of errors lead to their pages.
fn linked(says: &str) -> String {
    let mut html = String::new();
    for (n, part) in says.split('`').enumerate() {
        let part = escape(part);
        html += &if n % 2 == 1 {
            format!("<a href=\"/problems/{part}\"><code>{part}</code></a>")
        } else {
            part
        };
    }
    html
}

fn headers(response: &Value) -> String {
    let names = response.get("headers").and_then(Value::as_object);
    names
        .into_iter()
        .flat_map(|headers| headers.keys())
        .map(|name| format!("<code>{}</code>", escape(name)))
        .collect::<Vec<_>>()
        .join(" ")
}
