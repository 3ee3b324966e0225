// What the expansions need of squall, included at the root of a test's crate.

extern crate self as squall;

#[allow(unused_imports)]
pub use squall_macros::handler;

pub mod web {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Methods(pub &'static [&'static str]);

    impl Methods {
        pub const fn of(names: &'static [&'static str]) -> Methods {
            Methods(names)
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct HandlerOptions {
        pub stream_body: bool,
        pub trailing_slash: TrailingSlash,
        pub authenticated: Option<Methods>,
        pub xsrf_exempt: bool,
    }

    #[allow(dead_code, clippy::new_without_default)]
    impl HandlerOptions {
        pub const fn new() -> HandlerOptions {
            let trailing_slash = TrailingSlash::AsIs;
            HandlerOptions { stream_body: false, trailing_slash, authenticated: None, xsrf_exempt: false }
        }

        pub const fn stream_body(mut self, on: bool) -> HandlerOptions {
            self.stream_body = on;
            self
        }

        pub const fn trailing_slash(mut self, slash: TrailingSlash) -> HandlerOptions {
            self.trailing_slash = slash;
            self
        }

        pub const fn authenticated(self) -> HandlerOptions {
            self.authenticated_for(Methods::of(&["all"]))
        }

        pub const fn authenticated_for(mut self, methods: Methods) -> HandlerOptions {
            self.authenticated = Some(methods);
            self
        }

        pub const fn xsrf_exempt(mut self) -> HandlerOptions {
            self.xsrf_exempt = true;
            self
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TrailingSlash {
        AsIs,
        Add,
        Remove,
    }
}

#[derive(Debug)]
pub struct Error(pub String);

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        Error(error.to_string())
    }
}

pub type Result<T = (), E = Error> = std::result::Result<T, E>;

#[derive(Default)]
pub struct Context {
    pub method: &'static str,
    pub path_args: Vec<(&'static str, &'static str)>,
    pub written: std::cell::RefCell<String>,
}

#[allow(dead_code)]
impl Context {
    pub fn write(&self, text: impl AsRef<str>) {
        self.written.borrow_mut().push_str(text.as_ref());
    }

    pub fn path_arg<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        self.path_arg_opt(name)?.ok_or_else(|| Error(format!("no {name}")))
    }

    pub fn path_arg_str(&self, name: &str) -> Result<&str> {
        self.path_arg_opt_str(name)?.ok_or_else(|| Error(format!("no {name}")))
    }

    pub fn path_arg_opt<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.path_arg_opt_str(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error(format!("bad {name}")))
    }

    pub fn path_arg_opt_str(&self, name: &str) -> Result<Option<&str>> {
        Ok(self.path_args.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }
}

#[allow(async_fn_in_trait, unused_variables)]
pub trait RequestHandler: Clone + 'static {
    const METHODS: web::Methods;
    const PATH_ARGS: &'static [&'static str] = &[];
    const HAS_ATTRIBUTE: bool = false;
    const OPTIONS: web::HandlerOptions = web::HandlerOptions::new();

    async fn prepare(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
    async fn get(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    async fn post(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    async fn delete(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    async fn put(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    async fn options(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    async fn other(&mut self, ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }
    fn on_finish(&mut self, ctx: &Context) {}
}

#[allow(async_fn_in_trait, unused_variables)]
pub trait WebSocketHandler: Clone + 'static {
    const PATH_ARGS: &'static [&'static str] = &[];

    async fn prepare(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
    async fn open(&mut self) -> Result {
        Ok(())
    }
    async fn on_message(&mut self, message: &str) -> Result;
}

pub mod __private {
    use std::process::ExitCode;
    use std::time::Duration;

    use crate::{Context, Error, Result};

    pub fn method(ctx: &Context) -> &str {
        ctx.method
    }

    pub fn method_not_allowed(_ctx: &Context) -> Result {
        Err(Error("405".to_owned()))
    }

    pub fn run_main<F: Future<Output = Result>>(future: F) -> ExitCode {
        if block_on(future).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    #[allow(dead_code)]
    pub fn run_test<F: Future<Output = Result>>(name: &str, timeout: Option<Duration>, future: F) {
        if let Err(error) = block_on(future) {
            panic!("{name} {timeout:?}: {}", error.0);
        }
    }

    /// For futures that do not wait.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("the future waits"),
        }
    }
}
