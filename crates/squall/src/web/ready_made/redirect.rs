//! A handler that redirects, with the groups of its route in the target.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::escape::{self, path_on_this_host};
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;

/// Redirects `GET` to a target made from the groups of its route (Tornado's `RedirectHandler`).
///
/// `{0}` stands for the first group, `{name}` for a named one, `{}` for the next, `{{` for a brace. The arguments of
/// the query are added to those of the target.
///
/// ```
/// use squall::{Application, url, web::RedirectHandler};
///
/// let app = Application::new([
///     url("/pictures/(.*)", RedirectHandler::new("https://bar.com/pictures/{0}")),
///     url("/greet/{name}", RedirectHandler::new("/hello?from={name}").permanent(false)),
/// ]);
/// ```
///
/// Groups are percent-encoded for their place in the target (RFC 3986), where Tornado puts them in as they are. They
/// cannot lead to another host: `/a/{0}` stays on this one whatever the group holds. A group that took no part in the match is empty.
/// A target that does not parse, or names a group that the pattern lacks, is reported when the application starts.
#[derive(Debug, Clone)]
pub struct RedirectHandler {
    template: Result<Template, String>,
    status: u16,
}

impl RedirectHandler {
    /// A permanent redirect, 301.
    pub fn new(target: impl AsRef<str>) -> Self {
        Self { template: Template::parse(target.as_ref()), status: 301 }
    }

    /// Whether the status is 301 or 302. Default: 301.
    #[must_use]
    pub fn permanent(mut self, permanent: bool) -> Self {
        self.status = if permanent { 301 } else { 302 };
        self
    }

    /// A status of one's own: 301, 302, 303, 307 or 308; another is reported when the application starts.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

impl RequestHandler for RedirectHandler {
    const METHODS: Methods = Methods::of(&["GET"]);
    const OPTIONS: HandlerOptions = HandlerOptions::new().default_headers(false);

    fn check(&self, groups: &[Option<&str>]) -> Result<(), String> {
        if !matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            return Err(format!("{} is no redirect with a Location", self.status));
        }
        self.template.as_ref().map_err(Clone::clone)?.check(groups)
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        let Ok(template) = &self.template else {
            return Err(HttpError::new(500).log_message("A redirect's target does not parse").into());
        };
        let names: Vec<_> = ctx.path_arg_names().collect();
        let values: Vec<_> = ctx.path_args().map(Option::unwrap_or_default).collect();
        let target = template.fill(&names, &values);
        ctx.redirect_with(&add_query(target, ctx), self.status)
    }
}

#[derive(Debug, Clone)]
struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Index(usize),
    Name(String),
}

impl Template {
    fn parse(source: &str) -> Result<Self, String> {
        let bad = |what: &str| Err(format!("redirect target {source:?}: {what}"));
        if source.chars().any(char::is_control) {
            return bad("a control character");
        }
        let (mut parts, mut text, mut next) = (Vec::new(), String::new(), 0);
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                text.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let Some(end) = after.find('}').filter(|_| brace == "{") else {
                return bad(&format!("a single {brace:?}"));
            };
            let field = &after[..end];
            let part = match field.parse() {
                Ok(index) => Part::Index(index),
                Err(_) if field.is_empty() => Part::Index(next),
                Err(_) if field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                    Part::Name(field.to_owned())
                }
                Err(_) => return bad(&format!("{{{field}}} is no group")),
            };
            next += usize::from(field.is_empty());
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    fn check(&self, groups: &[Option<&str>]) -> Result<(), String> {
        for part in &self.parts {
            let missing = match part {
                Part::Index(index) if *index >= groups.len() => index.to_string(),
                Part::Name(name) if !groups.contains(&Some(name.as_str())) => name.clone(),
                _ => continue,
            };
            return Err(format!(
                "redirect target {:?}: the pattern has no group for {{{missing}}}",
                self.source
            ));
        }
        Ok(())
    }

    fn fill(&self, names: &[Option<&str>], values: &[&str]) -> String {
        let mut target = String::new();
        for part in &self.parts {
            let value = match part {
                Part::Text(text) => {
                    target.push_str(text);
                    continue;
                }
                Part::Index(index) => values.get(*index),
                Part::Name(name) => {
                    names.iter().position(|n| *n == Some(name.as_str())).and_then(|at| values.get(at))
                }
            };
            let set = encoding_after(&target);
            target.extend(utf8_percent_encode(value.copied().unwrap_or_default(), set));
        }
        if self.stays_here() { path_on_this_host(&target) } else { target }
    }

    /// Whether the target's own text names no host, so that no group may.
    fn stays_here(&self) -> bool {
        match self.parts.first() {
            Some(Part::Text(text)) => {
                let group_is_next = text == "/" && self.parts.len() > 1;
                group_is_next || (text.starts_with('/') && !text.starts_with("//"))
            }
            Some(_) => true,
            None => false,
        }
    }
}

/// RFC 3986 §2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// §3.3, pchar and the slash; without `:`, which could make a scheme of what a relative target begins with.
const PATH: &AsciiSet = &UNRESERVED
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// How a group is encoded behind this much of the target. In a host, a query or a fragment it must not end the part.
fn encoding_after(target: &str) -> &'static AsciiSet {
    let after_scheme = target.find("//").filter(|&at| at == 0 || target[..at].ends_with(':'));
    let in_host = after_scheme.is_some_and(|at| !target[at + 2..].contains(['/', '?', '#']));
    if in_host || target.contains(['?', '#']) { UNRESERVED } else { PATH }
}

/// Adds the arguments of the request's query, as Tornado's `url_concat` does: values of one name together.
fn add_query(target: String, ctx: &Context) -> String {
    let Some(arguments) = ctx.request().query_arguments().filter(|a| !a.is_empty()) else { return target };
    let (target, fragment) = match target.find('#') {
        Some(at) => target.split_at(at),
        None => (target.as_str(), ""),
    };
    let mut url = target.to_owned();
    let mut separator = match target.find('?') {
        None => "?",
        Some(at) if at + 1 == target.len() => "",
        Some(_) => "&",
    };
    let mut done: Vec<&str> = Vec::new();
    for (name, _) in arguments.iter() {
        if done.contains(&name) {
            continue;
        }
        done.push(name);
        for value in arguments.values(name) {
            url.push_str(separator);
            url.push_str(&escape::url_escape(name));
            url.push('=');
            url.push_str(&escape::url_escape(&*String::from_utf8_lossy(value)));
            separator = "&";
        }
    }
    url + fragment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, value: &str) -> String {
        Template::parse(template).unwrap().fill(&[Some("name")], &[value])
    }

    #[test]
    fn groups_are_encoded_for_their_place() {
        assert_eq!(fill("/t/{0}", "a b/c?d#e"), "/t/a%20b/c%3Fd%23e");
        assert_eq!(fill("/t?x={name}", "a b&c=d"), "/t?x=a%20b%26c%3Dd");
        assert_eq!(fill("https://{}.example/", "evil.org/"), "https://evil.org%2F.example/");
        assert_eq!(fill("https://h/{}", "ü/"), "https://h/%C3%BC/");
        assert_eq!(fill("/{{{0}}}", "x"), "/{x}");
    }

    #[test]
    fn no_group_leads_to_another_host() {
        assert_eq!(fill("/{0}", "/evil.example"), "/evil.example");
        assert_eq!(fill("{0}", "//evil.example"), "/evil.example");
        assert_eq!(fill("{0}", "http://evil.example"), "/http%3A//evil.example");
        assert_eq!(fill("/{0}", "\\evil.example"), "/%5Cevil.example");
    }

    #[test]
    fn mistakes_are_found() {
        for bad in ["/{", "/}", "/{0", "/{a b}", "/\n"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse("/{1}").unwrap().check(&[None]).unwrap_err().contains("no group for {1}"));
        assert!(Template::parse("/{x}").unwrap().check(&[Some("y")]).is_err());
    }
}
