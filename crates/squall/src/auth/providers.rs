//! Providers that many use.

use super::oauth2::OAuth2;

impl OAuth2 {
    /// Google, by OpenID Connect: [`claims`](super::AuthenticatedUser::claims) has `sub`, `email`, `name` and more.
    ///
    /// Client id and secret come from Google's developer console.
    #[must_use]
    #[doc(alias = "GoogleOAuth2Mixin")]
    pub fn google(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::openid(client_id, client_secret, "https://accounts.google.com")
            .scope(["openid", "email", "profile"])
    }

    /// GitHub: [`profile`](super::AuthenticatedUser::profile) has `id`, `login`, `name` and more. The e-mail address is among it
    /// only where it is public.
    #[must_use]
    pub fn github(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::new(
            client_id,
            client_secret,
            "https://github.com/login/oauth/authorize",
            "https://github.com/login/oauth/access_token",
        )
        .userinfo_url("https://api.github.com/user")
        .scope(["read:user"])
    }

    /// Facebook: [`profile`](super::AuthenticatedUser::profile) has `id`, `name`, `first_name`, `last_name`, `locale`, `picture`
    /// and `link`, as in Tornado; requests bear a proof of the secret (`appsecret_proof`).
    #[must_use]
    #[doc(alias = "FacebookGraphMixin")]
    pub fn facebook(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::new(
            client_id,
            client_secret,
            "https://www.facebook.com/dialog/oauth",
            "https://graph.facebook.com/oauth/access_token",
        )
        .userinfo_url("https://graph.facebook.com/me?fields=id,name,first_name,last_name,locale,picture,link")
        .with_proof()
    }
}
