//! Signed values against Tornado itself, in both directions.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall::web::{
    CookieSecret, SignedVersion, create_signed_value, decode_signed_value, signature_key_version,
};

/// Runs a program in a Python that has Tornado; it prints one line for each line that is expected.
fn tornado(program: &str) -> Vec<String> {
    let python = std::env::var("SQUALL_TORNADO_PYTHON")
        .expect("SQUALL_TORNADO_PYTHON is set by scripts/ci-tornado.sh");
    let preamble = "import base64\nfrom tornado.web import *\nfrom tornado.web import get_signature_key_version\nimport logging\nlogging.disable()\n";
    let piped = (Stdio::piped(), Stdio::piped());
    let mut child = Command::new(python).arg("-").stdin(piped.0).stdout(piped.1).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{preamble}{program}").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:.1000}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Python's notation for bytes.
fn literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("b'{digits}'")
}

const SECRET: &str = "It's a secret to everybody";
const NOW: u64 = 1_700_000_000;

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn values() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("plain", b"value".to_vec()),
        ("empty", Vec::new()),
        ("unicode", "Zoë 雨".into()),
        ("binary", (0..=255).collect()),
        ("long", vec![b'x'; 5000]),
        ("bars|and:colons", b"2|1:0|x".to_vec()),
    ]
}

fn keys() -> CookieSecret {
    CookieSecret::keys([(0, "old secret"), (1, "present secret"), (17, "next secret")])
}

const KEYS: &str = "{0: 'old secret', 1: 'present secret', 17: 'next secret'}";

#[test]
#[ignore = "needs Tornado: scripts/ci-tornado.sh"]
fn what_squall_signs_tornado_signs_alike() {
    for (version, number) in [(SignedVersion::V1, 1), (SignedVersion::V2, 2)] {
        for (name, value) in values() {
            let ours = create_signed_value(&SECRET.into(), name, &value, version, time()).unwrap();
            let program = format!(
                "print(create_signed_value({SECRET:?}, {name:?}, {}, version={number}, clock=lambda: {NOW}).decode())",
                literal(&value)
            );
            assert_eq!(tornado(&program), [ours], "{name}, version {number}");
        }
    }
    for key in [0, 1, 17] {
        let ours =
            create_signed_value(&keys().key_version(key), "k", b"v", SignedVersion::V2, time()).unwrap();
        let program = format!(
            "v = create_signed_value({KEYS}, 'k', 'v', version=2, clock=lambda: {NOW}, key_version={key})\n\
             print(v.decode())\nprint(get_signature_key_version(v))"
        );
        assert_eq!(tornado(&program), [ours.clone(), key.to_string()]);
        assert_eq!(signature_key_version(&ours), Some(key));
    }
}

#[test]
#[ignore = "needs Tornado: scripts/ci-tornado.sh"]
fn what_one_takes_the_other_takes() {
    let signed = |name: &str, value: &[u8], version, seconds: i64| {
        let at = UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(seconds).unwrap());
        create_signed_value(&SECRET.into(), name, value, version, at).unwrap()
    };
    let good = signed("k", b"value", SignedVersion::V2, 0);
    let old = signed("k", b"value", SignedVersion::V1, 0);
    let mut candidates =
        vec![good.clone(), old.clone(), String::new(), "|".into(), "2|".into(), "x|y|z".into()];
    for seconds in [-86_400 * 30, -86_400 * 32, 86_400 * 30, 86_400 * 32] {
        candidates.push(signed("k", b"value", SignedVersion::V2, seconds));
        candidates.push(signed("k", b"value", SignedVersion::V1, seconds));
    }
    candidates.push(signed("other", b"value", SignedVersion::V2, 0));
    // Every character changed, dropped, doubled.
    for base in [&good, &old] {
        for at in 0..base.len() {
            let (before, after) = (&base[..at], &base[at + 1..]);
            let own = &base[at..=at];
            let other = if own == "1" { "2" } else { "1" };
            candidates.extend([
                format!("{before}{other}{after}"),
                format!("{before}{after}"),
                format!("{before}{own}{own}{after}"),
            ]);
        }
    }
    let list: Vec<String> = candidates.iter().map(|candidate| literal(candidate.as_bytes())).collect();
    let program = format!(
        "for value in [{}]:\n    v = decode_signed_value({SECRET:?}, 'k', value, clock=lambda: {NOW})\n    \
         print('none' if v is None else base64.b64encode(v).decode())",
        list.join(",")
    );
    let theirs = tornado(&program);
    assert_eq!(theirs.len(), candidates.len());
    for (candidate, theirs) in candidates.iter().zip(&theirs) {
        let ours = decode_signed_value(
            &SECRET.into(),
            "k",
            candidate,
            Duration::from_secs(31 * 86_400),
            SignedVersion::V1,
            time(),
        );
        let ours = ours.map_or("none".to_owned(), |value| {
            assert_eq!(value, b"value", "{candidate}");
            "dmFsdWU=".to_owned()
        });
        assert_eq!(&ours, theirs, "{candidate}");
    }
    assert!(theirs.iter().filter(|value| *value != "none").count() >= 4);
}
