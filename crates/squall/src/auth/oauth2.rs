//! OAuth 2.0 by the authorization code (RFC 6749 §4.1), with PKCE (RFC 7636).

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::openid::{Discovery, Expected, MOST_BYTES, Metadata};
use super::{AuthError, equal, random, refuse};
use crate::escape::hex;
use crate::httpclient::{AsyncHttpClient, HttpRequest, HttpResponse};
use crate::httputil::{Cookie, SameSite, url_concat};
use crate::web::{Context, Result, SignedVersion};

/// How long a visitor may take at the provider.
const LOGIN: Duration = Duration::from_secs(600);

/// A handler whose visitors log in at a provider of OAuth 2 (Tornado's `OAuth2Mixin`).
#[doc(alias = "GoogleOAuth2Mixin")]
#[doc(alias = "FacebookGraphMixin")]
pub trait OAuth2Mixin {
    /// The provider.
    fn oauth2(&self) -> &OAuth2;

    /// See [`OAuth2::authorize_redirect`].
    ///
    /// # Errors
    /// As there.
    async fn authorize_redirect(&self, ctx: &Context) -> Result {
        self.oauth2().authorize_redirect(ctx).await
    }

    /// See [`OAuth2::get_authenticated_user`].
    ///
    /// # Errors
    /// As there.
    async fn get_authenticated_user(&self, ctx: &Context) -> Result<AuthenticatedUser> {
        self.oauth2().get_authenticated_user(ctx).await
    }

    /// See [`OAuth2::oauth2_request`].
    ///
    /// # Errors
    /// As there.
    #[doc(alias = "facebook_request")]
    async fn oauth2_request(
        &self,
        url: &str,
        access_token: &str,
        arguments: &[(&str, &str)],
        post_arguments: Option<&[(&str, &str)]>,
    ) -> Result<Value> {
        self.oauth2().oauth2_request(url, access_token, arguments, post_arguments).await
    }
}

/// A provider, and this application's registration with it. Cheap to clone.
#[derive(Clone)]
pub struct OAuth2 {
    config: Rc<Config>,
    client: AsyncHttpClient,
    discovery: Rc<Discovery>,
}

#[derive(Clone)]
struct Config {
    client_id: String,
    client_secret: String,
    place: Place,
    userinfo_url: Option<String>,
    scope: Vec<String>,
    redirect_uri: Option<String>,
    extra: Vec<(String, String)>,
    cookie: String,
    basic: bool,
    pkce: bool,
    proof: bool,
}

/// Where the provider is.
#[derive(Clone)]
enum Place {
    Urls { authorize: String, token: String },
    Issuer(String),
}

/// Somebody of whom the provider says who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthenticatedUser {
    /// For requests in the user's name.
    pub access_token: String,
    /// All that came with the access token: `refresh_token`, `expires_in` in seconds, `scope`, ….
    pub token: Map<String, Value>,
    /// What the ID token says, verified; empty unless by OpenID Connect.
    pub claims: Map<String, Value>,
    /// What the provider's page about the user says; null if there is none.
    pub profile: Value,
}

impl AuthenticatedUser {
    /// The provider's own name for the user: `sub` of the ID token, else `sub` or `id` of the profile.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        let found =
            self.claims.get("sub").or_else(|| self.profile.get("sub")).or_else(|| self.profile.get("id"));
        match found? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// What is remembered of a login that has begun, in a signed cookie.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
}

/// A provider.
impl OAuth2 {
    /// Any provider of OAuth 2, by its two URLs: of the page that asks the user, and of the one that gives tokens.
    #[must_use]
    pub fn new(
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
        authorize_url: impl Into<String>,
        access_token_url: impl Into<String>,
    ) -> Self {
        let place = Place::Urls { authorize: authorize_url.into(), token: access_token_url.into() };
        Self::at(client_id.into(), client_secret.into(), place)
    }

    /// A provider of OpenID Connect, by its issuer's name, such as `https://accounts.google.com`. Everything else it says
    /// itself (OpenID Connect Discovery), when it is first needed, and is believed for an hour.
    #[must_use]
    pub fn openid(
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
        issuer: impl Into<String>,
    ) -> Self {
        Self::at(client_id.into(), client_secret.into(), Place::Issuer(issuer.into())).scope(["openid"])
    }

    fn at(client_id: String, client_secret: String, place: Place) -> Self {
        let config = Config {
            client_id,
            client_secret,
            place,
            userinfo_url: None,
            scope: Vec::new(),
            redirect_uri: None,
            extra: Vec::new(),
            cookie: "_oauth2_login".to_owned(),
            basic: false,
            pkce: true,
            proof: false,
        };
        OAuth2 { config: Rc::new(config), client: AsyncHttpClient::new(), discovery: Rc::default() }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Rc::make_mut(&mut self.config));
        self
    }

    /// What is asked for. By default nothing; with [`openid`](Self::openid), `openid`, which must be among it.
    #[must_use]
    pub fn scope<S: Into<String>>(self, scope: impl IntoIterator<Item = S>) -> Self {
        self.set(|config| config.scope = scope.into_iter().map(Into::into).collect())
    }

    /// Where the provider sends the user back to: what is registered with it. Default: the URL of the request, without its
    /// query.
    #[must_use]
    pub fn redirect_uri(self, url: impl Into<String>) -> Self {
        self.set(|config| config.redirect_uri = Some(url.into()))
    }

    /// Where the provider tells who a user is; it becomes the [`profile`](AuthenticatedUser::profile).
    #[must_use]
    pub fn userinfo_url(self, url: impl Into<String>) -> Self {
        self.set(|config| config.userinfo_url = Some(url.into()))
    }

    /// Where the provider is instead: for one of a company's own, or a test's.
    #[must_use]
    pub fn urls(self, authorize_url: impl Into<String>, access_token_url: impl Into<String>) -> Self {
        let place = Place::Urls { authorize: authorize_url.into(), token: access_token_url.into() };
        self.set(|config| config.place = place)
    }

    /// A further argument for the provider's page, such as `prompt=consent` (Tornado's `extra_params`).
    #[must_use]
    pub fn extra_param(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(|config| config.extra.push((name.into(), value.into())))
    }

    /// Tells id and secret by HTTP Basic (RFC 6749 §2.3.1) rather than in the form. Default: false.
    #[must_use]
    pub fn basic_auth(self, basic: bool) -> Self {
        self.set(|config| config.basic = basic)
    }

    /// Whether a code is of use only to who asked for it (RFC 7636). Default: true; false is for providers that refuse it.
    #[must_use]
    pub fn pkce(self, pkce: bool) -> Self {
        self.set(|config| config.pkce = pkce)
    }

    /// The name of the cookie that a login has while it lasts: where several providers are to be kept apart. Default:
    /// `_oauth2_login`.
    #[must_use]
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        self.set(|config| config.cookie = name.into())
    }

    /// The client for requests to the provider (Tornado's `get_auth_http_client`).
    #[must_use]
    #[doc(alias = "get_auth_http_client")]
    pub fn http_client(mut self, client: AsyncHttpClient) -> Self {
        self.client = client;
        self
    }

    pub(super) fn with_proof(self) -> Self {
        self.set(|config| config.proof = true)
    }
}

/// A login.
impl OAuth2 {
    /// Sends the browser to the provider, which will send it back with `code` and `state`.
    ///
    /// # Errors
    /// 502 when the provider does not tell where it is.
    ///
    /// # Panics
    /// Without the setting `cookie_secret`, which is answered with a 500.
    #[track_caller]
    pub fn authorize_redirect(&self, ctx: &Context) -> impl Future<Output = Result> {
        // Here, where it is known who calls.
        ctx.cookie_secret();
        self.begin_login(ctx)
    }

    async fn begin_login(&self, ctx: &Context) -> Result {
        let config = &*self.config;
        let metadata = self.metadata().await.map_err(refuse)?;
        let authorize = match (&config.place, &metadata) {
            (Place::Urls { authorize, .. }, _) => authorize,
            (Place::Issuer(_), Some(metadata)) => &metadata.authorization_endpoint,
            (Place::Issuer(_), None) => return Err(refuse(AuthError::provider("it has no metadata"))),
        };
        let redirect_uri = config.redirect_uri.clone().unwrap_or_else(|| {
            let url = ctx.request().full_url();
            url.split(['?', '#']).next().unwrap_or_default().to_owned()
        });
        let begun = Begun { state: random()?, nonce: random()?, verifier: random()?, redirect_uri };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&begun.verifier));
        let scope = config.scope.join(" ");
        let mut arguments = vec![
            ("response_type", "code"),
            ("client_id", &config.client_id),
            ("redirect_uri", &begun.redirect_uri),
            ("state", &begun.state),
        ];
        if !scope.is_empty() {
            arguments.push(("scope", &scope));
        }
        if config.pkce {
            arguments.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        if metadata.is_some() {
            arguments.push(("nonce", &begun.nonce));
        }
        arguments.extend(config.extra.iter().map(|(name, value)| (&**name, &**value)));
        // Lax: it has to come back with a link from another site.
        let cookie = Cookie::new(&config.cookie, "").httponly(true).same_site(SameSite::Lax).max_age(LOGIN);
        ctx.set_signed_cookie_with(cookie, serde_json::to_vec(&begun)?)?;
        ctx.redirect(&url_concat(authorize, arguments))
    }

    /// Who has come back from the provider, by the arguments of this request.
    ///
    /// What was remembered of the login is forgotten, whatever the result.
    ///
    /// # Errors
    /// As [`AuthError`] says; its variants tell what was wrong.
    pub async fn get_authenticated_user(&self, ctx: &Context) -> Result<AuthenticatedUser> {
        let begun = self.begun(ctx)?;
        let state = ctx.argument_opt("state")?.unwrap_or_default();
        let Some(begun) = begun.filter(|begun| equal(&begun.state, state)) else {
            return Err(refuse(AuthError::State));
        };
        // RFC 9207: with several providers, an answer must be the right one's.
        if let (Place::Issuer(issuer), Some(said)) = (&self.config.place, ctx.argument_opt("iss")?)
            && issuer != said
        {
            return Err(refuse(AuthError::Issuer));
        }
        if let Some(error) = ctx.argument_opt("error")? {
            let description = ctx.argument_or("error_description", "")?.to_owned();
            return Err(refuse(AuthError::Denied { error: error.to_owned(), description }));
        }
        let code = ctx.argument("code")?;
        self.authenticate(code, &begun).await.map_err(refuse)
    }

    /// What was remembered, which is of use once.
    fn begun(&self, ctx: &Context) -> Result<Option<Begun>> {
        let name = &self.config.cookie;
        if ctx.cookie(name).is_none() {
            return Ok(None);
        }
        let kept = ctx.signed_cookie_with(name, LOGIN, SignedVersion::V2);
        ctx.clear_cookie(name)?;
        Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
    }

    async fn authenticate(&self, code: &str, begun: &Begun) -> Result<AuthenticatedUser, AuthError> {
        let metadata = self.metadata().await?;
        let token = self.token(metadata.as_deref(), code, begun).await?;
        let Some(access_token) = token.get("access_token").and_then(Value::as_str).map(str::to_owned) else {
            return Err(AuthError::provider("it gives no access token"));
        };
        let mut claims = Map::new();
        if let Some(metadata) = &metadata {
            let Some(id_token) = token.get("id_token").and_then(Value::as_str) else {
                return Err(AuthError::provider("it gives no ID token"));
            };
            let expected = Expected { client_id: &self.config.client_id, nonce: &begun.nonce };
            claims = self.discovery.verify(&self.client, metadata, id_token, &expected).await?;
        }
        let userinfo = self.config.userinfo_url.as_deref();
        let userinfo = userinfo.or_else(|| metadata.as_deref()?.userinfo_endpoint.as_deref());
        let profile = match userinfo {
            Some(url) => self.request(url, &access_token, &[], None).await?,
            None => Value::Null,
        };
        // OpenID Connect Core §5.3.2: or it could be somebody else's.
        if metadata.is_some() && userinfo.is_some() && profile.get("sub") != claims.get("sub") {
            return Err(AuthError::provider("the profile is of another user than the ID token"));
        }
        Ok(AuthenticatedUser { access_token, token, claims, profile })
    }

    /// Exchanges the code for a token (RFC 6749 §4.1.3).
    async fn token(
        &self,
        metadata: Option<&Metadata>,
        code: &str,
        begun: &Begun,
    ) -> Result<Map<String, Value>, AuthError> {
        let config = &*self.config;
        let url = match (&config.place, metadata) {
            (Place::Urls { token, .. }, _) => token,
            (Place::Issuer(_), Some(metadata)) => &metadata.token_endpoint,
            (Place::Issuer(_), None) => return Err(AuthError::provider("it has no metadata")),
        };
        let mut form =
            vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &begun.redirect_uri)];
        if config.pkce {
            form.push(("code_verifier", &begun.verifier));
        }
        let mut request = HttpRequest::post(url.as_str()).header("Accept", "application/json");
        if config.basic {
            request = request.basic_auth(&config.client_id, &config.client_secret);
        } else {
            form.extend([("client_id", config.client_id.as_str()), ("client_secret", &config.client_secret)]);
        }
        let response = self.fetch(request.form(&form)).await?;
        let answer = fields(&response);
        match answer.get("error").and_then(Value::as_str) {
            // §5.2; and GitHub's, with status 200.
            Some(error @ ("invalid_grant" | "bad_verification_code")) => {
                Err(AuthError::Code(error.to_owned()))
            }
            Some(error) => Err(AuthError::provider(format!("{url}: {error}"))),
            None if !response.is_success() => {
                Err(AuthError::provider(format!("{url} answers with {}", response.status())))
            }
            None => Ok(answer),
        }
    }

    /// A request in a user's name: GET, or POST of a form if there are `post_arguments`. Gives the JSON of the answer.
    ///
    /// The token goes into the header (RFC 6750), where Tornado puts it into the URL and so into logs. `url` is the
    /// application's own: whoever chooses it gets the token.
    ///
    /// # Errors
    /// 502 when the provider cannot be reached, answers with an error, or not with JSON.
    pub async fn oauth2_request(
        &self,
        url: &str,
        access_token: &str,
        arguments: &[(&str, &str)],
        post_arguments: Option<&[(&str, &str)]>,
    ) -> Result<Value> {
        self.request(url, access_token, arguments, post_arguments).await.map_err(refuse)
    }

    async fn request(
        &self,
        url: &str,
        access_token: &str,
        arguments: &[(&str, &str)],
        post_arguments: Option<&[(&str, &str)]>,
    ) -> Result<Value, AuthError> {
        let mut target = url_concat(url, arguments.iter().copied());
        if self.config.proof {
            target = url_concat(&target, [("appsecret_proof", self.proof(access_token))]);
        }
        let request = match post_arguments {
            None => HttpRequest::get(target),
            Some(form) => HttpRequest::post(target).form(form),
        };
        let bearer = format!("Bearer {access_token}");
        let request = request.header("Authorization", bearer.as_str()).header("Accept", "application/json");
        let response = self.fetch(request).await?;
        if !response.is_success() {
            return Err(AuthError::provider(format!("{url} answers with {}", response.status())));
        }
        response.json().map_err(|error| AuthError::provider(format!("{url}: {error}")))
    }

    /// Facebook's: whoever stole the token has not the secret.
    fn proof(&self, access_token: &str) -> String {
        let key = self.config.client_secret.as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(access_token.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, AuthError> {
        let url = request.url().to_owned();
        // A redirect of a request with secrets is nothing that a provider does.
        let request = request.raise_error(false).follow_redirects(false).max_body_size(MOST_BYTES);
        let response = self.client.fetch(request).await;
        response.map_err(|error| AuthError::provider(format!("{}: {error}", without_query(&url))))
    }

    async fn metadata(&self) -> Result<Option<Rc<Metadata>>, AuthError> {
        match &self.config.place {
            Place::Urls { .. } => Ok(None),
            Place::Issuer(issuer) => self.discovery.metadata(&self.client, issuer).await.map(Some),
        }
    }
}

/// Secrets are not shown.
impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2").field("client_id", &self.config.client_id).finish_non_exhaustive()
    }
}

/// The fields of an answer: JSON, or as of old a form.
fn fields(response: &HttpResponse) -> Map<String, Value> {
    if let Ok(Value::Object(fields)) = response.json() {
        return fields;
    }
    let form: Vec<(String, String)> = serde_urlencoded::from_bytes(response.body()).unwrap_or_default();
    form.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
