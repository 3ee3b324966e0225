//! Parts of pages with what they need in the head and at the end (Tornado's `UIModule`).

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error as EngineError, State, Value};

use crate::escape;
use crate::template::to_str;
use crate::web::context::{Context, misuse};
use crate::web::error::Result;
use crate::web::render::{with_context, with_page};

/// A part of a page: `{% module Entry(entry, show=1) %}` puts in what [`render`](Self::render) returns, unescaped.
///
/// What its other methods return goes into the page once, however often the module is used, in the places where Tornado
/// puts it; the page must have a `</head>` and a `</body>` for that.
#[doc(alias = "UIModule")]
pub trait UiModule: 'static {
    /// The module's HTML. The arguments are those of the tag, keyword arguments last;
    /// [`template::from_args`](crate::template::from_args) takes them apart.
    ///
    /// # Errors
    /// An error is one of the page's rendering.
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String>;

    /// A script for the end of the page. Default: none.
    fn embedded_javascript(&self, _ctx: &Context) -> Option<String> {
        None
    }

    /// Scripts to link to. What is not absolute goes through [`Context::static_url`]. Default: none.
    fn javascript_files(&self, _ctx: &Context) -> Vec<String> {
        Vec::new()
    }

    /// Styles for the head. Default: none.
    fn embedded_css(&self, _ctx: &Context) -> Option<String> {
        None
    }

    /// Style sheets to link to. What is not absolute goes through [`Context::static_url`]. Default: none.
    fn css_files(&self, _ctx: &Context) -> Vec<String> {
        Vec::new()
    }

    /// HTML for the end of the head. Default: none.
    fn html_head(&self, _ctx: &Context) -> Option<String> {
        None
    }

    /// HTML for the end of the body. Default: none.
    fn html_body(&self, _ctx: &Context) -> Option<String> {
        None
    }
}

/// What modules of a page need.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::web) struct Resources {
    javascript: Vec<String>,
    javascript_files: Vec<String>,
    css: Vec<String>,
    css_files: Vec<String>,
    heads: Vec<String>,
    bodies: Vec<String>,
}

impl Resources {
    pub(in crate::web) fn of(ctx: &Context, module: &dyn UiModule) -> Self {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty()).into_iter().collect();
        Self {
            javascript: some(module.embedded_javascript(ctx)),
            javascript_files: module.javascript_files(ctx),
            css: some(module.embedded_css(ctx)),
            css_files: module.css_files(ctx),
            heads: some(module.html_head(ctx)),
            bodies: some(module.html_body(ctx)),
        }
    }

    /// The arguments of `set_resources`. Files are one name or a list.
    fn from_arguments(args: &[Value]) -> Result<Self> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let text = |name: &str| -> Result<Vec<String>> {
            let text: Option<String> = kwargs.get(name)?;
            Ok(text.into_iter().filter(|text| !text.is_empty()).collect())
        };
        let files = |name: &str| -> Result<Vec<String>> {
            let files: Option<Value> = kwargs.get(name)?;
            Ok(match files {
                Some(file) if file.as_str().is_some() => vec![to_str(&file)],
                Some(files) => files.try_iter()?.map(|file| to_str(&file)).collect(),
                None => Vec::new(),
            })
        };
        let resources = Self {
            javascript: text("embedded_javascript")?,
            javascript_files: files("javascript_files")?,
            css: text("embedded_css")?,
            css_files: files("css_files")?,
            heads: text("html_head")?,
            bodies: text("html_body")?,
        };
        kwargs.assert_all_used()?;
        Ok(resources)
    }

    fn append(&mut self, mut other: Self) {
        self.javascript.append(&mut other.javascript);
        self.javascript_files.append(&mut other.javascript_files);
        self.css.append(&mut other.css);
        self.css_files.append(&mut other.css_files);
        self.heads.append(&mut other.heads);
        self.bodies.append(&mut other.bodies);
    }

    /// Puts it all into the page, in Tornado's order.
    pub(in crate::web) fn insert(self, ctx: &Context, mut html: String) -> Result<String> {
        let last_body = |html: &str| html.rfind("</body>");
        let first_body = |html: &str| html.find("</body>");
        let head = |html: &str| html.find("</head>");
        let links = |files: Vec<String>, before: &str, after: &str| -> Result<String> {
            let mut paths: Vec<String> = Vec::new();
            for file in files {
                let absolute = ["/", "http:", "https:"].iter().any(|start| file.starts_with(start));
                let path = if absolute { file } else { ctx.static_url(&file)? };
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            let link = |path: &String| format!("{before}{}{after}", escape::xhtml_escape(path));
            Ok(paths.iter().map(link).collect())
        };
        let scripts =
            links(self.javascript_files, "<script src=\"", "\" type=\"text/javascript\"></script>")?;
        put(&mut html, last_body, &scripts)?;
        if !self.javascript.is_empty() {
            let script = self.javascript.join("\n");
            let open = "<script type=\"text/javascript\">\n//<![CDATA[\n";
            put(&mut html, last_body, &format!("{open}{script}\n//]]>\n</script>"))?;
        }
        let sheets = links(self.css_files, "<link href=\"", "\" type=\"text/css\" rel=\"stylesheet\"/>")?;
        put(&mut html, head, &sheets)?;
        if !self.css.is_empty() {
            let style = format!("<style type=\"text/css\">\n{}\n</style>", self.css.join("\n"));
            put(&mut html, head, &style)?;
        }
        put(&mut html, head, &self.heads.concat())?;
        put(&mut html, first_body, &self.bodies.concat())?;
        Ok(html)
    }
}

fn put(html: &mut String, place: impl Fn(&str) -> Option<usize>, text: &str) -> Result {
    if text.is_empty() {
        return Ok(());
    }
    let at = place(html).ok_or_else(|| {
        misuse("A page whose modules need scripts or styles must have </head> and </body>".to_owned())
    })?;
    html.insert_str(at, &format!("{text}\n"));
    Ok(())
}

/// What the page that is being rendered has used, in the order of first use.
#[derive(Default)]
pub(in crate::web) struct Page {
    modules: Vec<(String, Resources)>,
    /// What the templates of `{% module Template(..) %}` have set, by path.
    templates: Vec<(String, Resources)>,
}

impl Page {
    /// The place of a module that is used for the first time: before those that it uses itself.
    pub(in crate::web) fn add(&mut self, module: &str) -> Option<usize> {
        if self.modules.iter().any(|(known, _)| known == module) {
            return None;
        }
        self.modules.push((module.to_owned(), Resources::default()));
        Some(self.modules.len() - 1)
    }

    pub(in crate::web) fn set(&mut self, place: usize, resources: Resources) {
        if let Some((_, known)) = self.modules.get_mut(place) {
            *known = resources;
        }
    }

    fn set_resources(&mut self, path: &str, resources: Resources) -> Result {
        match self.templates.iter().find(|(known, _)| known == path) {
            Some((_, known)) if *known == resources => Ok(()),
            Some(_) => Err(misuse(format!("set_resources called with different resources for {path}"))),
            None => {
                self.templates.push((path.to_owned(), resources));
                Ok(())
            }
        }
    }

    /// All that has to go into the page.
    pub(in crate::web) fn resources(self) -> Resources {
        let mut all = Resources::default();
        let mut templates = Some(self.templates);
        for (name, resources) in self.modules {
            all.append(resources);
            let of_templates = if name == TEMPLATE { templates.take() } else { None };
            for (_, resources) in of_templates.into_iter().flatten() {
                all.append(resources);
            }
        }
        all
    }
}

/// `set_resources(embedded_css=.., javascript_files=[..], ..)` in the template of a `Template` module.
#[derive(Debug)]
struct SetResources(String);

impl Object for SetResources {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, EngineError> {
        with_context(|_| {
            let resources = Resources::from_arguments(args)?;
            with_page(|page| page.set_resources(&self.0, resources))?;
            Ok(Value::from(""))
        })
    }
}

pub(in crate::web) const TEMPLATE: &str = "Template";

pub(in crate::web) const BUILT_IN: &[&str] = &["linkify", "xsrf_form_html", TEMPLATE];

/// The modules that Tornado always has.
pub(in crate::web) fn built_in(name: &str) -> Option<&'static dyn UiModule> {
    match name {
        "linkify" => Some(&Linkify),
        "xsrf_form_html" => Some(&XsrfFormHtml),
        TEMPLATE => Some(&TemplateModule),
        _ => None,
    }
}

struct Linkify;

impl UiModule for Linkify {
    fn render(&self, _: &Context, arguments: &[Value]) -> Result<String> {
        let (text, shorten, kwargs): (&Value, Option<bool>, Kwargs) = from_args(arguments)?;
        linkify(text, shorten, &kwargs)
    }
}

/// `linkify(text, shorten=False, extra_params="", require_protocol=False, permitted_protocols=[..])`.
fn linkify(value: &Value, shorten: Option<bool>, kwargs: &Kwargs) -> Result<String> {
    let text = to_str(value);
    let mut linkify = escape::Linkify::new();
    if let Some(shorten) = shorten.or(kwargs.get("shorten")?) {
        linkify = linkify.shorten(shorten);
    }
    let extra: Option<String> = kwargs.get("extra_params")?;
    if let Some(extra) = &extra {
        linkify = linkify.extra_params(extra);
    }
    if let Some(require) = kwargs.get("require_protocol")? {
        linkify = linkify.require_protocol(require);
    }
    let permitted: Option<Vec<String>> = kwargs.get("permitted_protocols")?;
    if let Some(permitted) = permitted {
        linkify = linkify.permitted_protocols(permitted);
    }
    kwargs.assert_all_used()?;
    Ok(linkify.apply(&text).into_owned())
}

struct XsrfFormHtml;

impl UiModule for XsrfFormHtml {
    fn render(&self, ctx: &Context, _: &[Value]) -> Result<String> {
        ctx.xsrf_form_html()
    }
}

/// `{% module Template("part.html", name=value) %}`. The template may call [`SetResources`].
struct TemplateModule;

impl UiModule for TemplateModule {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (name, values): (&str, Kwargs) = from_args(arguments)?;
        let mut values: Vec<(String, Value)> = values
            .args()
            .map(|key| Ok((key.to_owned(), values.get(key)?)))
            .collect::<Result<_, minijinja::Error>>()?;
        values.push(("set_resources".to_owned(), Value::from_object(SetResources(name.to_owned()))));
        ctx.render_string(name, Value::from_pairs(values))
    }
}
