//! What fields are, by rows of what goes in and what comes out.

use super::*;

fn wire(headers: &HttpHeaders) -> Vec<u8> {
    let mut out = Vec::new();
    headers.write_to(&mut out);
    out
}

#[track_caller]
fn assert_wire(headers: &HttpHeaders, expected: impl AsRef<[u8]>) {
    let (wire, expected) = (wire(headers), expected.as_ref());
    assert_eq!(wire.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// Headers as the parser hands them over.
fn loaded(lines: &[(&[u8], &[u8])]) -> HttpHeaders {
    let (mut head, mut places) = (Vec::new(), Vec::new());
    for (name, value) in lines {
        let name_start = head.len();
        head.extend_from_slice(name);
        let name_end = head.len();
        head.extend_from_slice(b":\t");
        let value_start = head.len();
        head.extend_from_slice(value);
        places.push((name_start..name_end, value_start..head.len()));
        head.push(b'\n');
    }
    let mut headers = HttpHeaders::new();
    headers.load(&head, places.into_iter());
    headers
}

#[test]
fn names_are_title_case_and_found_in_any_case() {
    let mut h = HttpHeaders::new();
    h.add("content-TYPE", "text/plain").unwrap();
    h.add("x", "1").unwrap();
    assert_wire(&h, "Content-Type: text/plain\r\nX: 1\r\n");
    assert_eq!(h.get("CONTENT-type"), Some("text/plain"));
}

/// A name that has been removed is not found, whatever is remembered of it.
#[test]
fn every_name_that_is_there_is_found() {
    let names: Vec<String> = (1..80).map(|n| format!("{}-{n}", "x".repeat(n % 17))).collect();
    let mut h = HttpHeaders::new();
    for (at, name) in names.iter().enumerate() {
        assert!(!h.contains(name), "{name}");
        h.add(name, at).unwrap();
        assert_eq!(h.get(&name.to_uppercase()), Some(at.to_string().as_str()), "{name}");
    }
    let clone = h.clone();
    let mut copy = HttpHeaders::new();
    copy.copy_from(&h);
    for name in &names {
        assert!(clone.contains(name) && copy.contains(name) && h.remove(name) && !h.contains(name), "{name}");
    }
    copy.clear();
    assert!(!copy.contains(&names[0]) && !copy.contains(""));
    copy.push_trusted("Etag", "1");
    assert_eq!((copy.get("etag"), copy.get("Date")), (Some("1"), None));
    assert!(copy.may_have(NameSet::of(&["Date", "Etag"])) && !copy.may_have(NameSet::of(&["If-Match"])));
}

#[test]
fn set_keeps_the_place_and_removes_further_values() {
    let mut h = HttpHeaders::new();
    for (name, value) in [("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")] {
        h.add(name, value).unwrap();
    }
    assert_eq!(h.joined("a").as_deref(), Some("1,3"));
    assert_eq!(h.joined_bytes("a").as_deref(), Some(b"1,3".as_slice()));
    assert_eq!(h.list("a").collect::<Vec<_>>(), ["1", "3"]);
    h.set("a", "longer").unwrap();
    assert_wire(&h, "A: longer\r\nB: 2\r\nC: 4\r\n");
    h.set("b", "").unwrap();
    assert!(h.remove("A"));
    assert!(!h.remove("A"));
    h.set("d", 42).unwrap();
    assert_wire(&h, "B: \r\nC: 4\r\nD: 42\r\n");
    h.add("b", "again").unwrap();
    for (value, expected) in [
        ("longer", "B: longer\r\nC: 4\r\nD: 42\r\n"),
        ("", "B: \r\nC: 4\r\nD: 42\r\n"),
        ("one", "B: one\r\nC: 4\r\nD: 42\r\n"),
        ("two", "B: two\r\nC: 4\r\nD: 42\r\n"),
    ] {
        h.set_trusted("B", value);
        assert_wire(&h, expected);
    }
    h.set_trusted("D", "last");
    h.set_trusted("E", "new");
    assert_wire(&h, "B: two\r\nC: 4\r\nD: last\r\nE: new\r\n");
    assert!(h.remove("e") && h.set("D", 42).is_ok() && h.set("b", "").is_ok());
    assert_eq!(h.get("c"), Some("4"));
}

#[test]
fn nothing_that_breaks_the_head_gets_in() {
    let mut h = HttpHeaders::new();
    h.add("X", "ok").unwrap();
    for bad in ["a\r\nb: c", "a\nb", "\0", "a\x7f", "a\x0bb", "snow \u{2603}"] {
        assert_eq!(h.add("Y", bad), Err(InvalidHeader::Value("Y".into())), "{bad:?}");
        assert_eq!(h.set("X", bad), Err(InvalidHeader::Value("X".into())), "{bad:?}");
    }
    for bad in [b"a\r\nb: c".as_slice(), b"a\nb", b"\0", b"a\x7f", b"a\x0bb"] {
        assert_eq!(h.add("Y", bad), Err(InvalidHeader::Value("Y".into())), "{bad:?}");
    }
    for bad in ["", "a b", "a:", "é", "a\r"] {
        assert_eq!(h.add(bad, "v"), Err(InvalidHeader::Name(bad.into())), "{bad:?}");
    }
    assert_wire(&h, "X: ok\r\n");
}

/// U+010D U+010A used to go out as CR LF.
#[test]
fn no_character_is_cut_to_its_low_byte() {
    for low in ['\r', '\n', '\0', ':', ' '] {
        for high in [0x100, 0x1f00, 0x1_0100] {
            let text = format!("a{}b", char::from_u32(high + low as u32).unwrap());
            let mut h = HttpHeaders::new();
            assert_eq!(h.add("X", text.as_str()), Err(InvalidHeader::Value("X".into())));
            h.add("X", text.as_bytes()).unwrap();
            assert_wire(&h, format!("X: {text}\r\n"));
            assert_wire(&loaded(&[(b"x", text.as_bytes())]), format!("X: {text}\r\n"));
        }
    }
}

#[test]
fn every_octet_goes_out_as_it_came_in() {
    let octets = || (0..=0xff_u8).filter(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..));
    for octet in octets() {
        for value in [vec![octet], vec![b'a', octet, b'b'], vec![0xc3, 0xa9, octet]] {
            let h = loaded(&[(b"x", &value)]);
            assert_wire(&h, [b"X: ", value.as_slice(), b"\r\n"].concat());
            assert_eq!(h.get_bytes("x"), Some(value.as_slice()));
            let mut set = HttpHeaders::new();
            set.set("x", "before").unwrap();
            set.set("x", value.as_slice()).unwrap();
            assert_wire(&set, [b"X: ", value.as_slice(), b"\r\n"].concat());
        }
    }
    let all: Vec<u8> = octets().collect();
    assert_eq!(loaded(&[(b"x", &all)]).get("x").unwrap().chars().count(), all.len());
}

#[cfg(feature = "client")]
#[test]
fn some_fields_are_taken_over_as_they_are() {
    let came = loaded(&[(b"a-b", b"1"), (b"x", b"\xe9"), (b"y", b""), (b"A-B", b"2"), (b"z", b"\xc3\xa9")]);
    let mut h = HttpHeaders::new();
    h.push_trusted_octets("First", b"\xff");
    h.add_some(&came, |name, value| name != "Y" && value != b"2");
    assert_wire(&h, b"First: \xff\r\nA-B: 1\r\nX: \xe9\r\nZ: \xc3\xa9\r\n");
    let expected = [("First", "\u{ff}"), ("A-B", "1"), ("X", "\u{e9}"), ("Z", "\u{e9}")];
    assert_eq!(h.iter().collect::<Vec<_>>(), expected);
    assert!(h.remove("first") && h.set("a-b", "longer").is_ok());
    assert_wire(&h, b"A-B: longer\r\nX: \xe9\r\nZ: \xc3\xa9\r\n");
}

#[test]
fn values_that_are_not_utf8_read_as_latin1_wherever_they_stand() {
    let mut h = loaded(&[(b"x", b"caf\xe9"), (b"y", "é".as_bytes()), (b"X", b"\xff"), (b"z", b"\xfe")]);
    assert_eq!(h.iter().collect::<Vec<_>>(), [("X", "café"), ("Y", "é"), ("X", "\u{ff}"), ("Z", "\u{fe}")]);
    assert_eq!(h.joined("x").as_deref(), Some("café,\u{ff}"));
    let mut copy = HttpHeaders::new();
    copy.copy_from(&h);
    copy.remove("x");
    assert_eq!(copy.iter().collect::<Vec<_>>(), [("Y", "é"), ("Z", "\u{fe}")]);
    h.set("x", "plain").unwrap();
    assert_eq!(h.iter().collect::<Vec<_>>(), [("X", "plain"), ("Y", "é"), ("Z", "\u{fe}")]);
    h.set("y", b"\xe8".as_slice()).unwrap();
    assert_eq!(h.get("y"), Some("è"));
    assert_wire(&h, b"X: plain\r\nY: \xe8\r\nZ: \xfe\r\n");
}
