//! A command for each operation that can be copied and run.

use serde_json::{Value, json};
use utoipa::openapi::path::Parameter;

use super::{Described, Method, Who};

/// `x-codeSamples`, as viewers of OpenAPI documents understand it.
pub(super) fn of(call: &Described, parameters: &[Parameter], public_url: &str) -> Value {
    json!([{"lang": "Shell", "label": "curl", "source": curl(call, parameters, public_url)}])
}

/// The operation by curl, with the examples of what it requires. `$KEY` is the caller's key.
fn curl(call: &Described, parameters: &[Parameter], public_url: &str) -> String {
    let mut url = format!("{public_url}{}", call.path);
    // The builder shows no example, its JSON does.
    for parameter in parameters.iter().map(|parameter| json!(parameter)) {
        if parameter.get("required") != Some(&Value::Bool(true)) {
            continue;
        }
        let text = |pointer: &str| parameter.pointer(pointer).and_then(Value::as_str);
        let name = text("/name").unwrap_or_default();
        // One that can be repeated has a list.
        let example = text("/example/0").or_else(|| text("/example"));
        let example = example.unwrap_or_default();
        if text("/in") == Some("path") {
            url = url.replace(&format!("{{{name}}}"), example);
        } else {
            url = format!("{url}?{name}={example}");
        }
    }
    if url.contains('?') {
        // A shell takes the mark for a pattern.
        url = format!("'{url}'");
    }
    let mut command = if call.method == Method::Get {
        format!("curl {url}")
    } else {
        format!("curl -X {} {url}", call.method.as_str())
    };
    if call.who != Who::Anyone {
        command.push_str(" \\\n  -H \"Authorization: Bearer $KEY\"");
        if call.method == Method::Post {
            command.push_str(" \\\n  -H \"Idempotency-Key: $(uuidgen)\"");
        }
    }
    if let Some(body) = call.operation.body.filter(|body| body.required) {
        // None of the examples has an apostrophe.
        if body.is_form {
            for (name, value) in (body.example)().as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                command.push_str(&format!(" \\\n  --data-urlencode '{name}={value}'"));
            }
            return command;
        }
        command.push_str(&format!(" \\\n  --json '{}'", (body.example)()));
    }
    command
}
