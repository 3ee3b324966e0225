//! The attribute macros of squall, re-exported there as `squall::handler`, `squall::main` and `squall::test`.
//!
//! Each adds only what its documentation shows as the expansion; code without them works too.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;

mod entry;
mod extra;
mod handler;
mod options;
mod suggest;
mod verb;
mod websocket;

/// Fills in the parts of an `impl RequestHandler` that follow from its methods: `METHODS`, `PATH_ARGS` and typed path
/// arguments.
///
/// ```ignore
/// #[handler]
/// impl RequestHandler for Story {
///     async fn get(&mut self, ctx: &Context, id: u64, page: Option<u32>) -> Result {
///         ctx.write(format!("story {id}, page {}", page.unwrap_or(1)));
///         Ok(())
///     }
/// }
/// ```
///
/// becomes
///
/// ```ignore
/// impl RequestHandler for Story {
///     const METHODS: Methods = Methods::of(&["GET"]);
///     const PATH_ARGS: &'static [&'static str] = &["id", "page"];
///     async fn get(&mut self, ctx: &Context) -> Result {
///         let id: u64 = ctx.path_arg("id")?;
///         let page: Option<u32> = ctx.path_arg_opt("page")?;
///         ctx.write(format!("story {id}, page {}", page.unwrap_or(1)));
///         Ok(())
///     }
/// }
/// ```
///
/// * A path argument is `name: T` with `T: FromStr`, `name: &str`, or an `Option` of either for a group that may
///   take no part in the match. `_name` stands for the group `name` too. Its name must be that of a named group of
///   the route's pattern; positional groups are assigned in order. All verbs take the same names at the same places.
/// * Another HTTP method is declared with `#[method("PROPFIND")] async fn propfind(&mut self, ctx: &Context) -> Result`
///   inside the block. It moves to an inherent `impl`, and a generated `other` calls it.
/// * `METHODS` and `PATH_ARGS` stay as they are when the block defines them.
/// * The options make up `const OPTIONS: HandlerOptions`, which the block may define itself instead:
///   `#[handler(stream_body)]` (Tornado's `@stream_request_body`), `#[handler(add_slash)]` and `#[handler(remove_slash)]`
///   (`@addslash`, `@removeslash`), `#[handler(xsrf_exempt)]`.
/// * `#[authenticated]` on a function of the block is Tornado's `@authenticated`: it is called only if there is a user.
///   `#[handler(authenticated)]` is the same for all of them but `options`, since a preflight has no credentials.
///
/// # WebSockets
///
/// On an `impl WebSocketHandler` it is `prepare` that takes the path arguments, by the same rules. What the connection
/// needs of them is kept in fields:
///
/// ```ignore
/// #[handler]
/// impl WebSocketHandler for Chat {
///     async fn prepare(&mut self, ctx: &Context, room: u64) -> Result {
///         self.room = room;
///         Ok(())
///     }
///     // ..
/// }
/// ```
///
/// becomes
///
/// ```ignore
/// impl WebSocketHandler for Chat {
///     const PATH_ARGS: &'static [&'static str] = &["room"];
///     async fn prepare(&mut self, ctx: &Context) -> Result {
///         let room: u64 = ctx.path_arg("room")?;
///         self.room = room;
///         Ok(())
///     }
///     // ..
/// }
/// ```
#[proc_macro_attribute]
pub fn handler(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(handler::expand(options.into(), item.into()))
}

/// Runs an `async fn main` on the current thread's loop.
///
/// An error is printed to stderr with its causes, on one line, and makes the exit status 1.
///
/// ```ignore
/// #[squall::main]
/// async fn main() -> Result {
///     make_app().listen(8888)?.serve().await
/// }
/// ```
///
/// becomes
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     async fn main() -> Result { .. }
///     squall::__private::run_main(async move { main().await?; Ok(()) })
/// }
/// ```
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(entry::expand_main(options.into(), item.into()))
}

/// Runs an `async fn` as a test, on a loop of its own, within 5 seconds (Tornado's `gen_test`).
///
/// The environment variable `ASYNC_TEST_TIMEOUT` sets another limit, in seconds, and `#[squall::test(timeout = 30)]`
/// one for a single test. A test that returns an error fails.
///
/// ```ignore
/// #[squall::test]
/// async fn story_page() {
///     let app = squall::testing::serve(make_app());
///     app.get("/stories/7").await.assert_status(200);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(entry::expand_test(options.into(), item.into()))
}

fn finish(expanded: syn::Result<TokenStream2>) -> TokenStream {
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
