//! Bodies against the schemas of the document, which here allow no members and words that they do not name.

use serde_json::Value;

use crate::kit::Response;

pub struct Schemas(Value);

impl Schemas {
    pub fn new(document: &Value) -> Self {
        let mut document = document.clone();
        close(&mut document);
        Self(document)
    }

    /// Sees that the body of a response is one that the document describes.
    #[track_caller]
    pub fn check(&self, path: &str, method: &str, response: &Response) {
        let responses = &self.0["paths"][path][method.to_lowercase()]["responses"];
        let described = &responses[response.status.to_string()]["content"]["application/json"];
        let mut schema = described["schema"].clone();
        assert!(schema.is_object(), "no schema for {response:#?}");
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let body = response.json();
        let errors = validator.iter_errors(&body);
        let errors: Vec<_> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?} {response:#?}");
    }
}

/// Refuses other members wherever an object is referred to, and words that this version does not name.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(_, member)| close(member));
            if let Some(Value::Array(mut words)) = members.remove("x-extensible-enum") {
                words.push(Value::Null);
                members.insert("enum".to_owned(), Value::Array(words));
            }
            let target = members.get("$ref").and_then(Value::as_str);
            if target.is_some_and(|target| target.starts_with("#/components/schemas/")) {
                members.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
