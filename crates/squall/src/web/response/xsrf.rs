//! Protection against cross-site request forgery, with Tornado's tokens: a random value in a cookie, which a form or
//! script of this site must send once more.
//!
//! A version 2 token hides the value under a mask that is new in every response, so that compressing pages does not
//! give it away (BREACH).

use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use subtle::ConstantTimeEq;

use crate::escape::{hex, unhex};
use crate::httputil::Cookie;
use crate::web::application::Application;
use crate::web::context::Context;
use crate::web::cookies::THIRTY_DAYS;
use crate::web::error::{HttpError, Result};
use crate::web::signed_value::SignedVersion;

/// How an application checks.
pub(in crate::web) struct XsrfSettings {
    on: bool,
    version: SignedVersion,
    cookie_name: String,
    cookie: Option<CookieOptions>,
}

type CookieOptions = Rc<dyn Fn(Cookie) -> Cookie>;

impl Default for XsrfSettings {
    fn default() -> Self {
        Self { on: false, version: SignedVersion::V2, cookie_name: "_xsrf".to_owned(), cookie: None }
    }
}

impl XsrfSettings {
    #[cfg(feature = "templates")]
    pub(in crate::web) fn is_on(&self) -> bool {
        self.on
    }

    /// A cookie that no browser would take is a mistake of the application.
    pub(in crate::web) fn check(&self, problems: &mut Vec<String>) {
        let cookie = self.decorate(Cookie::new(&*self.cookie_name, "value"));
        if let Err(error) = cookie.header_value(SystemTime::now())
            && self.on
        {
            problems.push(format!("xsrf_cookie_name, xsrf_cookie_kwargs: {error}"));
        }
    }

    fn decorate(&self, cookie: Cookie) -> Cookie {
        match &self.cookie {
            Some(options) => options(cookie),
            None => cookie,
        }
    }
}

impl Application {
    /// Refuses every request other than `GET`, `HEAD` and `OPTIONS` that does not send the token of its XSRF cookie: as
    /// the argument `_xsrf`, or as `X-Xsrftoken` or `X-Csrftoken` header. The answer is 403. Default: off.
    ///
    /// Forms get it from [`Context::xsrf_form_html`]. A route that others may post to, such as a web hook, is left out
    /// with [`UrlSpec::xsrf_exempt`](crate::web::UrlSpec::xsrf_exempt) or `#[handler(xsrf_exempt)]`. Paths that no route
    /// takes are a 404 all the same.
    #[must_use]
    pub fn xsrf_cookies(mut self, on: bool) -> Self {
        self.settings.xsrf.on = on;
        self
    }

    /// The version of the tokens that are sent; both are taken. Default: 2. Version 1 is for sharing cookies with a
    /// Tornado before 3.2.2; it has no mask.
    #[must_use]
    pub fn xsrf_cookie_version(mut self, version: SignedVersion) -> Self {
        self.settings.xsrf.version = version;
        self
    }

    /// The name of the cookie, such as `__Host-xsrf`, which no other host of the domain can set. The argument's name
    /// stays `_xsrf`. Default: `_xsrf`.
    #[must_use]
    pub fn xsrf_cookie_name(mut self, name: impl Into<String>) -> Self {
        self.settings.xsrf.cookie_name = name.into();
        self
    }

    /// Attributes of the cookie: `.xsrf_cookie_kwargs(|cookie| cookie.secure(true).httponly(true))`. Without a word about
    /// it the cookie is secure if the request came by https, which Tornado leaves to its users.
    #[must_use]
    pub fn xsrf_cookie_kwargs(mut self, options: impl Fn(Cookie) -> Cookie + 'static) -> Self {
        self.settings.xsrf.cookie = Some(Rc::new(options));
        self
    }
}

/// What one request has to do with tokens.
#[derive(Default)]
pub(in crate::web) struct XsrfState {
    raw: OnceCell<RawToken>,
    sent: OnceCell<String>,
}

/// The value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RawToken {
    bytes: Vec<u8>,
    /// Seconds since 1970.
    timestamp: u64,
    /// It was made for this request: the browser does not have it yet.
    new: bool,
}

impl Context {
    /// The token that forms and scripts of this response send back. The first call of a visitor sets the cookie.
    ///
    /// The cookie lasts for the browser's session, or for 30 days when there is a user and
    /// [`Site::current_user`](crate::web::Site::current_user) does not wait, or was asked before.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn xsrf_token(&self) -> Result<&str> {
        let state = &self.cookie_state().xsrf;
        if let Some(token) = state.sent.get() {
            return Ok(token);
        }
        let raw = self.raw_xsrf_token()?;
        let settings = &self.core().settings.xsrf;
        let token = match settings.version {
            SignedVersion::V1 => hex(&raw.bytes),
            SignedVersion::V2 => {
                let mut mask = [0; 4];
                getrandom::fill(&mut mask).map_err(std::io::Error::other)?;
                format!("2|{}|{}|{}", hex(&mask), hex(&masked(mask, &raw.bytes)), raw.timestamp)
            }
        };
        if raw.new {
            let mut cookie = settings.decorate(Cookie::new(&*settings.cookie_name, &*token));
            if self.has_user_now() {
                cookie = cookie.or_expires_in(THIRTY_DAYS);
            }
            self.set_cookie_with(&cookie.or_secure(self.is_https()))?;
        }
        Ok(state.sent.get_or_init(|| token))
    }

    /// A hidden form field with the [token](Self::xsrf_token).
    ///
    /// # Errors
    /// As [`xsrf_token`](Self::xsrf_token).
    pub fn xsrf_form_html(&self) -> Result<String> {
        // The token holds nothing that HTML would have to escape.
        Ok(format!("<input type=\"hidden\" name=\"_xsrf\" value=\"{}\"/>", self.xsrf_token()?))
    }

    /// Checks that the request sends the token of its cookie. Done by [`Application::xsrf_cookies`] for all routes that
    /// are not exempt; those may call it themselves.
    ///
    /// The body of a streamed request is not there yet: there the token comes in the query or a header.
    ///
    /// # Errors
    /// 403 when the token is missing, malformed or another one.
    pub fn check_xsrf_cookie(&self) -> Result {
        let headers = self.request().headers();
        let argument = self.argument_opt("_xsrf")?.filter(|token| !token.is_empty());
        let header = |name| headers.get(name).filter(|token| !token.is_empty());
        let given = argument.or_else(|| header("X-Xsrftoken")).or_else(|| header("X-Csrftoken"));
        let Some(given) = given else {
            return Err(HttpError::refusal(403, "'_xsrf' argument missing from POST").into());
        };
        let Some(given) = decode(given).filter(|token| !token.bytes.is_empty()) else {
            return Err(HttpError::refusal(403, "'_xsrf' argument has invalid format").into());
        };
        let expected = self.raw_xsrf_token()?;
        if expected.new || !bool::from(given.bytes.ct_eq(&expected.bytes)) {
            return Err(HttpError::refusal(403, "XSRF cookie does not match POST argument").into());
        }
        Ok(())
    }

    /// The check of [`Application::xsrf_cookies`].
    #[inline]
    pub(in crate::web) fn guard_xsrf(&self) -> Result {
        if !self.core().settings.xsrf.on
            || matches!(*self.method(), Method::GET | Method::HEAD | Method::OPTIONS)
            || self.route().is_xsrf_exempt(self.method())
        {
            return Ok(());
        }
        self.sites().check_xsrf(self).unwrap_or_else(|| self.check_xsrf_cookie())
    }

    /// The value of the request's cookie, or a new one.
    fn raw_xsrf_token(&self) -> Result<&RawToken> {
        let state = &self.cookie_state().xsrf;
        if let Some(raw) = state.raw.get() {
            return Ok(raw);
        }
        let cookie = self.cookie(&self.core().settings.xsrf.cookie_name);
        let raw = match cookie.filter(|cookie| !cookie.is_empty()).and_then(decode) {
            Some(raw) if !raw.bytes.is_empty() => raw,
            _ => {
                let mut bytes = vec![0; 16];
                getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
                RawToken { bytes, timestamp: now(), new: true }
            }
        };
        Ok(state.raw.get_or_init(|| raw))
    }

    /// Whether there is a user, as far as that can be told without waiting.
    fn has_user_now(&self) -> bool {
        let known = pin!(self.has_user()).poll(&mut std::task::Context::from_waker(Waker::noop()));
        matches!(known, Poll::Ready(Ok(true)))
    }
}

/// The value under a token of either version; `None` when it is malformed.
fn decode(token: &str) -> Option<RawToken> {
    let version = token
        .split_once('|')
        .map(|(version, _)| version)
        .filter(|version| version.len() <= 3 && !version.starts_with('0') && version.parse::<u16>().is_ok());
    match version {
        // Version 1 is the value in hexadecimal digits, or anything else as it is.
        None => {
            let bytes = unhex(token).unwrap_or_else(|| token.as_bytes().to_vec());
            Some(RawToken { bytes, timestamp: now(), new: false })
        }
        Some("2") => {
            let mut fields = token.split('|').skip(1);
            let (mask, bytes, timestamp) = (fields.next()?, fields.next()?, fields.next()?);
            let mask: [u8; 4] = unhex(mask)?.try_into().ok()?;
            let whole = fields.next().is_none();
            let (bytes, timestamp) = (masked(mask, &unhex(bytes)?), timestamp.parse().ok()?);
            whole.then_some(RawToken { bytes, timestamp, new: false })
        }
        Some(_) => None,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// As a WebSocket frame is masked; doing it twice undoes it.
fn masked(mask: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_both_versions_carry_the_value() {
        let value = |token: &str| decode(token).map(|raw| raw.bytes);
        assert_eq!(value("deadbeef"), Some(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(value("DEADBEEF"), Some(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(value("xoxo"), Some(b"xoxo".to_vec()));
        assert_eq!(value("abc"), Some(b"abc".to_vec()));
        assert_eq!(value("2|01020304|00000000ff|1700000000"), Some(vec![1, 2, 3, 4, 0xfe]));
        assert_eq!(decode("2|00000000|00|1700000000").unwrap().timestamp, 1_700_000_000);
        // Not a version: longer than any, or begun with a zero.
        assert_eq!(value("1234|x"), Some(b"1234|x".to_vec()));
        assert_eq!(value("02|x"), Some(b"02|x".to_vec()));
        for bad in [
            "3|",
            "2|",
            "2|00000000|00",
            "2|000000|00|1",
            "2|00000000|0|1",
            "2|00000000|00|x",
            "2|00000000|00|1|",
            "999|x",
        ] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }
}
