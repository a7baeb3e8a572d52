//! The page: one file, and a policy that allows what is in it and nothing else.

use bytes::Bytes;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::answer::whole;
use crate::body::Answer;

const PAGE: &str = include_str!("page.html");
/// Where the title goes.
const TITLE: &str = "{{title}}";

/// The page as it is sent.
pub(crate) struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        let [style, script] = ["style", "script"].map(|tag| hash(inside(PAGE, tag)));
        let policy = format!(
            "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        // It consists of letters, digits and signs.
        let policy = HeaderValue::try_from(policy);
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { html: Bytes::from(PAGE.replace(TITLE, &escape(title))), policy }
    }

    pub(crate) fn answer(&self) -> Response<Answer> {
        let mut answer = whole(StatusCode::OK, "text/html; charset=utf-8", self.html.clone());
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        answer
    }
}

/// What stands in the only element with this tag.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let [open, close] = [format!("<{tag}>"), format!("</{tag}>")];
    let from = page.split_once(&open).map_or("", |(_, rest)| rest);
    from.split_once(&close).map_or("", |(inside, _)| inside)
}

/// How a policy names what may be there: its digest.
fn hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text)))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn escape(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => c.to_string(),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_policies_want_them() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(hash(""), empty);
    }

    /// The policy would not let anything else run, and the browser would say so to nobody.
    #[test]
    fn the_page_has_one_style_one_script_and_nothing_from_elsewhere() {
        assert_eq!((PAGE.matches("<style>").count(), PAGE.matches("<script>").count()), (1, 1));
        assert!(inside(PAGE, "script").len() > 1_000 && inside(PAGE, "style").len() > 500);
        assert!(!inside(PAGE, "script").contains(TITLE) && !inside(PAGE, "style").contains(TITLE));
        for word in ["http:", "https:", "//cdn", " src=", "@import", "url(", "innerHTML", " style="]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(PAGE.len() < 32 << 10, "{} bytes", PAGE.len());
    }

    #[test]
    fn a_title_is_text() {
        let page = Page::new("<b>&\"x\"");
        let html = String::from_utf8(page.html.to_vec()).unwrap();
        assert!(html.contains("&lt;b&gt;&amp;&quot;x&quot;") && !html.contains("{{"));
    }
}
