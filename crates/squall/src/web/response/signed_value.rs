//! Signed values in Tornado's formats: what is in a signed cookie. No clock and no I/O.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::escape::hex;

/// The secret, or several of them with numbers, that values are signed with.
///
/// Several serve to change the secret: values are signed with the one of the current key version, and those signed
/// with any of the others still count. Secrets are not shown by `Debug`.
#[derive(Clone)]
pub struct CookieSecret(Keys);

#[derive(Clone)]
enum Keys {
    One(Vec<u8>),
    Many { keys: BTreeMap<u64, Vec<u8>>, current: Option<u64> },
}

impl CookieSecret {
    /// Several secrets by key version. [`key_version`](Self::key_version) says which one signs.
    pub fn keys<K: Into<Vec<u8>>>(keys: impl IntoIterator<Item = (u64, K)>) -> Self {
        let keys = keys.into_iter().map(|(version, key)| (version, key.into())).collect();
        Self(Keys::Many { keys, current: None })
    }

    /// The key version that signs. A single secret has none, and stays as it is.
    #[must_use]
    pub fn key_version(mut self, version: u64) -> Self {
        if let Keys::Many { current, .. } = &mut self.0 {
            *current = Some(version);
        }
        self
    }

    /// The key that signs, and its version.
    ///
    /// # Errors
    /// When there are several and none is the current one.
    pub(in crate::web) fn current(&self) -> Result<(u64, &[u8]), SignError> {
        match &self.0 {
            Keys::One(key) => Ok((0, key)),
            Keys::Many { keys, current } => {
                let version = current.ok_or(SignError::NoKeyVersion)?;
                let key = keys.get(&version).ok_or(SignError::UnknownKeyVersion(version))?;
                Ok((version, key))
            }
        }
    }

    /// Whether an empty secret is among them, which anybody could sign with.
    pub(in crate::web) fn has_empty_key(&self) -> bool {
        match &self.0 {
            Keys::One(key) => key.is_empty(),
            Keys::Many { keys, .. } => keys.is_empty() || keys.values().any(Vec::is_empty),
        }
    }

    /// The only secret.
    fn single(&self) -> Option<&[u8]> {
        match &self.0 {
            Keys::One(key) => Some(key),
            Keys::Many { .. } => None,
        }
    }

    /// A single secret has signed every version.
    fn of_version(&self, version: u64) -> Option<&[u8]> {
        match &self.0 {
            Keys::One(key) => Some(key),
            Keys::Many { keys, .. } => keys.get(&version).map(Vec::as_slice),
        }
    }
}

impl From<&str> for CookieSecret {
    fn from(secret: &str) -> Self {
        Self(Keys::One(secret.into()))
    }
}

impl From<String> for CookieSecret {
    fn from(secret: String) -> Self {
        Self(Keys::One(secret.into()))
    }
}

impl From<&[u8]> for CookieSecret {
    fn from(secret: &[u8]) -> Self {
        Self(Keys::One(secret.into()))
    }
}

impl From<Vec<u8>> for CookieSecret {
    fn from(secret: Vec<u8>) -> Self {
        Self(Keys::One(secret))
    }
}

impl<const N: usize> From<[u8; N]> for CookieSecret {
    fn from(secret: [u8; N]) -> Self {
        Self(Keys::One(secret.into()))
    }
}

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(..)")
    }
}

/// A format of signed values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignedVersion {
    /// HMAC-SHA1; the name and the value are not kept apart. Only for what reads nothing newer.
    V1 = 1,
    /// HMAC-SHA256 of everything.
    #[default]
    V2 = 2,
}

/// Why a value cannot be signed: the application's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// There are several secrets, and no `key_version` says which one signs.
    NoKeyVersion,
    /// There is no secret with this key version.
    UnknownKeyVersion(u64),
    /// The first format has no place for a key version.
    KeysNeedV2,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyVersion => f.write_str("several cookie secrets need the setting key_version"),
            Self::UnknownKeyVersion(version) => write!(f, "no cookie secret has the key_version {version}"),
            Self::KeysNeedV2 => f.write_str("version 1 of signed values cannot be used with several secrets"),
        }
    }
}

impl StdError for SignError {}

/// Signs a value under a name, when it is `now`.
///
/// # Errors
/// When the secret cannot sign.
pub fn create_signed_value(
    secret: &CookieSecret,
    name: &str,
    value: impl AsRef<[u8]>,
    version: SignedVersion,
    now: SystemTime,
) -> Result<String, SignError> {
    let encoded = STANDARD.encode(value);
    let timestamp = seconds(now).to_string();
    match version {
        SignedVersion::V1 => {
            let key = secret.single().ok_or(SignError::KeysNeedV2)?;
            let signature = sign_v1(key, &[name.as_bytes(), encoded.as_bytes(), timestamp.as_bytes()]);
            Ok(format!("{encoded}|{timestamp}|{signature}"))
        }
        SignedVersion::V2 => {
            let (key_version, key) = secret.current()?;
            let mut signed = "2|".to_owned();
            for field in [&*key_version.to_string(), &timestamp, name, &encoded] {
                // Writing to a String does not fail.
                let _ = write!(signed, "{}:{field}|", field.len());
            }
            let signature = sign_v2(key, signed.as_bytes());
            signed.push_str(&signature);
            Ok(signed)
        }
    }
}

/// The value that was signed under this name, if the signature is right, it is not older than `max_age`, and its
/// format at least `min_version`.
///
/// Values of the first format do not count with several secrets.
pub fn decode_signed_value(
    secret: &CookieSecret,
    name: &str,
    value: impl AsRef<[u8]>,
    max_age: Duration,
    min_version: SignedVersion,
    now: SystemTime,
) -> Option<Vec<u8>> {
    let value = value.as_ref();
    let oldest = Duration::from_secs(seconds(now)).saturating_sub(max_age);
    match format_of(value)? {
        SignedVersion::V1 if min_version == SignedVersion::V1 => {
            decode_v1(secret.single()?, name, value, oldest, seconds(now))
        }
        SignedVersion::V1 => None,
        SignedVersion::V2 => decode_v2(secret, name, value, oldest),
    }
}

/// The key version that a value says it was signed with; nothing is verified.
#[doc(alias = "get_signature_key_version")]
pub fn signature_key_version(value: impl AsRef<[u8]>) -> Option<u64> {
    let value = value.as_ref();
    match format_of(value)? {
        SignedVersion::V1 => None,
        SignedVersion::V2 => Some(Fields::parse(value)?.key_version),
    }
}

/// A number and `|` at the start tell the format. The first format has no number and may start with anything; digits
/// that happen to stand before its `|` are base64 and so at least four: `1000|` and on is the first format.
fn format_of(value: &[u8]) -> Option<SignedVersion> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let numbered = (1..=3).contains(&digits) && value[0] != b'0' && value.get(digits) == Some(&b'|');
    match (numbered, &value[..digits]) {
        _ if value.is_empty() => None,
        (false, _) | (true, b"1") => Some(SignedVersion::V1),
        (true, b"2") => Some(SignedVersion::V2),
        (true, _) => None,
    }
}

fn decode_v1(key: &[u8], name: &str, value: &[u8], oldest: Duration, now: u64) -> Option<Vec<u8>> {
    let mut parts = value.split(|&b| b == b'|');
    let (encoded, timestamp, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let expected = sign_v1(key, &[name.as_bytes(), encoded, timestamp]);
    if !equal(signature, &expected) {
        return None;
    }
    let seconds = number(timestamp)?;
    // The signature covers no delimiter, so that digits could be moved from the value to the timestamp: that makes it
    // later than any honest one, or gives it a leading zero (Tornado 1.0.1).
    let tampered = seconds > now.saturating_add(31 * 86400) || timestamp.starts_with(b"0");
    if Duration::from_secs(seconds) < oldest || tampered {
        return None;
    }
    STANDARD.decode(encoded).ok()
}

fn decode_v2(secret: &CookieSecret, name: &str, value: &[u8], oldest: Duration) -> Option<Vec<u8>> {
    let fields = Fields::parse(value)?;
    let key = secret.of_version(fields.key_version)?;
    let signed = &value[..value.len() - fields.signature.len()];
    if !equal(fields.signature, &sign_v2(key, signed)) || fields.name != name.as_bytes() {
        return None;
    }
    let seconds = number(fields.timestamp)?;
    if Duration::from_secs(seconds) < oldest { None } else { STANDARD.decode(fields.encoded).ok() }
}

/// The fields of the second format.
struct Fields<'a> {
    key_version: u64,
    timestamp: &'a [u8],
    name: &'a [u8],
    encoded: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Fields<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let (key_version, rest) = field(value.strip_prefix(b"2|")?)?;
        let (timestamp, rest) = field(rest)?;
        let (name, rest) = field(rest)?;
        let (encoded, signature) = field(rest)?;
        Some(Self { key_version: number(key_version)?, timestamp, name, encoded, signature })
    }
}

/// `length:content|` and what follows it.
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|&b| b == b':')?;
    let length = usize::try_from(number(&text[..colon])?).ok()?;
    let (content, rest) = text[colon + 1..].split_at_checked(length)?;
    Some((content, rest.strip_prefix(b"|")?))
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn sign_v1(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    hex(&mac.finalize().into_bytes())
}

fn sign_v2(key: &[u8], signed: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(signed);
    hex(&mac.finalize().into_bytes())
}

/// Takes as long whatever the signature is.
fn equal(signature: &[u8], expected: &str) -> bool {
    signature.ct_eq(expected.as_bytes()).into()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {

    use super::*;

    const SECRET: &str = "It's a secret to everybody";
    const PRESENT: u64 = 1_300_000_000;
    const V1: &str = "dmFsdWU=|1300000000|31c934969f53e48164c50768b40cbd7e2daaaa4f";
    const PREFIX: &str = "2|1:0|10:1300000000|3:key|8:dmFsdWU=|";
    const SIGNATURE: &str = "3d4e60b996ff9c5d5788e333a0cba6f238a22c6c0f94788870e1a9ecd482e152";

    const MONTH: Duration = Duration::from_secs(31 * 86_400);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn create(secret: impl Into<CookieSecret>, name: &str, value: &[u8], version: SignedVersion) -> String {
        create_signed_value(&secret.into(), name, value, version, at(PRESENT)).unwrap()
    }

    fn decode(secret: impl Into<CookieSecret>, name: &str, value: &str, now: u64) -> Option<Vec<u8>> {
        decode_signed_value(&secret.into(), name, value, MONTH, SignedVersion::V1, at(now))
    }

    fn keys() -> CookieSecret {
        CookieSecret::keys([(0, "asdfbasdf"), (1, "12312312"), (2, "2342342")])
    }

    #[test]
    fn known_values() {
        assert_eq!(create(SECRET, "key", b"value", SignedVersion::V1), V1);
        let v2 = format!("{PREFIX}{SIGNATURE}");
        assert_eq!(create(SECRET, "key", b"value", SignedVersion::V2), v2);
        for value in [V1, &v2] {
            assert_eq!(decode(SECRET, "key", value, PRESENT).as_deref(), Some(&b"value"[..]));
        }
        let least_v2 = |value| {
            decode_signed_value(&SECRET.into(), "key", value, MONTH, SignedVersion::V2, at(PRESENT)).is_some()
        };
        assert!(least_v2(&*v2) && !least_v2(V1));
    }

    #[test]
    fn names_and_bytes_count() {
        for version in [SignedVersion::V1, SignedVersion::V2] {
            let signed = create(SECRET, "key1", b"\xe9\0", version);
            assert_eq!(decode(SECRET, "key1", &signed, PRESENT).as_deref(), Some(&b"\xe9\0"[..]));
            assert_eq!(decode(SECRET, "key2", &signed, PRESENT), None);
            assert_eq!(decode("another", "key1", &signed, PRESENT), None);
        }
    }

    #[test]
    fn values_expire() {
        for version in [SignedVersion::V1, SignedVersion::V2] {
            let signed = create(SECRET, "key", b"value", version);
            assert!(decode(SECRET, "key", &signed, PRESENT + 31 * 86400).is_some());
            assert_eq!(decode(SECRET, "key", &signed, PRESENT + 31 * 86400 + 1), None);
        }
    }

    #[test]
    fn tampering_shows() {
        for prefix in [
            "2|1:1|10:1300000000|3:key|8:dmFsdWU=|",
            "2|1:0|10:130000000|3:key|8:dmFsdWU=|",
            "2|1:0|10:1300000000|3:keey|8:dmFsdWU=|",
            "2|1:0|99999999999999999999999:1300000000|3:key|8:dmFsdWU=|",
            "2|1:0|10:1300000000|3:key|",
            "3|1:0|10:1300000000|3:key|8:dmFsdWU=|",
            "2|",
            "",
        ] {
            assert_eq!(decode(SECRET, "key", &format!("{prefix}{SIGNATURE}"), PRESENT), None, "{prefix}");
        }
        let dropped = &SIGNATURE[..63];
        for signature in [
            "00000000000000000000000000000000",
            "4d4e60b996ff9c5d5788e333a0cba6f238a22c6c0f94788870e1a9ecd482e152",
            "3d4e60b996ff9c5d5788e333a0cba6f238a22c6c0f94788870e1a9ecd482e153",
            dropped,
            &format!("{SIGNATURE}8"),
            "",
        ] {
            assert_eq!(decode(SECRET, "key", &format!("{PREFIX}{signature}"), PRESENT), None, "{signature}");
        }
    }

    #[test]
    fn digits_cannot_move_into_a_v1_timestamp() {
        // The value is 12345678 in base64.
        let signed = create("secret", "foo", b"\xd7\x6d\xf8\xe7\xae\xfc", SignedVersion::V1);
        let rest = signed.strip_prefix("12345678|").unwrap();
        assert!(decode("secret", "foo", &signed, PRESENT).is_some());
        assert_eq!(decode("secret", "foo", &format!("1234|5678{rest}"), PRESENT), None);
        let zeros = create("secret", "foo", &STANDARD.decode("12340000").unwrap(), SignedVersion::V1);
        let rest = zeros.strip_prefix("12340000|").unwrap();
        assert_eq!(decode("secret", "foo", &format!("1234|0000{rest}"), PRESENT), None);
    }

    #[test]
    fn signed_nonsense_is_refused() {
        let v1 = sign_v1(b"s", &[b"a", b"dg==", b"not-a-number"]);
        assert_eq!(decode("s", "a", &format!("dg==|not-a-number|{v1}"), PRESENT), None);
        let prefix = "2|1:0|1:a|1:a|0:|";
        assert_eq!(decode("s", "a", &format!("{prefix}{}", sign_v2(b"s", prefix.as_bytes())), PRESENT), None);
    }

    #[test]
    fn keys_rotate() {
        for version in [0, 1] {
            let signed = create(keys().key_version(version), "key", b"\xe9", SignedVersion::V2);
            assert_eq!(decode(keys(), "key", &signed, PRESENT).as_deref(), Some(&b"\xe9"[..]));
            assert_eq!(signature_key_version(&signed), Some(version));
        }
        let signed = create(keys().key_version(0), "key", b"\xe9", SignedVersion::V2);
        assert_eq!(decode(CookieSecret::keys([(1, "12312312")]), "key", &signed, PRESENT), None);
        assert_eq!(decode(keys(), "key", V1, PRESENT), None);
        assert_eq!(signature_key_version(V1), None);
        let refused = |secret: &CookieSecret, version| {
            create_signed_value(secret, "key", "v", version, at(PRESENT)).unwrap_err()
        };
        assert_eq!(refused(&keys(), SignedVersion::V2), SignError::NoKeyVersion);
        assert_eq!(refused(&keys().key_version(9), SignedVersion::V2), SignError::UnknownKeyVersion(9));
        assert_eq!(refused(&keys().key_version(1), SignedVersion::V1), SignError::KeysNeedV2);
    }
}
