// What the expansions need of squall, included at the root of a test's crate.

extern crate self as squall;

#[allow(unused_imports)]
pub use squall_macros::handler;

pub mod web {
    #[derive(Debug, PartialEq, Eq)]
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
    const METHODS: &'static [&'static str];
    const PATH_ARGS: &'static [&'static str] = &[];
    const HAS_ATTRIBUTE: bool = false;
    const STREAM_BODY: bool = false;
    const TRAILING_SLASH: web::TrailingSlash = web::TrailingSlash::AsIs;
    const AUTHENTICATED: bool = false;

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
