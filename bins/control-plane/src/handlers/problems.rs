//! `/problems/{code}`: what the `type` of a problem document leads to.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::HttpResponse;
use api::{
    ErrorCode,
    openapi::{Content, Operation, Success, Tag, problem_example},
};

use super::reference::{
    Published,
    html::{Page, code_block, escape, table},
};

pub const PROBLEM_READ: Operation = Operation {
    detail: "The field `type` of a problem document links here.",
    errors: &[ErrorCode::NotFound],
    ..Operation::new(
        "getProblem",
        Tag::Reference,
        "Read the explanation of an error",
        &[Success::new(200, "A page for people.", Content::PAGE)],
    )
};

/// The page of an error, made when the server starts.
pub fn read(
    published: &Arc<Published>,
    code: ErrorCode,
) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || ready(published.respond(published.problem(code)))
}

/// What the error means and what to do about it.
pub fn page(code: ErrorCode, public_url: &str) -> Page {
    let help = code.help();
    let example = problem_example(public_url, code);
    let body = format!(
        "<header><p><a href=\"/cp/docs\">Reference</a></p><h1>{title}</h1>\n\
         <p><code>{code}</code>, status {status}</p></header>\n<main>\n\
         <h2>What it means</h2>\n<p>{meaning}</p>\n<h2>What to do</h2>\n<p>{remedy}</p>\n\
         <h2>An example</h2>\n{example}\
         <p>The member <code>request_id</code> names the request in a question to the operator.</p>\n\
         <h2>Other errors</h2>\n{others}</main>\n",
        title = escape(code.title()),
        status = code.status(),
        meaning = escape(help.meaning),
        remedy = escape(help.remedy),
        example = code_block(&format!("{example:#}")),
        others = list(),
    );
    Page {
        title: format!("{}: {code}", code.title()),
        body,
    }
}

/// All errors, with links to their pages.
pub fn list() -> String {
    let rows: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            vec![
                code.status().to_string(),
                format!("<a href=\"/problems/{code}\"><code>{code}</code></a>"),
                escape(code.title()),
            ]
        })
        .collect();
    table(&["status", "code", "meaning"], &rows)
}
