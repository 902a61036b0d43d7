//! The pages for people, in a real browser.

use serde_json::{Value, json};
use testkit::browser::Browser;

use crate::kit::Store;

/// The least contrast of a text with what is behind it (WCAG 2.2: 4.5), and that text.
const CONTRAST: &str = r"(() => {
    const numbers = (color) => color.match(/[\d.]+/g).map(Number);
    const light = (color) => numbers(color).slice(0, 3)
        .map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
    let least = [21, ''];
    for (const element of document.querySelectorAll('body, body *')) {
        const text = [...element.childNodes].find((node) => node.nodeType === 3 && node.data.trim());
        if (!text) continue;
        let behind = element;
        while (behind && numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
        const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind ?? document.body).backgroundColor]
            .map(light).sort((a, b) => b - a);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < least[0]) least = [ratio, text.data.trim()];
    }
    return least;
})()";

/// Where the columns of the reference begin.
const COLUMNS: &str = "['.beside > nav', '.call > div', '.samples']
    .map((name) => Math.round(document.querySelector(name).getBoundingClientRect().left))";

#[test]
fn pages_fit_the_window_can_be_read_and_leave_the_console_empty() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let store = Store::sqlite();
    let server = store.start();
    for page in ["/", "/cp/docs", "/cp/guide", "/problems/slug-taken"] {
        for (width, is_dark) in [(390, false), (390, true), (1280, false), (1280, true)] {
            let case = format!("{page}, {width} pixels, dark: {is_dark}");
            let url = format!("http://{}{page}", server.address());
            let said = browser.open(&url, width, is_dark);
            assert!(said.is_empty(), "{case}: {said:#?}");
            let overflow =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.evaluate(overflow), 0, "{case}");
            assert_eq!(browser.evaluate("innerWidth"), width, "{case}");
            let contrast = browser.evaluate(CONTRAST);
            assert!(contrast[0].as_f64().unwrap() >= 4.5, "{case}: {contrast}");
            // What can be scrolled can be reached by the keyboard.
            let reached =
                "[...document.querySelectorAll('pre')].every((pre) => pre.tabIndex === 0)";
            assert_eq!(browser.evaluate(reached), true, "{case}");
            if page == "/cp/docs" {
                check_columns(&browser.evaluate(COLUMNS), width);
            }
        }
    }
}

#[track_caller]
fn check_columns(columns: &Value, width: u32) {
    if width < 600 {
        assert_eq!(columns, &json!([20, 20, 20]), "one column");
        return;
    }
    let columns: Vec<_> = columns
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_i64)
        .collect();
    assert!(columns.is_sorted_by(|a, b| a < b), "{columns:?}");
}
