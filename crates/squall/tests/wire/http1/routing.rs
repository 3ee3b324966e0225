//! Which handler gets a request: hosts, nested routes, routers, names, and what is wrong with an application.

use std::cell::Cell;
use std::rc::Rc;

use squall::httpserver::{HttpServer, IntoDelegate, ServerError, callback};
use squall::httputil::{HttpServerConnectionDelegate, HttpServerRequest};
use squall::routing::{Matcher, Router, Rule, RuleRouter};
use squall::testing::{serve, serve_on};
use squall::web::{BuildError, delegate, router, rules};
use squall::{Application, Context, RequestHandler, Result, get, handler, post, url};

use super::support::{Case, ok, ok_untagged, page, page_saying, probe, stays, table};

/// A route that writes `text`.
#[track_caller]
fn text(pattern: &str, text: &'static str) -> squall::web::UrlSpec {
    get(pattern, async move |ctx: &Context| {
        ctx.write(text);
        Ok(())
    })
}

fn host(row: &str, host: &str, path: &str, answer: impl Into<String>) -> Case {
    stays(row, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"), answer)
}

fn not_found() -> String {
    page("404 Not Found", "")
}

fn hosts() -> Application {
    Application::new([text("/", "any"), text("/other", "any other"), probe()])
        .add_handlers(r"www\.example\.com", [text("/", "www"), text("/only", "www only")])
        .add_handlers(r".*\.example\.com", [text("/", "sub"), text("/sub", "sub only")])
}

#[squall::test(timeout = 60)]
async fn host_rules() {
    table(
        &serve(hosts()),
        [
            host("first group that matches", "www.example.com", "/", ok("www")),
            host("case and port do not matter", "WWW.Example.com:8080", "/", ok("www")),
            host("second group", "a.example.com", "/", ok("sub")),
            host("the next group when none of its routes matches", "www.example.com", "/sub", ok("sub only")),
            host("and then the routes for all hosts", "www.example.com", "/other", ok("any other")),
            host("other host", "example.org", "/", ok("any")),
            host("the pattern matches the whole host", "www.example.com.evil.org", "/", ok("any")),
            host("a route of another host", "a.example.com", "/only", not_found()),
            host("no route", "www.example.com", "/nowhere", not_found()),
            host("empty host", "", "/", ok("any")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn default_host() {
    let app = || {
        Application::new([probe()])
            .add_handlers(r"www\.example\.com", [text("/", "www")])
            .default_host("www.example.com")
    };
    table(
        &serve(app()),
        [
            host("its routes serve hosts that nobody takes", "other.org", "/", ok("www")),
            host(
                "not for a request that came through a proxy",
                "other.org\r\nX-Real-Ip: 4.4.4.4",
                "/",
                not_found(),
            ),
            host("no route there either", "other.org", "/nowhere", not_found()),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn order_of_routes() {
    let app = Application::new([
        text("/a/x", "literal"),
        text("/a/(.*)", "regex"),
        text("/a/y", "never"),
        text("/t/{id}", "template"),
        text("/t/{rest:*}", "rest"),
        text("/alt|/ernative", "alternatives"),
        probe(),
    ]);
    table(
        &serve(app),
        [
            host("literal before regex", "h", "/a/x", ok("literal")),
            host("regex before literal", "h", "/a/y", ok("regex")),
            host("a pattern must match the whole path", "h", "/a/x/", ok("regex")),
            host("and from its start", "h", "/x/a/x", not_found()),
            host("template", "h", "/t/1", ok("template")),
            host("template of more segments", "h", "/t/1/2", ok("rest")),
            host("the query is no part of the path", "h", "/a/x?/a/z", ok("literal")),
            host("both alternatives as a whole", "h", "/alt", ok("alternatives")),
            host("... not with more", "h", "/altx", not_found()),
            host("the path is not normalised", "h", "//a/x", not_found()),
            host("nor decoded before the match", "h", "/%61/x", not_found()),
            host("dots stay", "h", "/a/../a/x", ok("regex")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn nested_routes() {
    let app = Application::new([
        rules("/api/.*", [text("/api/a", "inner"), rules("/api/v2/.*", [text("/api/v2/b", "innermost")])]),
        text("/api/(.*)", "after"),
        probe(),
    ]);
    table(
        &serve(app),
        [
            host("nested", "h", "/api/a", ok("inner")),
            host("nested twice", "h", "/api/v2/b", ok("innermost")),
            host("none of them: the routes after", "h", "/api/v2/c", ok("after")),
            host("not under the pattern", "h", "/a", not_found()),
        ],
    )
    .await;
}

/// Takes requests whose path has an even length.
struct Even;

impl Router for Even {
    fn find_handler(&self, request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>> {
        request.path().len().is_multiple_of(2).then(|| Rc::new(callback(|request| raw(request, "even"))) as _)
    }
}

/// Counts how often it is asked.
struct Counting(Rc<Cell<usize>>, Rc<dyn HttpServerConnectionDelegate>);

impl Router for Counting {
    fn find_handler(&self, _request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>> {
        self.0.set(self.0.get() + 1);
        Some(Rc::clone(&self.1))
    }
}

/// Takes its body in pieces.
#[derive(Clone)]
struct Streaming;

#[handler(stream_body)]
impl RequestHandler for Streaming {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("streaming");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        self.get(ctx).await
    }
}

#[squall::test(timeout = 60)]
async fn every_request_is_routed_once() {
    let inner = Application::new([url("/streaming", Streaming), text("/plain", "plain")]);
    let count = Rc::new(Cell::new(0));
    let counting = Counting(Rc::clone(&count), inner.into_delegate().unwrap());
    let app = Application::new([probe(), router("/.*", counting)]).into_delegate().unwrap();
    let app = serve_on(HttpServer::new(move || Rc::clone(&app)).xheaders(true));
    for (at, (method, path)) in
        [("GET", "/streaming"), ("POST", "/streaming"), ("GET", "/plain"), ("GET", "/none")]
            .iter()
            .enumerate()
    {
        app.request(method, path).await;
        assert_eq!(count.get(), at + 1, "{method} {path}");
    }
}

fn raw(request: HttpServerRequest, text: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    request.write(answer).and_then(|()| request.finish()).expect("the client is there");
}

fn raw_answer(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[squall::test(timeout = 60)]
async fn routers_and_delegates_in_an_application() {
    let app = Application::new([
        router("/r/.*", Even),
        text("/r/(.*)", "odd"),
        delegate("/d", callback(|request| raw(request, "delegate"))),
        probe(),
    ]);
    table(
        &serve(app),
        [
            host("a router", "h", "/r/1", raw_answer("even")),
            host("a router that declines", "h", "/r/12", ok("odd")),
            host("a delegate", "h", "/d", raw_answer("delegate")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn rule_router() {
    let make = || {
        let app = Application::new([text("/", "app"), text("/app/(.*)", "app page"), probe()]);
        let app = app.into_delegate().expect("a sound application");
        let inner = RuleRouter::new([Rule::new(
            Matcher::path("/inner/{id}").unwrap(),
            callback(|request| raw(request, "inner")),
        )
        .name("inner")]);
        assert_eq!(inner.reverse_url("inner", &[&"a b"]).unwrap().unwrap(), "/inner/a%20b");
        let outer = RuleRouter::new([
            Rule::new(Matcher::host(r"raw\..*").unwrap(), callback(|request| raw(request, "host"))),
            Rule::new(
                Matcher::custom(|request| request.headers().contains("X-Custom")),
                callback(|request| raw(request, "custom")),
            ),
            Rule::to_router(Matcher::path("/inner/.*").unwrap(), inner),
            Rule::new(Matcher::path("/inner/(.*)").unwrap(), callback(|request| raw(request, "declined"))),
            Rule::new(Matcher::Any, app),
        ]);
        assert_eq!(outer.reverse_url("inner", &[&7]).unwrap().unwrap(), "/inner/7");
        assert!(outer.reverse_url("inner", &[]).unwrap().is_err());
        assert!(outer.reverse_url("unknown", &[]).is_none());
        outer
    };
    table(
        &serve_on(HttpServer::new(make)),
        [
            host("host rule", "raw.example.com", "/", raw_answer("host")),
            host("custom rule", "h\r\nX-Custom: 1", "/", raw_answer("custom")),
            host("router", "h", "/inner/1", raw_answer("inner")),
            host("router that declines", "h", "/inner/1/2", raw_answer("declined")),
            host("application", "h", "/app/x", ok("app page")),
            host("its 404", "h", "/nowhere", not_found()),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn reverse_url() {
    let app = Application::new([
        text("/stories/([0-9]+)", "story").name("story"),
        text("/t/{a}/{b}", "two").name("two"),
        text("/x(?:y)?", "irreversible").name("irreversible"),
        rules("/n/.*", [text("/n/{id}", "nested").name("nested")]),
        get("/reverse", async |ctx: &Context| {
            let name = ctx.query_argument("name")?;
            let values = ctx.query_arguments("v")?;
            let arguments: Vec<&dyn std::fmt::Display> = values.iter().map(|v| v as _).collect();
            ctx.write(ctx.reverse_url(name, &arguments)?);
            Ok(())
        }),
        probe(),
    ])
    .add_handlers("other", [text("/o/{id}", "o").name("other-host")]);
    let case = |row: &str, query: &str, answer: String| host(row, "h", &format!("/reverse?{query}"), answer);
    let error = page("500 Internal Server Error", "");
    table(
        &serve(app),
        [
            case("regex", "name=story&v=7", ok("/stories/7")),
            case("template, percent-encoded", "name=two&v=a%2Fb&v=c%20%C3%A9", ok("/t/a%2Fb/c%20%C3%A9")),
            case("nested", "name=nested&v=1", ok("/n/1")),
            case("of another host", "name=other-host&v=1", ok("/o/1")),
            case("unknown name", "name=none", error.clone()),
            case("too few arguments", "name=two&v=1", error.clone()),
            case("too many arguments", "name=story&v=1&v=2", error.clone()),
            case("a pattern that cannot be reversed", "name=irreversible", error),
        ],
    )
    .await;
}

#[derive(Clone)]
struct Item;

#[handler]
impl RequestHandler for Item {
    async fn get(&mut self, ctx: &Context, shop: &str, id: u64) -> Result {
        ctx.write(format!("{shop} {id}"));
        Ok(())
    }

    async fn delete(&mut self, ctx: &Context, _shop: &str, id: u64) -> Result {
        ctx.write(id.to_string());
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn typed_path_arguments() {
    let app = Application::new([
        url("/s/{shop}/{id}", Item),
        url("/n/(?P<id>[^/]+)/(?P<shop>[^/]+)", Item),
        url("/p/([^/]+)/([^/]+)", Item),
        probe(),
    ]);
    table(
        &serve(app),
        [
            host("template", "h", "/s/a%20b/7", ok("a b 7")),
            host("named groups in any order", "h", "/n/7/a", ok("a 7")),
            host("positional groups", "h", "/p/a/7", ok("a 7")),
            host("one that does not parse is not found", "h", "/s/a/x", not_found()),
            host("nor is one out of range", "h", "/s/a/99999999999999999999", not_found()),
            host("nor a negative one", "h", "/s/a/-1", not_found()),
        ],
    )
    .await;
}

#[test]
fn route_table() {
    let table = Application::new([
        url("/s/{shop}/{id}", Item).name("item"),
        get("/f", async |_: &Context| Ok(())),
        post("/f", async |_: &Context| Ok(())),
        router("/r", Even),
    ])
    .add_handlers("www", [text("/", "www")])
    .route_table()
    .expect("a sound application");
    let shown: Vec<_> = table
        .iter()
        .map(|r| {
            let methods: Vec<_> = r.methods.iter().collect();
            format!("{} {} {:?} {} {:?}", r.host, r.pattern, r.name, methods.join(","), r.arguments)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "www / None GET []",
            ".* /s/{shop}/{id} Some(\"item\") GET,DELETE [Some(\"shop\"), Some(\"id\")]",
            ".* /f None GET,POST []",
            ".* /r None  []",
        ]
    );
}

#[test]
fn build_errors_name_file_and_line() {
    let first = line!() + 2;
    let app = Application::new([
        text("/(", "syntax"),
        text("/fine", "fine").name("same"),
        text("/also", "fine").name("same"),
        url("/s/{shop}", Item),
        rules("/n/.*", [text("/n/[", "nested syntax")]),
    ])
    .add_handlers("(", [text("/", "host")]);
    let error: BuildError = app.route_table().expect_err("five mistakes");
    let file = file!();
    let problems = error.problems();
    let expect = |line: u32, part: &str| {
        let place = format!("{file}:{line}: ");
        let found = problems.iter().any(|p| p.starts_with(&place) && p.contains(part));
        assert!(found, "{part:?} at {place} is not among {problems:#?}");
    };
    expect(first, "\"/(\"");
    expect(first + 2, "a second route named \"same\"");
    expect(first + 3, "a path argument `id`");
    expect(first + 4, "\"/n/[\"");
    expect(first + 6, "host pattern \"(\"");
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[squall::test(timeout = 60)]
async fn a_wrong_application_does_not_listen() {
    let server = HttpServer::new(|| Application::new([text("/(", "wrong")]));
    let options = squall::netutil::BindOptions::new().address("127.0.0.1");
    let error = server.listen_on(0, &options).expect_err("a pattern that does not compile");
    assert!(matches!(error, ServerError::Application(_)), "{error:?}");
    assert!(error.to_string().contains(file!()), "{error}");
    assert!(server.local_addrs().is_empty());
}

#[squall::test(timeout = 60)]
async fn paths_and_queries_beyond_ascii() {
    #[derive(serde::Deserialize)]
    struct Query {
        a: String,
    }
    let app = Application::new([
        text("/café", "found"),
        text("/a b", "spaced"),
        get("/query", async |ctx: &Context| {
            ctx.write(ctx.query::<Query>()?.a);
            Ok(())
        }),
        get("/argument", async |ctx: &Context| {
            ctx.write(ctx.argument("a")?);
            Ok(())
        }),
        post("/form", async |ctx: &Context| {
            ctx.write(ctx.form::<Query>()?.a);
            Ok(())
        }),
        probe(),
    ]);
    let form = |row: &str, body: &str, answer| {
        let length = body.len();
        stays(
            row,
            format!("POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"),
            answer,
        )
    };
    let bad = |cause| page_saying("400 Bad Request", "", cause);
    table(
        &serve(app),
        [
            host("text beyond ASCII", "h", "/caf%C3%A9", ok("found")),
            host("in small letters", "h", "/caf%c3%a9", ok("found")),
            host("a space", "h", "/a%20b", ok("spaced")),
            host("another text", "h", "/caf%C3%A8", not_found()),
            host("query", "h", "/query?a=%C3%A9", ok("é")),
            host("query that is not UTF-8", "h", "/query?a=%C3", bad("Invalid query")),
            host("argument that is not UTF-8", "h", "/argument?a=%C3", bad("Invalid unicode in a")),
            form("form", "a=%C3%A9+b", ok_untagged("é b")),
            form("form that is not UTF-8", "a=%ff", bad("Invalid form")),
        ],
    )
    .await;
}
