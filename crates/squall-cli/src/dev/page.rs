//! What the browser is shown in the program's stead, and the script in its pages.

use squall::escape::xhtml_escape;

use super::board::Trouble;

/// Under which all that is ours is found.
pub(super) const PREFIX: &str = "/__squall__";

/// Loads the page anew when another version is out.
pub(super) const SCRIPT: &str = include_str!("reload.js");

/// The element that does so for a page of this version.
pub(super) fn script(version: u64) -> String {
    format!("<script src=\"{PREFIX}/reload.js?v={version}\"></script>\n")
}

/// A page that tells what is wrong until it is mended.
pub(super) fn trouble(trouble: &Trouble, version: u64) -> String {
    let title = xhtml_escape(&trouble.title);
    let text = xhtml_escape(&trouble.text);
    let script = script(version);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>\n\
         body {{ margin: 0; padding: 1.5em; background: #1b1d23; color: #e6e6e6; font: 15px/1.5 sans-serif }}\n\
         h1 {{ color: #ff7b72; font-size: 1.3em }}\n\
         pre {{ font: 13px/1.5 monospace; white-space: pre-wrap; overflow-wrap: anywhere }}\n\
         </style></head>\n<body><h1>{title}</h1>\n<pre id=\"squall-trouble\">{text}</pre>\n\
         <p>This page goes away by itself once it is mended.</p>\n{script}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compiler_says_is_text() {
        let told =
            Trouble { title: "a < b".to_owned(), text: "expected `Vec<u8>`, </pre><script>".to_owned() };
        let page = trouble(&told, 7);
        assert!(page.contains("<h1>a &lt; b</h1>"), "{page}");
        assert!(page.contains("expected `Vec&lt;u8&gt;`, &lt;/pre&gt;&lt;script&gt;"), "{page}");
        assert!(page.contains("src=\"/__squall__/reload.js?v=7\""), "{page}");
    }
}
