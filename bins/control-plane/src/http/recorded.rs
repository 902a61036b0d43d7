//! Parts of a request as records and metrics name them: never a text that a client chooses.

use actix_web::http::Method;

use super::router::Place;

/// The route as records name it.
pub(super) fn route(place: &Place) -> &'static str {
    place.pattern.unwrap_or("unrouted")
}

/// Whether a part of a path has the form of an id at all; anything else is not put on record.
pub(super) fn is_an_id(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The methods there are; a made-up one would be a label and a row that clients choose.
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
