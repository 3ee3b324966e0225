//! Path patterns and the table that matches them together.

use std::fmt::Display;
use std::hint::black_box;
use std::time::Instant;

use proptest::prelude::*;
use squall::routing::{PathPattern, PathTable, PatternErrorKind, ReverseError};

fn pattern(text: &str) -> PathPattern {
    PathPattern::new(text).unwrap_or_else(|error| panic!("{error}"))
}

fn table(patterns: &[&str]) -> PathTable {
    PathTable::new(patterns.iter().map(|text| pattern(text)).collect())
}

/// The decoded groups of a match.
fn values(text: &str, path: &str) -> Option<Vec<Option<String>>> {
    let pattern = pattern(text);
    let args = pattern.captures(path)?;
    assert!(pattern.is_match(path));
    assert_eq!(args.len(), pattern.group_count());
    Some(args.decode(path).unwrap().iter().map(|value| value.map(str::to_owned)).collect())
}

#[allow(clippy::unnecessary_wraps, reason = "compared with what is one")]
fn some(values: &[&str]) -> Option<Vec<Option<String>>> {
    Some(values.iter().map(|value| Some((*value).to_owned())).collect())
}

fn kind(text: &str) -> PatternErrorKind {
    PathPattern::new(text).expect_err(text).kind().clone()
}

#[test]
fn a_regex_has_to_match_the_whole_path() {
    for text in ["/a([0-9]+)", "/a([0-9]+)$", "^/a([0-9]+)$"] {
        assert_eq!(values(text, "/a12"), some(&["12"]), "{text}");
        for path in ["/a12x", "x/a12", "/a", "/a12/", "/a12\n", ""] {
            assert_eq!(values(text, path), None, "{text} on {path:?}");
        }
    }
    // Tornado's `$` would bind to the second branch only.
    assert!(pattern("/a|/b").is_match("/a"));
    assert!(!pattern("/a|/b").is_match("/ax"));
    // Tornado takes an escaped `$` for the end.
    assert!(pattern(r"/cost\$").is_match("/cost$"));
    assert!(!pattern(r"/cost\$").is_match("/cost$x"));
}

#[test]
fn the_source_shows_the_implied_end() {
    for (text, source) in [
        ("/a", "/a$"),
        ("/a$", "/a$"),
        ("^/a$", "^/a$"),
        (r"/a\$", r"/a\$$"),
        ("/a|/b", "(?:/a|/b)$"),
        ("/v1.0/{id}", r"/v1\.0/(?P<id>[^/]+)$"),
        ("/f/{rest:*}", "/f/(?P<rest>.*)$"),
    ] {
        let pattern = pattern(text);
        assert_eq!(pattern.regex_source(), source);
        assert_eq!(pattern.as_str(), text);
        assert_eq!(pattern.to_string(), text);
        // It is itself a pattern that means the same.
        assert_eq!(PathPattern::new(source).unwrap().regex_source(), source);
    }
}

#[test]
fn a_template_matches_segments_and_tails() {
    assert_eq!(values("/stories/{id}", "/stories/7"), some(&["7"]));
    assert_eq!(values("/stories/{id}", "/stories/"), None);
    assert_eq!(values("/stories/{id}", "/stories/7/8"), None);
    assert_eq!(values("/{a}-{b_2}.png", "/x-y.png"), some(&["x", "y"]));
    assert_eq!(values("/files/{rest:*}", "/files/a/b"), some(&["a/b"]));
    assert_eq!(values("/files/{rest:*}", "/files/"), some(&[""]));
    let named = pattern("/{user}/{repo}");
    assert_eq!(named.group_names(), [Some(Box::from("user")), Some(Box::from("repo"))]);
}

#[test]
fn the_text_of_a_template_is_literal() {
    assert_eq!(values("/v1.0/{id}", "/v1.0/7"), some(&["7"]));
    assert_eq!(values("/v1.0/{id}", "/v1x0/7"), None);
    assert_eq!(values("/c++/{id}", "/c++/7"), some(&["7"]));
    assert_eq!(values("/c++/{id}", "/ccc/7"), None);
}

#[test]
fn repetitions_and_escapes_are_not_placeholders() {
    assert!(pattern("/x{2,3}").is_match("/xxx"));
    assert!(pattern(r"/[0-9]{4}").is_match("/2024"));
    assert!(pattern(r"/\x{41}").is_match("/A"));
    assert_eq!(values(r"/([a-z]{2})", "/ab"), some(&["ab"]));
}

#[test]
fn what_could_never_match_is_refused() {
    let not_literal = |text: &str| PatternErrorKind::NotLiteral(text.to_owned());
    assert_eq!(kind("/{id}/?"), not_literal("?"));
    assert_eq!(kind("/[0-9]+/{id}"), not_literal("["));
    assert_eq!(kind("/{id}|/x"), not_literal("|"));
    assert_eq!(kind("/{id}/.*"), not_literal(".*"));
    assert_eq!(kind("/{id}$"), not_literal("$"));
    assert_eq!(kind("/([0-9]+)/{id}"), PatternErrorKind::PlaceholderInRegex("{id}".to_owned()));
    assert_eq!(kind(r"/\d+/{rest:*}"), PatternErrorKind::PlaceholderInRegex("{rest:*}".to_owned()));
    let PatternErrorKind::Syntax(message) = kind("/(a") else { panic!("a syntax error") };
    assert!(message.contains("unclosed group"), "{message}");
    let PatternErrorKind::Syntax(message) = kind("/{id}/{id}") else { panic!("a syntax error") };
    assert!(message.contains("duplicate capture group name"), "{message}");
    assert!(matches!(kind("/{}"), PatternErrorKind::Syntax(_)));
    assert_eq!(kind(r"/(?u:\w{1000}){50}"), PatternErrorKind::TooLarge);
}

#[test]
fn groups_are_all_named_or_all_positional() {
    assert_eq!(kind("/(?P<a>x)/(y)"), PatternErrorKind::MixedGroups);
    assert_eq!(
        PathPattern::new("/(?P<a>x)/(y)").unwrap_err().to_string(),
        r#"groups in url regexes must either be all named or all positional: "/(?P<a>x)/(y)""#
    );
    assert_eq!(values("/(?P<a>x)/(?<b>y)(?:z)?", "/x/yz"), some(&["x", "y"]));
    assert_eq!(pattern("/(x)/(?:y)").group_names(), [None]);
    assert_eq!(values("/(?:x|y)/([0-9]+)", "/y/5"), some(&["5"]));
}

#[test]
fn values_are_percent_decoded() {
    for (raw, value) in [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Fb", "a/b"),
        ("%zz", "%zz"),
        ("%", "%"),
        ("%e2%82%AC", "€"),
        ("€", "€"),
        ("%25", "%"),
    ] {
        assert_eq!(values("/{x}", &format!("/{raw}")), some(&[value]), "{raw}");
        assert_eq!(values("/([^/]+)/(y)", &format!("/{raw}/y")), some(&[value, "y"]), "{raw}");
    }
}

#[test]
fn a_value_that_is_not_utf8_is_the_clients_fault() {
    let pattern = pattern("/([^/]+)/([^/]+)");
    for path in [&b"/a/%ff"[..], b"/a/\xff", b"/a/%c3x"] {
        let error = pattern.captures(path).unwrap().decode(path).unwrap_err();
        assert_eq!((error.index(), error.status()), (1, 400));
        assert_eq!(error.to_string(), "path argument 2 is not valid UTF-8");
    }
}

#[test]
fn a_group_that_took_no_part_has_no_value() {
    assert_eq!(values("/a(?:/([0-9]+))?", "/a"), Some(vec![None]));
    assert_eq!(values("/(x)?(y)?", "/y"), Some(vec![None, Some("y".to_owned())]));
    assert_eq!(values("/([0-9]*)", "/"), some(&[""]));
    let many = pattern("/(a)(b)(c)(d)(e)(f)(g)");
    let args = many.captures("/abcdefg").unwrap();
    assert_eq!(args.range(6), Some(7..8));
    assert_eq!(args.range(7), None);
    assert_eq!(args.decode("/abcdefg").unwrap().get(6), Some("g"));
}

#[test]
fn literals_are_recognised() {
    for (text, literal) in [
        ("/about", Some("/about")),
        ("^/about$", Some("/about")),
        (r"/index\.html", Some("/index.html")),
        ("/", Some("/")),
        ("", Some("")),
        ("$", Some("")),
        ("/index.html", None),
        ("/(about)", None),
        ("/a?", None),
        ("(?i)/a", None),
        ("/a|/b", None),
        ("/{x}", None),
    ] {
        assert_eq!(pattern(text).is_literal(), literal, "{text:?}");
        if let Some(literal) = literal {
            assert!(pattern(text).captures(literal).unwrap().is_empty());
            assert!(!pattern(text).is_match(format!("{literal}x")));
        }
    }
}

#[test]
fn patterns_are_reversed() {
    let reverse = |text: &str, arguments: &[&dyn Display]| pattern(text).reverse(arguments).unwrap();
    assert_eq!(reverse(r"/favicon\.ico", &[]), "/favicon.ico");
    assert_eq!(reverse(r"^/favicon.ico$", &[]), "/favicon.ico");
    assert_eq!(reverse(r"^/api/v1/foo/(\w+)$", &[&"bar"]), "/api/v1/foo/bar");
    assert_eq!(reverse(r"/api\.v1/foo/([0-9]+)/icon\.png", &[&5]), "/api.v1/foo/5/icon.png");
    assert_eq!(reverse("/{user}/{rest:*}", &[&"a b", &"x/y"]), "/a%20b/x/y");
    assert_eq!(reverse("/{user}/{rest:*}", &[&"a/b", &"x//y/"]), "/a%2Fb/x//y/");
    assert_eq!(reverse(r"/([\w/]+)/(\w+)", &[&"a/b", &"c/d"]), "/a/b/c%2Fd");
    assert_eq!(reverse("/((?:a|/)+)/(?P<x>b)?".replace("?P<x>", "").as_str(), &[&"a/a", &"b"]), "/a/a/b");
    // A path that begins with two slashes is another host's.
    assert_eq!(reverse("/(.*)", &[&"/evil.com"]), "/%2Fevil.com");
    assert_eq!(reverse("(.*)", &[&"//evil.com/x"]), "/%2Fevil.com/x");
    // Text is escaped like arguments, and what is escaped already stays.
    assert_eq!(reverse("/café/{id}", &[&1]), "/caf%C3%A9/1");
    assert_eq!(reverse(r"/a b/caf%C3%A9\?/\[x\]", &[]), "/a%20b/caf%C3%A9%3F/%5Bx%5D");
    assert_eq!(reverse("/(?P<a>.*)-(?P<b>.*)", &[&"é?", &"~._-+%"]), "/%C3%A9%3F-~._-%2B%25");
    assert_eq!(reverse("/100%/([^)(]+)", &[&1]), "/100%/1");
    assert_eq!(reverse("/a/?", &[]), "/a/");
    assert_eq!(reverse("/a/([0-9]+)?", &[&3]), "/a/3");
}

#[test]
fn what_cannot_be_reversed_says_so() {
    for text in [
        r"^/api/v\d+/foo/(\w+)$",
        "/((a)b)",
        "/(?:a|b)/(c)",
        "/a(?:/([0-9]+))?",
        "/a|/b",
        "/(a)*",
        "/.*",
        "/[ab]",
    ] {
        let error = pattern(text).reverse(&[&1]).unwrap_err();
        assert!(matches!(error, ReverseError::Irreversible { .. }), "{text}: {error:?}");
    }
    assert_eq!(pattern(r"/v\d").reverse(&[]).unwrap_err().to_string(), r"Cannot reverse url regex /v\d$");
    let error = pattern("/(a)/(b)").reverse(&[&1]).unwrap_err();
    assert_eq!(error, ReverseError::WrongCount { pattern: "/(a)/(b)".to_owned(), expected: 2, given: 1 });
    assert_eq!(error.to_string(), r#"required number of arguments not found: "/(a)/(b)" takes 2, not 1"#);
    assert!(pattern("/a").reverse(&[&1]).is_err());
}

#[test]
fn the_first_row_wins_whatever_its_kind() {
    let table = table(&["/a", "/{x}", "/b", "/a", "/(.*)", "/b", "/[ab]"]);
    for (path, rows) in
        [("/a", &[0, 1, 3, 4, 6][..]), ("/b", &[1, 2, 4, 5, 6]), ("/c", &[1, 4]), ("/c/d", &[4]), ("c", &[])]
    {
        let mut found = Vec::new();
        let mut next = table.first_match(path);
        while let Some(row) = next {
            found.push(row);
            next = table.match_from(path, row + 1);
        }
        assert_eq!(found, rows, "{path}");
        assert_eq!(table.match_from(path, 0), rows.first().copied());
        assert_eq!(table.match_from(path, usize::MAX), None);
    }
    let empty = PathTable::new(Vec::new());
    assert_eq!((empty.first_match("/"), empty.match_from("/", 1), empty.is_empty()), (None, None, true));
}

/// Fragments that overlap in every way that matters: greedy and lazy, longer and shorter, literal and not.
const FRAGMENTS: &[&str] = &[
    "/", "a", "b", "ab", "/a", "(a|ab)", "(ab|a)", "(?:a|b)*", "[ab]", ".*", ".*?", "(.+)", "(/.*)?", "a?",
    "([^/]+)", "$", "^", r"\.", ".", "(?i)A", "b{1,2}", "|", "([^/]*)", "([ab]+)", "(.*)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_table_agrees_with_the_patterns_one_by_one(
        rows in prop::collection::vec(prop::collection::vec(prop::sample::select(FRAGMENTS), 0..5), 0..12),
        paths in prop::collection::vec("[ab/.A]{0,6}", 1..12),
    ) {
        let patterns: Vec<PathPattern> = rows.iter().map(|parts| pattern(&parts.concat())).collect();
        let table = PathTable::new(patterns.clone());
        for path in &paths {
            let matching: Vec<usize> =
                (0..patterns.len()).filter(|&row| patterns[row].captures(path).is_some()).collect();
            prop_assert_eq!(table.first_match(path), matching.first().copied(), "{:?} on {}", patterns, path);
            for start in 0..=patterns.len() {
                let expected = matching.iter().copied().find(|&row| row >= start);
                prop_assert_eq!(
                    table.match_from(path, start), expected, "{:?} on {} from {}", patterns, path, start
                );
            }
        }
    }

    #[test]
    fn the_groups_are_those_that_the_regex_crate_finds(
        parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 1..7),
        paths in prop::collection::vec("[ab/.A\n]{0,8}", 1..12),
    ) {
        let pattern = pattern(&parts.concat());
        let reference = regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$")).unicode(false).build().unwrap();
        for path in &paths {
            let expected: Option<Vec<_>> = reference
                .captures(path.as_bytes())
                .map(|found| found.iter().skip(1).map(|group| group.map(|group| group.range())).collect());
            let found: Option<Vec<_>> = pattern
                .captures(path)
                .map(|args| (0..args.len()).map(|index| args.range(index)).collect());
            prop_assert_eq!(found, expected, "{} on {:?}", pattern, path);
            prop_assert_eq!(pattern.is_match(path), reference.is_match(path.as_bytes()));
        }
    }

    #[test]
    fn a_reversed_template_captures_its_argument(argument in "\\PC{1,12}") {
        let pattern = pattern("/x/{id}/y");
        let path = pattern.reverse(&[&argument]).unwrap();
        let values = pattern.captures(&path).expect("it matches its own pattern").decode(&path).unwrap();
        prop_assert_eq!(values.get(0), Some(argument.as_str()));
    }

    #[test]
    fn any_string_is_a_pattern_or_an_error(text in "[/a-c{}()*:?.|\\\\\\[\\]$^0-9,]{0,16}") {
        if let Err(error) = PathPattern::new(&text) {
            prop_assert!(error.to_string().contains("url "));
            prop_assert_eq!(error.pattern(), text);
        }
    }
}

/// `cargo test --release -p squall --test web routing_patterns:: -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn print_the_cost_of_a_match() {
    for routes in [10, 100, 1_000, 10_000] {
        let patterns: Vec<PathPattern> = (0..routes)
            .map(|i| match i % 5 {
                0 => pattern(&format!("/static{i:05}/page")),
                1 => pattern(&format!(r"/api/v1/resource{i:05}/([0-9]+)")),
                _ => pattern(&format!("/api/v1/resource{i:05}/{{id}}/items/{{item}}")),
            })
            .collect();
        let started = Instant::now();
        let table = PathTable::new(patterns);
        let built = started.elapsed();
        let row = routes - 3;
        let literal = format!("/static{:05}/page", routes - 5);
        let dynamic = format!("/api/v1/resource{row:05}/12345/items/67");
        let missing = format!("/api/v1/resource{row:05}/12345/nothing");
        assert_eq!(table.first_match(&dynamic), Some(row));
        let captures = || table.patterns()[row].captures(black_box(&dynamic)).unwrap();
        println!(
            "{routes:5} routes: literal {:.1} ns, dynamic {:.1} ns, none {:.1} ns, its captures {:.1} ns, \
             captures and values {:.1} ns, match_from {:.1} ns; built in {built:?}",
            nanoseconds(|| table.first_match(black_box(&literal))),
            nanoseconds(|| table.first_match(black_box(&dynamic))),
            nanoseconds(|| table.first_match(black_box(&missing))),
            nanoseconds(captures),
            nanoseconds(|| captures().decode(&dynamic)),
            nanoseconds(|| table.match_from(black_box(&dynamic), 2)),
        );
    }
}

/// The best of many runs, per call.
fn nanoseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    const ROUNDS: u32 = 20_000;
    let run = || {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(work());
        }
        started.elapsed()
    };
    let best = std::iter::repeat_with(run).take(100).min().unwrap();
    best.as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

#[test]
fn text_that_cannot_stand_in_a_path_matches_encoded() {
    for (text, path) in [
        ("/café", "/caf%C3%A9"),
        ("/café", "/caf%c3%A9"),
        ("/café", "/café"),
        ("/a b", "/a%20b"),
        (r"/what\?", "/what%3F"),
        ("/☃/{id}", "/%E2%98%83/7"),
        ("/(été|x)", "/%C3%A9t%C3%A9"),
        ("/(?:é)+", "/%C3%A9%C3%A9"),
    ] {
        assert!(pattern(text).is_match(path), "{text} on {path}");
        assert_eq!(table(&["/other/(.*)", text]).first_match(path), Some(1), "{text} on {path}");
    }
    for (text, path) in
        [("/café", "/caf%C3"), ("/café", "/caf%C3%A8"), ("/a~b", "/a%7Eb"), ("/a%20b", "/a b")]
    {
        assert!(!pattern(text).is_match(path), "{text} on {path}");
    }
    assert_eq!(values("/(été)", "/%C3%A9t%c3%a9"), some(&["été"]));
    // What is made is found.
    for text in ["/café/{id}", "/a b/(.*)", r"/a\?b/([^/]+)", r"/\[\]\{\}/(\w+)"] {
        let path = pattern(text).reverse(&[&"x"]).unwrap();
        assert!(path.is_ascii() && !path.contains([' ', '?', '[']), "{path}");
        assert_eq!(values(text, &path), some(&["x"]), "{text}");
    }
}

#[test]
fn pythons_end_of_text() {
    for text in [r"/a(\d+)\Z", r"\A/a(\d+)\Z", r"/a(\d+)\z"] {
        assert_eq!(values(text, "/a12"), some(&["12"]), "{text}");
        assert_eq!(values(text, "/a12\n"), None, "{text}");
        assert_eq!(pattern(text).reverse(&[&7]).unwrap(), "/a7");
    }
    assert!(!pattern(r"/a\Z").regex_source().ends_with('$'));
    // A backslash before a Z is not that.
    assert!(pattern(r"/a\\Z").is_match(r"/a\Z"));
}

#[test]
fn a_nested_pattern_is_one_of_these_too() {
    let nested = PathPattern::nested("/café", r"/(\d+)\Z").unwrap();
    assert!(nested.is_match("/caf%C3%A9/7") && !nested.is_match("/caf%C3%A9/7x"));
    assert_eq!(nested.reverse(&[&7]).unwrap(), "/caf%C3%A9/7");
}
