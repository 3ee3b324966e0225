//! `squall::escape` against what Tornado computes (corpus/escape.json), and properties of it.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use squall::escape::{
    Linkify, json_decode, json_encode, linkify, squeeze, url_escape, url_escape_path, url_unescape,
    url_unescape_bytes, url_unescape_path, url_unescape_path_bytes, xhtml_escape, xhtml_unescape,
};
use squall::httputil::parse_qs;

#[test]
fn the_corpus_holds() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../corpus/escape.json")).unwrap();
    assert!(rows.len() > 900, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let out = compute(row["call"].as_str().unwrap(), &row["in"], &row["options"]);
            (out != row["out"]).then(|| format!("{row}\n    but: {out}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn compute(call: &str, input: &Value, options: &Value) -> Value {
    if call == "json_encode" {
        return json_encode(input).unwrap().into();
    }
    let text = input.as_str().unwrap();
    match call {
        "xhtml_escape" => xhtml_escape(text).into(),
        "xhtml_unescape" => xhtml_unescape(text).into(),
        "url_escape" => url_escape(text).into(),
        "url_escape_latin1" => url_escape(&to_latin1(text)).into(),
        "url_escape_path" => url_escape_path(text).into(),
        "url_unescape" => url_unescape(text).into(),
        "url_unescape_path" => url_unescape_path(text).into(),
        "url_unescape_bytes" => from_latin1(&url_unescape_bytes(text)).into(),
        "url_unescape_path_bytes" => from_latin1(&url_unescape_path_bytes(&to_latin1(text))).into(),
        "json_decode" => json_decode(text).unwrap(),
        "squeeze" => squeeze(text).into(),
        "linkify" => linkify_with(options).apply(text).into(),
        "parse_qs" => parsed(text),
        "parse_qs_limited" => {
            let limit = options["max_num_fields"].as_u64().unwrap() as usize;
            parse_qs(text.as_bytes(), limit).map(|arguments| arguments.len()).into()
        }
        other => panic!("unknown call {other}"),
    }
}

fn linkify_with(options: &Value) -> Linkify<'_> {
    let mut linkify = Linkify::new();
    for (name, value) in options.as_object().into_iter().flatten() {
        linkify = match name.as_str() {
            "shorten" => linkify.shorten(value.as_bool().unwrap()),
            "require_protocol" => linkify.require_protocol(value.as_bool().unwrap()),
            "extra_params" => linkify.extra_params(value.as_str().unwrap()),
            "permitted_protocols" => {
                let protocols = value.as_array().unwrap().iter().map(|protocol| protocol.as_str().unwrap());
                linkify.permitted_protocols(protocols)
            }
            "extra_params_by_prefix" => {
                let part = |name: &str| value[name].as_str().unwrap();
                linkify.extra_params_with(move |href| {
                    let chosen = if href.starts_with(part("prefix")) { "then" } else { "otherwise" };
                    part(chosen).to_owned()
                })
            }
            other => panic!("unknown option {other}"),
        };
    }
    linkify
}

/// Pairs grouped by name, as in Python's dict; names as Tornado reads them, in Latin-1.
fn parsed(text: &str) -> Value {
    let arguments = parse_qs(&to_latin1(text), usize::MAX).unwrap();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in arguments.iter() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let pairs = names.iter().flat_map(|name| arguments.values(name).map(move |value| (name, value)));
    pairs.map(|(name, value)| json!([name, from_latin1(value)])).collect()
}

fn to_latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// Tornado's test_memory_budget and test_unquote_memory_budget: no more than a fixed multiple of the input.
#[test]
fn memory_is_in_proportion_to_the_input() {
    let escaped = |call: fn(&str) -> Cow<'_, str>, unit: &str, limit: usize| {
        let input = unit.repeat(60_000);
        let output = call(&input).into_owned();
        assert!(output.capacity() <= limit * input.len(), "{unit}: {}", output.capacity());
    };
    escaped(xhtml_escape, "<", 12);
    escaped(xhtml_unescape, "&a;", 2);
    escaped(linkify, "www.a ", 16);
    escaped(url_escape, "é<", 8);
    escaped(url_unescape, "%41", 2);
    escaped(url_unescape, "%", 2);
    escaped(squeeze, "a\t", 2);
}

/// Inputs on which a careless scanner goes back again and again. A million characters take milliseconds when it does
/// not, and hours when it does.
#[test]
fn time_is_in_proportion_to_the_input() {
    let units = [
        "&",
        "&a",
        "&#",
        "&#x1",
        "(",
        "www.",
        "www.a(",
        "www.a.",
        "a:/",
        "a:/.",
        "a-",
        "-",
        "http://a(b",
        "http://a.(",
        "&amp;",
        "http://a&",
        ":/",
        ".",
        "www.a(www.b..",
        "/",
        "%",
        "%4",
        "<",
        " \t",
        "http:////",
    ];
    let deadline = Instant::now() + Duration::from_secs(120);
    for unit in units {
        let text = unit.repeat(1_000_000 / unit.len());
        linkify(&text);
        Linkify::new().shorten(true).permitted_protocols(["a", "http"]).apply(&text);
        xhtml_unescape(&text);
        url_unescape(&text);
        squeeze(&text);
        assert!(Instant::now() < deadline, "{unit}");
    }
}

/// Text in which everything that matters to these functions is frequent.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "&",
            "<",
            ">",
            "\"",
            "'",
            "&amp;",
            "&#x",
            "&#",
            "&quot;",
            ";",
            "http://",
            "www.",
            "a:/",
            "javascript:",
            "(",
            ")",
            "/",
            "%",
            "+",
            "%C3",
            " ",
            "\0",
            "</script>",
            "\u{a0}",
            "\u{85}",
            "{{",
            "@",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[a-z0-9]{1,12}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn html_goes_there_and_back(text in tricky()) {
        let escaped = xhtml_escape(&text);
        prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        prop_assert_eq!(xhtml_unescape(&escaped), &*text);
    }

    #[test]
    fn unescaping_anything_is_fine(text in tricky()) {
        xhtml_unescape(&text);
        url_unescape(&text);
        let squeezed = squeeze(&text);
        prop_assert_eq!(squeeze(&squeezed), &*squeezed);
    }

    #[test]
    fn urls_go_there_and_back(bytes: Vec<u8>, text in tricky()) {
        let (query, path) = (url_escape(&text), url_escape_path(&text));
        prop_assert_eq!(url_unescape(&*query), &*text);
        prop_assert_eq!(url_unescape_path(&*path), &*text);
        let (query, path) = (url_escape(&bytes), url_escape_path(&bytes));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%+/".contains(c);
        prop_assert!(query.chars().all(|c| plain(c) && c != '/'));
        prop_assert!(path.chars().all(|c| plain(c) && c != '+'));
        prop_assert_eq!(&*url_unescape_bytes(&*query), &*bytes);
        prop_assert_eq!(&*url_unescape_path_bytes(&*path), &*bytes);
    }

    #[test]
    fn json_goes_there_and_back_and_may_stand_in_a_script(text in tricky()) {
        let json = json_encode(&text).unwrap();
        prop_assert!(json.is_ascii() && !json.contains("</"));
        prop_assert_eq!(json_decode::<String, _>(&json).unwrap(), text);
    }

    /// Whatever is linked, nothing of the text becomes markup: without the tags that were put in, it is the escaped text.
    #[test]
    fn links_are_escaped(text in tricky(), require_protocol: bool) {
        let escaped = xhtml_escape(&text);
        let linked = Linkify::new().require_protocol(require_protocol).apply(&text).into_owned();
        let mut shown = String::new();
        let mut rest = &*linked;
        while let Some((before, link)) = rest.split_once("<a href=\"") {
            let (href, after) = link.split_once("\">").unwrap();
            let (inner, after) = after.split_once("</a>").unwrap();
            prop_assert!(href == inner || href == format!("http://{inner}"), "{}", linked);
            prop_assert!(href.starts_with("http://") || href.starts_with("https:/") || href.starts_with("http:/"), "{}", href);
            prop_assert!(!href.contains(char::is_whitespace));
            shown.push_str(before);
            shown.push_str(inner);
            rest = after;
        }
        shown.push_str(rest);
        prop_assert_eq!(&shown, &*escaped);
        prop_assert!(!shown.contains(['<', '>', '"', '\'']));
    }

    #[test]
    fn short_links_are_no_longer_and_escaped(text in tricky()) {
        let links = Linkify::new().shorten(true).permitted_protocols(["http", "a", "javascript"]);
        let linked = links.apply(&text).into_owned();
        let tags = linked.matches("<a href=\"").count();
        prop_assert_eq!(linked.matches("</a>").count(), tags);
        prop_assert_eq!(linked.matches(['<', '>']).count(), 4 * tags);
        prop_assert_eq!(linked.matches('"').count(), 2 * tags + 2 * linked.matches(" title=\"").count());
    }
}
