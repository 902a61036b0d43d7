//! The body of a POST that takes none.

use api_macros::Request;

/// An empty object. The body may also be left out.
#[derive(Request)]
#[api(name = "Nothing")]
pub struct EmptyBody {}
