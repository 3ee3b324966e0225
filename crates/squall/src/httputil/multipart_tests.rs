//! Tornado's `MultipartFormDataTest` as vectors, and what holds for any bytes cut anywhere.

use proptest::prelude::*;

use super::*;

const PLAIN: &str = r#"form-data; name="files"; filename="ab.txt""#;

/// Name, file name, Content-Type and content of each part.
type Parts = Vec<(String, Option<String>, Option<String>, Vec<u8>)>;

struct Parsed {
    /// With an error, what came before it.
    parts: Parts,
    result: Result<(), MultipartError>,
    scanned: u64,
}

fn parse_pieces<'a>(
    config: &ParseMultipartConfig,
    boundary: &[u8],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Parsed {
    let mut parser = MultipartParser::with_boundary(boundary, config).unwrap();
    let mut parts = Parts::new();
    let run = || {
        let (mut ended, mut open) = (false, false);
        for piece in pieces {
            parser.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = parser.event()? {
                assert!(!ended, "{event:?} after the end");
                match event {
                    MultipartEvent::Part(head) => {
                        assert!(!std::mem::replace(&mut open, true));
                        parts.push((head.name, head.filename, head.content_type, Vec::new()));
                    }
                    MultipartEvent::Data(data) => {
                        assert!(open && !data.is_empty());
                        parts.last_mut().unwrap().3.extend_from_slice(&data);
                    }
                    MultipartEvent::PartEnd => assert!(std::mem::replace(&mut open, false)),
                    MultipartEvent::End => ended = true,
                }
            }
        }
        assert!(!ended || !open);
        parser.finish()
    };
    let result = run();
    Parsed { parts, result, scanned: parser.scanned }
}

fn parse(body: &[u8]) -> Result<Parts, MultipartError> {
    let whole = parse_pieces(&ParseMultipartConfig::default(), b"1234", [body]);
    let bytewise = parse_pieces(&ParseMultipartConfig::default(), b"1234", body.chunks(1));
    assert_eq!((&whole.parts, whole.result), (&bytewise.parts, bytewise.result));
    whole.result.map(|()| whole.parts)
}

/// A body of one part with the content `Foo`, its lines ended by CRLF.
fn body_of(disposition: &str) -> Vec<u8> {
    format!("--1234\r\nContent-Disposition: {disposition}\r\n\r\nFoo\r\n--1234--").into_bytes()
}

fn file(filename: &str) -> Parts {
    vec![("files".to_owned(), Some(filename.to_owned()), None, b"Foo".to_vec())]
}

fn field(name: &str, value: &[u8]) -> Parts {
    vec![(name.to_owned(), None, None, value.to_vec())]
}

#[test]
fn files_and_their_names() {
    for (disposition, filename) in [
        (PLAIN, "ab.txt"),
        ("form-data; name=files; filename=ab.txt", "ab.txt"),
        (r#"form-data; name="files"; filename="a;b.txt""#, "a;b.txt"),
        (r#"form-data; name="files"; filename="a\"b.txt""#, "a\"b.txt"),
        (r#"form-data; name="files"; filename="a\";b.txt""#, "a\";b.txt"),
        (r#"form-data; name="files"; filename="a;\"b.txt""#, "a;\"b.txt"),
        (r#"form-data; name="files"; filename="a\";\";.txt""#, "a\";\";.txt"),
        (r#"form-data; name="files"; filename="a\\\"b.txt""#, r#"a\"b.txt"#),
        (r#"form-data; name="files"; filename="a\\b.txt""#, r"a\b.txt"),
        (r#"form-data; name="files"; filename="a b.txt""#, "a b.txt"),
        ("form-data; name=\"files\"; filename=\"a\tb.txt\"", "a\tb.txt"),
        (r#"form-data; name="files"; filename="ab.txt"; filename*=UTF-8''%C3%A1b.txt"#, "áb.txt"),
        (r#"form-data; name="files"; filename*=UTF-8''%C3%A1b.txt; filename="ab.txt""#, "áb.txt"),
        (r#"form-data; name="files"; filename="测试.txt""#, "测试.txt"),
        // Browsers of old, and what they send today for quotes.
        (r#"form-data; name="files"; filename="C:\dir\x.txt""#, r"C:\dir\x.txt"),
        (r#"form-data; name="files"; filename="a%22b.txt""#, "a%22b.txt"),
    ] {
        assert_eq!(parse(&body_of(disposition)), Ok(file(filename)), "{disposition}");
    }
}

#[test]
fn refused() {
    use MultipartError::*;
    for filename in ["a\rb.txt", "a\0b.txt", "a\x08b.txt", "a\nb.txt"] {
        let body = body_of(&format!("form-data; name=\"files\"; filename=\"{filename}\""));
        assert_eq!(parse(&body), Err(HeaderLine), "{filename:?}");
    }
    for (disposition, error) in [
        (r#"invalid; name="files"; filename="ab.txt""#, Disposition),
        (r#"form-data; filename="ab.txt""#, MissingName),
        (r#"form-data; name="""#, MissingName),
        ("form-data", MissingName),
        ("", Disposition),
        ("form-data; name=a\r\nContent-Disposition: form-data; name=b", Disposition),
        ("form-data;\r\n name=a", HeaderLine),
        ("form-data; name=a\r\nno colon", HeaderLine),
        ("form-data; name=a\r\nX : y", HeaderLine),
        ("form-data; name=a; filename*=utf-8''a%0d%0ab", HeaderLine),
        ("form-data; name=a; filename*=utf-8''a%00b", HeaderLine),
        // A file whose name cannot be read is no argument.
        ("form-data; name=a; filename*=x", Disposition),
        ("form-data; name=a; filename*=", Disposition),
        ("form-data; name=a; FileName *=x", Disposition),
        ("form-data; name=a; filename*=koi8-r''%E9", Disposition),
        ("form-data; name=a; filename*0=x; filename*1=y", Disposition),
        ("form-data; name=a; filename*0*=utf-8''x", Disposition),
        ("form-data; name=a\n name=a", HeaderLine),
        ("form-data; name=a\r\r\nX: y", HeaderLine),
    ] {
        assert_eq!(parse(&body_of(disposition)), Err(error), "{disposition}");
    }
    for (body, error) in [
        ("--1234\r\n\r\nFoo\r\n--1234--", MissingHeaders),
        ("--1234\r\nX: y\r\n\r\nFoo\r\n--1234--", Disposition),
        ("--1234\r\nContent-Disposition: form-data; name=a\r\n\r\nFoo--1234--", NoFinalBoundary),
        ("--1234\r\nContent-Disposition: form-data; name=a\r\n\r\nFoo\r\n--1234", NoFinalBoundary),
        ("--1234\r\nContent-Disposition: form-data; name=a\r\n--1234--", NoFinalBoundary),
        ("--1234\r\nContent-Disposition: form-data; name=a\n\nFoo\r\n--1234--", NoFinalBoundary),
        ("--1234\r\n--1234\r\n", NoFinalBoundary),
        ("--1234\r\n--1234-\r\n\r\n--1234--", HeaderLine),
        ("--1234\r\n--1234\rX: y\r\n\r\n--1234--", HeaderLine),
        ("--1234\r\n", NoFinalBoundary),
        ("", NoFinalBoundary),
        ("no boundary at all", NoFinalBoundary),
    ] {
        assert_eq!(parse(body.as_bytes()), Err(error), "{body}");
    }
    assert_eq!(parse(b"--1234\r\nContent-Disposition: form-data; name=\xff\r\n\r\n"), Err(HeaderLine));
}

#[test]
fn framing() {
    let part = "--1234\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let padded = format!("\r\n--1234{}\r\n", " ".repeat(257));
    for (body, value) in [
        (format!("{part}\r\n--1234--"), ""),
        // Without the empty line's own CRLF, as Tornado's test of its limits sends it.
        (format!("{part}--1234--"), ""),
        (format!("{part}Foo\r\n--1234--\r\n"), "Foo"),
        (format!("{part}Foo\r\n--1234-- and what follows\r\n--1234\r\n"), "Foo"),
        (format!("\r\n{part}Foo\r\n--1234--"), "Foo"),
        (format!("A preamble\r\n{part}Foo\r\n--1234--"), "Foo"),
        // Not at the start of a line, not ended by CRLF or dashes: content.
        (format!("{part}--1234x\r\n--1234--"), "--1234x"),
        (format!("{part}a--1234\r\n\r\n--1234--"), "a--1234\r\n"),
        (format!("{part}\r\n--1234 x\r\n--1234--"), "\r\n--1234 x"),
        (format!("{part}\r\n--1234 --\r\n--1234--"), "\r\n--1234 --"),
        (format!("{part}\r\n--1234 \t \r\r\n--1234--"), "\r\n--1234 \t \r"),
        (format!("{part}\r\n--1234{}\r\n\r\n--1234--", " ".repeat(257)), &*padded),
        (format!("{part}\r\n--1234-\r\n--1234--"), "\r\n--1234-"),
        (format!("{part}\r\n--1234\r\r\n--1234--"), "\r\n--1234\r"),
        (format!("{part}\r\r\n\r\n-\r\n--\r\n--1234--"), "\r\r\n\r\n-\r\n--"),
    ] {
        assert_eq!(parse(body.as_bytes()), Ok(field("a", value.as_bytes())), "{body}");
    }
    assert_eq!(parse(b"--1234--"), Ok(Parts::new()));
    let typed = format!("{}Content-Type: a/b\r\n\r\n\r\n--1234--", &part[..part.len() - 2]);
    assert_eq!(parse(typed.as_bytes()).unwrap()[0].2.as_deref(), Some("a/b"));
}

#[test]
fn padding_and_parts_that_are_none() {
    let part = |value: &str| format!("Content-Disposition: form-data; name=a\r\n\r\n{value}\r\n");
    let two = [field("a", b"1"), field("a", b"2")].concat();
    let (first, second) = (part("1"), part("2"));
    for body in [
        format!("--1234\r\n{first}--1234\r\n{second}--1234--"),
        // RFC 2046 §5.1.1: transport padding.
        format!("--1234 \r\n{first}--1234\t \t\r\n{second}--1234-- \r\n"),
        format!("--1234{}\r\n{first}--1234{}\r\n{second}--1234--", " ".repeat(256), "\t".repeat(256)),
        // Nothing between two delimiters is no part.
        format!("--1234\r\n--1234\r\n{first}--1234\r\n--1234 \r\n--1234\r\n{second}--1234--"),
        format!("--1234\r\n{first}--1234\r\n{second}--1234\r\n--1234--"),
    ] {
        assert_eq!(parse(body.as_bytes()), Ok(two.clone()), "{body}");
    }
    assert_eq!(parse(b"--1234\r\n--1234\r\n--1234--"), Ok(Parts::new()));
    // They are not counted either.
    let config = ParseMultipartConfig { max_parts: 1, ..Default::default() };
    let body = format!("--1234\r\n--1234\r\n--1234\r\n{first}--1234\r\n--1234--");
    assert_eq!(parse_pieces(&config, b"1234", [body.as_bytes()]).result, Ok(()));
}

#[test]
fn lines_of_a_header_may_end_in_lf() {
    for (head, content_type) in [
        ("Content-Disposition: form-data; name=a\nContent-Type: a/b", Some("a/b")),
        ("Content-Type: a/b\r\nContent-Disposition: form-data; name=a", Some("a/b")),
        ("\nContent-Disposition: form-data; name=a\n\nX: y\n", None),
    ] {
        let body = format!("--1234\r\n{head}\r\n\r\nFoo\r\n--1234--");
        let content_type = content_type.map(str::to_owned);
        assert_eq!(
            parse(body.as_bytes()),
            Ok(vec![("a".to_owned(), None, content_type, b"Foo".to_vec())]),
            "{head}"
        );
    }
}

#[test]
fn limits() {
    let config = |change: fn(&mut ParseMultipartConfig)| {
        let mut config = ParseMultipartConfig::default();
        change(&mut config);
        config
    };
    let result = |config: &ParseMultipartConfig, body: &[u8]| {
        let whole = parse_pieces(config, b"1234", [body]);
        let bytewise = parse_pieces(config, b"1234", body.chunks(1));
        assert_eq!(whole.result, bytewise.result);
        whole.result
    };
    let parts = |count| {
        let part = "--1234\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n";
        format!("{}--1234--", part.repeat(count)).into_bytes()
    };
    let default = ParseMultipartConfig::default();
    assert_eq!(result(&default, &parts(100)), Ok(()));
    assert_eq!(result(&default, &parts(101)), Err(MultipartError::TooManyParts(100)));
    assert_eq!(result(&config(|c| c.max_parts = 0), &parts(1)), Err(MultipartError::TooManyParts(0)));
    assert_eq!(result(&config(|c| c.max_parts = 0), &parts(0)), Ok(()));

    let head = |length: usize| {
        let disposition = "form-data; name=a\r\nX: ";
        let fill = length - "Content-Disposition: ".len() - disposition.len();
        body_of(&format!("{disposition}{}", "x".repeat(fill)))
    };
    assert_eq!(result(&default, &head(10_240)), Ok(()));
    assert_eq!(result(&default, &head(10_241)), Err(MultipartError::HeadTooLarge(10_240)));
    assert_eq!(result(&default, &head(50_000)), Err(MultipartError::HeadTooLarge(10_240)));

    assert_eq!(result(&config(|c| c.max_part_size = 3), &body_of(PLAIN)), Ok(()));
    assert_eq!(
        result(&config(|c| c.max_part_size = 2), &body_of(PLAIN)),
        Err(MultipartError::PartTooLarge(2))
    );
}

#[test]
fn the_boundary_is_in_the_content_type() {
    let default = ParseMultipartConfig::default();
    let delimiter = |content_type: &str| {
        let parser = MultipartParser::new(content_type, &default)?;
        Ok(String::from_utf8(parser.delimiter[4..].to_vec()).unwrap())
    };
    for (content_type, boundary) in [
        ("multipart/form-data; boundary=1234", Ok("1234")),
        ("multipart/form-data; boundary=\"1234\"", Ok("1234")),
        ("multipart/form-data;charset=utf-8;boundary=\"a;b\"", Ok("a;b")),
        ("Multipart/Form-Data; Boundary=AbC", Ok("AbC")),
        ("multipart/form-data", Err(MultipartError::Boundary)),
        ("multipart/form-data; boundary=", Err(MultipartError::Boundary)),
        ("multipart/form-data; boundary=\"\"", Err(MultipartError::Boundary)),
        ("multipart/form-dataxyz; boundary=1", Err(MultipartError::ContentType)),
        ("multipart/mixed; boundary=1", Err(MultipartError::ContentType)),
    ] {
        assert_eq!(delimiter(content_type).as_deref().map_err(|e| *e), boundary, "{content_type}");
    }
    let off = ParseMultipartConfig { enabled: false, ..default };
    let disabled = MultipartParser::new("multipart/form-data; boundary=1", &off).err();
    assert_eq!(disabled, Some(MultipartError::Disabled));
}

#[test]
fn content_is_not_copied() {
    let body = Bytes::from(body_of(PLAIN));
    let mut parser = MultipartParser::with_boundary(b"1234", &ParseMultipartConfig::default()).unwrap();
    parser.feed(body.clone());
    let Ok(Some(MultipartEvent::Part(_))) = parser.event() else { panic!() };
    let Ok(Some(MultipartEvent::Data(data))) = parser.event() else { panic!() };
    let at = data.as_ptr() as usize - body.as_ptr() as usize;
    assert_eq!(&body[at..at + data.len()], b"Foo");
}

#[test]
fn names_of_files() {
    for (sent, name) in [
        ("../../etc/passwd", Some("passwd")),
        (r"C:\Users\x\a.txt", Some("a.txt")),
        ("a b.txt", Some("a b.txt")),
        ("..", None),
        ("x/..", None),
        ("x/", None),
        ("a\tb", None),
        (&"a".repeat(255), Some(&*"a".repeat(255))),
        (&"a".repeat(256), None),
        (&"é".repeat(150), None),
    ] {
        assert_eq!(last_component(sent), name, "{sent:?}");
    }
}

/// Every byte is looked at so many times at the most: once where a delimiter is looked for, once more behind a delimiter
/// that may have begun, and once more where a match that failed makes it start over.
const LOOKS: u64 = 3;

#[test]
fn time_is_linear_in_the_input() {
    let pad = 20_000;
    let parameters = format!("form-data; x=\"{}\"; name=a", ";".repeat(9_000));
    for unit in [
        "\r",
        "\r\n",
        "\r\n-",
        "\r\n--",
        "\r\n--123",
        "\r\n--1234-",
        "\r\n--1234\r",
        "\r\n--1234 x",
        "\r\n--1234 \t\r",
        "--1234",
        "-",
        "x",
        " ",
    ] {
        let content = unit.repeat(pad / unit.len());
        for disposition in [PLAIN, &parameters] {
            let body = format!(
                "--1234\r\nContent-Disposition: {disposition}\r\n\r\n{content}{}\r\n--1234--",
                "\r\n--1234x"
            );
            for size in [1, 2, 7, 4096, usize::MAX] {
                let pieces = body.as_bytes().chunks(size);
                let (count, parsed) =
                    (pieces.len() as u64, parse_pieces(&ParseMultipartConfig::default(), b"1234", pieces));
                assert_eq!(parsed.result, Ok(()));
                // A piece may end in what has to be looked at again with the next.
                let limit = LOOKS * body.len() as u64 + 4 * count;
                assert!(parsed.scanned <= limit, "{unit:?} by {size}: {} > {limit}", parsed.scanned);
            }
        }
    }
}

/// Pieces of what such bodies are made of.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"\r\n--1234".to_vec()),
        Just(b"--1234\r\n".to_vec()),
        Just(b"\r\n--1234--".to_vec()),
        Just(b"\r\n--1234 \t".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n--1234\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n".to_vec()),
        Just(b"Content-Disposition: form-data; name=a; filename=b\r\n\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"-".to_vec()),
        Just(b"\"; \\\"; filename*=utf-8''%".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(body in soup(), start in any::<bool>(), cuts in prop::collection::vec(1usize..40, 1..40)) {
        let body = if start { [&body_of(PLAIN)[..50], &body].concat() } else { body };
        let config = ParseMultipartConfig { max_part_header_size: 200, max_parts: 5, max_part_size: 60, ..Default::default() };
        let whole = parse_pieces(&config, b"1234", [&body[..]]);
        let mut rest = &body[..];
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let count = pieces.len() as u64;
        let split = parse_pieces(&config, b"1234", pieces);
        prop_assert_eq!(whole.result, split.result);
        // Of a part that grows too large more or less has been told.
        if !matches!(whole.result, Err(MultipartError::PartTooLarge(_))) {
            prop_assert_eq!(whole.parts, split.parts);
        }
        prop_assert!(whole.scanned <= LOOKS * body.len() as u64 + 4);
        prop_assert!(split.scanned <= LOOKS * body.len() as u64 + 4 * count);
    }

    #[test]
    fn what_is_put_in_comes_out(
        contents in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..100), 0..5),
        size in 1usize..50,
    ) {
        // Random bytes do not hold this boundary.
        let boundary = b"0123456789abcdef";
        let mut body = Vec::new();
        for content in &contents {
            body.extend_from_slice(b"--0123456789abcdef\r\nContent-Disposition: form-data; name=a\r\n\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--0123456789abcdef--");
        let parsed = parse_pieces(&ParseMultipartConfig::default(), boundary, body.chunks(size));
        prop_assert_eq!(parsed.result, Ok(()));
        prop_assert_eq!(parsed.parts.into_iter().map(|part| part.3).collect::<Vec<_>>(), contents);
    }
}
