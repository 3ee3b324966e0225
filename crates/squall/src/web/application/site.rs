//! What all handlers of an application share (what Tornado users put into `BaseHandler`).

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::web::context::Context;
use crate::web::error::{Error, Result};
use crate::web::locale::SiteLanguage;
use crate::web::render::SiteValues;

/// The shared behaviour of an application's handlers: who the user is, what an error page looks like.
///
/// Set with [`Application::site`](crate::web::Application::site) for all, and with [`UrlSpec::site`](crate::web::UrlSpec::site) for
/// the routes of a group: one for pages, one for an API, as Tornado's users have several base classes. What the site of a
/// group does not define is asked of the group around it, the application's at last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no site",
    note = "write `impl squall::Site for {Self} {{ type User = ..; .. }}`"
)]
pub trait Site: 'static {
    /// What [`Context::user`] gives.
    type User: 'static;

    /// The user of this request, if there is one. Called at most once per request, when first asked for.
    ///
    /// Templates cannot wait for it: `{{ current_user }}` is an error of the page while this waits for something. When it may,
    /// await [`Context::user`] in [`prepare`](Self::prepare); the page has it from there.
    ///
    /// # Errors
    /// An error is answered as one of the handler.
    async fn current_user(&self, _ctx: &Context) -> Result<Option<Self::User>> {
        Err(Error::not_defined())
    }

    /// The login page for this request; `None` for [`Application::login_url`](crate::web::Application::login_url).
    #[doc(alias = "get_login_url")]
    fn login_url(&self, _ctx: &Context) -> Option<String> {
        None
    }

    /// The language of this request's user, `None` for the browser's. Called at most once per request, when
    /// [`Context::locale`] is first asked for.
    ///
    /// Templates cannot wait for it. When this waits, as for [`Context::user`], call `ctx.locale().await` in
    /// [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// An error is answered as one of the handler.
    #[cfg(feature = "locale")]
    #[doc(alias = "get_user_locale")]
    async fn user_locale(&self, _ctx: &Context) -> Result<Option<crate::locale::Locale>> {
        Err(Error::not_defined())
    }

    /// Called before each handler's own `prepare`; when it finishes the response the handler is not called. Default:
    /// nothing, or what the site around it does.
    ///
    /// # Errors
    /// An error is answered as one of the handler.
    async fn prepare(&self, _ctx: &Context) -> Result {
        Err(Error::not_defined())
    }

    /// Writes the page of an error; status and headers are set. The default is [`Context::write_error_page`];
    /// [`Context::write_default_error`] writes Tornado's bytes.
    ///
    /// # Errors
    /// An error here is logged and the plain page is sent.
    async fn write_error(&self, _ctx: &Context, _error: &Error) -> Result {
        Err(Error::not_defined())
    }

    /// Sets headers that every response starts with, error pages included (Tornado's `set_default_headers`).
    ///
    /// # Errors
    /// An error is logged; the response goes out without what it would have set.
    fn set_default_headers(&self, _ctx: &Context) -> Result {
        Err(Error::not_defined())
    }

    /// Whether a request that may change something comes from a page of this site, asked where
    /// [`Application::xsrf_cookies`](crate::web::Application::xsrf_cookies) is on (Tornado's `check_xsrf_cookie`). The default is
    /// [`Context::check_xsrf_cookie`]. An API whose clients prove themselves with every request returns `Ok(())`.
    ///
    /// # Errors
    /// The error is answered: a 403 as a rule.
    #[doc(alias = "check_xsrf_cookie")]
    fn check_xsrf(&self, _ctx: &Context) -> Result {
        Err(Error::not_defined())
    }

    /// Writes the line of an error into the log. The default logs errors below 500 that have a message as warnings, and
    /// everything else as an error with its place.
    ///
    /// # Errors
    /// An error is logged in its stead, both of them.
    fn log_exception(&self, _ctx: &Context, _error: &Error) -> Result {
        Err(Error::not_defined())
    }

    /// Values that all templates have, [`context!`](crate::template::context) of them. Default: none. With the feature
    /// `templates`, a default one.
    #[cfg(feature = "templates")]
    #[doc(alias = "get_template_namespace")]
    fn template_namespace(&self, _ctx: &Context) -> crate::template::Value {
        crate::template::Value::UNDEFINED
    }

    /// What templates know of the user as `current_user`. Default: `True`. With the feature `templates`, a default one.
    #[cfg(feature = "templates")]
    fn user_value(&self, _user: &Self::User) -> crate::template::Value {
        crate::template::Value::from(true)
    }
}

pub(in crate::web) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// [`Site`] with its future types erased, once per application.
pub(in crate::web) trait ErasedSite: SiteLanguage + SiteValues {
    fn current_user<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Rc<dyn Any>>>>;
    fn login_url(&self, ctx: &Context) -> Option<String>;
    fn prepare<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result>;
    fn write_error<'a>(&'a self, ctx: &'a Context, error: &'a Error) -> Boxed<'a, Result>;
    fn set_default_headers(&self, ctx: &Context) -> Result;
    fn check_xsrf(&self, ctx: &Context) -> Result;
    fn log_exception(&self, ctx: &Context, error: &Error) -> Result;
}

impl<S: Site> ErasedSite for S {
    fn current_user<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Rc<dyn Any>>>> {
        Box::pin(async move {
            let user = Site::current_user(self, ctx).await?;
            Ok(user.map(|user| Rc::new(user) as Rc<dyn Any>))
        })
    }

    fn login_url(&self, ctx: &Context) -> Option<String> {
        Site::login_url(self, ctx)
    }

    fn prepare<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result> {
        Box::pin(Site::prepare(self, ctx))
    }

    fn write_error<'a>(&'a self, ctx: &'a Context, error: &'a Error) -> Boxed<'a, Result> {
        Box::pin(Site::write_error(self, ctx, error))
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        Site::set_default_headers(self, ctx)
    }

    fn check_xsrf(&self, ctx: &Context) -> Result {
        Site::check_xsrf(self, ctx)
    }

    fn log_exception(&self, ctx: &Context, error: &Error) -> Result {
        Site::log_exception(self, ctx, error)
    }
}

/// The sites that stand around a route, the innermost first. Each question goes to the first that has an answer.
#[derive(Clone, Default)]
pub(in crate::web) struct Sites(pub(in crate::web) Rc<[Rc<dyn ErasedSite>]>);

/// What the first site returns that defines it; `None` when none does.
macro_rules! first_of {
    ($sites:expr, $site:ident => $answer:expr) => {{
        let mut found = None;
        for $site in $sites.0.iter() {
            let answer = $answer;
            if !matches!(&answer, Err(error) if error.is_not_defined()) {
                found = Some(answer);
                break;
            }
        }
        found
    }};
}

impl Sites {
    /// These, with another one inside of them.
    pub(in crate::web) fn with_inner(&self, inner: Rc<dyn ErasedSite>) -> Self {
        Self(std::iter::once(inner).chain(self.0.iter().cloned()).collect())
    }

    pub(in crate::web) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::web) async fn current_user(&self, ctx: &Context) -> Result<Option<Rc<dyn Any>>> {
        first_of!(self, site => site.current_user(ctx).await).unwrap_or(Ok(None))
    }

    pub(in crate::web) fn login_url(&self, ctx: &Context) -> Option<String> {
        self.0.iter().find_map(|site| site.login_url(ctx))
    }

    pub(in crate::web) async fn prepare(&self, ctx: &Context) -> Result {
        first_of!(self, site => site.prepare(ctx).await).unwrap_or(Ok(()))
    }

    /// `None` when the default page is to be written.
    pub(in crate::web) async fn write_error(&self, ctx: &Context, error: &Error) -> Option<Result> {
        first_of!(self, site => site.write_error(ctx, error).await)
    }

    pub(in crate::web) fn set_default_headers(&self, ctx: &Context) -> Result {
        first_of!(self, site => site.set_default_headers(ctx)).unwrap_or(Ok(()))
    }

    /// `None` for the usual check.
    pub(in crate::web) fn check_xsrf(&self, ctx: &Context) -> Option<Result> {
        first_of!(self, site => site.check_xsrf(ctx))
    }

    /// `None` for the usual line.
    pub(in crate::web) fn log_exception(&self, ctx: &Context, error: &Error) -> Option<Result> {
        first_of!(self, site => site.log_exception(ctx, error))
    }
}
