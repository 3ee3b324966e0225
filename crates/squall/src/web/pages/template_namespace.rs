//! What templates of an application know besides the values of the page.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use crate::locale::{DateFormat, Locale};
use crate::template::{
    Given, Has, Member, Shape, python_error, system_time, to_str, with_variables, without_keywords,
};
use crate::web::context::{Context, misuse};
use crate::web::error::Result;
use crate::web::render::with_context;
use crate::web::site::{Site, Sites};
use crate::web::static_files::StaticUrl;
use crate::web::template_handler::Handler;
use crate::web::template_request::Request;

pub(in crate::web) const FUNCTIONS: &[&str] =
    &["_", "gettext", "ngettext", "npgettext", "pgettext", "static_url", "xsrf_form_html", "reverse_url"];

/// A function of the namespace, of `handler` or of `request`, as a value.
#[derive(Debug)]
pub(in crate::web) struct Function {
    name: String,
    call: fn(&str, &[Value]) -> Result<Value, EngineError>,
}

impl Function {
    /// One of the namespace, or a `ui_method`.
    pub(in crate::web) fn new(name: &str) -> Self {
        Self::of(name, call_by_name)
    }

    /// One of an object, which calls it by its name.
    pub(in crate::web) fn of(name: &str, call: fn(&str, &[Value]) -> Result<Value, EngineError>) -> Self {
        Self { name: name.to_owned(), call }
    }
}

impl Object for Function {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bound method {}>", self.name)
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, EngineError> {
        (self.call)(&self.name, args)
    }
}

/// Calls a `ui_method`, or what the namespace has by that name.
pub(in crate::web) fn call_by_name(name: &str, args: &[Value]) -> Result<Value, EngineError> {
    let of_application = with_context(|ctx| {
        let method = ctx.core().settings().templates.methods.get(name);
        method.map(|method| method(ctx, args)).transpose()
    })?;
    match of_application {
        Some(value) => Ok(value),
        None => call(name, args),
    }
}

fn call(name: &str, args: &[Value]) -> Result<Value, EngineError> {
    match name {
        "_" | "gettext" | "ngettext" | "npgettext" | "pgettext" => {
            with_context(|ctx| translate(&ctx.locale_now()?, name, args))
        }
        "static_url" => {
            let given = Given::new("static_url", ["path", "include_host", "include_version"], 1, args)?;
            let path = given.text(0)?;
            let options = StaticUrl::default()
                .include_host(given.is_true(1, false))
                .include_version(given.is_true(2, true));
            // A path that no file can have is the page's mistake: a 404 would be told of the page.
            with_context(|ctx| {
                let url = ctx.static_url_with(&path, options);
                Ok(url.map_err(|error| misuse(format!("static_url({path:?}): {error}")))?.into())
            })
        }
        "xsrf_form_html" => {
            Given::new("xsrf_form_html", [], 0, args)?;
            with_context(|ctx| Ok(ctx.xsrf_form_html()?.into()))
        }
        "reverse_url" => reverse_url(args),
        _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
    }
}

fn reverse_url(args: &[Value]) -> Result<Value, EngineError> {
    let (arguments, keywords) = without_keywords(args);
    if keywords.is_some_and(|keywords| keywords.args().next().is_some()) {
        return Err(python_error("TypeError", "reverse_url() takes no keyword arguments"));
    }
    let Some((name, arguments)) = arguments.split_first() else {
        return Err(python_error("TypeError", "reverse_url() missing required argument: 'name'"));
    };
    let name = to_str(name);
    if !with_context(|ctx| Ok(ctx.core().has_route_named(&name)))? {
        return Err(python_error("KeyError", format!("{name} not found in named urls")));
    }
    let texts: Vec<String> = arguments.iter().map(to_str).collect();
    let arguments: Vec<&dyn fmt::Display> = texts.iter().map(|text| text as &dyn fmt::Display).collect();
    with_context(|ctx| {
        let url = ctx.reverse_url(&name, &arguments);
        Ok(url.map_err(|error| misuse(format!("reverse_url({name:?}): {error}")))?.into())
    })
}

fn translate(locale: &Locale, name: &str, args: &[Value]) -> Result<Value> {
    // Jinja's way: `gettext("Hello %(user)s", user=name)`.
    if let (args, Some(variables)) = without_keywords(args) {
        let message = translate(locale, name, args)?;
        return Ok(with_variables(&message, &variables, true)?);
    }
    Ok(match name {
        "npgettext" => {
            let (context, message, plural, count): (&str, &str, &str, i64) = from_args(args)?;
            locale.npgettext(context, message, plural, count).into()
        }
        "pgettext" => {
            let (context, message, plural, count): (&str, &str, Option<&str>, Option<i64>) = from_args(args)?;
            match (plural, count) {
                (Some(plural), Some(count)) => locale.npgettext(context, message, plural, count).into(),
                _ => locale.pgettext(context, message).into(),
            }
        }
        _ => {
            let (message, plural, count): (&str, Option<&str>, Option<i64>) = from_args(args)?;
            match (plural, count) {
                (Some(plural), Some(count)) => locale.translate_plural(message, plural, count).into(),
                _ => locale.translate(message).into(),
            }
        }
    })
}

/// The values that are found out when a template asks for them.
#[derive(Debug)]
pub(in crate::web) struct Namespace;

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match name {
            "handler" => Some(Value::from_object(Handler)),
            "request" | "locale" | "current_user" => {
                with_context(|ctx| Ok(attribute(ctx, name))).unwrap_or_else(|error| Some(Value::from(error)))
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// What is both a variable of templates and below `handler`.
pub(in crate::web) fn attribute(ctx: &Context, name: &str) -> Option<Value> {
    let value = match name {
        "request" => Ok(Value::from_object(Request)),
        "locale" => with_context(|ctx| Ok(locale(ctx.locale_now()?))),
        "current_user" => with_context(current_user),
        _ => return function(ctx, name),
    };
    Some(value.unwrap_or_else(Value::from))
}

/// A function that is both a variable of templates and below `handler`.
pub(in crate::web) fn function(ctx: &Context, name: &str) -> Option<Value> {
    let is_known = FUNCTIONS.contains(&name) || ctx.core().settings().templates.methods.contains_key(name);
    is_known.then(|| Value::from_object(Function::new(name)))
}

pub(in crate::web) fn locale(locale: Locale) -> Value {
    Value::from_object(LocaleObject(locale))
}

fn current_user(ctx: &Context) -> Result<Value> {
    let user = match pin!(ctx.has_user()).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(user) => user?,
        Poll::Pending => {
            return Err(misuse("Site::current_user waits here: await Context::user beforehand".to_owned()));
        }
    };
    if !user {
        return Ok(Value::from(()));
    }
    let known = ctx.rare().user.borrow().clone().flatten();
    Ok(known.map_or_else(|| Value::from(true), |user| ctx.sites().user_value(&*user)))
}

/// What of a [`Site`] concerns templates.
pub(in crate::web) trait SiteValues {
    fn template_namespace(&self, ctx: &Context) -> Value;
    /// `None` when the user is not of this site's type.
    fn user_value(&self, user: &dyn Any) -> Option<Value>;
}

impl<S: Site> SiteValues for S {
    fn template_namespace(&self, ctx: &Context) -> Value {
        Site::template_namespace(self, ctx)
    }

    fn user_value(&self, user: &dyn Any) -> Option<Value> {
        user.downcast_ref().map(|user| Site::user_value(self, user))
    }
}

impl Sites {
    pub(in crate::web) fn template_namespace(&self, ctx: &Context) -> Value {
        let namespaces = self.0.iter().map(|site| site.template_namespace(ctx));
        namespaces.into_iter().find(|values| !values.is_undefined()).unwrap_or(Value::UNDEFINED)
    }

    fn user_value(&self, user: &dyn Any) -> Value {
        self.0.iter().find_map(|site| site.user_value(user)).unwrap_or_else(|| Value::from(true))
    }
}

/// What `locale` has.
pub(in crate::web) fn locale_shape() -> Rc<Shape> {
    let values = ["code", "name", "rtl"].map(|name| (name.to_owned(), Member::Value));
    let functions = ["translate", "pgettext", "list", "friendly_number", "format_date", "format_day"];
    let functions = functions.map(|name| (name.to_owned(), Member::Function));
    Rc::new(Shape {
        name: "locale",
        has: Has::Attributes(values.into_iter().chain(functions).collect()),
        advice: |_| {
            "give the page the value, or say Application::template_context_functions([\"locale\"]) if locale is one of \
             the page's own"
                .to_owned()
        },
    })
}

/// `locale`
#[derive(Debug)]
struct LocaleObject(Locale);

impl Object for LocaleObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "code" => Some(self.0.code().into()),
            "name" => Some(self.0.name().into()),
            "rtl" => Some(self.0.rtl().into()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["code", "name", "rtl"])
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        match name {
            "translate" | "pgettext" => translate(&self.0, name, args)
                .map_err(|error| EngineError::new(ErrorKind::InvalidOperation, error.to_string())),
            "list" => {
                let (parts,): (Vec<String>,) = from_args(args)?;
                Ok(self.0.list(&parts).into())
            }
            "friendly_number" => {
                let (number,): (i64,) = from_args(args)?;
                Ok(self.0.friendly_number(number).into())
            }
            "format_date" => format_date(&self.0, args),
            "format_day" => {
                let (date, gmt_offset, dow, kwargs): (&Value, Option<i32>, Option<bool>, Kwargs) =
                    from_args(args)?;
                let gmt_offset = gmt_offset.or(kwargs.get("gmt_offset")?).unwrap_or(0);
                let dow = dow.or(kwargs.get("dow")?).unwrap_or(true);
                kwargs.assert_all_used()?;
                Ok(self.0.format_day(system_time(date)?, gmt_offset, dow).into())
            }
            _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `format_date(date, gmt_offset=0, relative=True, shorter=False, full_format=False)`.
fn format_date(locale: &Locale, args: &[Value]) -> Result<Value, EngineError> {
    let (date, gmt_offset, relative, shorter, kwargs): (
        &Value,
        Option<i32>,
        Option<bool>,
        Option<bool>,
        Kwargs,
    ) = from_args(args)?;
    let default = DateFormat::default();
    let format = DateFormat {
        gmt_offset: gmt_offset.or(kwargs.get("gmt_offset")?).unwrap_or(default.gmt_offset),
        relative: relative.or(kwargs.get("relative")?).unwrap_or(default.relative),
        shorter: shorter.or(kwargs.get("shorter")?).unwrap_or(default.shorter),
        full_format: kwargs.get::<Option<bool>>("full_format")?.unwrap_or(default.full_format),
    };
    kwargs.assert_all_used()?;
    Ok(locale.format_date(system_time(date)?, SystemTime::now(), format).into())
}
