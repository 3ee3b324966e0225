//! The challenges of `WWW-Authenticate` (RFC 9110 §11.6.1). Pure.
//!
//! A comma parts both challenges and their parameters, several fields make one list, and a quoted text may hold either.
//! What tells a scheme from a parameter is the `=` that follows its name.

use std::borrow::Cow;

/// A challenge: a scheme and its parameters, in octets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge<'a> {
    scheme: &'a [u8],
    parameters: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl Challenge<'_> {
    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme.as_bytes())
    }

    /// The first parameter of this name, without quotes.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| &**value)
    }
}

/// The challenges of one field, in their order. Reading ends at what is no challenge; one whose quoted text never ends is
/// none.
pub(super) fn challenges(field: &[u8]) -> Vec<Challenge<'_>> {
    let mut found: Vec<Challenge<'_>> = Vec::new();
    let mut rest = Cursor(field);
    loop {
        rest.take(|byte| is_blank(byte) || byte == b',');
        let name = rest.take(is_token);
        if name.is_empty() {
            return found;
        }
        let blanks = rest.take(is_blank);
        if rest.0.first() != Some(&b'=') {
            found.push(Challenge { scheme: name, parameters: Vec::new() });
            if !blanks.is_empty() {
                rest.skip_token68();
            }
            continue;
        }
        rest.0 = &rest.0[1..];
        rest.take(is_blank);
        match (rest.value(), found.last_mut()) {
            (Some(value), Some(challenge)) => challenge.parameters.push((name, value)),
            _ => {
                found.pop();
                return found;
            }
        }
    }
}

/// What is left of a field.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !wanted(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// The credentials of schemes that have no parameters. One that ends in `=` looks like a parameter up to the comma.
    fn skip_token68(&mut self) {
        let mut after = Cursor(self.0);
        after.take(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        after.take(|byte| byte == b'=');
        after.take(is_blank);
        if matches!(after.0.first(), None | Some(b',')) {
            self.0 = after.0;
        }
    }

    /// A quoted text, else everything up to a blank or a comma: old servers leave quotes out where they are needed.
    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        let Some(inside) = self.0.strip_prefix(b"\"") else {
            return Some(Cow::Borrowed(self.take(|byte| !is_blank(byte) && byte != b',')));
        };
        let mut rest = Cursor(inside);
        let mut value = Cow::Borrowed(rest.take(|byte| byte != b'"' && byte != b'\\'));
        loop {
            match rest.0 {
                [b'"', after @ ..] => {
                    self.0 = after;
                    return Some(value);
                }
                [b'\\', escaped, after @ ..] => {
                    value.to_mut().push(*escaped);
                    rest.0 = after;
                    value.to_mut().extend_from_slice(rest.take(|byte| byte != b'"' && byte != b'\\'));
                }
                _ => return None,
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scheme name=value name=value | scheme …`, what is not UTF-8 replaced.
    fn shown(field: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |challenge: &Challenge<'_>| {
            let parameters =
                challenge.parameters.iter().map(|(name, value)| format!(" {}={}", text(name), text(value)));
            text(challenge.scheme) + &parameters.collect::<String>()
        };
        challenges(field).iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn lists_of_challenges() {
        for (field, expected) in [
            (&b""[..], ""),
            (b" , ,", ""),
            (b"Negotiate", "Negotiate"),
            (b"Basic realm=\"x\"", "Basic realm=x"),
            (b"Basic realm=x", "Basic realm=x"),
            (b"Basic realm = \"x\" , charset=UTF-8", "Basic realm=x charset=UTF-8"),
            // RFC 9110 §11.6.1's own example.
            (
                b"Basic realm=\"simple\", Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\"",
                "Basic realm=simple | Newauth realm=apps type=1 title=Login to \"apps\"",
            ),
            (b"Negotiate, Digest realm=\"r\", nonce=n", "Negotiate | Digest realm=r nonce=n"),
            (b"Negotiate YWJj, Digest realm=\"r\"", "Negotiate | Digest realm=r"),
            (b"Negotiate YWJj== , Digest realm=r", "Negotiate | Digest realm=r"),
            (b"Negotiate a+/b=,Digest realm=r", "Negotiate | Digest realm=r"),
            (b"Digest realm=\"a, Basic realm=b\", nonce=n", "Digest realm=a, Basic realm=b nonce=n"),
            (
                b"Digest realm=\"\", nonce=n,, ,qop=\"auth,auth-int\"",
                "Digest realm= nonce=n qop=auth,auth-int",
            ),
            (b"Digest realm=\"a\\\\\", nonce=\"b\"", "Digest realm=a\\ nonce=b"),
            (b"Digest realm=\"caf\xc3\xa9\", nonce=n", "Digest realm=caf\u{e9} nonce=n"),
            (b"Digest realm=\"caf\xe9\", nonce=n", "Digest realm=caf\u{fffd} nonce=n"),
            // Without the commas that belong there, and values that need quotes.
            (b"Digest realm=\"r\" nonce=\"n\"", "Digest realm=r nonce=n"),
            (b"NTLM Digest realm=r", "NTLM | Digest realm=r"),
            (b"Digest nonce=a/b==, realm=r", "Digest nonce=a/b== realm=r"),
            (b"\tDigest\trealm=r", "Digest realm=r"),
            // What is none ends the list.
            (b"Basic realm=x, Digest realm=\"r", "Basic realm=x"),
            (b"Basic realm=x, Digest realm=\"r\\", "Basic realm=x"),
            (b"realm=x, Basic realm=y", ""),
            (b"Basic realm=x, \"y\", Digest realm=z", "Basic realm=x"),
            (b"=x", ""),
        ] {
            assert_eq!(shown(field), expected, "{}", String::from_utf8_lossy(field));
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let found = challenges(b"dIgest REALM=a, realm=b");
        assert!(found[0].is("Digest") && !found[0].is("Basic"));
        assert_eq!((found[0].get("realm"), found[0].get("nonce")), (Some(&b"a"[..]), None));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::sample::select(b"aB =\t,\"\\/\xe9".as_slice()), 0..60)) {
            let _ = challenges(&bytes);
        }
    }
}
