//! `squall::auth`, after Tornado's `auth_test.py`, against a provider that is played here. The table is in `auth.md`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use squall::auth::{OAuth1, OAuth1Token, OAuth2, OAuth2Mixin, OAuthMixin};
use squall::httpclient::{CookieJar, Url};
use squall::testing::{ExpectLog, TestResponse, TestServer, serve};
use squall::{Application, Context, HttpError, RequestHandler, Result, get, handler, log, post, url};

/// A provider of OAuth 2 and OpenID Connect, whose tokens can be made wrong.
#[derive(Clone)]
struct Provider(Rc<Inner>);

struct Inner {
    keys: RefCell<EcdsaKeyPair>,
    kid: Cell<u32>,
    /// Its own address, once it has one.
    issuer: RefCell<String>,
    /// The arguments of the page that asks the user, by the code that it gave.
    #[expect(clippy::type_complexity, reason = "codes, and what was asked for with each")]
    granted: RefCell<Vec<(String, Vec<(String, String)>)>>,
    change: RefCell<Change>,
    key_fetches: Cell<u32>,
}

/// How the next ID token is wrong: claims that are replaced, and a hand on the finished token.
#[derive(Default)]
struct Change {
    claims: Value,
    token: Option<fn(String) -> String>,
}

fn new_keys() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap()
}

fn base64(data: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

impl Provider {
    fn start() -> (Self, TestServer) {
        let provider = Provider(Rc::new(Inner {
            keys: RefCell::new(new_keys()),
            kid: Cell::new(1),
            issuer: RefCell::default(),
            granted: RefCell::default(),
            change: RefCell::default(),
            key_fetches: Cell::new(0),
        }));
        let server = serve(provider.app());
        provider.0.issuer.replace(server.url(""));
        (provider, server)
    }

    fn app(&self) -> Application {
        let own = || self.clone();
        let (a, b, c, d) = (own(), own(), own(), own());
        Application::new([
            get("/.well-known/openid-configuration", async move |ctx: &Context| {
                let issuer = a.0.issuer.borrow().clone();
                ctx.write_json(&json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
                    "token_endpoint": format!("{issuer}/token"),
                    "userinfo_endpoint": format!("{issuer}/userinfo"),
                    "jwks_uri": format!("{issuer}/keys"),
                }))
            }),
            get("/keys", async move |ctx: &Context| b.keys(ctx)),
            get("/authorize", async move |ctx: &Context| c.authorize(ctx)),
            post("/token", async move |ctx: &Context| d.token(ctx)),
            get("/userinfo", async |ctx: &Context| Self::userinfo(ctx)),
            post("/fail", async |_: &Context| -> Result { Err(HttpError::new(500).into()) }),
        ])
    }

    fn keys(&self, ctx: &Context) -> Result {
        self.0.key_fetches.set(self.0.key_fetches.get() + 1);
        let keys = self.0.keys.borrow();
        let (x, y) = keys.public_key().as_ref()[1..].split_at(32);
        let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.0.kid.get().to_string(), "x": base64(x), "y": base64(y)});
        ctx.write_json(&json!({"keys": [{"kty": "new"}, key]}))
    }

    /// Says yes at once.
    fn authorize(&self, ctx: &Context) -> Result {
        let arguments = ctx.request().query_arguments().unwrap();
        let arguments: Vec<_> = arguments
            .iter()
            .map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap()))
            .collect();
        let code = format!("code{}", self.0.granted.borrow().len());
        let back = format!("{}?code={code}&state={}", ctx.argument("redirect_uri")?, ctx.argument("state")?);
        self.0.granted.borrow_mut().push((code, arguments));
        ctx.redirect(&back)
    }

    fn token(&self, ctx: &Context) -> Result {
        let code = ctx.body_argument("code")?;
        let mut granted = self.0.granted.borrow_mut();
        let Some(at) = granted.iter().position(|(known, _)| known == code) else {
            ctx.set_status(400);
            return ctx.write_json(&json!({"error": "invalid_grant"}));
        };
        let (_, asked) = granted.remove(at);
        let asked =
            |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(ctx.body_argument("grant_type")?, "authorization_code");
        assert_eq!(Some(ctx.body_argument("redirect_uri")?), asked("redirect_uri").as_deref());
        assert_eq!(
            (ctx.body_argument("client_id")?, ctx.body_argument("client_secret")?),
            ("client", "secret")
        );
        assert_eq!(asked("code_challenge_method").as_deref(), Some("S256"));
        let challenge = base64(Sha256::digest(ctx.body_argument("code_verifier")?));
        assert_eq!(asked("code_challenge"), Some(challenge));
        let mut answer = json!({"access_token": "asdf", "token_type": "Bearer", "expires_in": 3600});
        if let Some(nonce) = asked("nonce") {
            answer["id_token"] = self.id_token(&nonce).into();
        }
        ctx.write_json(&answer)
    }

    fn id_token(&self, nonce: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": *self.0.issuer.borrow(), "aud": "client", "sub": "7", "nonce": nonce,
            "iat": now, "exp": now + 60, "email": "foo@example.com",
        });
        let change = self.0.change.take();
        for (name, value) in change.claims.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.0.kid.get().to_string()});
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.0.keys.borrow().sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", base64(signature));
        change.token.map_or(token.clone(), |change| change(token))
    }

    fn userinfo(ctx: &Context) -> Result {
        if ctx.request().headers().get("Authorization") != Some("Bearer asdf") {
            return Err(HttpError::new(401).into());
        }
        let proof = ctx.argument_opt("appsecret_proof")?;
        ctx.write_json(&json!({"sub": "7", "id": 7, "name": "Foo", "fields": ctx.argument_opt("fields")?, "proof": proof}))
    }
}

/// The application's page.
#[derive(Clone)]
struct Login(OAuth2);

impl OAuth2Mixin for Login {
    fn oauth2(&self) -> &OAuth2 {
        &self.0
    }
}

#[handler]
impl RequestHandler for Login {
    async fn get(&mut self, ctx: &Context) -> Result {
        if ctx.argument_opt("state")?.is_none() {
            return self.authorize_redirect(ctx).await;
        }
        let user = self.get_authenticated_user(ctx).await?;
        ctx.write_json(&json!({
            "subject": user.subject(), "claims": user.claims, "profile": user.profile,
            "token": user.access_token, "expires_in": user.token["expires_in"],
        }))
    }
}

struct Visit {
    app: TestServer,
    jar: CookieJar,
}

impl Visit {
    fn to(oauth2: OAuth2) -> Self {
        let app = serve(Application::new([url("/login", Login(oauth2))]).cookie_secret("s"));
        Visit { app, jar: CookieJar::new() }
    }

    /// Goes to the provider, and gives the page that the provider sends the browser to.
    async fn back(&self, provider: &TestServer) -> String {
        let sent = self.app.get("/login?x=1").cookie_jar(&self.jar).await;
        let location = sent.assert_status(302).header("Location").unwrap().to_owned();
        let there = location.strip_prefix(&provider.url("")).unwrap().to_owned();
        let back = provider.get(&there).await;
        let back = back.assert_status(302).header("Location").unwrap();
        back.strip_prefix(&self.app.url("")).unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> TestResponse {
        self.app.get(path).cookie_jar(&self.jar).await
    }

    async fn log_in(&self, provider: &TestServer) -> TestResponse {
        let back = self.back(provider).await;
        self.get(&back).await
    }
}

fn plain(provider: &TestServer) -> OAuth2 {
    OAuth2::new("client", "secret", provider.url("/authorize"), provider.url("/token")).scope(["a", "b"])
}

fn openid(provider: &TestServer) -> OAuth2 {
    OAuth2::openid("client", "secret", provider.url(""))
}

#[squall::test]
async fn oauth2_redirect() {
    let (_, provider) = Provider::start();
    let visit = Visit::to(plain(&provider).extra_param("prompt", "none"));
    let sent = visit.get("/login?x=1").await;
    let location = Url::parse(sent.assert_status(302).header("Location").unwrap()).unwrap();
    let argument = |name: &str| {
        location.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    assert!(location.as_str().starts_with(&provider.url("/authorize?")));
    assert_eq!(argument("response_type").as_deref(), Some("code"));
    assert_eq!(argument("redirect_uri"), Some(visit.app.url("/login")), "without the query");
    assert_eq!(argument("scope").as_deref(), Some("a b"));
    assert_eq!(argument("prompt").as_deref(), Some("none"));
    assert_eq!((argument("state").unwrap().len(), argument("nonce")), (43, None));
    let cookie = sent.header("Set-Cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Max-Age=600"),
        "{cookie}"
    );
}

#[squall::test]
async fn oauth2_login_with_a_profile() {
    let (_, provider) = Provider::start();
    let visit = Visit::to(plain(&provider).userinfo_url(provider.url("/userinfo")));
    let user: Value = visit.log_in(&provider).await.assert_status(200).json();
    assert_eq!(
        (&user["token"], &user["expires_in"], &user["subject"]),
        (&json!("asdf"), &json!(3600), &json!("7"))
    );
    assert_eq!((&user["profile"]["name"], &user["claims"]), (&json!("Foo"), &json!({})));
}

#[squall::test]
async fn openid_login() {
    let (state, provider) = Provider::start();
    let visit = Visit::to(openid(&provider));
    for turn in 0..2 {
        let user: Value = visit.log_in(&provider).await.assert_status(200).json();
        assert_eq!(
            (&user["subject"], &user["claims"]["email"]),
            (&json!("7"), &json!("foo@example.com")),
            "{turn}"
        );
    }
    assert_eq!(state.0.key_fetches.get(), 1, "keys are kept");
}

/// State, nonce, issuer, audience, times, signatures: 400, and the log says what it was.
#[squall::test]
async fn what_does_not_fit_together_is_refused() {
    let (state, provider) = Provider::start();
    let cut: fn(String) -> String = |token| token[..token.len() - 3].to_owned();
    let unsigned: fn(String) -> String = |token| {
        let claims = token.split('.').nth(1).unwrap().to_owned();
        format!("{}.{claims}.", base64(r#"{"alg":"none"}"#))
    };
    let hmac: fn(String) -> String = |token| {
        let rest = token.split_once('.').unwrap().1.to_owned();
        format!("{}.{rest}", base64(r#"{"alg":"HS256"}"#))
    };
    let swapped: fn(String) -> String = |token| {
        let (header, rest) = token.split_once('.').unwrap();
        let signature = rest.split_once('.').unwrap().1;
        format!("{header}.{}.{signature}", base64(r#"{"sub":"1"}"#))
    };
    for (claims, token, said) in [
        (json!({"nonce": "another"}), None, "nonce"),
        (json!({"nonce": null}), None, "nonce"),
        (json!({"iss": "https://evil.example"}), None, "issuer"),
        (json!({"aud": "another"}), None, "another application"),
        (json!({"aud": ["client", "another"]}), None, "another application"),
        (json!({"azp": "another"}), None, "another application"),
        (json!({"aud": []}), None, "another application"),
        (json!({"exp": 1}), None, "expired"),
        (json!({"exp": "soon"}), None, "expired"),
        (json!({"iat": 99_999_999_999_u64}), None, "expired"),
        (json!({}), Some(cut), "signature"),
        (json!({}), Some(unsigned), "signature"),
        (json!({}), Some(hmac), "signature"),
        (json!({}), Some(swapped), "signature"),
        (json!({}), Some((|_| "x".to_owned()) as fn(String) -> String), "signature"),
    ] {
        state.0.change.replace(Change { claims: claims.clone(), token });
        let _expected = ExpectLog::new(log::GENERAL, said);
        let answer = Visit::to(openid(&provider)).log_in(&provider).await;
        answer.assert_status(400);
        assert!(!answer.text().contains(said), "details are for the log: {}", answer.text());
    }
    state
        .0
        .change
        .replace(Change { claims: json!({"aud": ["client", "another"], "azp": "client"}), token: None });
    Visit::to(openid(&provider)).log_in(&provider).await.assert_status(200);
}

#[squall::test]
async fn a_state_is_the_browsers_own_and_counts_once() {
    let (_, provider) = Provider::start();
    let _expected = ExpectLog::new(log::GENERAL, "the state is missing");
    let visit = Visit::to(plain(&provider));
    let back = visit.back(&provider).await;
    visit.app.get(&back).await.assert_status(400); // another browser
    let (start, state) = back.split_once("state=").unwrap();
    let other = if state.starts_with('x') { 'y' } else { 'x' };
    let forged = format!("{start}state={other}{}", &state[1..]);
    visit.get(&forged).await.assert_status(400);
    visit.get(&back).await.assert_status(400); // the failure has used it up
    let back = visit.back(&provider).await;
    visit.get(&back).await.assert_status(200);
    visit.get(&back).await.assert_status(400);
    let forged = visit.app.get("/login?state=&code=x").header("Cookie", "_oauth2_login=x").await;
    forged.assert_status(400);
    visit.get("/login?state=").await.assert_status(400);
}

#[squall::test]
async fn providers_that_refuse_or_fail() {
    let (state, provider) = Provider::start();
    let visit = Visit::to(openid(&provider));
    let refuse = |back: &str, with: &str| back.replace("code=", with);
    {
        let _expected = ExpectLog::new(log::GENERAL, r#"the provider refuses: "access_denied" "no\\nway""#);
        let back = refuse(&visit.back(&provider).await, "error=access_denied&error_description=no%0Away&x=");
        visit.get(&back).await.assert_status(403);
    }
    {
        let _expected = ExpectLog::new(log::GENERAL, "the issuer is another");
        let back = visit.back(&provider).await;
        visit.get(&format!("{back}&iss=https://evil.example")).await.assert_status(400);
        let back = visit.back(&provider).await;
        visit.get(&format!("{back}&iss={}", provider.url(""))).await.assert_status(200);
    }
    {
        let _expected = ExpectLog::new(log::GENERAL, "invalid_grant");
        let back = refuse(&visit.back(&provider).await, "code=used-");
        visit.get(&back).await.assert_status(400);
    }
    let _expected = ExpectLog::new(log::GENERAL, "the provider does not work");
    let broken = OAuth2::new("client", "secret", provider.url("/authorize"), provider.url("/fail"));
    Visit::to(broken).log_in(&provider).await.assert_status(502);
    let other = OAuth2::openid("client", "secret", format!("{}/", provider.url("")));
    Visit::to(other).get("/login").await.assert_status(502); // it is of another issuer
    let mismatch = Visit::to(openid(&provider));
    state.0.change.replace(Change { claims: json!({"sub": "8"}), token: None });
    mismatch.log_in(&provider).await.assert_status(502); // the profile is of another user
}

#[squall::test]
async fn facebook_proves_its_secret() {
    let (_, provider) = Provider::start();
    let facebook = OAuth2::facebook("client", "secret")
        .urls(provider.url("/authorize"), provider.url("/token"))
        .userinfo_url(provider.url("/userinfo?fields=id,name"));
    let user: Value = Visit::to(facebook.clone()).log_in(&provider).await.assert_status(200).json();
    assert_eq!(user["profile"]["fields"], "id,name");
    // echo -n asdf | openssl sha256 -hmac secret
    let proof = user["profile"]["proof"].as_str().unwrap().to_owned();
    assert_eq!(proof.len(), 64);
    let again =
        facebook.oauth2_request(&provider.url("/userinfo"), "asdf", &[("fields", "id")], None).await.unwrap();
    assert_eq!((again["proof"].as_str(), again["fields"].as_str()), (Some(&*proof), Some("id")));
    let refused = facebook.oauth2_request(&provider.url("/userinfo"), "stolen", &[], None).await.unwrap_err();
    assert_eq!(refused.status(), 502);
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!(
        "{:?} {:?}",
        OAuth2::github("id", "hidden"),
        OAuth1::twitter(OAuth1Token::new("id", "hidden"))
    );
    assert!(!shown.contains("hidden"), "{shown}");
}

mod oauth1 {
    use super::*;

    /// Tornado's `OAuth1Server…` and `TwitterServer…` handlers.
    fn provider(confirms: bool) -> TestServer {
        serve(Application::new([
            post("/request_token", async move |ctx: &Context| {
                check(
                    ctx,
                    &["oauth_callback=\"http%3A%2F%2Flocalhost%2Fback\"", "oauth_consumer_key=\"asdf\""],
                );
                ctx.write(format!(
                    "oauth_token=zxcv&oauth_token_secret=1234&oauth_callback_confirmed={confirms}"
                ));
                Ok(())
            }),
            post("/access_token", async |ctx: &Context| {
                check(ctx, &["oauth_token=\"zxcv\"", "oauth_verifier=\"abcd\""]);
                ctx.write("oauth_token=hjkl&oauth_token_secret=vbnm&screen_name=foo");
                Ok(())
            }),
            get("/users/show/{name}", async |ctx: &Context| {
                check(ctx, &["oauth_token=\"hjkl\""]);
                if ctx.path_arg_str("name")? == "error" {
                    return Err(HttpError::new(500).into());
                }
                ctx.write_json(&json!({"screen_name": ctx.path_arg_str("name")?, "x": ctx.argument("x")?}))
            }),
        ]))
    }

    fn check(ctx: &Context, parts: &[&str]) {
        let header = ctx.request().headers().get("Authorization").unwrap();
        let always = [
            "oauth_nonce=",
            "oauth_timestamp=",
            "oauth_signature=",
            "oauth_signature_method=\"HMAC-SHA1\"",
            "oauth_version=\"1.0\"",
        ];
        for part in always.iter().chain(parts) {
            assert!(header.starts_with("OAuth ") && header.contains(part), "{part} in {header}");
        }
    }

    #[derive(Clone)]
    struct Login(OAuth1, String);

    impl OAuthMixin for Login {
        fn oauth1(&self) -> &OAuth1 {
            &self.0
        }
    }

    #[handler]
    impl RequestHandler for Login {
        async fn get(&mut self, ctx: &Context) -> Result {
            if ctx.argument_opt("begin")?.is_some() {
                return self.authorize_redirect(ctx, "http://localhost/back").await;
            }
            let user = self.get_authenticated_user(ctx).await?;
            let show = format!("{}/users/show/{}", self.1, ctx.argument_or("show", "foo")?);
            let shown = self.oauth_request(&show, &user.access_token, &[("x", "a b")], None).await?;
            ctx.write_json(
                &json!({"name": user.field("screen_name"), "key": user.access_token.key, "shown": shown}),
            )
        }
    }

    fn visit(provider: &TestServer) -> Visit {
        let oauth1 = OAuth1::new(
            OAuth1Token::new("asdf", "qwer"),
            provider.url("/request_token"),
            provider.url("/authorize"),
            provider.url("/access_token"),
        );
        let login = Login(oauth1, provider.url(""));
        Visit {
            app: serve(Application::new([url("/login", login)]).cookie_secret("s")),
            jar: CookieJar::new(),
        }
    }

    #[squall::test]
    async fn a_login() {
        let provider = provider(true);
        let visit = visit(&provider);
        let sent = visit.get("/login?begin=1").await;
        sent.assert_redirect(&provider.url("/authorize?oauth_token=zxcv"));
        assert!(sent.header("Set-Cookie").unwrap().starts_with("_oauth_request_token="));
        let user = visit.get("/login?oauth_token=zxcv&oauth_verifier=abcd").await;
        user.assert_json(json!({"name": "foo", "key": "hjkl", "shown": {"screen_name": "foo", "x": "a b"}}));
        let _expected = ExpectLog::new(log::GENERAL, "the state is missing");
        visit.get("/login?oauth_token=zxcv&oauth_verifier=abcd").await.assert_status(400);
    }

    #[squall::test]
    async fn what_goes_wrong() {
        let _expected = ExpectLog::new(log::GENERAL, "login: ");
        let old = provider(false);
        visit(&old).get("/login?begin=1").await.assert_status(502); // OAuth 1.0
        let provider = provider(true);
        for (back, status) in [
            ("/login?oauth_token=other&oauth_verifier=abcd", 400),
            ("/login?denied=zxcv", 403),
            ("/login?oauth_token=zxcv", 400),
            ("/login?oauth_token=zxcv&oauth_verifier=abcd&show=error", 502),
        ] {
            let visit = visit(&provider);
            visit.get("/login?begin=1").await.assert_status(302);
            visit.get(back).await.assert_status(status);
        }
    }
}
