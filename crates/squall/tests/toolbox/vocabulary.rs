//! One vocabulary (CONTRIBUTING, "Vocabulary"), where a signature shows whether it is kept. Read from the sources.

use std::collections::BTreeSet;

use crate::sources::{self, blank_comments_and_strings, words};

/// Libraries that are behind squall, and whose major versions must not become squall's.
const HIDDEN: [&str; 2] = ["rustls", "socket2"];

/// Where a program may bring what it made with them; it says why.
const DOOR: &str = "tls/own_config.rs";

/// Functions that panic without saying who called them wrongly, and why.
const UNTRACKED: [(&str, &str); 2] = [
    // On the hot path, and whose borrow it is would not be told.
    ("iostream/read.rs", "poll_fill"),
    // It waits, and the port is the test's own server's.
    ("testing/mod.rs", "raw"),
];

#[test]
fn the_vocabulary_is_kept() {
    let sources = sources::of_the_library();
    let mut problems = check(&sources);
    problems.extend(untracked(&sources));
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let problems = |path: &str, text: &str| check(&[(path.to_owned(), text.to_owned())]);
    for (text, line, name) in [
        ("use socket2::Socket;\n\npub fn new(socket: Socket) -> Self {}", 3, "Socket"),
        (
            "use socket2::{\n    Domain,\n    Socket as Raw,\n};\npub fn detach(&self) -> (Raw, Bytes);",
            5,
            "Raw",
        ),
        ("pub async fn f(a: &rustls::ClientConfig) {}", 1, "ClientConfig"),
        (
            "use rustls::pki_types::ServerName;\npub struct A {\n    pub name: Option<ServerName<'static>>,\n}",
            3,
            "ServerName",
        ),
        ("use rustls::A;\npub struct B(pub A);", 2, "A"),
        ("use rustls::A;\npub enum B {\n    C(A),\n}", 3, "A"),
        ("use rustls::A;\npub trait B {\n    fn c(&self) -> A;\n}", 3, "A"),
        ("use rustls::A;\npub struct B;\nimpl From<A> for B { fn from(a: A) -> B {} }", 3, "A"),
        ("use rustls::A;\npub struct B;\nimpl A for B {}", 3, "A"),
        ("pub type A = socket2::Type;", 1, "Type"),
        ("pub use rustls;", 1, "rustls"),
        ("pub use socket2::{Domain, Type};", 1, "Domain"),
    ] {
        let found = problems("a.rs", text);
        let expected = format!("a.rs:{line}: {name} of a hidden library in a public signature");
        assert_eq!(found.first(), Some(&expected), "{text}: {found:?}");
        assert_eq!(problems(DOOR, text), [""; 0], "{text}");
    }
    for text in [
        "use socket2::Socket;\npub(crate) fn new(socket: Socket) {}\nfn own(socket: Socket) {}",
        "use socket2::Socket;\npub fn f() { let socket: Socket = g(); }",
        "use rustls::A;\npub struct B {\n    inner: A,\n    pub c: u8,\n}",
        "use rustls::A;\nstruct B;\nimpl A for B { pub fn c() {} }",
        "/// `rustls::A`\npub fn f() -> &'static str { \"socket2::Socket\" }",
        "use tokio::net::Socket;\npub fn f(a: Socket) {}",
    ] {
        assert_eq!(problems("a.rs", text), [""; 0], "{text}");
    }

    let untracked = |text: &str| untracked(&[("a.rs".to_owned(), text.to_owned())]);
    let problem = ["a.rs:5: f documents a panic without #[track_caller]"];
    assert_eq!(untracked("/// F.\n///\n/// # Panics\n/// On 0.\npub fn f(a: u8) {}"), problem);
    assert_eq!(untracked("/// F.\n\n/// # Panics\n#[must_use]\n    pub async fn f(a: u8) {}"), problem);
    assert_eq!(untracked("/// # Panics\n/// On 0.\n#[track_caller]\npub const fn f(a: u8) {}"), [""; 0]);
    assert_eq!(untracked("/// # Panics\n/// On 0.\nfn f(a: u8) {}\npub fn g() {}"), [""; 0]);

    let builder = ["a.rs:1: with_b: a builder's method has the bare name"];
    assert_eq!(problems("a.rs", "pub fn with_b(mut self, b: u8) -> Self {}"), builder);
    assert_eq!(problems("a.rs", "pub const fn with_b<T>(self, b: T) -> A<T> {}"), builder);
    assert_eq!(problems("a.rs", "pub fn with_b(b: u8) -> Self {} fn with_c(self) {}"), [""; 0]);
}

fn check(sources: &[(String, String)]) -> Vec<String> {
    let blank: Vec<_> = sources.iter().map(|(path, text)| (path, blank_comments_and_strings(text))).collect();
    let public: BTreeSet<&str> = blank.iter().flat_map(|(_, text)| public_types(text)).collect();
    let mut problems = Vec::new();
    for (path, text) in &blank {
        let line =
            |part: &str| text[..part.as_ptr() as usize - text.as_ptr() as usize].matches('\n').count() + 1;
        for signature in signatures(text) {
            if let Some(name) = builder(signature) {
                problems.push(format!(
                    "{path}:{}: {name}: a builder's method has the bare name",
                    line(signature)
                ));
            }
        }
        if **path == *DOOR {
            continue;
        }
        let imported = hidden_imports(text);
        let implemented =
            implementations(text).filter(|header| words(header).any(|(_, word)| public.contains(word)));
        for signature in signatures(text).chain(implemented) {
            for word in hidden_words(signature, &imported) {
                let what = "of a hidden library in a public signature";
                problems.push(format!("{path}:{}: {word} {what}", line(word)));
            }
        }
    }
    problems
}

/// Public functions that panic when they are called wrongly, and do not say where.
fn untracked(sources: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| !path.contains("__")) {
        let mut lines = text.lines().enumerate();
        while let Some((_, line)) = lines.next() {
            if line.trim_start() != "/// # Panics" {
                continue;
            }
            let mut tracked = false;
            let item = lines.by_ref().find(|(_, line)| {
                tracked |= line.trim_start().starts_with("#[track_caller]");
                !line.trim_start().starts_with(['/', '#'])
            });
            let Some((at, item)) = item else { break };
            let item = item.trim_start();
            let Some((_, name)) = words(item).skip_while(|(_, word)| *word != "fn").nth(1) else { continue };
            if item.starts_with("pub ")
                && name != "__fuzz"
                && !tracked
                && !UNTRACKED.contains(&(path.as_str(), name))
            {
                problems.push(format!("{path}:{}: {name} documents a panic without #[track_caller]", at + 1));
            }
        }
    }
    problems
}

/// Everything behind a bare `pub`, as far as others see it.
fn signatures(text: &str) -> impl Iterator<Item = &str> {
    words(text).filter(|(_, word)| *word == "pub").filter_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        let kind =
            words(rest).map(|(_, word)| word).find(|word| !["async", "const", "unsafe"].contains(word))?;
        Some(match kind {
            _ if rest.starts_with('(') => return None,
            // What is in it is as public.
            "enum" | "trait" => &rest[..braces(rest)],
            "use" | "type" | "static" => until(rest, &[";"]),
            "fn" | "struct" | "mod" => until(rest, &["{", ";"]),
            // A field, or a constant.
            _ => until(rest, &[",\n", "\n}", ";"]),
        })
    })
}

fn until<'t>(text: &'t str, ends: &[&str]) -> &'t str {
    let end = ends.iter().filter_map(|end| text.find(end)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Where the first block of the text ends.
fn braces(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// `impl<..> A for B where ..` of every implementation of a trait.
fn implementations(text: &str) -> impl Iterator<Item = &str> {
    words(text)
        .filter(|(at, word)| *word == "impl" && (*at == 0 || text[..*at].ends_with('\n')))
        .map(|(at, _)| until(&text[at..], &["{"]))
        .filter(|header| words(header).any(|(_, word)| word == "for"))
}

/// The types that are declared with a bare `pub`.
fn public_types(text: &str) -> impl Iterator<Item = &str> {
    words(text).filter(|(_, word)| ["struct", "enum", "trait"].contains(word)).filter_map(|(at, word)| {
        let is_public = text[..at].trim_end().ends_with("pub");
        words(&text[at + word.len()..]).map(|(_, name)| name).next().filter(|_| is_public)
    })
}

/// What `use` of a hidden library brings into this file.
fn hidden_imports(text: &str) -> BTreeSet<&str> {
    words(text)
        .filter(|(_, word)| *word == "use")
        .map(|(at, word)| until(text[at + word.len()..].trim_start(), &[";"]))
        .filter(|path| words(path).next().is_some_and(|(_, first)| HIDDEN.contains(&first)))
        .flat_map(|path| {
            words(path).map(|(_, word)| word).filter(|word| word.starts_with(char::is_uppercase))
        })
        .collect()
}

/// The words of a signature that are a hidden library's.
fn hidden_words<'t>(signature: &'t str, imported: &BTreeSet<&str>) -> Vec<&'t str> {
    let mut path_is_hidden = false;
    let mut found = Vec::new();
    for (at, word) in words(signature) {
        let goes_on = signature[..at].trim_end_matches([' ', '\n', '{']).ends_with("::");
        path_is_hidden = if goes_on { path_is_hidden } else { HIDDEN.contains(&word) };
        let is_last = !signature[at + word.len()..].starts_with("::");
        if is_last && (path_is_hidden || imported.contains(word)) {
            found.push(word);
        }
    }
    found
}

/// The name of a method that takes itself and is called `with_…`.
fn builder(signature: &str) -> Option<&str> {
    let (_, name) = words(signature).skip_while(|(_, word)| *word != "fn").nth(1)?;
    let arguments = signature.split_once('(')?.1.trim_start();
    let arguments = arguments.strip_prefix("mut ").unwrap_or(arguments);
    let takes_self = arguments.strip_prefix("self").is_some_and(|rest| rest.starts_with([',', ')', ':']));
    (takes_self && name.starts_with("with_")).then_some(name)
}
