//! OAuth 1.0a (RFC 5849), signed by HMAC-SHA1.

use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::Sha1;
use url::Url;

use super::openid::MOST_BYTES;
use super::{AuthError, equal, random, refuse};
use crate::httpclient::{AsyncHttpClient, HttpRequest, HttpResponse};
use crate::httputil::{Cookie, SameSite, url_concat};
use crate::web::{Context, Result, SignedVersion};

/// RFC 5849 §3.6.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long a visitor may take at the provider.
const LOGIN: Duration = Duration::from_secs(600);

const COOKIE: &str = "_oauth_request_token";

/// A handler whose visitors log in at a provider of OAuth 1.0a (Tornado's `OAuthMixin`).
#[doc(alias = "TwitterMixin")]
pub trait OAuthMixin {
    /// The provider.
    fn oauth1(&self) -> &OAuth1;

    /// See [`OAuth1::authorize_redirect`].
    ///
    /// # Errors
    /// As there.
    async fn authorize_redirect(&self, ctx: &Context, callback_uri: &str) -> Result {
        self.oauth1().authorize_redirect(ctx, callback_uri).await
    }

    /// See [`OAuth1::get_authenticated_user`].
    ///
    /// # Errors
    /// As there.
    async fn get_authenticated_user(&self, ctx: &Context) -> Result<OAuth1User> {
        self.oauth1().get_authenticated_user(ctx).await
    }

    /// See [`OAuth1::oauth_request`].
    ///
    /// # Errors
    /// As there.
    #[doc(alias = "twitter_request")]
    async fn oauth_request(
        &self,
        url: &str,
        token: &OAuth1Token,
        arguments: &[(&str, &str)],
        post_arguments: Option<&[(&str, &str)]>,
    ) -> Result<Value> {
        self.oauth1().oauth_request(url, token, arguments, post_arguments).await
    }
}

/// A provider of OAuth 1.0a, and this application's registration with it. Cheap to clone.
#[derive(Clone)]
pub struct OAuth1 {
    config: Rc<Config>,
    client: AsyncHttpClient,
}

struct Config {
    consumer: OAuth1Token,
    request_token_url: String,
    authorize_url: String,
    access_token_url: String,
}

/// A token and its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuth1Token {
    /// The token's name.
    pub key: String,
    /// What requests in its name are signed with.
    pub secret: String,
}

impl OAuth1Token {
    /// A token that was kept.
    #[must_use]
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        OAuth1Token { key: key.into(), secret: secret.into() }
    }
}

/// The secret is not shown.
impl fmt::Debug for OAuth1Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth1Token").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Somebody whom the provider has given an access token to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OAuth1User {
    /// For requests in the user's name.
    pub access_token: OAuth1Token,
    /// What else came with it, such as Twitter's `user_id` and `screen_name`.
    pub fields: Vec<(String, String)>,
}

impl OAuth1User {
    /// One of the fields.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }
}

impl OAuth1 {
    /// A provider, by its three URLs.
    #[must_use]
    pub fn new(
        consumer: OAuth1Token,
        request_token_url: impl Into<String>,
        authorize_url: impl Into<String>,
        access_token_url: impl Into<String>,
    ) -> Self {
        let config = Config {
            consumer,
            request_token_url: request_token_url.into(),
            authorize_url: authorize_url.into(),
            access_token_url: access_token_url.into(),
        };
        OAuth1 { config: Rc::new(config), client: AsyncHttpClient::new() }
    }

    /// Twitter, whose page lets a user in who has agreed before (Tornado's `authenticate_redirect`).
    #[must_use]
    #[doc(alias = "TwitterMixin")]
    pub fn twitter(consumer: OAuth1Token) -> Self {
        Self::new(
            consumer,
            "https://api.twitter.com/oauth/request_token",
            "https://api.twitter.com/oauth/authenticate",
            "https://api.twitter.com/oauth/access_token",
        )
    }

    /// The client for requests to the provider.
    #[must_use]
    pub fn http_client(mut self, client: AsyncHttpClient) -> Self {
        self.client = client;
        self
    }

    /// Fetches a request token and sends the browser to the provider, which will send it to `callback_uri`.
    ///
    /// # Errors
    /// 502 when the provider gives no token, or does not confirm the callback (as OAuth 1.0
    /// did not, which lets somebody else finish a login).
    ///
    /// # Panics
    /// Without the setting `cookie_secret`, which is answered with a 500.
    #[track_caller]
    pub fn authorize_redirect(&self, ctx: &Context, callback_uri: &str) -> impl Future<Output = Result> {
        // Here, where it is known who calls.
        ctx.cookie_secret();
        self.begin_login(ctx, callback_uri)
    }

    async fn begin_login(&self, ctx: &Context, callback_uri: &str) -> Result {
        let config = &*self.config;
        let callback = [("oauth_callback", callback_uri)];
        let answer = self.token_request(&config.request_token_url, None, &callback).await.map_err(refuse)?;
        let confirmed =
            answer.iter().any(|(name, value)| name == "oauth_callback_confirmed" && value == "true");
        if !confirmed {
            return Err(refuse(AuthError::provider("it does not confirm the callback")));
        }
        let (token, _) = take_token(answer).map_err(refuse)?;
        let cookie = Cookie::new(COOKIE, "").httponly(true).same_site(SameSite::Lax).max_age(LOGIN);
        ctx.set_signed_cookie_with(cookie, serde_json::to_vec(&token)?)?;
        ctx.redirect(&url_concat(&config.authorize_url, [("oauth_token", &token.key)]))
    }

    /// Who has come back from the provider, by the arguments of this request.
    ///
    /// # Errors
    /// [`AuthError::State`] when the browser has begun no such login, `Denied` when the user said no, `Provider` when there is
    /// no access token to be had.
    pub async fn get_authenticated_user(&self, ctx: &Context) -> Result<OAuth1User> {
        let kept = kept(ctx)?;
        if ctx.argument_opt("denied")?.is_some() {
            let error = "denied".to_owned();
            return Err(refuse(AuthError::Denied { error, description: String::new() }));
        }
        let key = ctx.argument("oauth_token")?;
        let Some(token) = kept.filter(|token| equal(&token.key, key)) else {
            return Err(refuse(AuthError::State));
        };
        let verifier = [("oauth_verifier", ctx.argument("oauth_verifier")?)];
        let answer = self.token_request(&self.config.access_token_url, Some(&token), &verifier).await;
        let (access_token, fields) = answer.and_then(take_token).map_err(refuse)?;
        Ok(OAuth1User { access_token, fields })
    }

    /// A signed request in a user's name: GET, or POST of a form if there are `post_arguments`. Gives the JSON of the answer.
    ///
    /// # Errors
    /// 502 when the provider cannot be reached, answers with an error, or not with JSON.
    pub async fn oauth_request(
        &self,
        url: &str,
        token: &OAuth1Token,
        arguments: &[(&str, &str)],
        post_arguments: Option<&[(&str, &str)]>,
    ) -> Result<Value> {
        let target = url_concat(url, arguments.iter().copied());
        let form = post_arguments.unwrap_or_default();
        let method = if post_arguments.is_some() { "POST" } else { "GET" };
        let header = self.authorization(method, &target, Some(token), &[], form)?;
        let request = match post_arguments {
            None => HttpRequest::get(target),
            Some(form) => HttpRequest::post(target).form(form),
        };
        let response = self.fetch(request, &header).await.map_err(refuse)?;
        response.json().map_err(|error| refuse(AuthError::provider(format!("{url}: {error}"))))
    }

    async fn token_request(
        &self,
        url: &str,
        token: Option<&OAuth1Token>,
        extra: &[(&str, &str)],
    ) -> Result<Vec<(String, String)>, AuthError> {
        let header = self.authorization("POST", url, token, extra, &[]).map_err(AuthError::provider)?;
        let response = self.fetch(HttpRequest::post(url).body(""), &header).await?;
        serde_urlencoded::from_bytes(response.body())
            .map_err(|error| AuthError::provider(format!("{url}: {error}")))
    }

    async fn fetch(&self, request: HttpRequest, authorization: &str) -> Result<HttpResponse, AuthError> {
        let request =
            request.header("Authorization", authorization).follow_redirects(false).max_body_size(MOST_BYTES);
        self.client.fetch(request).await.map_err(AuthError::provider)
    }

    /// The header of a signed request (§3.5.1).
    fn authorization(
        &self,
        method: &str,
        url: &str,
        token: Option<&OAuth1Token>,
        extra: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Result<String> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (timestamp, nonce) = (seconds.to_string(), random()?);
        let mut protocol = vec![
            ("oauth_consumer_key", self.config.consumer.key.as_str()),
            ("oauth_nonce", &nonce),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", &timestamp),
            ("oauth_version", "1.0"),
        ];
        protocol.extend(token.map(|token| ("oauth_token", token.key.as_str())));
        protocol.extend(extra);
        let signed: Vec<_> = protocol.iter().chain(form).copied().collect();
        let secret = token.map_or("", |token| token.secret.as_str());
        let signature = sign(method, url, &signed, &self.config.consumer.secret, secret)?;
        protocol.push(("oauth_signature", &signature));
        let mut header = String::from("OAuth ");
        for (index, (name, value)) in protocol.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a `String` cannot fail.
            let _ = write!(header, "{comma}{name}=\"{}\"", encode(value));
        }
        Ok(header)
    }
}

/// Secrets are not shown.
impl fmt::Debug for OAuth1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth1").field("consumer", &self.config.consumer).finish_non_exhaustive()
    }
}

/// The request token that was remembered, which is of use once.
fn kept(ctx: &Context) -> Result<Option<OAuth1Token>> {
    if ctx.cookie(COOKIE).is_none() {
        return Ok(None);
    }
    let kept = ctx.signed_cookie_with(COOKIE, LOGIN, SignedVersion::V2);
    ctx.clear_cookie(COOKIE)?;
    Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
}

/// Splits a provider's answer into the token and the rest.
fn take_token(mut answer: Vec<(String, String)>) -> Result<(OAuth1Token, Vec<(String, String)>), AuthError> {
    let mut take = |wanted: &str| {
        let at = answer.iter().position(|(name, _)| name == wanted);
        at.map(|at| answer.remove(at).1).ok_or_else(|| AuthError::provider(format!("it gives no {wanted}")))
    };
    let (key, secret) = (take("oauth_token")?, take("oauth_token_secret")?);
    Ok((OAuth1Token { key, secret }, answer))
}

/// The signature of a request (§3.4). `url`'s query is signed, too.
fn sign(
    method: &str,
    url: &str,
    parameters: &[(&str, &str)],
    consumer_secret: &str,
    token_secret: &str,
) -> Result<String> {
    let mut place = Url::parse(url)?;
    let query: Vec<(String, String)> = place.query_pairs().into_owned().collect();
    place.set_query(None);
    place.set_fragment(None);
    let mut pairs: Vec<(String, String)> = parameters
        .iter()
        .copied()
        .chain(query.iter().map(|(name, value)| (&**name, &**value)))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let base = format!("{method}&{}&{}", encode(place.as_str()), encode(&pairs.join("&")));
    let key = format!("{}&{}", encode(consumer_secret), encode(token_secret));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(base.as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_rfc_5849() {
        // §3.1 and §3.4.1.1, whose header has this signature.
        let parameters = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("c2", ""),
            ("a3", "2 q"),
        ];
        let url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
        let signature = sign("POST", url, &parameters, "j49sk3j29djd", "dh893hdasih9").unwrap();
        assert_eq!(signature, "r6/TJjbCOr97/+UU0NsvSne7s5g=");
    }
}
