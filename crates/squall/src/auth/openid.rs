//! OpenID Connect: what a provider says about itself, its keys, and what its ID tokens must say.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::AuthError;
use super::jwt::{Jwk, Jwt, keys};
use crate::httpclient::{AsyncHttpClient, HttpRequest};

/// The largest answer of a provider.
pub(super) const MOST_BYTES: u64 = 1024 * 1024;

/// How long what a provider says about itself is believed.
const FRESH: Duration = Duration::from_secs(3600);

/// How often keys are fetched again because one is unknown: a token could name any.
const BETWEEN_KEYS: Duration = Duration::from_secs(30);

/// How far clocks may differ.
const LEEWAY: u64 = 60;

/// What a provider says about itself (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) userinfo_endpoint: Option<String>,
    jwks_uri: String,
}

impl Metadata {
    /// Whether all of it is over TLS.
    fn is_secure(&self) -> bool {
        [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri]
            .into_iter()
            .chain(&self.userinfo_endpoint)
            .all(|url| url.starts_with("https:"))
    }
}

/// A provider's own words, kept for a while.
#[derive(Default)]
pub(super) struct Discovery {
    metadata: RefCell<Option<(Instant, Rc<Metadata>)>>,
    keys: RefCell<Option<(Instant, Rc<Vec<Jwk>>)>>,
}

impl Discovery {
    pub(super) async fn metadata(
        &self,
        client: &AsyncHttpClient,
        issuer: &str,
    ) -> Result<Rc<Metadata>, AuthError> {
        let known = self.metadata.borrow().clone();
        if let Some((at, metadata)) = known
            && at.elapsed() < FRESH
        {
            return Ok(metadata);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = serde_json::from_value(get(client, &url).await?)
            .map_err(|error| AuthError::provider(format!("{url}: {error}")))?;
        // §4.3: or it speaks for somebody else.
        if metadata.issuer != issuer {
            return Err(AuthError::provider(format!("{url} is of the issuer {:?}", metadata.issuer)));
        }
        if issuer.starts_with("https:") && !metadata.is_secure() {
            return Err(AuthError::provider(format!("{url} names places without TLS")));
        }
        let metadata = Rc::new(metadata);
        *self.metadata.borrow_mut() = Some((Instant::now(), Rc::clone(&metadata)));
        Ok(metadata)
    }

    /// What an ID token says, once everything about it was found right (OpenID Connect Core 1.0 §3.1.3.7).
    pub(super) async fn verify(
        &self,
        client: &AsyncHttpClient,
        metadata: &Metadata,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Map<String, Value>, AuthError> {
        let keys = self.keys(client, metadata, FRESH).await?;
        let claims = match Jwt::parse(token)?.verify(&keys) {
            // The provider may have a new key.
            Err(AuthError::Signature) => {
                let keys = self.keys(client, metadata, BETWEEN_KEYS).await?;
                Jwt::parse(token)?.verify(&keys)?
            }
            claims => claims?,
        };
        expected.check(&claims, &metadata.issuer, SystemTime::now())?;
        Ok(claims)
    }

    /// The provider's keys, no older than this.
    async fn keys(
        &self,
        client: &AsyncHttpClient,
        metadata: &Metadata,
        at_most: Duration,
    ) -> Result<Rc<Vec<Jwk>>, AuthError> {
        let known = self.keys.borrow().clone();
        if let Some((at, keys)) = known
            && at.elapsed() < at_most
        {
            return Ok(keys);
        }
        let keys = Rc::new(keys(&get(client, &metadata.jwks_uri).await?));
        *self.keys.borrow_mut() = Some((Instant::now(), Rc::clone(&keys)));
        Ok(keys)
    }
}

/// For what login an ID token must have been made.
pub(super) struct Expected<'a> {
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
}

impl Expected<'_> {
    fn check(&self, claims: &Map<String, Value>, issuer: &str, now: SystemTime) -> Result<(), AuthError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(issuer) {
            return Err(AuthError::Issuer);
        }
        let for_us = match claims.get("aud") {
            Some(Value::String(audience)) => audience == self.client_id,
            Some(Value::Array(audiences)) => {
                audiences.iter().any(|audience| audience.as_str() == Some(self.client_id))
                    && (audiences.len() == 1 || text("azp") == Some(self.client_id))
            }
            _ => false,
        };
        if !for_us || text("azp").is_some_and(|party| party != self.client_id) {
            return Err(AuthError::Audience);
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|time| time.max(0.0) as u64);
        let over = time("exp").is_none_or(|end| end.saturating_add(LEEWAY) <= now);
        let early = |name: &str| time(name).is_some_and(|start| start > now.saturating_add(LEEWAY));
        if over || early("iat") || early("nbf") {
            return Err(AuthError::Expired);
        }
        match text("nonce") {
            Some(nonce) if super::equal(nonce, self.nonce) => Ok(()),
            _ => Err(AuthError::Nonce),
        }
    }
}

/// The JSON at `url`.
async fn get(client: &AsyncHttpClient, url: &str) -> Result<Value, AuthError> {
    let request = HttpRequest::get(url).header("Accept", "application/json").max_body_size(MOST_BYTES);
    let response =
        client.fetch(request).await.map_err(|error| AuthError::provider(format!("{url}: {error}")))?;
    response.json().map_err(|error| AuthError::provider(format!("{url}: {error}")))
}
