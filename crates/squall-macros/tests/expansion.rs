//! What the macros make of correct code, and what they say of the rest.

#![deny(warnings)]
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::unwrap_used,
    clippy::non_minimal_cfg,
    unreachable_pub,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc
)]

include!("ui/stub.rs");

use __private::block_on;

/// The code under test, with as few names in scope as a user may have.
mod handlers {
    use std::fmt::Display;

    use squall::web::{HandlerOptions, Methods};
    use squall::{Context, RequestHandler, Result, handler};

    #[derive(Clone)]
    pub struct Story<T> {
        pub greeting: T,
    }

    /// A documented block.
    #[handler]
    #[allow(clippy::unused_async)]
    impl<T> RequestHandler for Story<T>
    where
        T: Clone + Display + 'static,
    {
        /// A documented verb.
        async fn get(&mut self, ctx: &Context, mut id: u64, name: &str, page: Option<u32>) -> Result {
            id += 1;
            ctx.write(format!("{} {id} {name} {page:?}", self.greeting));
            Ok(())
        }

        async fn post(&mut self, context: &squall::Context, _id: String) -> squall::Result<()> {
            let id = 1;
            context.write(format!("{_id} {id}"));
            Ok(())
        }

        async fn delete(
            &mut self,
            _: &Context,
            _id: u64,
            _name: Option<&str>,
            #[allow(unused_variables)] page: std::option::Option<i8>,
        ) -> Result {
            Ok(())
        }

        async fn prepare(&mut self, ctx: &Context) -> Result {
            ctx.write("prepared ");
            Ok(())
        }
    }

    #[derive(Clone)]
    pub struct Bare;

    #[squall::handler(stream_body)]
    impl squall::RequestHandler for Bare {
        async fn post(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }

        #[cfg(any())]
        async fn get(&mut self, ctx: &Missing) -> Result {
            Ok(())
        }

        fn on_finish(&mut self, _ctx: &Context) {}
    }

    #[derive(Clone)]
    pub struct Written;

    #[handler]
    impl RequestHandler for Written {
        const METHODS: Methods = Methods::of(&["GET", "HEAD"]);
        const OPTIONS: HandlerOptions = HandlerOptions::new().stream_body(true);
        const PATH_ARGS: &'static [&'static str] = &["type", "id"];

        async fn get(&mut self, ctx: &Context, r#type: &str) -> Result {
            ctx.write(r#type);
            Ok(())
        }
    }

    /// Methods of some configurations only: their arguments are theirs alone.
    #[derive(Clone)]
    pub struct Configured;

    #[handler]
    impl RequestHandler for Configured {
        #[cfg(any())]
        async fn get(&mut self, ctx: &Context, gone: &str) -> Result {
            ctx.write(gone);
            Ok(())
        }

        #[cfg(all())]
        async fn get(&mut self, ctx: &Context, here: &str) -> Result {
            ctx.write(here);
            Ok(())
        }

        #[cfg(all())]
        #[cfg(any())]
        async fn post(&mut self, _ctx: &Context, _other: u8, _gone: &str) -> Result {
            Ok(())
        }

        #[cfg(any())]
        #[method("LOCK")]
        async fn lock(&mut self, ctx: &Context, here: &str, depth: u8) -> Result {
            ctx.write(format!("{here} {depth}"));
            Ok(())
        }
    }

    #[derive(Clone)]
    pub struct Decorated;

    #[handler(xsrf_exempt, remove_slash)]
    impl RequestHandler for Decorated {
        async fn get(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }

        #[authenticated]
        async fn put(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }

        #[cfg(any())]
        #[authenticated]
        async fn post(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }

        #[authenticated]
        async fn options(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }
    }

    #[derive(Clone)]
    pub struct AllOfIt;

    #[handler(authenticated)]
    impl RequestHandler for AllOfIt {
        async fn get(&mut self, _ctx: &Context) -> Result {
            Ok(())
        }
    }

    #[derive(Clone)]
    pub struct Dav<T>(pub T);

    #[handler]
    impl<T: Clone + Display + 'static> RequestHandler for Dav<T> {
        #[method("PROPFIND")]
        #[authenticated]
        async fn propfind(&mut self, ctx: &Context, path: &str) -> Result {
            ctx.write(format!("{} {path}", self.0));
            Ok(())
        }

        async fn get(&mut self, _ctx: &Context, _path: &str) -> Result {
            Ok(())
        }

        #[method("VERSION-CONTROL")]
        async fn version_control(&mut self, ctx: &Context) -> Result {
            ctx.write("versions");
            Ok(())
        }
    }
}

mod sockets {
    use squall::{Context, Result, WebSocketHandler, handler};

    #[derive(Clone, Default)]
    pub struct Chat {
        pub room: Option<u32>,
        pub heard: Vec<String>,
    }

    #[handler]
    impl WebSocketHandler for Chat {
        async fn prepare(&mut self, ctx: &Context, room: Option<u32>, name: &str) -> Result {
            self.room = room;
            ctx.write(name);
            Ok(())
        }

        async fn on_message(&mut self, message: &str) -> Result {
            self.heard.push(message.to_owned());
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    pub struct Configured;

    #[handler]
    impl WebSocketHandler for Configured {
        #[cfg(all())]
        async fn prepare(&mut self, _ctx: &Context, _here: u32) -> Result {
            Ok(())
        }

        #[cfg(any())]
        async fn prepare(&mut self, _ctx: &Context, _gone: u32) -> Result {
            Ok(())
        }

        async fn on_message(&mut self, _message: &str) -> Result {
            Ok(())
        }
    }

    #[derive(Clone)]
    pub struct Written;

    #[handler]
    impl WebSocketHandler for Written {
        const PATH_ARGS: &'static [&'static str] = &["id"];

        async fn on_message(&mut self, _message: &str) -> Result {
            Ok(())
        }
    }
}

use handlers::{AllOfIt, Bare, Configured, Dav, Decorated, Story, Written};

#[test]
fn web_socket_handlers() {
    assert_eq!(sockets::Chat::PATH_ARGS, ["room", "name"]);
    assert_eq!(sockets::Written::PATH_ARGS, ["id"]);
    assert_eq!(sockets::Configured::PATH_ARGS, ["here"]);
    let mut chat = sockets::Chat::default();
    let ctx = context("GET", &[("room", "7"), ("name", "Ann")]);
    block_on(chat.prepare(&ctx)).unwrap();
    assert_eq!((chat.room, written(&ctx)), (Some(7), "Ann".to_owned()));
    block_on(chat.open()).unwrap();
    block_on(chat.on_message("hi")).unwrap();
    assert_eq!(chat.heard, ["hi"]);
    let ctx = context("GET", &[("room", "x"), ("name", "Ann")]);
    assert!(block_on(chat.prepare(&ctx)).is_err());
}

fn context(method: &'static str, path_args: &[(&'static str, &'static str)]) -> Context {
    Context { method, path_args: path_args.to_vec(), ..Context::default() }
}

fn written(ctx: &Context) -> String {
    ctx.written.take()
}

#[test]
fn constants_follow_from_the_methods() {
    assert_eq!(<Story<String>>::METHODS.0, ["GET", "POST", "DELETE"]);
    assert_eq!(<Story<String>>::PATH_ARGS, ["id", "name", "page"]);
    assert_eq!(Bare::METHODS.0, ["POST"]);
    assert!(Bare::PATH_ARGS.is_empty());
    const { assert!(Bare::OPTIONS.stream_body && !<Story<String>>::OPTIONS.stream_body) };
    assert_eq!((Configured::METHODS.0, Configured::PATH_ARGS), (&["GET"][..], &["here"][..]));
    assert_eq!(<Dav<u8>>::METHODS.0, ["PROPFIND", "GET", "VERSION-CONTROL"]);
    assert_eq!(<Dav<u8>>::PATH_ARGS, ["path"]);
}

#[test]
fn options_are_one_value() {
    let of = |names: &'static [&'static str]| Some(squall::web::Methods(names));
    assert_eq!(Bare::OPTIONS.authenticated, None);
    assert_eq!(Configured::OPTIONS, squall::web::HandlerOptions::new());
    assert_eq!(<Dav<u8>>::OPTIONS.authenticated, of(&["PROPFIND"]));
    assert_eq!(Decorated::OPTIONS.authenticated, of(&["PUT", "OPTIONS"]));
    const { assert!(Decorated::OPTIONS.xsrf_exempt) };
    assert_eq!(Decorated::OPTIONS.trailing_slash, squall::web::TrailingSlash::Remove);
    assert_eq!(AllOfIt::OPTIONS.authenticated, of(&["all"]));
}

#[test]
fn written_constants_stay() {
    assert_eq!(Written::METHODS.0, ["GET", "HEAD"]);
    const { assert!(Written::OPTIONS.stream_body) };
    assert_eq!(Written::PATH_ARGS, ["type", "id"]);
    let ctx = context("GET", &[("type", "cat")]);
    block_on(Written.get(&ctx)).unwrap();
    assert_eq!(written(&ctx), "cat");
}

#[test]
fn path_arguments_are_parsed() {
    let mut story = Story { greeting: "hello" };
    let ctx = context("GET", &[("id", "41"), ("name", "rain"), ("page", "3")]);
    block_on(story.prepare(&ctx)).unwrap();
    block_on(story.get(&ctx)).unwrap();
    assert_eq!(written(&ctx), "prepared hello 42 rain Some(3)");
    let ctx = context("GET", &[("id", "1"), ("name", "rain")]);
    block_on(story.get(&ctx)).unwrap();
    assert_eq!(written(&ctx), "hello 2 rain None");
    block_on(story.post(&ctx)).unwrap();
    assert_eq!(written(&ctx), "1 1");
    block_on(story.delete(&ctx)).unwrap();
    let ctx = context("GET", &[("id", "x"), ("name", "rain")]);
    assert_eq!(block_on(story.get(&ctx)).unwrap_err().0, "bad id");
    assert_eq!(block_on(story.delete(&ctx)).unwrap_err().0, "bad id");
}

#[test]
fn other_methods_are_dispatched() {
    let ctx = context("PROPFIND", &[("path", "x")]);
    block_on(Dav(7).other(&ctx)).unwrap();
    assert_eq!(written(&ctx), "7 x");
    let ctx = context("VERSION-CONTROL", &[]);
    block_on(Dav(7).other(&ctx)).unwrap();
    assert_eq!(written(&ctx), "versions");
    assert_eq!(block_on(Dav(7).other(&context("LOCK", &[]))).unwrap_err().0, "405");
}

mod programs {
    pub mod fails {
        #[squall_macros::main]
        pub async fn main() -> squall::Result {
            let _: u8 = "x".parse()?;
            Ok(())
        }
    }

    pub mod fails_otherwise {
        #[squall_macros::main]
        pub async fn main() -> std::io::Result<()> {
            Err(std::io::ErrorKind::Other.into())
        }
    }

    pub mod succeeds {
        #[squall_macros::main]
        pub async fn main() {
            std::future::ready(()).await;
        }
    }
}

#[test]
fn the_exit_status_says_whether_main_failed() {
    let status = |code: std::process::ExitCode| format!("{code:?}");
    assert_eq!(status(programs::fails::main()), status(std::process::ExitCode::FAILURE));
    assert_eq!(status(programs::fails_otherwise::main()), status(std::process::ExitCode::FAILURE));
    assert_eq!(status(programs::succeeds::main()), status(std::process::ExitCode::SUCCESS));
}

#[squall_macros::test]
async fn a_test_without_a_result() {
    std::future::ready(()).await;
}

#[squall_macros::test(timeout = 30)]
async fn a_test_with_a_result() -> Result {
    let _: u8 = "7".parse()?;
    Ok(())
}

#[squall_macros::test(timeout = 0.5)]
#[should_panic(expected = "expansion::a_failing_test Some(500ms): invalid digit found in string")]
async fn a_failing_test() -> std::result::Result<(), std::num::ParseIntError> {
    let _: u8 = "x".parse()?;
    Ok(())
}

#[squall_macros::test]
#[should_panic(expected = "expansion::a_test_without_a_limit_of_its_own None: ")]
async fn a_test_without_a_limit_of_its_own() -> Result {
    Err(std::fmt::Error.into())
}

#[test]
fn what_is_refused_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
