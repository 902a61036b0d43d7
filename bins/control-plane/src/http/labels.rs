//! Parts of a request as audit events and metrics name them: never a text that a client chooses.

use actix_web::http::Method;

use super::request::RequestPath;

/// The pattern of a path.
pub(super) fn route(path: &RequestPath) -> &'static str {
    path.pattern.unwrap_or("unrouted")
}

/// Whether a part of a path has the form of an id at all; anything else is not recorded.
pub(super) fn is_an_id(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The method, of those that are known: any other would be a label that clients choose.
pub(super) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
