//! What `squall::testing` offers beside its own client, after the rows of Tornado's `testing_test.py`.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, CookieJar, HttpRequest, MultipartForm};
use squall::testing::{ExpectLog, serve};
use squall::websocket::{WebSocketStream, websocket};
use squall::{Application, Context, HttpError, Message, Result, get, log, post};

fn app() -> Application {
    Application::new([
        get("/login", async |ctx: &Context| {
            ctx.set_cookie("user", ctx.argument("name")?)?;
            ctx.redirect("/whoami")
        }),
        get("/whoami", async |ctx: &Context| ctx.write_json(ctx.cookie("user").unwrap_or("nobody"))),
        post("/upload", async |ctx: &Context| {
            let file = &ctx.files("f")[0];
            ctx.write(format!("{} {:?} {}", ctx.body_argument("a")?, file.safe_filename(), file.body.len()));
            Ok(())
        }),
        get("/fail", async |_: &Context| -> Result {
            Err(HttpError::new(500).log_message("on purpose").into())
        }),
        get("/slow", async |ctx: &Context| {
            std::future::pending::<()>().await;
            ctx.write_json("never")
        }),
        websocket("/echo", async |_: &Context, ws: &mut WebSocketStream| {
            while let Some(message) = ws.recv().await {
                ws.write_message(message).await?;
            }
            Ok(())
        }),
    ])
}

#[squall::test]
async fn a_jar_keeps_cookies_between_requests() {
    let (app, jar) = (serve(app()), CookieJar::new());
    app.get("/whoami").cookie_jar(&jar).await.assert_json("nobody");
    app.get("/login?name=ann").cookie_jar(&jar).await.assert_redirect("/whoami");
    app.get("/whoami").cookie_jar(&jar).await.assert_json("ann");
    app.get("/whoami").cookie_jar(&jar).header("Cookie", "user=own").await.assert_json("own");
    app.get("/whoami").await.assert_json("nobody");
}

#[squall::test]
async fn forms_with_files() {
    let form = MultipartForm::new().text("a", "b").file("f", "x.txt", "text/plain", "12345");
    serve(app()).post("/upload").multipart(&form).await.assert_text("b Some(\"x.txt\") 5");
}

#[squall::test]
async fn an_answer_that_does_not_come_fails_the_test() {
    let app = serve(app());
    let request = async { app.get("/slow").timeout(Duration::from_millis(20)).await };
    let failed = catch(request).await.unwrap_err();
    let message = failed.downcast_ref::<String>().unwrap();
    assert!(message.contains("GET /slow") && message.contains("no answer within 20ms"), "{message}");
}

#[squall::test]
async fn fetch_takes_whole_requests() {
    let app = serve(app());
    let response = app.fetch("/whoami").await.unwrap();
    assert_eq!(response.text(), "\"nobody\"");
    assert_eq!(app.fetch("/nothing").await.unwrap().status(), 404, "no error unless asked for");
    assert!(app.fetch(HttpRequest::get("/nothing").raise_error(true)).await.is_err());
    let client = AsyncHttpClient::builder().cookie_jar(CookieJar::new()).build();
    let response = app.fetch_with(&client, "/login?name=bea").await.unwrap();
    assert_eq!(
        (response.text().as_str(), response.effective_url()),
        ("\"bea\"", app.url("/whoami").as_str())
    );
    let response =
        app.fetch(HttpRequest::get(app.url("/login?name=c")).follow_redirects(false)).await.unwrap();
    assert_eq!(response.status(), 302);
}

#[squall::test]
async fn websockets_connect() {
    let app = serve(app());
    let mut socket = app.websocket("/echo").await.unwrap();
    socket.socket().write_message("hello").await.unwrap();
    assert_eq!(socket.read_message().await, Some(Message::from("hello")));
    assert!(app.websocket("/whoami").await.is_err());
}

#[squall::test]
async fn log_lines_are_expected() {
    let app = serve(app());
    {
        let expected =
            ExpectLog::new(log::GENERAL, "^500 GET /fail .*on purpose").level(tracing::Level::WARN);
        app.get("/fail").await.assert_status(500);
        assert_eq!(expected.count(), 1);
    }
    {
        let expected = ExpectLog::new(log::GENERAL, "on purpose").level(tracing::Level::ERROR).optional();
        app.get("/fail").await.assert_status(500);
        assert_eq!(expected.count(), 0, "it is a warning");
    }
    let missing = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _expected = ExpectLog::new(log::GENERAL, "never said");
        tracing::warn!(target: log::GENERAL, "something else");
        tracing::warn!(target: log::APPLICATION, "never said here");
    }));
    let message = *missing.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("never said") && message.contains("something else"), "{message}");
    let outer = ExpectLog::new("", "for the outer one");
    let inner = ExpectLog::new("", "nothing").optional();
    tracing::info!("for the outer one");
    assert_eq!((outer.count(), inner.count()), (1, 0), "what does not match goes on");
    drop(inner);
}

async fn catch<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn std::any::Any + Send>> {
    futures_util::FutureExt::catch_unwind(AssertUnwindSafe(future)).await
}
