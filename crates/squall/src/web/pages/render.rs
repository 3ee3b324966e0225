//! Pages from templates.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use minijinja::value::Object;
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use crate::sys::Scoped;
use crate::template::{
    Layered, Loader, Member, Raised, Surface, Template, TemplateError, Whitespace, python_error,
};
use crate::web::application::{Application, Settings};
use crate::web::context::{Context, is_misuse, misuse};
use crate::web::error::{Error, Result};
use crate::web::route::UrlSpec;
use crate::web::routes::Route;
use crate::web::template_namespace::{FUNCTIONS, Function, Namespace, locale_shape};
use crate::web::ui_module::{BUILT_IN, Page, Resources, TEMPLATE, UiModule, built_in};
use crate::web::{template_handler, template_request};

pub(in crate::web) use super::template_handler::HandlerValues;
pub(in crate::web) use super::template_namespace::SiteValues;

type Method = Box<dyn Fn(&Context, &[Value]) -> Result<Value>>;

/// Where the templates of a route or group come from.
#[derive(Clone)]
pub(in crate::web) enum TemplateSource {
    Path(PathBuf),
    Loader(Rc<Loader>),
}

/// What of the routes concerns templates.
#[derive(Default)]
pub(in crate::web) struct OfRoutes {
    sources: Vec<TemplateSource>,
    names: HashSet<String>,
    handler_values: HashSet<String>,
}

impl OfRoutes {
    pub(in crate::web) fn add(&mut self, route: &Route) {
        self.sources.extend(route.templates().cloned());
        self.names.extend(route.name().map(str::to_owned));
        self.handler_values.extend(route.handler_values().names().map(str::to_owned));
    }
}

/// An application's templates.
#[derive(Default)]
pub(in crate::web) struct TemplateSettings {
    path: Option<PathBuf>,
    loader: Option<Rc<Loader>>,
    /// Those of single routes, by their directory.
    others: HashMap<PathBuf, Rc<Loader>>,
    autoescape: Option<Option<String>>,
    whitespace: Option<Whitespace>,
    jinja: Vec<String>,
    modules: HashMap<String, Box<dyn UiModule>>,
    pub(in crate::web) methods: HashMap<String, Method>,
    compiled_cache: Option<bool>,
    /// `handler.settings`
    values: Vec<(String, Value)>,
    /// `handler.name`
    pub(in crate::web) of_handler: HashMap<String, Value>,
    imports: Vec<(String, Value)>,
    context_functions: Vec<String>,
}

impl TemplateSettings {
    /// What the application gives to `handler.settings`.
    pub(in crate::web) fn values(&self) -> &[(String, Value)] {
        &self.values
    }

    pub(in crate::web) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(in crate::web) fn keeps_compiled(&self, is_debug: bool) -> bool {
        self.compiled_cache.unwrap_or(!is_debug)
    }

    /// Makes the loaders, those of single routes too, and compiles all templates.
    pub(in crate::web) fn finish(settings: &mut Settings, of_routes: OfRoutes, problems: &mut Vec<String>) {
        let names = template_handler::settings(settings).into_iter().map(|(name, _)| name).collect();
        // While a service moves over, its other half has names too.
        let routes = settings.fallback.is_none().then_some(of_routes.names);
        let templates = &mut settings.templates;
        if templates.loader.is_none() {
            templates.loader = templates.path.as_ref().map(|path| Rc::new(templates.loader_of(path)));
        }
        let mut loaders: Vec<Rc<Loader>> = templates.loader.iter().cloned().collect();
        for source in of_routes.sources {
            let loader = match source {
                TemplateSource::Loader(loader) => loader,
                TemplateSource::Path(path) => {
                    let loader = templates.others.get(&path).cloned();
                    let loader = loader.unwrap_or_else(|| Rc::new(templates.loader_of(&path)));
                    templates.others.insert(path, Rc::clone(&loader));
                    loader
                }
            };
            if !loaders.iter().any(|known| Rc::ptr_eq(known, &loader)) {
                loaders.push(loader);
            }
        }
        let surface = Rc::new(templates.surface(names, of_routes.handler_values, routes));
        for loader in loaders {
            templates.prepare(&loader, &surface);
            if let Err(errors) = loader.check_all() {
                problems.extend(errors.iter().map(|error| format!("template {error}")));
            }
        }
    }

    /// What templates are checked against.
    fn surface(
        &self,
        settings: Vec<String>,
        values: HashSet<String>,
        routes: Option<HashSet<String>>,
    ) -> Surface {
        let values = self.of_handler.keys().cloned().chain(values).map(|name| (name, Member::Any));
        let functions = self.methods.keys().map(|name| (name.clone(), Member::Function));
        let (request, locale) = (template_request::shape(), locale_shape());
        let handler = template_handler::shape(
            values.chain(functions),
            Rc::clone(&request),
            Rc::clone(&locale),
            settings,
        );
        Surface {
            objects: vec![("handler", handler), ("request", request), ("locale", locale)],
            modules: self.modules.keys().cloned().chain(BUILT_IN.iter().map(|&name| name.into())).collect(),
            template_module: (!self.modules.contains_key(TEMPLATE)).then_some(TEMPLATE),
            routes,
        }
    }

    fn loader_of(&self, path: &Path) -> Loader {
        let mut loader = Loader::new(path).jinja_templates(&self.jinja);
        if let Some(function) = &self.autoescape {
            loader = loader.autoescape(function.as_deref());
        }
        if let Some(mode) = self.whitespace {
            loader = loader.whitespace(mode);
        }
        loader
    }

    /// Gives it what all templates of the application know.
    fn prepare(&self, loader: &Loader, surface: &Rc<Surface>) {
        // Tornado knows them by both names; the second is for Jinja's `{{ modules.Entry(1) }}`.
        for name in ["_tt_modules", "modules"] {
            loader.add_global(name.to_owned(), Value::from_object(Modules));
        }
        for name in FUNCTIONS {
            loader.add_global((*name).to_owned(), Value::from_object(Function::new(name)));
        }
        for name in self.methods.keys() {
            loader.add_global(name.clone(), Value::from_object(Function::new(name)));
        }
        for (name, values) in &self.imports {
            loader.add_module(name, values);
        }
        let mut of_context = self.context_functions.clone();
        // In the template of a `Template` module.
        of_context.push("set_resources".to_owned());
        loader.of_application(surface, of_context);
    }

    /// The loader of a request to a route with this source.
    fn loader<'a>(&'a self, source: Option<&'a TemplateSource>) -> Option<&'a Rc<Loader>> {
        match source {
            Some(TemplateSource::Loader(loader)) => Some(loader),
            Some(TemplateSource::Path(path)) => self.others.get(path),
            None => self.loader.as_ref(),
        }
    }
}

/// With the feature `templates`, a default one.
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
        self.settings.templates.loader = Some(Rc::new(loader));
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

    /// For templates of [`template_path`](Self::template_path): which of them are Jinja's, as
    /// [`Loader::jinja_templates`] has it: `["*.html"]` for all pages, `["lab/"]` for a folder.
    #[must_use]
    pub fn jinja_templates<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.settings.templates.jinja = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Whether compiled templates are kept; else they are read anew for each page. Default: yes, unless
    /// [`debug`](Self::debug) is on.
    #[must_use]
    pub fn compiled_template_cache(mut self, on: bool) -> Self {
        self.settings.templates.compiled_cache = Some(on);
        self
    }

    /// A value that templates read as `handler.settings["name"]`, such as the name of the site.
    #[must_use]
    pub fn template_setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.templates.values.push((name.into(), value.into()));
        self
    }

    /// A module that templates import with `{% import name %}` or `{% from name import .. %}`: values and functions by
    /// name, such as [`context!`](crate::template::context) makes. Parts of Python's `datetime`, `json`, `math`, `re`,
    /// `time`, `os.path` and `urllib.parse`, `tornado.escape`, `tornado.options` and `tornado.util` are there already.
    ///
    /// ```
    /// use squall::Application;
    /// use squall::template::{Value, context};
    ///
    /// let shout = Value::from_function(|text: &str| text.to_uppercase());
    /// let app = Application::new([]).template_module("helpers.text", context! { shout, limit => 80 });
    /// ```
    #[must_use]
    pub fn template_module(mut self, name: impl Into<String>, values: impl Into<Value>) -> Self {
        self.settings.templates.imports.push((name.into(), values.into()));
        self
    }

    /// A value or function that templates read as `handler.name`: the default of all routes, as an attribute of a base class.
    /// Routes and groups may have [another](UrlSpec::handler_value), and so may [a request](Context::set_handler_value).
    ///
    /// ```
    /// use squall::{Application, Context, get};
    ///
    /// let page = async |ctx: &Context| ctx.render("page.html", squall::context! {});
    /// let app = Application::new([
    ///     get("/", page),
    ///     get("/users", page).handler_value("section", "users"),
    /// ])
    /// .handler_value("section", "home"); // {% if handler.section == "users" %}
    /// # let _ = app;
    /// ```
    #[must_use]
    pub fn handler_value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.templates.of_handler.insert(name.into(), value.into());
        self
    }

    /// Names of functions that only the values of [`Context::render`] or [`Site::template_namespace`] give. Others that
    /// no template and nobody else has are refused when the application starts.
    ///
    /// [`Site::template_namespace`]: crate::web::Site::template_namespace
    #[must_use]
    pub fn template_context_functions<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.templates.context_functions.extend(names.into_iter().map(Into::into));
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

/// With the feature `templates`, a default one.
impl UrlSpec {
    /// The directory of the templates of this route, or of all in this group, instead of the application's: what they extend
    /// and include is in it too. They are loaded as the application's are. On a router or a delegate it is an error at
    /// start-up.
    ///
    /// ```
    /// use squall::{Application, Context, get, web::nest};
    ///
    /// let admin = nest("/admin", [get("/users", async |ctx: &Context| ctx.render("users.html", squall::context! {}))]);
    /// let app = Application::new([admin.template_path("admin/templates")]).template_path("templates");
    /// # let _ = app;
    /// ```
    #[must_use]
    #[doc(alias = "get_template_path")]
    pub fn template_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.templates = Some(TemplateSource::Path(path.into()));
        self
    }

    /// A value or function that the templates of this route, or of all in this group, read as `handler.name` (an attribute of
    /// Tornado's handler class). It replaces that of the group around it and
    /// [of the application](Application::handler_value). On a router or a delegate it is an error at start-up.
    #[must_use]
    pub fn handler_value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.handler_values.set(name.into(), value.into());
        self
    }

    /// The templates of this route, or of all in this group, instead of the application's. Several routes may share one.
    /// On a router or a delegate it is an error at start-up.
    #[must_use]
    #[doc(alias = "create_template_loader")]
    pub fn template_loader(mut self, loader: impl Into<Rc<Loader>>) -> Self {
        self.templates = Some(TemplateSource::Loader(loader.into()));
        self
    }
}

/// With the feature `templates`, a default one.
impl Context {
    /// Writes the page that a template makes of these values, with what its modules need. The response is finished when
    /// the handler returns.
    ///
    /// # Errors
    /// What went wrong, with the template's file and line; nothing is written then.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn render(&self, name: &str, values: impl Into<Value>) -> Result {
        let caller = Location::caller();
        let (html, page) = on_new_page(|| self.render_text(name, values.into()));
        let whole = html.and_then(|html| page.resources().insert(self, html));
        self.write(whole.map_err(|error| of_template(error, caller))?);
        Ok(())
    }

    /// As [`render`](Self::render) for long pages: the client gets the page while it is made, in pieces of 16 KiB, and the
    /// page is made as fast as the client takes it: until then this waits, and the loop serves others.
    ///
    /// It can pause between the steps of the page, of its blocks and included files, and of what is in `{% if %}` and
    /// `{% for %}`; what is in one `{% while %}`, `{% try %}` or `{% apply %}` is made in one go, and so is a whole Jinja
    /// template: what the client does not take of that at once is held in memory. What modules need in the page's head and at
    /// its end is left out.
    ///
    /// # Errors
    /// What went wrong, with the template's file and line; once the head is sent, that cuts the connection.
    /// [`Disconnected`](crate::web::Disconnected) when the client has left.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn render_stream(&self, name: &str, values: impl Into<Value>) -> impl Future<Output = Result> {
        let caller = Location::caller();
        async move { self.stream_page(name, values.into()).await.map_err(|error| of_template(error, caller)) }
    }

    async fn stream_page(&self, name: &str, values: Value) -> Result {
        let (template, all) = self.template(name, values)?;
        let Some(mut pieces) = template.stream(all.clone()) else {
            return self.render_stream_at_once(&template, all).await;
        };
        while let Some(piece) = on_new_page(|| self.with_errors(|| pieces.next_piece(PIECE))).0? {
            self.write(piece);
            self.flush_now().await?;
            // A fast client must not have the loop for itself.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Of a template that cannot pause.
    async fn render_stream_at_once(&self, template: &Template, all: Value) -> Result {
        let mut pieces = Pieces { ctx: self, buffer: Vec::with_capacity(PIECE), error: None };
        let rendered = on_new_page(|| self.with_errors(|| template.generate_to(all, &mut pieces)));
        if let Some(error) = pieces.error.take() {
            return Err(error);
        }
        rendered.0?;
        self.write(pieces.buffer);
        self.flush_now().await
    }

    /// The text that a template makes of these values: [`context!`](crate::template::context), and what all templates
    /// have (`handler`, `request`, `current_user`, `locale`, `_`, `static_url` and so on).
    ///
    /// # Errors
    /// What went wrong, with the template's file and line.
    #[track_caller]
    pub fn render_string(&self, name: &str, values: impl Into<Value>) -> Result<String> {
        let caller = Location::caller();
        let text = if is_rendering() {
            self.render_text(name, values.into())
        } else {
            // There is no page into which the modules' resources could go.
            on_new_page(|| self.render_text(name, values.into())).0
        };
        text.map_err(|error| of_template(error, caller))
    }

    fn render_text(&self, name: &str, values: Value) -> Result<String> {
        let (template, all) = self.template(name, values)?;
        self.with_errors(|| template.generate(all))
    }

    /// The template, and all that it knows.
    fn template(&self, name: &str, values: Value) -> Result<(Template, Value)> {
        let settings = &self.core().settings().templates;
        let Some(loader) = settings.loader(self.route().templates()) else {
            return Err(misuse("You must give the application a template_path to render".to_owned()));
        };
        if !settings.keeps_compiled(self.core().settings().debug.is_on()) && !is_rendering() {
            loader.reset();
        }
        let template = loader.load(name)?;
        let rest = self.sites().template_namespace(self);
        let rest = Value::from_object(Layered { values: rest, rest: Value::from_object(Namespace) });
        Ok((template, Value::from_object(Layered { values, rest })))
    }

    /// What `generate` makes for this request. The application's own errors stay what they are.
    fn with_errors<R>(&self, generate: impl FnOnce() -> Result<R, TemplateError>) -> Result<R> {
        CONTEXT.with(|current| current.set(self, generate)).map_err(|error| {
            let Some(original) = error.raised().and_then(take_raised) else { return error.into() };
            match original.downcast_ref::<TemplateError>() {
                // A module's own template: both places are told.
                Some(inner) => inner.clone().reached_from(&error).into(),
                None => original,
            }
        })
    }
}

/// What is wrong with a template, or with the application's having none, is told with the line that asked for it. An error
/// of the application's own, which a function of its returned, has a line already.
fn of_template(error: Error, caller: &'static Location<'static>) -> Error {
    let is_ours = error.downcast_ref::<TemplateError>().is_some() || is_misuse(&error);
    if is_ours { error.blame(caller) } else { error }
}

/// What a streamed page is sent in.
const PIECE: usize = 16 * 1024;

/// Sends what is written, a piece at a time.
struct Pieces<'a> {
    ctx: &'a Context,
    buffer: Vec<u8>,
    error: Option<Error>,
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.ctx.write(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
            if let Err(error) = self.ctx.send_part() {
                let told = io::Error::other(error.to_string());
                self.error = Some(error);
                return Err(told);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// Not for calls into the application: a module may render.
pub(in crate::web) fn with_page<R>(f: impl FnOnce(&mut Page) -> R) -> R {
    PAGE.with_borrow_mut(f)
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

/// The application's own error, which keeps its status and type; what the framework says gets the template's place, and so do
/// wrong arguments.
fn raise(error: Error) -> EngineError {
    if is_misuse(&error) {
        return python_error("", error.log_message().map_or_else(|| error.to_string(), str::to_owned));
    }
    if let Some(engine) = error.downcast_ref::<EngineError>() {
        let detail = engine.detail().map_or_else(|| engine.kind().to_string(), str::to_owned);
        return match engine.kind() {
            ErrorKind::TooManyArguments | ErrorKind::MissingArgument => {
                python_error("TypeError", format!("{}: {detail}", engine.kind()))
            }
            _ => python_error("", detail),
        };
    }
    let raised = EngineError::new(ErrorKind::InvalidOperation, error.to_string());
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

pub(in crate::web) fn with_context<R>(f: impl FnOnce(&Context) -> Result<R>) -> Result<R, EngineError> {
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
        let html = with_context(|ctx| {
            let own = ctx.core().settings().templates.modules.get(name).map(|module| &**module);
            let Some(module) = own.or_else(|| built_in(name)) else { return Ok(None) };
            let place = with_page(|page| page.add(name));
            let html = module.render(ctx, args)?;
            if let Some(place) = place {
                let resources = Resources::of(ctx, module);
                with_page(|page| page.set(place, resources));
            }
            Ok(Some(Value::from_safe_string(html)))
        })?;
        html.ok_or_else(|| python_error("AttributeError", format!("there is no UI module {name}")))
    }
}
