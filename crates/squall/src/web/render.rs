//! Pages from templates.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use minijinja::value::{Enumerator, Object, ObjectRepr, from_args};
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use super::application::Application;
use super::context::{Context, is_misuse, misuse};
use super::error::{Error, Result};
use super::ui_module::{Resources, UiModule, built_in};
use crate::locale::Locale;
use crate::sys::Scoped;
use crate::template::{Layered, Loader, Raised, Whitespace, to_str};

type Method = Box<dyn Fn(&Context, &[Value]) -> Result<Value>>;

/// An application's templates.
#[derive(Default)]
pub(super) struct TemplateSettings {
    path: Option<PathBuf>,
    loader: Option<Loader>,
    autoescape: Option<Option<String>>,
    whitespace: Option<Whitespace>,
    modules: HashMap<String, Box<dyn UiModule>>,
    methods: HashMap<String, Method>,
}

impl TemplateSettings {
    /// Makes the loader and compiles all templates.
    pub(super) fn finish(&mut self, problems: &mut Vec<String>) {
        if self.loader.is_none()
            && let Some(path) = &self.path
        {
            let mut loader = Loader::new(path);
            if let Some(function) = &self.autoescape {
                loader = loader.autoescape(function.as_deref());
            }
            if let Some(mode) = self.whitespace {
                loader = loader.whitespace(mode);
            }
            self.loader = Some(loader);
        }
        let Some(loader) = &self.loader else { return };
        loader.add_global("_tt_modules".to_owned(), Value::from_object(Modules));
        for name in FUNCTIONS {
            loader.add_global((*name).to_owned(), Value::from_object(Function((*name).to_owned())));
        }
        for name in self.methods.keys() {
            loader.add_global(name.clone(), Value::from_object(Function(name.clone())));
        }
        if let Err(errors) = loader.check_all() {
            problems.extend(errors.iter().map(|error| format!("template {error}")));
        }
    }
}

impl Application {
    /// The directory of the templates, all of which are compiled when the application starts. Default: none.
    #[must_use]
    pub fn template_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.templates.path = Some(path.into());
        self
    }

    /// Templates from elsewhere, instead of a [`template_path`](Self::template_path).
    #[must_use]
    pub fn template_loader(mut self, loader: Loader) -> Self {
        self.settings.templates.loader = Some(loader);
        self
    }

    /// For templates of [`template_path`](Self::template_path): the function that values go through, `None` for none.
    /// Default: `xhtml_escape`.
    #[must_use]
    pub fn autoescape(mut self, function: Option<&str>) -> Self {
        self.settings.templates.autoescape = Some(function.map(str::to_owned));
        self
    }

    /// For templates of [`template_path`](Self::template_path): what becomes of white space. Default: by the file's name.
    #[must_use]
    pub fn template_whitespace(mut self, mode: Whitespace) -> Self {
        self.settings.templates.whitespace = Some(mode);
        self
    }

    /// A module that templates use with `{% module Name(..) %}`.
    #[must_use]
    #[doc(alias = "ui_modules")]
    pub fn ui_module(mut self, name: impl Into<String>, module: impl UiModule) -> Self {
        self.settings.templates.modules.insert(name.into(), Box::new(module));
        self
    }

    /// A function that templates call as `{{ name(..) }}`.
    #[must_use]
    #[doc(alias = "ui_methods")]
    pub fn ui_method(
        mut self,
        name: impl Into<String>,
        method: impl Fn(&Context, &[Value]) -> Result<Value> + 'static,
    ) -> Self {
        self.settings.templates.methods.insert(name.into(), Box::new(method));
        self
    }
}

impl Context {
    /// Writes the page that a template makes of these values, with what its modules need. The response is finished when
    /// the handler returns.
    ///
    /// # Errors
    /// What went wrong, with the template's file and line; nothing is written then.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn render(&self, name: &str, values: impl Into<Value>) -> Result {
        let (html, page) = on_new_page(|| self.render_text(name, values.into()));
        self.write(page.resources.insert(self, html?)?);
        Ok(())
    }

    /// The text that a template makes of these values: [`context!`](crate::template::context), and what all templates
    /// have (`handler`, `request`, `current_user`, `locale`, `_`, `static_url` and so on).
    ///
    /// # Errors
    /// What went wrong, with the template's file and line.
    pub fn render_string(&self, name: &str, values: impl Into<Value>) -> Result<String> {
        if is_rendering() {
            return self.render_text(name, values.into());
        }
        // There is no page into which the modules' resources could go.
        on_new_page(|| self.render_text(name, values.into())).0
    }

    fn render_text(&self, name: &str, values: Value) -> Result<String> {
        let settings = &self.core().settings().templates;
        let Some(loader) = &settings.loader else {
            return Err(misuse("You must give the application a template_path to render".to_owned()));
        };
        if self.core().settings().debug.is_on() && !is_rendering() {
            loader.reset();
        }
        let template = loader.load(name)?;
        let rest = match self.core().site() {
            Some(site) => site.template_namespace(self),
            None => Value::UNDEFINED,
        };
        let rest = Value::from_object(Layered { values: rest, rest: Value::from_object(Namespace) });
        let all = Value::from_object(Layered { values, rest });
        CONTEXT.with(|current| current.set(self, || template.generate(all))).map_err(|error| {
            match error.raised().and_then(take_raised) {
                Some(original) => original,
                None => error.into(),
            }
        })
    }
}

thread_local! {
    /// The context of the page that is being rendered.
    static CONTEXT: Scoped<Context> = const { Scoped::new() };
    static PAGE: RefCell<Page> = RefCell::default();
    /// The last error that a module or function of the application returned, and which one it is.
    static RAISED: RefCell<(u64, Option<Error>)> = const { RefCell::new((0, None)) };
}

fn is_rendering() -> bool {
    CONTEXT.with(|current| current.with(|ctx| ctx.is_some()))
}

/// What the page that is being rendered has used.
#[derive(Default)]
struct Page {
    modules: Vec<String>,
    resources: Resources,
}

/// What `f` returns, and what the page that it rendered has used.
fn on_new_page<R>(f: impl FnOnce() -> R) -> (R, Page) {
    /// A module may panic; the page around it goes on, and the next page knows nothing of it.
    struct Restore(Page);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(PAGE.replace(std::mem::take(&mut self.0)));
            drop(RAISED.with_borrow_mut(|(_, error)| error.take()));
        }
    }
    let _restore = Restore(PAGE.take());
    let result = f();
    (result, PAGE.take())
}

/// The application's own error, which keeps its status and type; what the framework says gets the template's place.
fn raise(error: Error) -> EngineError {
    let raised = EngineError::new(ErrorKind::InvalidOperation, error.to_string());
    if is_misuse(&error) {
        return raised;
    }
    let (number, last) = RAISED.with_borrow_mut(|(number, last)| {
        *number += 1;
        (*number, last.replace(error))
    });
    drop(last);
    raised.with_source(Raised(number))
}

fn take_raised(raised: Raised) -> Option<Error> {
    RAISED.with_borrow_mut(|(number, error)| if *number == raised.0 { error.take() } else { None })
}

fn with_context<R>(f: impl FnOnce(&Context) -> Result<R>) -> Result<R, EngineError> {
    let result = CONTEXT.with(|current| {
        current.with(|ctx| match ctx {
            Some(ctx) => f(ctx),
            None => Err(misuse("this is known in pages that an application renders only".to_owned())),
        })
    });
    result.map_err(raise)
}

/// `_tt_modules.Name(..)`
#[derive(Debug)]
struct Modules;

impl Object for Modules {
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        with_context(|ctx| {
            let own = ctx.core().settings().templates.modules.get(name).map(|module| &**module);
            let module = own
                .or_else(|| built_in(name))
                .ok_or_else(|| misuse(format!("there is no UI module {name}")))?;
            let html = module.render(ctx, args)?;
            let is_new = PAGE.with_borrow(|page| !page.modules.iter().any(|known| known == name));
            if is_new {
                // Not while the page is borrowed: the module may render.
                let mut resources = PAGE.with_borrow_mut(|page| {
                    page.modules.push(name.to_owned());
                    std::mem::take(&mut page.resources)
                });
                resources.add(ctx, module);
                PAGE.with_borrow_mut(|page| page.resources = resources);
            }
            Ok(Value::from_safe_string(html))
        })
    }
}

const FUNCTIONS: &[&str] = &["_", "pgettext", "ngettext", "static_url", "xsrf_form_html", "reverse_url"];

/// A function of the namespace, or a `ui_method`, by its name.
#[derive(Debug)]
struct Function(String);

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
        "_" | "pgettext" | "ngettext" => return translate(&ctx.locale_now()?, name, args),
        "static_url" => {
            let (path,): (&str,) = from_args(args)?;
            ctx.static_url(path)?.into()
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
    Ok(match name {
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
struct Namespace;

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = match key.as_str()? {
            "handler" => Ok(Value::from_object(Handler)),
            "request" => with_context(|ctx| Ok(request(ctx))),
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

fn request(ctx: &Context) -> Value {
    let request = ctx.request();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), Value::from(value)));
    minijinja::context! {
        method => request.method().as_str(),
        uri => request.uri(),
        path => request.path(),
        query => request.query(),
        remote_ip => request.remote_ip().to_string(),
        protocol => request.protocol().to_string(),
        host => request.host(),
        headers => Value::from_pairs(headers),
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
    let known = ctx.user.borrow().clone().flatten();
    Ok(match (ctx.core().site(), known) {
        (Some(site), Some(user)) => site.user_value(&*user),
        _ => Value::from(true),
    })
}

/// `handler`
#[derive(Debug)]
struct Handler;

impl Object for Handler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "handler" => None,
            name => Arc::new(Namespace).get_value(&Value::from(name)),
        }
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
        with_context(|ctx| {
            Ok(match name {
                "get_argument" => {
                    let (name, default): (&str, Option<Value>) = from_args(args)?;
                    match default {
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
                _ => return call(ctx, name, args),
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
            _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
        }
    }
}
