//! `/cp/docs`: the description of the API as one page that needs nothing else.
//!
//! It is rendered from the OpenAPI document, and so are the pages of errors.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    ops::Deref,
    sync::{Arc, LazyLock},
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
    openapi::{Content, Described, Operation, Success, Tag, problem_example},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use minijinja::{Environment, UndefinedBehavior, context, value::Serde};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{guide, openapi};

/// The style of all pages, which is part of each.
const STYLE: &str = include_str!("../../assets/pages/style.css");
/// Whatever is put into them is escaped, as their names end in `.html`.
const TEMPLATES: [(&str, &str); 7] = [
    ("head.html", include_str!("../../assets/pages/head.html")),
    ("top.html", include_str!("../../assets/pages/top.html")),
    (
        "errors.html",
        include_str!("../../assets/pages/errors.html"),
    ),
    (
        "reference.html",
        include_str!("../../assets/pages/reference.html"),
    ),
    (
        "problem.html",
        include_str!("../../assets/pages/problem.html"),
    ),
    ("front.html", include_str!("../../assets/pages/front.html")),
    ("guide.html", include_str!("../../assets/pages/guide.html")),
];
/// The methods of a path, in the order in which they are read.
const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];

/// Everything that describes the API, rendered when it is first asked for: few servers are asked for it, and it
/// took nearly half of the processor time of a start.
pub struct Published(LazyLock<Pages, Box<dyn FnOnce() -> Pages + Send>>);

impl Published {
    /// Describes these operations, as clients reach them under a URL.
    pub fn new(calls: Vec<Described>, public_url: String) -> Self {
        let render = move || {
            Pages::render(&calls, &public_url).unwrap_or_else(|error| {
                // Tests render all of them.
                tracing::error!("the pages can't be rendered: {error:#}");
                Pages::default()
            })
        };
        Self(LazyLock::new(Box::new(render)))
    }
}

impl Deref for Published {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        &self.0
    }
}

/// What describes the API, ready to go out.
#[derive(Default)]
pub struct Pages {
    /// The OpenAPI document.
    pub document: Bytes,
    reference: Bytes,
    front: Bytes,
    pub(super) guide: Bytes,
    problems: HashMap<ErrorCode, Bytes>,
    policy: String,
}

impl Pages {
    fn render(calls: &[Described], public_url: &str) -> anyhow::Result<Self> {
        let document = openapi::text(calls, public_url)?;
        let api: Value = serde_json::from_str(&document)?;
        let errors: Vec<Value> = ErrorCode::ALL
            .iter()
            .map(|&code| error(code, public_url))
            .collect();
        let mut pages = Environment::new();
        pages.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        for (name, text) in TEMPLATES {
            pages.add_template(name, text)?;
        }
        let reference = pages.get_template("reference.html")?.render(context! {
            style => STYLE,
            api => Serde(&api),
            errors => Serde(&errors),
            methods => Serde(METHODS),
        })?;
        let front = pages.get_template("front.html")?.render(context! {
            style => STYLE, api => Serde(&api),
        })?;
        let (guide, contents) = guide::html(public_url);
        let guide = pages
            .get_template("guide.html")?
            .render(context! { style => STYLE, guide, contents })?;
        let problem = pages.get_template("problem.html")?;
        let problems = ErrorCode::ALL.iter().zip(&errors).map(|(&code, error)| {
            let page = problem.render(context! {
                style => STYLE, error => Serde(error), errors => Serde(&errors),
            })?;
            Ok((code, page.into()))
        });
        Ok(Self {
            problems: problems.collect::<Result<_, minijinja::Error>>()?,
            reference: reference.into(),
            front: front.into(),
            guide: guide.into(),
            document: document.into(),
            policy: content_security_policy(),
        })
    }

    /// The page of an error.
    pub fn problem(&self, code: ErrorCode) -> Bytes {
        self.problems.get(&code).cloned().unwrap_or_default()
    }

    /// A response with a page.
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

/// An error as its page shows it.
fn error(code: ErrorCode, public_url: &str) -> Value {
    let help = code.help();
    json!({
        "code": code.as_str(),
        "status": code.status(),
        "title": code.title(),
        "meaning": help.meaning,
        "remedy": help.remedy,
        "example": problem_example(public_url, code),
    })
}

/// What a page may load: nothing but its own style, which its digest names.
fn content_security_policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

pub const REFERENCE: Operation = Operation::new(
    "getReference",
    Tag::Reference,
    "Read this description as a page",
    &[Success::new(200, "A page for people.", Content::PAGE)],
);

/// The page.
pub fn read(published: &Arc<Published>) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || ready(published.respond(published.reference.clone()))
}

/// The page at `/`, for browsers.
pub fn front(published: &Arc<Published>) -> impl Fn() -> HttpResponse + Clone + 'static {
    let published = Arc::clone(published);
    move || published.respond(published.front.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes;

    const URL: &str = "https://cp.example.com";

    fn published() -> Pages {
        Pages::render(&routes::described(), URL).unwrap()
    }

    fn text(page: &Bytes) -> &str {
        std::str::from_utf8(page).unwrap()
    }

    #[test]
    fn the_reference_has_a_section_for_every_operation_and_no_dead_link() {
        let published = published();
        let html = text(&published.reference);
        let ids: Vec<_> = html
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let distinct: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "an id stands twice");
        for call in routes::described() {
            assert!(
                distinct.contains(call.operation.id),
                "{}",
                call.operation.id
            );
        }
        for link in html.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(distinct.contains(target), "#{target}");
        }
    }

    #[test]
    fn the_reference_shows_parameters_bodies_and_commands() {
        let published = published();
        let html = text(&published.reference).replace("&#x2f;", "/");
        for part in [
            "<span class=\"soft\">string, <code>^[a-z](-?[a-z0-9])+$</code>, 3 to 32 characters</span> \
             <strong>required</strong>",
            "<span class=\"soft\">integer, 1 to 100, default <code>20</code></span>",
            "<a href=\"#header-Idempotency-Replayed\"><code>Idempotency-Replayed</code></a>",
            "curl -X DELETE &#x27;https://cp.example.com/cp/orgs?label=run_id:123&#x27; \\\n",
            "<a href=\"/problems/slug-taken\"><code>slug-taken</code></a>",
            "<a href=\"#schema-NewOrg\">NewOrg</a>",
            "\"slug\": \"acme-corp\"",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }

    #[test]
    fn pages_load_nothing_but_their_style() {
        let published = published();
        assert_eq!(published.problems.len(), ErrorCode::ALL.len());
        let others = [&published.reference, &published.front, &published.guide];
        for page in published.problems.values().chain(others) {
            let (head, body) = text(page).split_once("</style>").unwrap();
            let (_, style) = head.split_once("<style>").unwrap();
            let digest = STANDARD.encode(Sha256::digest(style));
            assert!(published.policy.contains(&format!("'sha256-{digest}'")));
            for markup in [
                "<script", "<link", "<img", "<iframe", " src=", " style=", " on",
            ] {
                let mut tags = body.split('<').filter_map(|part| part.split('>').next());
                assert!(
                    !tags.any(|tag| format!("<{tag}").contains(markup)),
                    "{markup}"
                );
            }
        }
    }

    #[test]
    fn every_error_has_a_page_that_explains_it() {
        let published = published();
        for &code in ErrorCode::ALL {
            let html = text(&published.problems[&code]);
            assert!(html.contains(&format!("<code>{code}</code>")), "{code}");
            assert!(html.contains(&format!("{URL}/problems/{code}")), "{code}");
        }
    }
}
