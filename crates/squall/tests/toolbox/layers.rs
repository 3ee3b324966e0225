//! The layers of ARCHITECTURE.md: a file may use what is in its own or a lower layer, never what is in a higher one; `unsafe`
//! stands in `sys/` only; the `h2` crate is the HTTP/2 client's alone; and no protocol code trims Unicode's white space. Read from the sources, comments and strings
//! aside.

use std::collections::BTreeSet;
use std::path::Path;

use crate::sources::{self, blank_comments_and_strings, words};

/// The layer of every room: a file is of the longest prefix of its path that stands here. Rooms that must not know each
/// other stand on different layers.
const LAYERS: &[(&str, Layer)] = &[
    // Foundation
    ("escape", "0"),
    ("locale", "0"),
    ("log", "0"),
    ("metrics", "0"),
    ("options", "0"),
    ("pool", "0"),
    ("stack_context", "0"),
    ("sys", "0"),
    // Loop
    ("concurrent", "1"),
    ("ioloop", "1"),
    ("locks", "1"),
    ("queues", "1"),
    // Transport, and what applications start themselves
    ("autoreload", "2"),
    ("iostream", "2"),
    ("netutil", "2"),
    ("process", "2"),
    ("sweep", "2"),
    ("tcpclient", "2"),
    ("tcpserver", "2"),
    ("tls", "2"),
    // Messages, neutral to the version of the protocol
    ("error", "3a"),
    ("httputil", "3a"),
    // HTTP/1
    ("http1", "3b"),
    ("http1connection", "3b"),
    // HTTP/2
    ("http2", "3c"),
    ("http2connection", "3c"),
    // WebSocket
    ("websocket/machine", "3d"),
    ("websocket/connection", "3d"),
    // Endpoints
    ("httpclient", "4"),
    ("httpserver", "4"),
    ("websocket/client", "4"),
    // Application
    ("auth", "5"),
    ("pubsub", "5"),
    ("routing", "5"),
    ("template", "5"),
    ("web", "5"),
    ("websocket", "5"),
    // Tooling, and the façade: what is named by its re-export at the root counts as highest
    ("__private", "6"),
    ("lib", "6"),
    ("testing", "6"),
];

/// Compared as text, which is their order.
type Layer = &'static str;

#[test]
fn no_arrow_points_up() {
    let sources = sources::of_the_library();
    let mut problems = check(LAYERS, &sources);
    for (name, _) in LAYERS {
        if !sources.iter().any(|(path, _)| starts_path(path.trim_end_matches(".rs"), name)) {
            problems
                .push(format!("tests/toolbox/layers.rs: {name} is in the table, but there is no such file"));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let table = &[
        ("low", "1"),
        ("high", "2"),
        ("split/pure", "1"),
        ("split/client", "2"),
        ("sys", "0"),
        ("lib", "3"),
    ];
    let problems = |path: &str, text: &str| {
        let (path, text) = (path.to_owned(), text.to_owned());
        check(table, &[(path, text)])
    };
    let up = |path, text, line, target: &str| {
        let expected = format!("{path}:{line}: layer 1 uses {target} of layer 2");
        assert_eq!(problems(path, text), [expected], "{text}");
    };
    up("low.rs", "use crate::high::X;", 1, "high");
    up("low/mod.rs", "\n\nfn f() { crate::high::f() }", 3, "high");
    up("low/inner.rs", "use crate::{low::a, high::{b, c}};", 1, "high");
    up("low/inner.rs", "use crate::{\n    low,\n    high as h,\n};", 3, "high");
    up("low.rs", "pub(crate) use squall::high;", 1, "high");
    up("low/inner.rs", "use super::super::high::X;", 1, "high");
    up("low/mod.rs", "use super::high;", 1, "high");
    up("split/pure.rs", "use super::client::X;", 1, "split/client");
    up("low.rs", r##"const A: &str = r#"" "#; use crate::high; // " "##, 1, "high");
    up("low.rs", r#"const A: char = '"'; use crate::high; const B: char = '"';"#, 1, "high");
    assert_eq!(problems("low.rs", "use crate::Facade;"), ["low.rs:1: layer 1 uses lib of layer 3"]);

    for (path, text) in [
        ("high.rs", "use crate::low::X; use crate::{high, split::client};"),
        (
            "low.rs",
            "//! [`X`](crate::high::X)\n/* crate::high /* */ crate::high */ const A: &str = \"crate::high \\\" \";",
        ),
        ("low.rs", "mod tests { use super::*; use super::item; }"),
        ("low.rs", "pub(in crate::high) fn f() {}"),
        ("split/client.rs", "use super::pure::X;"),
        ("sys/fork.rs", "unsafe { fork() }"),
        ("low.rs", "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";"),
    ] {
        assert_eq!(problems(path, text), [""; 0], "{text}");
    }

    assert_eq!(problems("new/mod.rs", ""), ["new/mod.rs: not in the table of tests/toolbox/layers.rs"]);
    let source = ("split/pure.rs".to_owned(), "pub(super) struct X;".to_owned());
    assert_eq!(check(&[("split/pure", "1"), ("split", "2"), ("lib", "3")], &[source]), [""; 0]);
    assert_eq!(problems("split/mod.rs", ""), ["split/mod.rs: not in the table of tests/toolbox/layers.rs"]);
    assert_eq!(problems("low.rs", "\nunsafe fn f() {}"), ["low.rs:2: unsafe outside of sys/"]);
    let h2 = ["low.rs:1: the h2 crate is used in http2connection/client only"];
    assert_eq!(problems("low.rs", "use h2::Reason; // h2::Error"), h2);
    assert_eq!(problems("low.rs", "let h2 = http2::h2; // h2::Error"), [""; 0]);
    let client = ("http2connection/client/a.rs".to_owned(), "use h2::Reason;".to_owned());
    assert_eq!(check(LAYERS, &[client]), [""; 0]);
    let unicode =
        |word: &str| [format!("low.rs:1: {word}: use httputil::ows, or escape::trim for people's text")];
    assert_eq!(problems("low.rs", "let a = b.trim();"), unicode("trim"));
    assert_eq!(problems("low.rs", "b.map(str::trim_start)"), unicode("trim_start"));
    assert_eq!(problems("low.rs", "b.map(<[u8]>::trim_ascii)"), unicode("trim_ascii"));
    assert_eq!(problems("low.rs", "b.split_whitespace()"), unicode("split_whitespace"));
    assert_eq!(problems("low.rs", "ows::trim(b); b.trim_matches(' '); fn trim() {}"), [""; 0]);
}

#[test]
fn rooms_that_must_not_know_each_other_do_not() {
    for (path, text, problem) in [
        ("httputil/a.rs", "use crate::http1connection::X;", "layer 3a uses http1connection of layer 3b"),
        ("httputil/a.rs", "use crate::http1::X;", "layer 3a uses http1 of layer 3b"),
        ("http1/a.rs", "use crate::websocket::machine::X;", "layer 3b uses websocket/machine of layer 3d"),
        ("websocket/machine/a.rs", "use crate::web::X;", "layer 3d uses web of layer 5"),
        ("websocket/connection/a.rs", "use super::super::handler::X;", "layer 3d uses websocket of layer 5"),
    ] {
        assert_eq!(check(LAYERS, &[(path.to_owned(), text.to_owned())]), [format!("{path}:1: {problem}")]);
    }
    for (name, _) in LAYERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
        assert!(folder.is_dir() || !name.contains('/'), "{name}: a file is of its folder's layer");
    }
}

/// Everything wrong with these sources (path below `src/`, text), as `file:line: problem`.
fn check(table: &[(&str, Layer)], sources: &[(String, String)]) -> Vec<String> {
    let mut problems = BTreeSet::new();
    for (path, text) in sources {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let Some((_, layer)) = find(table, module) else {
            problems.insert(format!("{path}: not in the table of tests/toolbox/layers.rs"));
            continue;
        };
        let text = blank_comments_and_strings(text);
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        for (at, _) in words(&text).filter(|(_, word)| *word == "unsafe") {
            if !starts_path(module, "sys") {
                problems.insert(format!("{path}:{}: unsafe outside of sys/", line(at)));
            }
        }
        let names_h2 =
            |(at, word): &(usize, &str)| *word == "h2" && text[at + word.len()..].starts_with("::");
        for (at, _) in words(&text).filter(names_h2) {
            if !starts_path(module, "http2connection/client") {
                let problem = "the h2 crate is used in http2connection/client only";
                problems.insert(format!("{path}:{}: {problem}", line(at)));
            }
        }
        for (at, word) in words(&text).filter(|(at, word)| trims_unicode(&text[..*at], word)) {
            if !PEOPLES_TEXT.iter().any(|room| starts_path(module, room)) {
                let instead = "use httputil::ows, or escape::trim for people's text";
                problems.insert(format!("{path}:{}: {word}: {instead}", line(at)));
            }
        }
        for (at, target) in used_modules(table, module, &text) {
            // What is no module is re-exported at the root.
            if let Some((name, other)) = find(table, &target).or(find(table, "lib"))
                && other > layer
            {
                problems.insert(format!("{path}:{}: layer {layer} uses {name} of layer {other}", line(at)));
            }
        }
    }
    problems.into_iter().collect()
}

/// Where text is for people, or by the application, rather than a peer's.
const PEOPLES_TEXT: &[&str] = &["escape", "locale", "log", "options", "tcpclient", "template", "testing"];

/// Whether this word, behind this text, is a function that takes more for white space than HTTP does.
fn trims_unicode(before: &str, word: &str) -> bool {
    match word {
        "trim" | "trim_start" | "trim_end" => before.ends_with('.') || before.ends_with("str::"),
        "trim_ascii" | "trim_ascii_start" | "trim_ascii_end" => true,
        "split_whitespace" | "split_ascii_whitespace" | "is_whitespace" | "is_ascii_whitespace" => true,
        _ => false,
    }
}

/// The entry with the longest prefix of `module`.
fn find<'t>(table: &[(&'t str, Layer)], module: &str) -> Option<(&'t str, Layer)> {
    table.iter().filter(|(name, _)| starts_path(module, name)).max_by_key(|(name, _)| name.len()).copied()
}

fn starts_path(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every path that starts at the crate's root or with `super`, as place in the text and path below `src/`.
fn used_modules(table: &[(&str, Layer)], module: &str, text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, word) in words(text) {
        let start = at + word.len();
        match word {
            // `pub(in crate::a)` uses nothing.
            "crate" if text[..at].ends_with("(in ") => {}
            "crate" | "squall" => read_paths(text, start, "", &mut used),
            "super" if !text[..at].ends_with("super::") => {
                let supers =
                    1 + text[start..].split("::").skip(1).take_while(|part| *part == "super").count();
                let base =
                    (0..supers).fold(module, |m, _| m.rsplit_once('/').map_or("", |(parent, _)| parent));
                let end = start + (supers - 1) * "::super".len();
                // `pub(super)` uses nothing.
                if !text[end..].starts_with("::") {
                    continue;
                }
                let mut paths = Vec::new();
                read_paths(text, end, base, &mut paths);
                // In an inline module `super::x` is an item of the file.
                paths.retain(|(_, path)| find(table, path).is_some());
                used.extend(paths);
            }
            _ => {}
        }
    }
    used
}

/// Reads `::a::B` or `::{a::B, c}` at `at`, as the paths `base/a/B` and `base/c`.
fn read_paths(text: &str, at: usize, base: &str, paths: &mut Vec<(usize, String)>) {
    let Some(rest) = text[at..].strip_prefix("::") else {
        if !base.is_empty() {
            paths.push((at, base.to_owned()));
        }
        return;
    };
    if !rest.starts_with('{') {
        return read_path(text, at + 2, base, paths);
    }
    let (mut depth, mut expected) = (0, true);
    for (i, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return,
            '}' => depth -= 1,
            ',' if depth == 1 => expected = true,
            _ if expected && depth == 1 && !c.is_whitespace() => {
                expected = false;
                read_path(text, at + 2 + i, base, paths);
            }
            _ => {}
        }
    }
}

/// Reads `a::B`, or `a::{..}`, at `at`.
fn read_path(text: &str, at: usize, base: &str, paths: &mut Vec<(usize, String)>) {
    let Some((_, name)) = words(&text[at..]).next().filter(|(i, name)| *i == 0 && *name != "self") else {
        return;
    };
    let path = if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") };
    let before = paths.len();
    read_paths(text, at + name.len(), &path, paths);
    if paths.len() == before {
        paths.push((at, path));
    }
}
