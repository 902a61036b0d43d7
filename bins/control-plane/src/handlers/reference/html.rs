//! Pages: text made safe, put into a frame that stands alone and lets nothing else in.

use std::fmt::{Display, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The style of all pages, which is part of each.
const STYLE: &str = include_str!("../../../assets/reference.css");

/// A page without its frame.
pub struct Page {
    /// Its title, not yet escaped.
    pub title: String,
    /// Its body, in HTML.
    pub body: String,
}

impl Page {
    /// The whole page.
    pub fn html(&self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            escape(&self.title),
            self.body
        )
    }
}

/// What a page may load: nothing but its own style, which its digest names.
pub fn content_security_policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Text as it may stand between tags and in attributes.
pub fn escape(text: impl Display) -> String {
    let mut escaped = String::new();
    for c in text.to_string().chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text in a block of its own, as it is.
pub fn code_block(text: &str) -> String {
    format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(text))
}

/// A sentence in which backticks mark code.
pub fn phrase(text: &str) -> String {
    let mut html = String::new();
    for (n, part) in text.split('`').enumerate() {
        // Writing to a string does not fail.
        let _ = if n % 2 == 1 {
            write!(html, "<code>{}</code>", escape(part))
        } else {
            write!(html, "{}", escape(part))
        };
    }
    html
}

/// Paragraphs and plain lists, as the descriptions of the document have them.
pub fn prose(text: &str) -> String {
    let mut html = String::new();
    for block in text.split("\n\n") {
        let items: Vec<_> = block
            .lines()
            .filter_map(|line| line.strip_prefix("- "))
            .collect();
        if items.is_empty() {
            html += &format!("<p>{}</p>\n", phrase(block));
        } else {
            html += "<ul>\n";
            for item in items {
                html += &format!("<li>{}</li>\n", phrase(item));
            }
            html += "</ul>\n";
        }
    }
    html
}

/// A table; cells are HTML already.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = head
        .iter()
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .collect();
    let mut html = format!("<div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>\n");
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        html += &format!("<tr>{cells}</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_text_becomes_markup() {
        assert_eq!(
            escape("<a href='x' title=\"y\">&"),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;"
        );
        assert_eq!(phrase("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(
            prose("one\n\n- `a`\n- b\n\ntwo"),
            "<p>one</p>\n<ul>\n<li><code>a</code></li>\n<li>b</li>\n</ul>\n<p>two</p>\n"
        );
    }

    #[test]
    fn the_policy_names_the_style_that_pages_have() {
        let page = Page {
            title: String::new(),
            body: String::new(),
        };
        let html = page.html();
        let style = html.split("<style>").nth(1).unwrap();
        let style = style.split("</style>").next().unwrap();
        let digest = STANDARD.encode(Sha256::digest(style));
        assert!(content_security_policy().contains(&format!("'sha256-{digest}'")));
    }
}
