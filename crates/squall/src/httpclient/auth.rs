//! HTTP authentication: Basic (RFC 7617) and Digest (RFC 7616). Pure; the client's nonce is passed in.
//!
//! Names, passwords and realms are octets: what was given, or came, is hashed and sent as it is, as curl does.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icu_normalizer::ComposingNormalizerBorrowed;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use url::Url;

use super::challenge::{Challenge, challenges};
use crate::escape::hex;
use crate::httputil::ows;

/// User and password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Credentials {
    pub(super) fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into().into_bytes(), password: password.into().into_bytes() }
    }

    /// Those of a URL. Either half may be missing: `http://:token@host/` has a password and an empty user.
    pub(crate) fn of_url(url: &Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect();
        Some(Self { user: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) })
    }

    /// The value of `Authorization`; text in UTF-8 is composed (NFC), as RFC 7617 §2.1 asks for.
    pub(crate) fn basic(&self) -> String {
        let pair = [&composed(&self.user), &b":"[..], &composed(&self.password)].concat();
        format!("Basic {}", STANDARD.encode(pair))
    }
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

fn composed(octets: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(octets) else { return Cow::Borrowed(octets) };
    match ComposingNormalizerBorrowed::new_nfc().normalize(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// What a server asks for with `WWW-Authenticate: Digest …`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DigestChallenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    /// `None` is MD5, and is not told.
    algorithm: Option<Algorithm>,
    session: bool,
    /// The server knows `qop=auth`.
    qop_auth: bool,
    /// The name is not to be sent in clear (RFC 7616 §3.4.4).
    userhash: bool,
    /// `charset=UTF-8`: names and passwords are composed (RFC 7616 §4).
    utf8: bool,
}

/// In the order of their strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    /// Its number, and whether it is the variant for sessions; `None` for one that is not known.
    fn parse(name: &[u8]) -> Option<(Self, bool)> {
        let name = name.to_ascii_lowercase();
        let (name, session) = match name.strip_suffix(b"-sess") {
            Some(name) => (name, true),
            None => (&name[..], false),
        };
        let algorithm = match name {
            b"md5" => Self::Md5,
            b"sha-256" => Self::Sha256,
            b"sha-512-256" => Self::Sha512_256,
            _ => return None,
        };
        Some((algorithm, session))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Of the parts with a colon between them.
    fn hash(self, parts: &[&[u8]]) -> String {
        let text = parts.join(&b':');
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }
}

impl DigestChallenge {
    /// The strongest challenge that can be answered, among all fields of a response; the first of those that are equal.
    pub(super) fn strongest<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let known = fields.flat_map(challenges).filter_map(|challenge| Self::read(&challenge));
        known.reduce(|best, next| if next.algorithm() > best.algorithm() { next } else { best })
    }

    /// `None` when it is not one for Digest, or one that asks for what is not known here.
    fn read(challenge: &Challenge<'_>) -> Option<Self> {
        if !challenge.is("Digest") {
            return None;
        }
        let (algorithm, session) = match challenge.get("algorithm") {
            None => (None, false),
            Some(name) => {
                let (algorithm, session) = Algorithm::parse(name)?;
                (Some(algorithm), session)
            }
        };
        let is = |name: &str, wanted: &str| {
            challenge.get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted.as_bytes()))
        };
        let knows_auth = |list: &[u8]| {
            list.split(|&byte| byte == b',').any(|qop| ows::trim_bytes(qop).eq_ignore_ascii_case(b"auth"))
        };
        let qop_auth = match challenge.get("qop") {
            None => false,
            Some(list) if knows_auth(list) => true,
            Some(_) => return None, // auth-int alone
        };
        Some(Self {
            realm: challenge.get("realm")?.to_owned(),
            nonce: challenge.get("nonce")?.to_owned(),
            opaque: challenge.get("opaque").map(<[u8]>::to_owned),
            algorithm,
            session,
            qop_auth,
            userhash: is("userhash", "true"),
            utf8: is("charset", "UTF-8"),
        })
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Md5)
    }

    /// The value of `Authorization` that answers it, for the first request with this nonce.
    pub(super) fn answer(&self, method: &str, uri: &str, credentials: &Credentials, cnonce: &str) -> Vec<u8> {
        const COUNT: &str = "00000001";
        let encoded = |octets| if self.utf8 { composed(octets) } else { Cow::Borrowed(octets) };
        let (user, password) = (encoded(&credentials.user), encoded(&credentials.password));
        let hash = |parts: &[&[u8]]| self.algorithm().hash(parts);
        let mut ha1 = hash(&[&user, &self.realm, &password]);
        if self.session {
            ha1 = hash(&[ha1.as_bytes(), &self.nonce, cnonce.as_bytes()]);
        }
        let ha2 = hash(&[method.as_bytes(), uri.as_bytes()]);
        let (ha1, ha2) = (ha1.as_bytes(), ha2.as_bytes());
        let response = if self.qop_auth {
            hash(&[ha1, &self.nonce, COUNT.as_bytes(), cnonce.as_bytes(), b"auth", ha2])
        } else {
            hash(&[ha1, &self.nonce, ha2])
        };
        let user = if self.userhash { Cow::Owned(hash(&[&user, &self.realm]).into_bytes()) } else { user };
        let mut value = b"Digest".to_vec();
        quoted(&mut value, " username", &user);
        quoted(&mut value, ", realm", &self.realm);
        quoted(&mut value, ", nonce", &self.nonce);
        quoted(&mut value, ", uri", uri.as_bytes());
        quoted(&mut value, ", response", response.as_bytes());
        if let Some(algorithm) = self.algorithm {
            let session = if self.session { "-sess" } else { "" };
            value.extend_from_slice(format!(", algorithm={}{session}", algorithm.name()).as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            quoted(&mut value, ", opaque", opaque);
        }
        if self.userhash {
            value.extend_from_slice(b", userhash=true");
        }
        if self.qop_auth {
            value.extend_from_slice(format!(", qop=auth, nc={COUNT}").as_bytes());
        }
        if self.qop_auth || self.session {
            quoted(&mut value, ", cnonce", cnonce.as_bytes());
        }
        value
    }
}

fn quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(field: &str) -> Option<DigestChallenge> {
        DigestChallenge::strongest([field.as_bytes()].into_iter())
    }

    fn answer(challenge: &DigestChallenge, user: &str, password: &str) -> String {
        let value = challenge.answer("GET", "/dir/index.html", &Credentials::new(user, password), "c");
        String::from_utf8(value).unwrap()
    }

    #[test]
    fn basic_vectors() {
        for (user, password, expected) in [
            ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            // RFC 7617 §2.1; and the same with an accent of its own.
            ("test", "123\u{a3}", "Basic dGVzdDoxMjPCow=="),
            ("e\u{301}", "", "Basic w6k6"),
        ] {
            assert_eq!(Credentials::new(user, password).basic(), expected, "{user}");
        }
    }

    #[test]
    fn credentials_of_urls() {
        for (url, expected) in [
            ("http://h/", None),
            ("http://@h/", None),
            ("http://u@h/", Some(("u", ""))),
            ("http://u:p@h/", Some(("u", "p"))),
            ("http://:token@h/", Some(("", "token"))),
            ("http://us%20er:p%40%3A@h/", Some(("us er", "p@:"))),
        ] {
            let expected = expected.map(|(user, password)| Credentials::new(user, password));
            assert!(Credentials::of_url(&url.parse().unwrap()) == expected, "{url}");
        }
        let latin1 = Credentials::of_url(&"http://%E9:x@h/".parse().unwrap()).unwrap();
        assert_eq!(latin1.basic(), "Basic 6Tp4");
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn the_rfcs_example() {
        let common = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                      nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                      opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        for (algorithm, response) in [
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ] {
            let challenge = challenge(&format!("Digest {common}, algorithm={algorithm}")).unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let mufasa = Credentials::new("Mufasa", "Circle of Life");
            let value = challenge.answer("GET", "/dir/index.html", &mufasa, cnonce);
            let value = String::from_utf8(value).unwrap();
            assert!(value.contains(&format!("response=\"{response}\"")), "{value}");
            assert!(value.contains(&format!("algorithm={algorithm}, opaque=\"FQhe/")), "{value}");
            assert!(value.ends_with(&format!("qop=auth, nc=00000001, cnonce=\"{cnonce}\"")), "{value}");
        }
    }

    /// RFC 7616 §3.9.2, whose own values are wrong (errata 4897); these are what OpenSSL makes of it.
    #[test]
    fn the_rfcs_example_with_a_hashed_name() {
        let challenge = challenge(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true",
        )
        .unwrap();
        let jason = Credentials::new("J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm";
        let value = String::from_utf8(challenge.answer("GET", "/doe.json", &jason, cnonce)).unwrap();
        for part in [
            "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\"",
            "response=\"7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c\"",
            "userhash=true",
        ] {
            assert!(value.contains(part), "{part}: {value}");
        }
        // The accent written as one of its own is the same name.
        let apart = Credentials::new("Ja\u{308}s\u{f8}n Doe", "Secret, or not?");
        assert_eq!(String::from_utf8(challenge.answer("GET", "/doe.json", &apart, cnonce)).unwrap(), value);
    }

    /// RFC 2069 §2.4, with the response that its errata give.
    #[test]
    fn without_qop() {
        let challenge = challenge(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        let value = answer(&challenge, "Mufasa", "CircleOfLife");
        assert!(value.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{value}");
        assert!(!value.contains("cnonce"));
        // What the server did not say it need not know.
        assert!(!value.contains("algorithm"));
    }

    #[test]
    fn what_is_not_understood_is_not_answered() {
        for value in [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest realm=\"x",
        ] {
            assert_eq!(challenge(value), None, "{value}");
        }
        let odd = challenge("digest realm=\"a \\\"b\\\", c\" , nonce=n,qop=auth, Basic realm=\"z\"").unwrap();
        assert_eq!((&odd.realm[..], &odd.nonce[..], odd.qop_auth), (&b"a \"b\", c"[..], &b"n"[..], true));
    }

    #[test]
    fn the_strongest_challenge_is_answered() {
        let digest = |realm: &str, algorithm: &str| {
            format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth-int, auth\"{algorithm}")
        };
        let (md5, sha, sha512) = (
            digest("1", ""),
            digest("2", ", algorithm=sha-256"),
            digest("3", ", algorithm=SHA-512-256-sess"),
        );
        let (unknown, again) = (digest("4", ", algorithm=SHA3"), digest("5", ", algorithm=SHA-256"));
        for (fields, expected) in [
            (vec![md5.clone()], "1"),
            (vec![format!("Basic realm=\"x\", {md5}")], "1"),
            (vec![format!("{md5}, Basic realm=\"x\"")], "1"),
            (vec!["Basic realm=\"x\"".to_owned(), md5.clone()], "1"),
            (vec![format!("Negotiate, {md5}, {sha}")], "2"),
            (vec![sha.clone(), md5.clone()], "2"),
            (vec![format!("{unknown}, {again}, {sha}")], "5"),
            (vec![md5, sha, sha512, unknown], "3"),
        ] {
            let found = DigestChallenge::strongest(fields.iter().map(String::as_bytes)).unwrap();
            assert_eq!(found.realm, expected.as_bytes(), "{fields:?}");
        }
    }

    /// Octets that curl 7.88 sent for the same challenge, with its client nonce.
    #[test]
    fn octets_beyond_ascii_as_curl_sends_them() {
        let credentials = |user: &[u8]| Credentials { user: user.to_owned(), password: b"p".to_vec() };
        let latin1 = DigestChallenge::strongest(
            [&b"Digest realm=\"r\xe9\", nonce=\"n\", qop=\"auth\""[..]].into_iter(),
        );
        let value = latin1.unwrap().answer(
            "GET",
            "/x",
            &credentials(b"j\xe9"),
            "NDVhYzgyZDNkMTU5YmNiZDZhMjlhZjNhMmNmODFjM2Y=",
        );
        assert!(
            value.starts_with(b"Digest username=\"j\xe9\", realm=\"r\xe9\", nonce=\"n\", uri=\"/x\""),
            "{value:?}"
        );
        let value = String::from_utf8_lossy(&value);
        assert!(value.contains("response=\"b766cb2896e027a95f22c7f85c8c08c4\""), "{value}");

        let hashed =
            challenge("Digest realm=\"r\u{e9}\", nonce=\"n\", qop=\"auth\", charset=UTF-8, userhash=true");
        let value = hashed.unwrap().answer(
            "GET",
            "/x",
            &credentials("j\u{e9}".as_bytes()),
            "OTc0MjU2MDZhOGY1N2ZjMTNjZGEwODIyZDUzOWY0ZDk=",
        );
        let value = String::from_utf8_lossy(&value);
        for part in
            ["326a6e87c512c6ace927d9e02f89cac5", "d8a6b577dc26682f6ea27e95e5cf9341", "realm=\"r\u{e9}\""]
        {
            assert!(value.contains(part), "{part}: {value}");
        }
        let escaped = challenge("Digest realm=\"a \\\"b\\\", c\", nonce=n").unwrap();
        let value = answer(&escaped, "a\"b\\c", "p");
        assert!(value.starts_with("Digest username=\"a\\\"b\\\\c\", realm=\"a \\\"b\\\", c\","), "{value}");
    }
}
