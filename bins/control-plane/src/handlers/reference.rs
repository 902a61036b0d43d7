//! `/cp/docs`: the description of the API as one page that needs nothing else.
//!
//! It is made from the OpenAPI document when the server starts, and so are the pages of errors.

mod call;
pub mod html;
mod schema;

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    HttpResponse,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
    web::Bytes,
};
use api::{
    ErrorCode,
    openapi::{Content, Described, Operation, Success, Tag},
};
use serde_json::Value;

use self::{
    call::Call,
    html::{Page, escape, prose},
    schema::{members, text},
};
use super::{openapi, problems};

/// Everything that describes the API, ready to go out.
pub struct Published {
    /// The OpenAPI document.
    pub document: Bytes,
    reference: Bytes,
    problems: HashMap<ErrorCode, Bytes>,
    policy: String,
}

impl Published {
    /// Describes these calls, as clients reach them under a URL.
    ///
    /// # Errors
    /// When the document can't be written as JSON, which none of its parts refuses.
    pub fn new(calls: &[Described], public_url: &str) -> serde_json::Result<Self> {
        let document = openapi::text(calls, public_url)?;
        let whole: Value = serde_json::from_str(&document)?;
        let problems = ErrorCode::ALL
            .iter()
            .map(|&code| (code, problems::page(code, public_url).html().into()))
            .collect();
        Ok(Self {
            reference: page(&whole).html().into(),
            document: document.into(),
            problems,
            policy: html::content_security_policy(),
        })
    }

    /// The page of an error.
    pub fn problem(&self, code: ErrorCode) -> Bytes {
        self.problems.get(&code).cloned().unwrap_or_default()
    }

    /// An answer with a page.
    pub fn respond(&self, html: Bytes) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((CONTENT_SECURITY_POLICY, self.policy.as_str()))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .content_type("text/html; charset=utf-8")
            .body(html)
    }
}

pub const REFERENCE: Operation = Operation::new(
    "getReference",
    Tag::Reference,
    "Read this description as a page",
    &[Success::new(200, "A page for people.", Content::PAGE)],
);

/// The page, made when the server starts.
pub fn read(published: &Arc<Published>) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || ready(published.respond(published.reference.clone()))
}

/// The document as a page.
fn page(whole: &Value) -> Page {
    let title = whole
        .pointer("/info/title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let introduction = whole
        .pointer("/info/description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let version = whole
        .pointer("/info/version")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (contents, chapters) = chapters(whole);
    let body = format!(
        "<header>\n<h1>{}</h1>\n<p class=\"soft\">Version {}. For programs: \
         <a href=\"/cp/openapi.json\">OpenAPI 3.1</a>.</p>\n{}</header>\n\
         <nav aria-label=\"Contents\">\n<h2 id=\"contents\">Contents</h2>\n<ul>\n{contents}\
         <li><a href=\"#errors\">Errors</a></li>\n<li><a href=\"#schemas\">Schemas</a></li>\n</ul>\n\
         </nav>\n<main>\n{chapters}<section aria-labelledby=\"errors\">\n\
         <h2 id=\"errors\">Errors</h2>\n{}</section>\n{}</main>\n",
        escape(title),
        escape(version),
        prose(introduction),
        problems::list(),
        schemas(whole),
    );
    Page {
        title: title.to_owned(),
        body,
    }
}

/// The table of contents and the chapters, one for each tag.
fn chapters(whole: &Value) -> (String, String) {
    let calls = calls(whole);
    let (mut contents, mut chapters) = (String::new(), String::new());
    let tags = whole.get("tags").and_then(Value::as_array);
    for (n, tag) in (1..).zip(tags.into_iter().flatten()) {
        let name = text(tag, "name").unwrap_or_default();
        let title = escape(name);
        let about = text(tag, "description").unwrap_or_default();
        contents += &format!("<li><a href=\"#chapter-{n}\">{title}</a>\n<ul>\n");
        chapters += &format!("<h2 id=\"chapter-{n}\">{title}</h2>\n{}", prose(about));
        for call in calls.iter().filter(|call| has_tag(call, name)) {
            contents += &format!(
                "<li><a href=\"#{}\">{}</a> <span class=\"soft\">{}</span></li>\n",
                escape(call.id()),
                call.summary(),
                call.head()
            );
            chapters += &call.section(whole);
        }
        contents += "</ul></li>\n";
    }
    (contents, chapters)
}

fn has_tag(call: &Call<'_>, name: &str) -> bool {
    call.operation
        .get("tags")
        .and_then(Value::as_array)
        .is_some_and(|tags| tags.iter().any(|tag| tag == name))
}

fn calls(whole: &Value) -> Vec<Call<'_>> {
    const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];
    let paths = whole.get("paths").and_then(Value::as_object);
    paths
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| {
                let operation = item.get(method)?;
                Some(Call {
                    method,
                    path,
                    operation,
                })
            })
        })
        .collect()
}

fn schemas(whole: &Value) -> String {
    let mut html =
        String::from("<section aria-labelledby=\"schemas\">\n<h2 id=\"schemas\">Schemas</h2>\n");
    let schemas = whole
        .pointer("/components/schemas")
        .and_then(Value::as_object);
    for (name, schema) in schemas.into_iter().flatten() {
        let name = escape(name);
        html += &format!("<h3 id=\"schema-{name}\">{name}</h3>\n");
        html += &text(schema, "description").map_or_else(String::new, prose);
        html += &members(schema);
    }
    html + "</section>\n"
}

#[cfg(test)]
mod tests;
