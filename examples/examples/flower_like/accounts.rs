//! Who may come in.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The names and passwords of the command line, of which a hash is kept so that all are equally long. What keeps passwords
/// of its users in a file hashes them slowly, with argon2.
pub(crate) struct Accounts(HashMap<String, [u8; 32]>);

impl Accounts {
    /// `name:password`, several with commas.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let account = |pair: &str| {
            let (name, password) = pair.split_once(':')?;
            Some((name.to_owned(), digest(password)))
        };
        text.split(',').map(account).collect::<Option<_>>().map(Self)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes as long for a wrong password as for an unknown name, and for the right one.
    pub(crate) fn check(&self, name: &str, password: &str) -> bool {
        let expected = self.0.get(name);
        let is_right = expected.unwrap_or(&[0; 32]).ct_eq(&digest(password));
        bool::from(is_right) && expected.is_some()
    }

    /// The name in an `Authorization` header, if the password is right.
    pub(crate) fn of_header(&self, authorization: &str) -> Option<String> {
        let (scheme, credentials) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let credentials = BASE64_STANDARD.decode(credentials.trim()).ok()?;
        let (name, password) = str::from_utf8(&credentials).ok()?.split_once(':')?;
        self.check(name, password).then(|| name.to_owned())
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
