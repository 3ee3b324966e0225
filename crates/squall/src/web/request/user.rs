//! Who asks.

use std::any::{Any, type_name};
use std::panic::Location;
use std::rc::Rc;

use http::Method;

use crate::ioloop::catch_panic;
use crate::web::context::{Context, misuse};
use crate::web::debug::take_panic_location;
use crate::web::error::{Error, HttpError, Result};
use crate::{escape, log};

impl Context {
    /// The user as [`Site::current_user`](crate::web::Site::current_user) tells, asked once per request, or as
    /// [`set_user`](Self::set_user) was told.
    ///
    /// # Errors
    /// What `current_user` returns; 500 when `U` is not the site's type.
    #[doc(alias = "current_user")]
    #[track_caller]
    pub fn user<U: 'static>(&self) -> impl Future<Output = Result<Option<Rc<U>>>> {
        let caller = Location::caller();
        async move {
            let Some(user) = self.any_user().await? else { return Ok(None) };
            match user.downcast::<U>() {
                Ok(user) => Ok(Some(user)),
                Err(_) => Err(misuse(format!("The site's User is not {}", type_name::<U>())).blame(caller)),
            }
        }
    }

    /// Whether there is a user, of whatever type.
    pub(in crate::web) async fn has_user(&self) -> Result<bool> {
        Ok(self.any_user().await?.is_some())
    }

    /// Says who the user is, for the rest of the request: in a `prepare`, say (Tornado's `self.current_user = ..`).
    pub fn set_user<U: 'static>(&self, user: Option<Rc<U>>) {
        *self.rare().user.borrow_mut() = Some(user.map(|user| user as Rc<dyn Any>));
    }

    /// The user; without one the answer is a redirect to the login page for `GET` and `HEAD`, else 403 (Tornado's
    /// `@authenticated`).
    ///
    /// The login page is [`Site::login_url`](crate::web::Site::login_url), else
    /// [`Application::login_url`](crate::web::Application::login_url), with the URL of this request as `next`; a login URL
    /// that has a query already is used as it is.
    ///
    /// # Errors
    /// The redirect or the 403, to be passed on with `?`.
    #[doc(alias = "authenticated")]
    #[track_caller]
    pub fn require_user<U: 'static>(&self) -> impl Future<Output = Result<Rc<U>>> {
        let user = self.user();
        async move {
            match user.await? {
                Some(user) => Ok(user),
                None => Err(self.to_login()),
            }
        }
    }

    /// For [`HandlerOptions::authenticated`](crate::web::HandlerOptions::authenticated), which knows no type.
    pub(in crate::web) async fn require_any_user(&self) -> Result {
        if self.any_user().await?.is_some() { Ok(()) } else { Err(self.to_login()) }
    }

    /// Finds out, ahead of an error page, what it may show and cannot wait for. What fails here is logged, and is nobody
    /// and the browser's language.
    pub(in crate::web) async fn know_user_and_locale(&self) {
        if self.sites().is_empty() {
            return;
        }
        if self.rare().user.borrow().is_none()
            && let Some(error) = catch_panic(self.any_user())
                .await
                .map_or_else(|payload| Some(Error::panic(&*payload, take_panic_location())), Result::err)
        {
            tracing::error!(target: log::APPLICATION, "current_user, for an error page: {error}");
            self.rare().user.borrow_mut().get_or_insert(None);
        }
        self.know_locale().await;
    }

    async fn any_user(&self) -> Result<Option<Rc<dyn Any>>> {
        let known = self.rare().user.borrow().clone();
        if let Some(user) = known {
            return Ok(user);
        }
        let user = self.sites().current_user(self).await?;
        // `current_user` may itself have set one.
        Ok(self.rare().user.borrow_mut().get_or_insert(user).clone())
    }

    fn to_login(&self) -> Error {
        match self.redirect_to_login() {
            Ok(()) => Error::finish(),
            Err(error) => error,
        }
    }

    /// The request's path and query, such that a login page which sends its users there keeps them on this host.
    fn local_uri(&self) -> String {
        let uri = self.request().uri();
        if escape::is_local_url(uri) {
            return uri.to_owned();
        }
        let request = self.request();
        let (path, query) = (escape::path_on_this_host(request.path()), request.query());
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }

    fn redirect_to_login(&self) -> Result {
        if !matches!(*self.method(), Method::GET | Method::HEAD) {
            return Err(HttpError::new(403).message("Login required").into());
        }
        let own = self.sites().login_url(self);
        let Some(login) = own.as_deref().or(self.core().login_url()) else {
            return Err(misuse(
                "You must define login_url in your application to use require_user".to_owned(),
            ));
        };
        if login.contains('?') {
            return self.redirect(login);
        }
        let next = if has_scheme(login) { self.request().full_url() } else { self.local_uri() };
        self.redirect(&format!("{login}?next={}", escape::url_escape(&next)))
    }
}

/// Whether a URL is absolute, and so perhaps another host's.
fn has_scheme(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}
