//! HTTP authentication: Basic (RFC 7617) and Digest (RFC 7616). Pure; the client's nonce is passed in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icu_normalizer::ComposingNormalizerBorrowed;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::escape::hex;

/// The value of `Authorization` for a user and password, in UTF-8 and composed (NFC), as RFC 7617 §2.1 asks for.
pub(super) fn basic(user: &str, password: &str) -> String {
    let composed = ComposingNormalizerBorrowed::new_nfc();
    let (user, password) = (composed.normalize(user), composed.normalize(password));
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a server asks for with `WWW-Authenticate: Digest …`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    /// The server knows `qop=auth`.
    qop_auth: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn name(self, session: bool) -> &'static str {
        match (self, session) {
            (Self::Md5, false) => "MD5",
            (Self::Md5, true) => "MD5-sess",
            (Self::Sha256, false) => "SHA-256",
            (Self::Sha256, true) => "SHA-256-sess",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

impl Challenge {
    /// Reads a challenge; `None` when it is not one for Digest, or one that asks for what is not known here.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |name: &str| parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let (algorithm, session) = match get("algorithm").map(|a| a.to_ascii_lowercase()).as_deref() {
            None | Some("md5") => (Algorithm::Md5, false),
            Some("md5-sess") => (Algorithm::Md5, true),
            Some("sha-256") => (Algorithm::Sha256, false),
            Some("sha-256-sess") => (Algorithm::Sha256, true),
            Some(_) => return None,
        };
        let qop_auth = match get("qop") {
            None => false,
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None, // auth-int alone
        };
        Some(Self {
            realm: get("realm")?.clone(),
            nonce: get("nonce")?.clone(),
            opaque: get("opaque").cloned(),
            algorithm,
            session,
            qop_auth,
        })
    }

    /// The value of `Authorization` that answers it, for the first request with this nonce.
    pub(super) fn answer(&self, method: &str, uri: &str, user: &str, password: &str, cnonce: &str) -> String {
        const COUNT: &str = "00000001";
        let hash = |text: String| self.algorithm.hash(&text);
        let mut ha1 = hash(format!("{user}:{}:{password}", self.realm));
        if self.session {
            ha1 = hash(format!("{ha1}:{}:{cnonce}", self.nonce));
        }
        let ha2 = hash(format!("{method}:{uri}"));
        let response = if self.qop_auth {
            hash(format!("{ha1}:{}:{COUNT}:{cnonce}:auth:{ha2}", self.nonce))
        } else {
            hash(format!("{ha1}:{}:{ha2}", self.nonce))
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(user),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri),
            self.algorithm.name(self.session)
        );
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque={}", quoted(opaque));
        }
        if self.qop_auth {
            value += &format!(", qop=auth, nc={COUNT}, cnonce={}", quoted(cnonce));
        } else if self.session {
            value += &format!(", cnonce={}", quoted(cnonce));
        }
        value
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `name=token, name="quoted"` up to the first part that is something else, such as another challenge.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim();
        if name.is_empty() || name.contains([' ', ',', '"']) {
            break;
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(inside) => unquote(inside),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name.to_owned(), value));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

/// The text up to the closing quote, and what follows it.
fn unquote(inside: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inside[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_vector() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
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
            let challenge = Challenge::parse(&format!("Digest {common}, algorithm={algorithm}")).unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let value = challenge.answer("GET", "/dir/index.html", "Mufasa", "Circle of Life", cnonce);
            assert!(value.contains(&format!("response=\"{response}\"")), "{value}");
            assert!(value.contains(&format!("algorithm={algorithm}, opaque=\"FQhe/")), "{value}");
            assert!(value.ends_with(&format!("qop=auth, nc=00000001, cnonce=\"{cnonce}\"")), "{value}");
        }
    }

    /// RFC 2069 §2.4, with the response that its errata give.
    #[test]
    fn without_qop() {
        let challenge = Challenge::parse(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        let value = challenge.answer("GET", "/dir/index.html", "Mufasa", "CircleOfLife", "unused");
        assert!(value.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{value}");
        assert!(!value.contains("cnonce"));
    }

    #[test]
    fn what_is_not_understood_is_not_answered() {
        for value in [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512-256",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest realm=\"x",
        ] {
            assert_eq!(Challenge::parse(value), None, "{value}");
        }
        let odd = Challenge::parse("digest realm=\"a \\\"b\\\", c\" , nonce=n,qop=auth, Basic realm=\"z\"")
            .unwrap();
        assert_eq!((odd.realm.as_str(), odd.nonce.as_str(), odd.qop_auth), ("a \"b\", c", "n", true));
    }
}
