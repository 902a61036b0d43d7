//! What a server answered.

use serde_json::Value;
use testkit::http;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The request, for messages.
    pub asked: String,
}

impl Response {
    pub(super) fn new(response: http::Response, asked: String) -> Self {
        let headers = response.headers();
        Self {
            status: response.status,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: response.body,
            asked,
        }
    }

    /// The value of a header that stands once.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.header_if_any(name)
            .unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    /// The value of a header that stands at most once.
    #[track_caller]
    pub fn header_if_any(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next().map(|header| header.1.as_str());
        assert!(values.next().is_none(), "{name} stands twice in {self:#?}");
        value
    }

    /// The body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {self:#?}"))
    }

    /// The body of a response of this status; `null` where there is none.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        if self.body.is_empty() {
            return Value::Null;
        }
        assert_eq!(self.header("content-type"), "application/json", "{self:#?}");
        self.json()
    }

    /// The problem document of a response, which must be whole, with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:#?}"
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:#?}");
        assert_eq!(problem["status"], status, "{self:#?}");
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(
            kind.starts_with("http://") && kind.ends_with(&format!("/problems/{code}")),
            "{self:#?}"
        );
        for member in ["title", "detail"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} of {self:#?}");
        }
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        let mut known = vec![
            "type",
            "title",
            "status",
            "detail",
            "code",
            "request_id",
            "instance",
        ];
        match status {
            422 => known.push("errors"),
            429 => known.push("violated-policies"),
            _ => {}
        }
        for member in problem.as_object().unwrap().keys() {
            assert!(known.contains(&member.as_str()), "{member} of {self:#?}");
        }
        problem
    }

    /// The pointers of a 422.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422, "validation-failed");
        let errors = problem["errors"].as_array().unwrap();
        let pointer = |error: &Value| {
            let members: Vec<_> = error.as_object().unwrap().keys().collect();
            assert_eq!(members, ["detail", "pointer"], "{self:#?}");
            error["pointer"].as_str().unwrap().to_owned()
        };
        errors.iter().map(pointer).collect()
    }

    /// The id of the event that tells of the call.
    #[track_caller]
    pub fn event(&self) -> &str {
        let id = self.header("audit-event-id");
        assert!(id.starts_with("evt_"), "{self:#?}");
        id
    }
}
