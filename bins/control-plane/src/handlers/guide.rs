//! `/cp/guide`: the partner guide as a page, with the commands for this server.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::HttpResponse;
use api::openapi::{Content, Operation, Success, Tag};
use pulldown_cmark::{
    Event, HeadingLevel, Options, Parser, Tag as Element, TagEnd, html::push_html,
};

use super::{openapi::EXAMPLE_URL, reference::Published};

/// The guide, as the repository has it.
const TEXT: &str = include_str!("../../../../docs/partner-guide.md");

pub const GUIDE: Operation = Operation::new(
    "getGuide",
    Tag::Reference,
    "Read the partner guide as a page",
    &[Success::new(200, "A page for people.", Content::PAGE)],
);

/// The page.
pub fn read(published: &Arc<Published>) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || ready(published.respond(published.guide.clone()))
}

/// The guide in HTML, for clients that reach the server under this URL, and its chapters: anchors and names.
pub fn html(public_url: &str) -> (String, Vec<(String, String)>) {
    let text = TEXT
        .replace(EXAMPLE_URL, public_url)
        .replace("[routes.md](routes.md)", "[the reference](/cp/docs)")
        .replace("[keyless.md](keyless.md)", "`docs/keyless.md`");
    let mut events: Vec<_> = Parser::new_ext(&text, Options::ENABLE_TABLES).collect();
    let chapters = name_headings(&mut events);
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    // What scrolls can be reached by the keyboard.
    (html.replace("<pre>", "<pre tabindex=\"0\">"), chapters)
}

/// Gives each heading the id by which the text links to it, and returns those of the second level.
fn name_headings(events: &mut [Event<'_>]) -> Vec<(String, String)> {
    let (mut name, mut chapters) = (String::new(), Vec::new());
    // Backwards, so that the text of a heading is known where it starts.
    for event in events.iter_mut().rev() {
        if let Event::End(TagEnd::Heading(_)) = event {
            name.clear();
        } else if let Event::Text(text) | Event::Code(text) = event {
            name.insert_str(0, text);
        } else if let Event::Start(Element::Heading { id, level, .. }) = event {
            *id = Some(anchor(&name).into());
            if *level == HeadingLevel::H2 {
                chapters.push((anchor(&name), name.clone()));
            }
        }
    }
    chapters.reverse();
    chapters
}

/// The anchor of a heading, as viewers of Markdown make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|char| match char {
        ' ' => Some('-'),
        char if char.is_alphanumeric() || "-_".contains(char) => Some(char.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use api::ErrorCode;
    use keys::{KeyKind, PlainKey};

    use super::*;

    #[test]
    fn the_table_of_errors_has_every_code() {
        for code in ErrorCode::ALL {
            let row = format!("| {} | `{code}` | ", code.status());
            assert!(TEXT.contains(&row), "{row}");
        }
    }

    /// The guide's own code checks it too, where the commands of the documents are run.
    #[test]
    fn the_key_in_the_text_has_the_checksum_that_the_text_tells_of() {
        let mut parts = TEXT.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let key = parts.find(|part| part.starts_with("mol_pk_") && part.len() == 57);
        let key = PlainKey::parse(key.unwrap()).unwrap();
        assert_eq!(key.kind(), KeyKind::Partner);
    }

    #[test]
    fn links_lead_somewhere() {
        let (html, chapters) = html("https://cp.example.com");
        assert!(chapters.len() > 4, "{chapters:?}");
        assert!(html.contains("export CP=https://cp.example.com"), "{html}");
        for link in html.split("href=\"").skip(1) {
            let target = link.split('"').next().unwrap();
            let known = match target.strip_prefix('#') {
                Some(anchor) => html.contains(&format!(" id=\"{anchor}\"")),
                None => target == "/cp/docs" || target.starts_with("https://"),
            };
            assert!(known, "{target}");
        }
    }
}
