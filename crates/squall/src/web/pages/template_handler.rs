//! `handler` and `handler.application` of templates, and what may be below them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use crate::template::{Given, Has, Member, Shape, python_error};
use crate::web::application::Settings;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::render::with_context;
use crate::web::signed_value::SignedVersion;
use crate::web::template_namespace::{self as namespace, FUNCTIONS, Function};
use crate::web::template_request::{Class, cookies};

/// Functions below `handler`, besides [`FUNCTIONS`].
const OWN_FUNCTIONS: &[&str] = &[
    "add_header",
    "clear_header",
    "get_argument",
    "get_arguments",
    "get_body_argument",
    "get_body_arguments",
    "get_browser_locale",
    "get_cookie",
    "get_login_url",
    "get_query_argument",
    "get_query_arguments",
    "get_secure_cookie",
    "get_signed_cookie",
    "get_status",
    "require_setting",
    "set_header",
    "set_status",
];

const VALUES: &[&str] = &["cookies", "current_user", "path_args", "path_kwargs", "xsrf_token", "__class__"];

/// Methods of Tornado's handler that templates do not have: they write the response, or wait.
const IN_THE_HANDLER: &[&str] = &[
    "check_etag_header",
    "check_xsrf_cookie",
    "clear",
    "clear_all_cookies",
    "clear_cookie",
    "create_signed_value",
    "detach",
    "finish",
    "flush",
    "get_current_user",
    "get_user_locale",
    "redirect",
    "render",
    "render_string",
    "send_error",
    "set_cookie",
    "set_etag_header",
    "set_secure_cookie",
    "set_signed_cookie",
    "write",
    "write_error",
];

/// What `handler` has in an application with these functions and values.
pub(in crate::web) fn shape(
    own: impl Iterator<Item = (String, Member)>,
    request: Rc<Shape>,
    locale: Rc<Shape>,
    settings: Vec<String>,
) -> Rc<Shape> {
    let settings = Rc::new(Shape {
        name: "handler.settings",
        has: Has::Items(settings),
        advice: |name| {
            format!("give it with Application::template_setting({name:?}, …), or ask .get({name:?})")
        },
    });
    let settings = Member::Object(settings);
    let mut members: Vec<(String, Member)> = own.collect();
    let mut of_application = members.clone();
    of_application.push(("settings".to_owned(), settings.clone()));
    of_application.push(("reverse_url".to_owned(), Member::Function));
    of_application.push(("__class__".to_owned(), Member::Value));
    let application =
        Shape { name: "handler.application", has: Has::Attributes(of_application), advice: register };
    let functions = FUNCTIONS.iter().chain(OWN_FUNCTIONS);
    members.extend(functions.map(|name| ((*name).to_owned(), Member::Function)));
    members.extend(VALUES.iter().map(|name| ((*name).to_owned(), Member::Any)));
    for (name, member) in [
        ("application", Member::Object(Rc::new(application))),
        ("locale", Member::Object(locale)),
        ("request", Member::Object(request)),
        ("settings", settings),
    ] {
        members.push((name.to_owned(), member));
    }
    Rc::new(Shape {
        name: "handler",
        has: Has::Attributes(members),
        advice: |name| match name {
            _ if IN_THE_HANDLER.contains(&name) => {
                "a template cannot do this, the handler does it before it renders".to_owned()
            }
            _ if name.starts_with('_') => "what begins with _ is Tornado's own".to_owned(),
            _ => register(name),
        },
    })
}

fn register(name: &str) -> String {
    format!(
        "register it with Application::ui_method(\"{name}\", …) or Application::handler_value(\"{name}\", …), or give it \
         to routes with UrlSpec::handler_value(\"{name}\", …)"
    )
}

/// Values below `handler` of a route and the groups around it.
#[derive(Clone, Default)]
pub(in crate::web) struct HandlerValues(Option<Rc<HashMap<String, Value>>>);

impl HandlerValues {
    pub(in crate::web) fn set(&mut self, name: String, value: Value) {
        Rc::make_mut(self.0.get_or_insert_default()).insert(name, value);
    }

    /// These, and those of the group around that they do not replace.
    pub(in crate::web) fn within(self, outer: &Self) -> Self {
        match (self.0, &outer.0) {
            (Some(own), Some(outer)) => {
                let mut all = HashMap::clone(outer);
                all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
                Self(Some(Rc::new(all)))
            }
            (own, outer) => Self(own.or_else(|| outer.clone())),
        }
    }

    pub(in crate::web) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(in crate::web) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|values| values.keys()).map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.0.as_ref()?.get(name).cloned()
    }
}

/// Those of one request.
#[derive(Default)]
struct OfRequest(RefCell<HandlerValues>);

impl Context {
    /// A value that the templates of this request read as `handler.name`, instead of those of its
    /// [route](crate::web::UrlSpec::handler_value) and its [application](crate::web::Application::handler_value) (Tornado's
    /// `self.name = ..` in `prepare`).
    ///
    /// Templates are checked before there is a request: one of these two has to name it, as a class attribute would,
    /// `handler_value("name", ())` for `None`. With the feature `templates`, a default one.
    pub fn set_handler_value(&self, name: impl Into<String>, value: impl Into<Value>) {
        let values = self.get::<OfRequest>().unwrap_or_else(|| {
            self.insert(OfRequest::default());
            self.get().unwrap_or_default()
        });
        values.0.borrow_mut().set(name.into(), value.into());
    }
}

/// The application's own value of this name: the request's, the route's, or that of all.
fn own_value(ctx: &Context, name: &str) -> Option<Value> {
    let of_request = ctx.get::<OfRequest>().and_then(|values| values.0.borrow().get(name));
    of_request
        .or_else(|| ctx.route().handler_values().get(name))
        .or_else(|| ctx.core().settings().templates.of_handler.get(name).cloned())
}

/// What `handler.settings` has, besides what the application gives. The secrets are not among it.
pub(in crate::web) fn settings(settings: &Settings) -> Vec<(String, Value)> {
    let templates = &settings.templates;
    let on = |name: &str, on: bool| Some((name.to_owned(), Value::from(on)));
    let text = |name: &str, text: Option<String>| text.map(|text| (name.to_owned(), Value::from(text)));
    let path = |path: &std::path::Path| path.display().to_string();
    let own = [
        on("debug", settings.debug.is_on()),
        on("autoreload", settings.debug.reloads()),
        on("serve_traceback", settings.debug.serves_traceback()),
        on("compiled_template_cache", templates.keeps_compiled(settings.debug.is_on())),
        on("compress_response", settings.transforms.compresses()),
        on("xsrf_cookies", settings.xsrf.is_on()),
        text("login_url", settings.login_url.clone()),
        text("static_path", settings.static_files.path().map(path)),
        text("static_url_prefix", settings.static_files.path().map(|_| settings.static_files.url_prefix())),
        text("template_path", templates.path().map(path)),
    ];
    own.into_iter().flatten().chain(templates.values().iter().cloned()).collect()
}

/// `handler`
#[derive(Debug)]
pub(in crate::web) struct Handler;

impl Object for Handler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        with_context(|ctx| attribute(ctx, name)).unwrap_or_else(|error| Some(Value::from(error)))
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
        match with_context(|ctx| Ok(own_value(ctx, name)))? {
            Some(function) => function.call(state, args),
            None => call(name, args),
        }
    }
}

fn attribute(ctx: &Context, name: &str) -> Result<Option<Value>> {
    if let Some(own) = own_value(ctx, name) {
        return Ok(Some(own));
    }
    Ok(Some(match name {
        "application" => Value::from_object(ApplicationObject),
        "settings" => Value::from_pairs(settings(ctx.core().settings())),
        "xsrf_token" => ctx.xsrf_token()?.into(),
        "cookies" => cookies(ctx),
        "path_args" => match ctx.route().pattern().group_names().iter().any(Option::is_some) {
            true => Value::from(Vec::<Value>::new()),
            false => ctx.path_args().map(Value::from).collect(),
        },
        "path_kwargs" => {
            let names = ctx.route().pattern().group_names().iter();
            let pairs =
                names.zip(ctx.path_args()).filter_map(|(name, value)| Some((name.as_deref()?, value)));
            Value::from_pairs(pairs)
        }
        "__class__" => Value::from_object(Class(ctx.route().class_name())),
        name if OWN_FUNCTIONS.contains(&name) => Value::from_object(Function::of(name, call)),
        name => return Ok(namespace::attribute(ctx, name)),
    }))
}

fn call(name: &str, args: &[Value]) -> Result<Value, EngineError> {
    match name {
        "get_argument" => argument(args, "get_argument", Context::argument_opt, Context::untrimmed_arguments),
        "get_query_argument" => argument(
            args,
            "get_query_argument",
            Context::query_argument_opt,
            Context::untrimmed_query_arguments,
        ),
        "get_body_argument" => {
            argument(args, "get_body_argument", Context::body_argument_opt, Context::untrimmed_body_arguments)
        }
        "get_arguments" => arguments(args, "get_arguments", Context::arguments, Context::untrimmed_arguments),
        "get_query_arguments" => arguments(
            args,
            "get_query_arguments",
            Context::query_arguments,
            Context::untrimmed_query_arguments,
        ),
        "get_body_arguments" => {
            arguments(args, "get_body_arguments", Context::body_arguments, Context::untrimmed_body_arguments)
        }
        "get_cookie" => {
            let given = Given::new("get_cookie", ["name", "default"], 1, args)?;
            let name = given.text(0)?;
            let found = with_context(|ctx| Ok(ctx.cookie(&name).map(Value::from)))?;
            Ok(found.or_else(|| given.value(1).cloned()).unwrap_or_else(|| Value::from(())))
        }
        "get_signed_cookie" | "get_secure_cookie" => signed_cookie(args),
        "get_browser_locale" => {
            Given::new("get_browser_locale", [], 0, args)?;
            with_context(|ctx| Ok(namespace::locale(ctx.browser_locale())))
        }
        "get_login_url" => {
            Given::new("get_login_url", [], 0, args)?;
            let url = with_context(|ctx| {
                Ok(ctx.sites().login_url(ctx).or_else(|| ctx.core().login_url().map(str::to_owned)))
            })?;
            url.map(Value::from).ok_or_else(|| no_setting("login_url", "@tornado.web.authenticated"))
        }
        "get_status" => {
            Given::new("get_status", [], 0, args)?;
            with_context(|ctx| Ok(ctx.status().into()))
        }
        "require_setting" => {
            let given = Given::new("require_setting", ["name", "feature"], 1, args)?;
            let name = given.text(0)?;
            let feature = if given.value(1).is_some() { given.text(1)? } else { "this feature".to_owned() };
            let found = with_context(|ctx| {
                let all = settings(ctx.core().settings());
                Ok(all.into_iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value))
            })?;
            match found.filter(Value::is_true) {
                Some(_) => Ok(Value::from(())),
                None => Err(no_setting(&name, &feature)),
            }
        }
        "set_status" | "set_header" | "add_header" | "clear_header" => set(name, args),
        _ if FUNCTIONS.contains(&name)
            || with_context(|ctx| Ok(ctx.core().settings().templates.methods.contains_key(name)))? =>
        {
            namespace::call_by_name(name, args)
        }
        _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
    }
}

fn no_setting(name: &str, feature: &str) -> EngineError {
    python_error(
        "Exception",
        format!("You must define the '{name}' setting in your application to use {feature}"),
    )
}

type One = for<'a> fn(&'a Context, &str) -> Result<Option<&'a str>>;
type All = for<'a> fn(&'a Context, &str) -> Result<Vec<&'a str>>;

fn argument(args: &[Value], function: &'static str, one: One, untrimmed: All) -> Result<Value, EngineError> {
    let given = Given::new(function, ["name", "default", "strip"], 1, args)?;
    let name = given.text(0)?;
    let found = with_context(|ctx| {
        let found = if given.is_true(2, true) { one(ctx, &name)? } else { untrimmed(ctx, &name)?.pop() };
        match found {
            Some(text) => Ok(Some(Value::from(text))),
            // A 400, as when the handler asks for it.
            None if given.value(1).is_none() => ctx.argument(&name).map(|_| None),
            None => Ok(None),
        }
    })?;
    // `None` is a default like any other.
    Ok(found.or_else(|| given.value(1).cloned()).unwrap_or_else(|| Value::from(())))
}

fn arguments(args: &[Value], function: &'static str, all: All, untrimmed: All) -> Result<Value, EngineError> {
    let given = Given::new(function, ["name", "strip"], 1, args)?;
    let name = given.text(0)?;
    with_context(|ctx| {
        let found = if given.is_true(1, true) { all(ctx, &name)? } else { untrimmed(ctx, &name)? };
        Ok(found.into_iter().map(Value::from).collect())
    })
}

fn signed_cookie(args: &[Value]) -> Result<Value, EngineError> {
    let names = ["name", "value", "max_age_days", "min_version"];
    let given = Given::new("get_signed_cookie", names, 1, args)?;
    let name = given.text(0)?;
    if given.value(1).is_some_and(|value| !value.is_none()) {
        let message =
            "get_signed_cookie() of a value has no counterpart in a template: let the handler read it";
        return Err(python_error("TypeError", message));
    }
    let days = given.value(2).and_then(|days| f64::try_from(days.clone()).ok()).unwrap_or(31.0);
    let age = Duration::try_from_secs_f64(days * 86_400.0).unwrap_or_default();
    let version = match given.value(3).and_then(Value::as_i64) {
        Some(2) => SignedVersion::V2,
        _ => SignedVersion::V1,
    };
    with_context(|ctx| {
        let found = ctx.signed_cookie_with(&name, age, version);
        Ok(found.map_or_else(|| Value::from(()), Value::from_bytes))
    })
}

/// What a template may change of the response: `{% set _ = handler.set_header("Content-Type", "text/xml") %}`.
fn set(name: &str, args: &[Value]) -> Result<Value, EngineError> {
    match name {
        "set_status" => {
            let given = Given::new("set_status", ["status_code", "reason"], 1, args)?;
            let status = given.value(0).and_then(Value::as_i64).and_then(|status| u16::try_from(status).ok());
            let Some(status) = status.filter(|status| (200..=999).contains(status)) else {
                return Err(python_error("ValueError", "set_status() takes a status from 200 to 999"));
            };
            let reason =
                given.value(1).filter(|reason| !reason.is_none()).map(|_| given.text(1)).transpose()?;
            with_context(|ctx| {
                match &reason {
                    Some(reason) => ctx.set_status_reason(status, reason),
                    None => ctx.set_status(status),
                }
                Ok(Value::from(()))
            })
        }
        "clear_header" => {
            let name = Given::new("clear_header", ["name"], 1, args)?.text(0)?;
            with_context(|ctx| {
                ctx.clear_header(&name);
                Ok(Value::from(()))
            })
        }
        _ => {
            let is_set = name == "set_header";
            let given =
                Given::new(if is_set { "set_header" } else { "add_header" }, ["name", "value"], 2, args)?;
            let name = given.text(0)?;
            let value = given.value(1).map(crate::template::to_str).unwrap_or_default();
            let done = with_context(|ctx| {
                let value = value.as_str();
                Ok(if is_set { ctx.set_header(&name, value) } else { ctx.add_header(&name, value) })
            })?;
            done.map(|()| Value::from(())).map_err(|error| python_error("ValueError", error.to_string()))
        }
    }
}

/// `handler.application`
#[derive(Debug)]
struct ApplicationObject;

impl Object for ApplicationObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = with_context(|ctx| {
            Ok(match name {
                _ if let Some(own) = own_value(ctx, name) => Some(own),
                "settings" => attribute(ctx, name)?,
                "__class__" => Some(Value::from_object(Class("Application".to_owned()))),
                name => namespace::function(ctx, name),
            })
        });
        found.unwrap_or_else(|error| Some(Value::from(error)))
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
        match with_context(|ctx| Ok(own_value(ctx, name)))? {
            Some(function) => function.call(state, args),
            None => namespace::call_by_name(name, args),
        }
    }
}
