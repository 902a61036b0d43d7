//! The pages against the routes and the table of errors.

use std::collections::BTreeSet;

use super::*;
use crate::routes;

const URL: &str = "https://cp.example.com";

fn whole() -> Value {
    serde_json::from_str(&openapi::text(&routes::described(), URL).unwrap()).unwrap()
}

#[test]
fn the_document_has_every_route_and_nothing_else() {
    let whole = whole();
    let told: BTreeSet<_> = calls(&whole)
        .iter()
        .map(|call| (call.path.to_owned(), call.method.to_uppercase()))
        .collect();
    let routes: BTreeSet<_> = routes::described()
        .iter()
        .map(|call| (call.path.to_owned(), call.method.as_str().to_owned()))
        .collect();
    assert_eq!(told, routes);
    let ids: BTreeSet<_> = calls(&whole)
        .iter()
        .map(|call| call.id().to_owned())
        .collect();
    assert_eq!(ids.len(), routes.len());
}

#[test]
fn the_reference_has_a_section_for_every_call_and_no_dead_link() {
    let whole = whole();
    let html = page(&whole).html();
    let ids: Vec<_> = html
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let distinct: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len(), "an id stands twice");
    for call in calls(&whole) {
        assert!(distinct.contains(call.id()), "{}", call.id());
    }
    for link in html.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(distinct.contains(target), "#{target}");
    }
}

#[test]
fn pages_load_nothing() {
    let mut pages = vec![page(&whole()).html()];
    pages.extend(
        ErrorCode::ALL
            .iter()
            .map(|&code| problems::page(code, URL).html()),
    );
    for page in pages {
        for markup in [
            "<script", "<link", "<img", "<iframe", " src=", " style=", " on",
        ] {
            let found = page
                .split("</style>")
                .nth(1)
                .unwrap()
                .split('<')
                .filter_map(|part| part.split('>').next())
                .any(|tag| format!("<{tag}").contains(markup));
            assert!(!found, "{markup}");
        }
    }
}

#[test]
fn every_error_has_a_page_that_explains_it() {
    let published = Published::new(&routes::described(), URL).unwrap();
    for &code in ErrorCode::ALL {
        let html = String::from_utf8(published.problem(code).to_vec()).unwrap();
        assert!(html.contains(&escape(code.help().meaning)), "{code}");
        assert!(html.contains(&format!("{URL}/problems/{code}")), "{code}");
    }
}
