//! Logging in by somebody else's word (Tornado's `tornado.auth`; feature `auth`).
//!
//! An [`OAuth2`] describes a provider: any of OAuth 2, one of OpenID Connect by its issuer's name, or
//! [Google](OAuth2::google), [GitHub](OAuth2::github) and [Facebook](OAuth2::facebook). A handler that implements
//! [`OAuth2Mixin`] sends its visitors there and takes them back. [`OAuth1`] with [`OAuthMixin`] does the same for OAuth 1.0a.
//!
//! ```
//! use squall::auth::{OAuth2, OAuth2Mixin};
//! use squall::{Application, Context, RequestHandler, Result, handler, url};
//!
//! #[derive(Clone)]
//! struct Login {
//!     google: OAuth2,
//! }
//!
//! impl OAuth2Mixin for Login {
//!     fn oauth2(&self) -> &OAuth2 {
//!         &self.google
//!     }
//! }
//!
//! #[handler]
//! impl RequestHandler for Login {
//!     async fn get(&mut self, ctx: &Context) -> Result {
//!         if ctx.argument_opt("state")?.is_none() {
//!             return self.authorize_redirect(ctx).await;
//!         }
//!         let user = self.get_authenticated_user(ctx).await?;
//!         ctx.set_signed_cookie("user", user.subject().unwrap_or_default())?;
//!         ctx.redirect("/")
//!     }
//! }
//!
//! # fn main() -> Result {
//! let google = OAuth2::google("client id", "client secret").redirect_uri("https://example.com/login");
//! let app = Application::new([url("/login", Login { google })]).cookie_secret("long and random");
//! # Ok(())
//! # }
//! ```
//!
//! The state, the nonce and PKCE's verifier (RFC 7636) travel in a signed cookie for at most ten minutes, and count once. So
//! an application needs [`cookie_secret`](crate::Application::cookie_secret). What does not fit together is answered with
//! 400 and a line in the log that says what it was; a provider that does not work, with 502.
//!
//! Why no crate: `openidconnect` and `oauth2` bring cryptography of their own (RSA, P-256, P-384, Ed25519 in Rust) beside the
//! one that TLS has here already; what is left besides that is five parameters and a form.

mod jwt;
mod oauth1;
mod oauth2;
mod openid;
mod providers;

use std::error::Error as StdError;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::web::{Error, HttpError, Result};

pub use self::oauth1::{OAuth1, OAuth1Token, OAuth1User, OAuthMixin};
pub use self::oauth2::{AuthenticatedUser, OAuth2, OAuth2Mixin};

/// Why nobody was authenticated; the [source](std::error::Error::source) of the [`HttpError`] that a handler's `?` passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// The answer belongs to no request of this browser's: the state is missing, too old, or another.
    State,
    /// The provider says no, with this code and description.
    Denied {
        /// Such as `access_denied`.
        error: String,
        /// For people; may be empty.
        description: String,
    },
    /// The provider does not take the code, which may have been used before.
    Code(String),
    /// The identity's signature is wrong, or is none.
    Signature,
    /// The identity was made for another login.
    Nonce,
    /// The identity was made by another provider.
    Issuer,
    /// The identity was made for another application.
    Audience,
    /// The identity's time is over, or has not come.
    Expired,
    /// The provider cannot be reached, or its answers make no sense.
    Provider(String),
}

impl AuthError {
    /// The status that a client gets: 502 if it is the provider's fault, 403 if it said no, else 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            AuthError::Provider(_) => 502,
            AuthError::Denied { .. } => 403,
            _ => 400,
        }
    }

    fn for_client(&self) -> &'static str {
        match self {
            AuthError::Provider(_) => "The login provider does not work",
            AuthError::Denied { .. } => "The login provider has refused the login",
            _ => "The login does not fit to this browser's request; please try again",
        }
    }

    pub(crate) fn provider(problem: impl fmt::Display) -> Self {
        AuthError::Provider(problem.to_string())
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthError::State => f.write_str("login: the state is missing, too old, or another browser's"),
            AuthError::Denied { error, description } => {
                write!(f, "login: the provider refuses: {error:?} {description:?}")
            }
            AuthError::Code(error) => write!(f, "login: the provider does not take the code: {error:?}"),
            AuthError::Signature => f.write_str("login: the ID token's signature is wrong"),
            AuthError::Nonce => f.write_str("login: the ID token's nonce is another"),
            AuthError::Issuer => f.write_str("login: the issuer is another"),
            AuthError::Audience => f.write_str("login: the ID token is for another application"),
            AuthError::Expired => f.write_str("login: the ID token has expired, or is of the future"),
            AuthError::Provider(problem) => write!(f, "login: the provider does not work: {problem}"),
        }
    }
}

impl StdError for AuthError {}

/// As a handler passes it on.
fn refuse(error: AuthError) -> Error {
    HttpError::new(error.status())
        .message(error.for_client())
        .log_message(error.to_string())
        .caused_by(error)
        .into()
}

/// Text of 256 bits that nobody can guess.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        HttpError::new(500).log_message(format!("the system has no randomness to give: {error}"))
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Takes as long whatever the difference is.
fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
