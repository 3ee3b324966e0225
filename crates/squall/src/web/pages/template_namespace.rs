//! What templates of an application know besides the values of the page.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use crate::httputil::Arguments;
use crate::locale::{DateFormat, Locale};
use crate::template::{system_time, to_str, with_variables, without_keywords};
use crate::web::context::{Context, misuse};
use crate::web::error::Result;
use crate::web::render::with_context;
use crate::web::site::{Site, Sites};
use crate::web::static_files::StaticUrl;

pub(in crate::web) const FUNCTIONS: &[&str] =
    &["_", "gettext", "ngettext", "npgettext", "pgettext", "static_url", "xsrf_form_html", "reverse_url"];

/// What is below `handler`, besides [`FUNCTIONS`].
pub(in crate::web) const OF_HANDLER: &[&str] = &[
    "application",
    "current_user",
    "get_argument",
    "get_arguments",
    "get_cookie",
    "get_status",
    "locale",
    "request",
    "settings",
    "xsrf_token",
];

/// A function of the namespace, or a `ui_method`, by its name.
#[derive(Debug)]
pub(in crate::web) struct Function(pub(in crate::web) String);

impl Object for Function {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, EngineError> {
        with_context(|ctx| match ctx.core().settings().templates.methods.get(&self.0) {
            Some(method) => method(ctx, args),
            None => call(ctx, &self.0, args),
        })
    }
}

fn call(ctx: &Context, name: &str, args: &[Value]) -> Result<Value> {
    Ok(match name {
        "_" | "gettext" | "ngettext" | "npgettext" | "pgettext" => {
            return translate(&ctx.locale_now()?, name, args);
        }
        "static_url" => {
            let (path, include_host, kwargs): (&str, Option<bool>, Kwargs) = from_args(args)?;
            let include_host = include_host.or(kwargs.get("include_host")?).unwrap_or(false);
            let include_version = kwargs.get::<Option<bool>>("include_version")?.unwrap_or(true);
            kwargs.assert_all_used()?;
            let options = StaticUrl::default().include_host(include_host).include_version(include_version);
            // A path that no file can have is the page's mistake: a 404 would be told of the page.
            ctx.static_url_with(path, options)
                .map_err(|error| misuse(format!("static_url({path:?}): {error}")))?
                .into()
        }
        "xsrf_form_html" => ctx.xsrf_form_html()?.into(),
        "reverse_url" => {
            let (name, arguments) =
                args.split_first().ok_or_else(|| misuse("reverse_url takes a name".into()))?;
            let texts: Vec<String> = arguments.iter().map(to_str).collect();
            let arguments: Vec<&dyn fmt::Display> =
                texts.iter().map(|text| text as &dyn fmt::Display).collect();
            ctx.reverse_url(&to_str(name), &arguments)?.into()
        }
        _ => return Err(misuse(format!("there is no function {name}"))),
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
        let value = match key.as_str()? {
            "handler" => Ok(Value::from_object(Handler)),
            "request" => Ok(Value::from_object(Request)),
            "locale" => with_context(|ctx| Ok(Value::from_object(LocaleObject(ctx.locale_now()?)))),
            "current_user" => with_context(current_user),
            _ => return None,
        };
        Some(value.unwrap_or_else(Value::from))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `request`
#[derive(Debug)]
struct Request;

impl Object for Request {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let value = with_context(|ctx| {
            let request = ctx.request();
            Ok(Some(match name {
                "method" => request.method().as_str().into(),
                "uri" => request.uri().into(),
                "path" => request.path().into(),
                "query" => request.query().into(),
                "remote_ip" => request.remote_ip().to_string().into(),
                "protocol" => request.protocol().to_string().into(),
                "host" => request.host().into(),
                "headers" => Value::from_object(Headers),
                "cookies" => Value::from_pairs(ctx.cookies()),
                "arguments" => {
                    let of_query = request.query_arguments().into_iter().flat_map(Arguments::iter);
                    all_values(of_query.chain(request.body_arguments()?.iter()))
                }
                "query_arguments" => {
                    all_values(request.query_arguments().into_iter().flat_map(Arguments::iter))
                }
                "body_arguments" => all_values(request.body_arguments()?.iter()),
                _ => return Ok(None),
            }))
        });
        value.unwrap_or_else(|error| Some(Value::from(error)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        if name != "full_url" {
            return Err(EngineError::from(ErrorKind::UnknownMethod));
        }
        from_args::<()>(args)?;
        with_context(|ctx| Ok(ctx.request().full_url().into()))
    }
}

/// Lists of values by name, as Tornado has them.
fn all_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Value {
    let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, value) in pairs {
        let value = String::from_utf8_lossy(value).into_owned();
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => lists.push((name, vec![value])),
        }
    }
    Value::from_pairs(lists)
}

/// `request.headers`
#[derive(Debug)]
struct Headers;

impl Object for Headers {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = with_context(|ctx| Ok(ctx.request().headers().get(name).map(Value::from)));
        found.unwrap_or_else(|error| Some(Value::from(error)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = with_context(|ctx| {
            Ok(ctx.request().headers().iter().map(|(name, _)| Value::from(name.to_string())).collect())
        });
        names.map_or(Enumerator::Empty, Enumerator::Values)
    }
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

/// `handler`
#[derive(Debug)]
struct Handler;

impl Object for Handler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "handler" => None,
            "settings" => with_context(|ctx| Ok(ctx.core().settings().templates.settings()))
                .map_or_else(|error| Some(Value::from(error)), Some),
            "xsrf_token" => {
                let token = with_context(|ctx| Ok(Value::from(ctx.xsrf_token()?)));
                Some(token.unwrap_or_else(Value::from))
            }
            "application" => Some(Value::from_object(Self)),
            name => {
                let own =
                    with_context(|ctx| Ok(ctx.core().settings().templates.of_handler.get(name).cloned()));
                let own = own.unwrap_or_else(|error| Some(Value::from(error)));
                own.or_else(|| Arc::new(Namespace).get_value(&Value::from(name)))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        let value = with_context(|ctx| Ok(ctx.core().settings().templates.of_handler.get(name).cloned()))?;
        if let Some(function) = value {
            return function.call(state, args);
        }
        with_context(|ctx| {
            Ok(match name {
                "get_argument" => {
                    let (name, _): (&str, Option<Value>) = from_args(args)?;
                    // `None` is a default like any other.
                    match args.get(1).cloned() {
                        Some(default) => ctx.argument_opt(name)?.map_or(default, Value::from),
                        None => ctx.argument(name)?.into(),
                    }
                }
                "get_arguments" => {
                    let (name,): (&str,) = from_args(args)?;
                    ctx.arguments(name)?.into_iter().map(Value::from).collect()
                }
                "get_cookie" => {
                    let (name, default): (&str, Option<Value>) = from_args(args)?;
                    ctx.cookie(name).map(Value::from).or(default).unwrap_or_else(|| Value::from(()))
                }
                "get_status" => ctx.status().into(),
                _ => match ctx.core().settings().templates.methods.get(name) {
                    Some(method) => return method(ctx, args),
                    None => return call(ctx, name, args),
                },
            })
        })
    }
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
