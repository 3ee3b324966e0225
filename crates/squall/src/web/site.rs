//! What all handlers of an application share (what Tornado users put into `BaseHandler`).

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::context::Context;
use super::error::{Error, Result};
use crate::locale::Locale;
use crate::template::Value;

/// The shared behaviour of an application's handlers: who the user is, what an error page looks like.
///
/// Set with [`Application::site`](super::Application::site).
pub trait Site: 'static {
    /// What [`Context::user`] gives.
    type User: 'static;

    /// The user of this request, if there is one. Called at most once per request, when first asked for.
    ///
    /// # Errors
    /// An error is answered as one of the handler.
    async fn current_user(&self, _ctx: &Context) -> Result<Option<Self::User>> {
        Ok(None)
    }

    /// The login page for this request; `None` for [`Application::login_url`](super::Application::login_url).
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
    #[doc(alias = "get_user_locale")]
    async fn user_locale(&self, _ctx: &Context) -> Result<Option<Locale>> {
        Ok(None)
    }

    /// Called before each handler's own `prepare`; when it finishes the response the handler is not called.
    ///
    /// # Errors
    /// An error is answered as one of the handler.
    async fn prepare(&self, _ctx: &Context) -> Result {
        Ok(())
    }

    /// Writes the page of an error; status and headers are set. The default is [`Context::write_error_page`];
    /// [`Context::write_default_error`] writes Tornado's bytes.
    ///
    /// # Errors
    /// An error here is logged and the plain page is sent.
    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        ctx.write_error_page(error);
        Ok(())
    }

    /// Sets headers that every response starts with, error pages included (Tornado's `set_default_headers`).
    ///
    /// # Errors
    /// An error is logged; the response goes out without what it would have set.
    fn set_default_headers(&self, _ctx: &Context) -> Result {
        Ok(())
    }

    /// Values that all templates have, [`context!`](crate::template::context) of them. Default: none.
    #[doc(alias = "get_template_namespace")]
    fn template_namespace(&self, _ctx: &Context) -> Value {
        Value::UNDEFINED
    }

    /// What templates know of the user as `current_user`. Default: `True`.
    fn user_value(&self, _user: &Self::User) -> Value {
        Value::from(true)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// [`Site`] with its future types erased, once per application.
pub(super) trait ErasedSite {
    fn current_user<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Rc<dyn Any>>>>;
    fn login_url(&self, ctx: &Context) -> Option<String>;
    fn user_locale<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Locale>>>;
    fn prepare<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result>;
    fn write_error<'a>(&'a self, ctx: &'a Context, error: &'a Error) -> Boxed<'a, Result>;
    fn set_default_headers(&self, ctx: &Context) -> Result;
    fn template_namespace(&self, ctx: &Context) -> Value;
    fn user_value(&self, user: &dyn Any) -> Value;
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

    fn user_locale<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Locale>>> {
        Box::pin(Site::user_locale(self, ctx))
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

    fn template_namespace(&self, ctx: &Context) -> Value {
        Site::template_namespace(self, ctx)
    }

    fn user_value(&self, user: &dyn Any) -> Value {
        user.downcast_ref().map_or_else(|| Value::from(true), |user| Site::user_value(self, user))
    }
}
