//! What a route leads to, erased: a handler type, or functions.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use http::Method;

use super::context::Context;
use super::error::Result;
use super::execute::{Instance, execute};
use super::handler::RequestHandler;
use super::slash::TrailingSlash;
use crate::httputil::EntityTag;

/// What the routing table holds: a handler type or functions, erased here and nowhere else.
pub(super) trait Target {
    /// The type of the handler, or the functions.
    fn name(&self) -> String;
    fn methods(&self) -> &[&'static str];
    fn path_args(&self) -> &'static [&'static str] {
        &[]
    }
    fn streams_body(&self) -> bool {
        false
    }
    fn trailing_slash(&self) -> TrailingSlash {
        TrailingSlash::AsIs
    }
    fn is_xsrf_exempt(&self, _method: &str) -> bool {
        false
    }
    fn takes_default_headers(&self) -> bool {
        true
    }
    /// Whether the body of such a request can matter to the answer.
    fn reads_body(&self, _method: &Method) -> bool {
        true
    }
    fn check(&self, _groups: &[Option<&str>]) -> Result<(), String> {
        Ok(())
    }
    fn compute_etag(&self, ctx: &Context) -> Option<EntityTag> {
        Some(ctx.hash_of_body())
    }
    fn start(&self, ctx: Context) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// A handler value to be cloned for each request.
pub(super) struct Prototype<H>(pub(super) H);

impl<H: RequestHandler> Target for Prototype<H> {
    fn name(&self) -> String {
        std::any::type_name::<H>().to_owned()
    }

    fn methods(&self) -> &[&'static str] {
        H::METHODS
    }

    fn path_args(&self) -> &'static [&'static str] {
        H::PATH_ARGS
    }

    fn streams_body(&self) -> bool {
        H::STREAM_BODY
    }

    fn trailing_slash(&self) -> TrailingSlash {
        H::TRAILING_SLASH
    }

    fn is_xsrf_exempt(&self, _method: &str) -> bool {
        H::XSRF_EXEMPT
    }

    fn takes_default_headers(&self) -> bool {
        H::DEFAULT_HEADERS
    }

    fn reads_body(&self, method: &Method) -> bool {
        answers(H::METHODS, method)
    }

    fn check(&self, groups: &[Option<&str>]) -> Result<(), String> {
        if H::METHODS.is_empty() && !H::HAS_ATTRIBUTE {
            let name = std::any::type_name::<H>();
            return Err(format!(
                "{name} answers no method (METHODS is empty): put #[handler] on its `impl RequestHandler`"
            ));
        }
        self.0.check(groups)
    }

    fn compute_etag(&self, ctx: &Context) -> Option<EntityTag> {
        H::compute_etag(ctx)
    }

    fn start(&self, ctx: Context) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(execute(Instance(self.0.clone()), ctx))
    }
}

pub(super) type BoxedResult<'a> = Pin<Box<dyn Future<Output = Result> + 'a>>;
pub(super) type Function = Rc<dyn for<'a> Fn(&'a Context) -> BoxedResult<'a>>;

/// Functions as handler, one per method.
#[derive(Default, Clone)]
pub(super) struct Functions {
    methods: Vec<&'static str>,
    functions: Vec<Function>,
    /// Their types.
    names: Vec<&'static str>,
    /// Those that are not checked for XSRF tokens.
    exempt: Vec<&'static str>,
}

impl Functions {
    pub(super) fn add<F: AsyncFn(&Context) -> Result + 'static>(
        &mut self,
        method: &'static str,
        function: F,
    ) {
        let function = Rc::new(function);
        self.methods.push(method);
        self.names.push(std::any::type_name::<F>());
        self.functions.push(Rc::new(move |ctx| {
            let function = Rc::clone(&function);
            Box::pin(async move { function(ctx).await })
        }));
    }

    /// Takes over the functions of `other` for methods that this has none for; gives back whether all were taken.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        if other.methods.iter().any(|m| self.methods.contains(m)) {
            return false;
        }
        self.methods.extend(&other.methods);
        self.functions.extend(other.functions.iter().cloned());
        self.names.extend(&other.names);
        self.exempt.extend(&other.exempt);
        true
    }

    pub(super) fn exempt_from_xsrf(&mut self) {
        self.exempt.clone_from(&self.methods);
    }
}

impl Target for Functions {
    fn name(&self) -> String {
        self.names.join(", ")
    }

    fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    fn is_xsrf_exempt(&self, method: &str) -> bool {
        self.exempt.iter().any(|exempt| *exempt == method || *exempt == ANY_METHOD)
    }

    fn reads_body(&self, method: &Method) -> bool {
        answers(&self.methods, method)
    }

    fn start(&self, ctx: Context) -> Pin<Box<dyn Future<Output = ()>>> {
        let find = |name: &str| self.methods.iter().position(|m| *m == name || *m == ANY_METHOD);
        let name = ctx.method().as_str();
        let found = find(name).or_else(|| if name == "HEAD" { find("GET") } else { None });
        Box::pin(execute(found.map(|i| Rc::clone(&self.functions[i])), ctx))
    }
}

/// Stands for every method.
pub(super) const ANY_METHOD: &str = "*";

/// Whether a handler of these methods has an answer of its own to `method`, rather than 405 or `Allow`.
fn answers(methods: &[&str], method: &Method) -> bool {
    methods.iter().any(|own| *own == method.as_str() || *own == ANY_METHOD)
        || (*method == Method::HEAD && methods.contains(&"GET"))
}
