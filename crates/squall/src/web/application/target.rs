//! What a route leads to, erased: a handler type, or functions.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use http::Method;

use crate::httputil::{EntityTag, HandlerWork};
use crate::sys::RecycledFuture;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::execute::{Chosen, Instance, execute};
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;

/// What the routing table holds: a handler type or functions, erased here and nowhere else.
pub(in crate::web) trait Target {
    /// The type of the handler, or the functions.
    fn name(&self) -> String;
    fn methods(&self) -> Methods;
    fn path_args(&self) -> &'static [&'static str] {
        &[]
    }
    /// What its routes start with.
    fn options(&self) -> HandlerOptions {
        HandlerOptions::new()
    }
    /// Whether the body of such a request can matter to the answer.
    fn reads_body(&self, method: &Method) -> bool {
        self.methods().answers(method)
    }
    fn check(&self, _groups: &[Option<&str>]) -> Result<(), String> {
        Ok(())
    }
    fn compute_etag(&self, ctx: &Context) -> Option<EntityTag> {
        Some(ctx.hash_of_body())
    }
    fn start(&self, ctx: Context) -> HandlerWork;
}

/// A handler value to be cloned for each request.
pub(in crate::web) struct Prototype<H>(pub(in crate::web) H);

impl<H: RequestHandler> Target for Prototype<H> {
    fn name(&self) -> String {
        std::any::type_name::<H>().to_owned()
    }

    fn methods(&self) -> Methods {
        H::METHODS
    }

    fn path_args(&self) -> &'static [&'static str] {
        H::PATH_ARGS
    }

    fn options(&self) -> HandlerOptions {
        H::OPTIONS
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

    fn start(&self, ctx: Context) -> HandlerWork {
        HandlerWork::new(|| execute(Instance(self.0.clone()), ctx))
    }
}

/// A function as a handler, or ahead of one. It is borrowed by its future, which so needs no count of its own and no future
/// around it.
pub(in crate::web) trait Answer {
    /// What has to wait is left in `waiting`.
    fn start<'a>(
        &'a self,
        ctx: &'a Context,
        cx: &mut TaskContext<'_>,
        waiting: &mut Option<RecycledFuture<'a, Result>>,
    ) -> Poll<Result>;
}

impl<F: AsyncFn(&Context) -> Result> Answer for F {
    fn start<'a>(
        &'a self,
        ctx: &'a Context,
        cx: &mut TaskContext<'_>,
        waiting: &mut Option<RecycledFuture<'a, Result>>,
    ) -> Poll<Result> {
        RecycledFuture::start(|| self(ctx), cx, waiting)
    }
}

/// A call of a function.
pub(in crate::web) struct Calling<'a> {
    function: &'a dyn Answer,
    ctx: &'a Context,
    waiting: Option<RecycledFuture<'a, Result>>,
}

impl<'a> Calling<'a> {
    pub(in crate::web) fn new(function: &'a dyn Answer, ctx: &'a Context) -> Self {
        Self { function, ctx, waiting: None }
    }
}

impl Future for Calling<'_> {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        let Self { function, ctx, waiting } = &mut *self;
        match waiting {
            Some(work) => Pin::new(work).poll(cx),
            None => function.start(ctx, cx, waiting),
        }
    }
}

pub(in crate::web) type Function = Rc<dyn Answer>;

/// Functions as handler, each for methods of its own.
#[derive(Clone)]
pub(in crate::web) struct Functions {
    /// Those of all.
    methods: Methods,
    functions: Vec<(Methods, Function)>,
    /// Their types.
    names: Vec<&'static str>,
}

impl Functions {
    pub(in crate::web) fn new<F: AsyncFn(&Context) -> Result + 'static>(
        methods: Methods,
        function: F,
    ) -> Self {
        Self {
            methods,
            functions: vec![(methods, Rc::new(function))],
            names: vec![std::any::type_name::<F>()],
        }
    }

    /// None.
    pub(in crate::web) fn nowhere() -> Self {
        Self { methods: Methods::NONE, functions: Vec::new(), names: Vec::new() }
    }

    /// Takes over the functions of `other` if they have something to answer, the methods that are left to them with it.
    pub(in crate::web) fn merge(&mut self, other: &Self) -> Option<Methods> {
        let left = other.methods.without(self.methods);
        if left != other.methods && !other.methods.is_any() {
            return None;
        }
        self.methods = self.methods.and(other.methods);
        self.functions.extend(other.functions.iter().cloned());
        self.names.extend(&other.names);
        Some(left)
    }
}

impl Target for Functions {
    fn name(&self) -> String {
        self.names.join(", ")
    }

    fn methods(&self) -> Methods {
        self.methods
    }

    fn start(&self, ctx: Context) -> HandlerWork {
        let method = ctx.method();
        let verb = self.methods.standing_for(method);
        let found = self.functions.iter().find(|(methods, _)| methods.has(verb, method));
        let function = found.map(|(_, function)| Rc::clone(function));
        HandlerWork::new(|| execute(Chosen { methods: self.methods, function }, ctx))
    }
}
