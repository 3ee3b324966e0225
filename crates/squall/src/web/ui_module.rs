//! Parts of pages with what they need in the head and at the end (Tornado's `UIModule`).

use minijinja::Value;
use minijinja::value::{Kwargs, from_args};

use super::context::{Context, misuse};
use super::error::Result;
use crate::template;

/// A part of a page: `{% module Entry(entry, show=1) %}` puts in what [`render`](Self::render) returns, unescaped.
///
/// What its other methods return goes into the page once, however often the module is used, in the places where Tornado
/// puts it; the page must have a `</head>` and a `</body>` for that.
#[doc(alias = "UIModule")]
pub trait UiModule: 'static {
    /// The module's HTML. The arguments are those of the tag, keyword arguments last;
    /// [`minijinja::value::from_args`] takes them apart.
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

/// What the modules of one page need.
#[derive(Default)]
pub(super) struct Resources {
    javascript: Vec<String>,
    javascript_files: Vec<String>,
    css: Vec<String>,
    css_files: Vec<String>,
    heads: Vec<String>,
    bodies: Vec<String>,
}

impl Resources {
    pub(super) fn add(&mut self, ctx: &Context, module: &dyn UiModule) {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        self.javascript.extend(some(module.embedded_javascript(ctx)));
        self.javascript_files.extend(module.javascript_files(ctx));
        self.css.extend(some(module.embedded_css(ctx)));
        self.css_files.extend(module.css_files(ctx));
        self.heads.extend(some(module.html_head(ctx)));
        self.bodies.extend(some(module.html_body(ctx)));
    }

    /// Puts it all into the page, in Tornado's order.
    pub(super) fn insert(self, ctx: &Context, mut html: String) -> Result<String> {
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
            let link = |path: &String| format!("{before}{}{after}", crate::escape::xhtml_escape(path));
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

/// The modules that Tornado always has.
pub(super) fn built_in(name: &str) -> Option<&'static dyn UiModule> {
    match name {
        "linkify" => Some(&Linkify),
        "xsrf_form_html" => Some(&XsrfFormHtml),
        "Template" => Some(&TemplateModule),
        _ => None,
    }
}

struct Linkify;

impl UiModule for Linkify {
    fn render(&self, _: &Context, arguments: &[Value]) -> Result<String> {
        let (text, shorten, kwargs): (&Value, Option<bool>, Kwargs) = from_args(arguments)?;
        Ok(template::linkify(text, shorten, kwargs)?)
    }
}

struct XsrfFormHtml;

impl UiModule for XsrfFormHtml {
    fn render(&self, ctx: &Context, _: &[Value]) -> Result<String> {
        ctx.xsrf_form_html()
    }
}

/// `{% module Template("part.html", name=value) %}`.
struct TemplateModule;

impl UiModule for TemplateModule {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (name, values): (&str, Kwargs) = from_args(arguments)?;
        let values: Vec<(String, Value)> = values
            .args()
            .map(|key| Ok((key.to_owned(), values.get(key)?)))
            .collect::<Result<_, minijinja::Error>>()?;
        ctx.render_string(name, Value::from_pairs(values))
    }
}
