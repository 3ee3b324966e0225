//! The debug page, and causes on the plain one.

use serde::Deserialize;
use squall::testing::serve;
use squall::{Application, Context, HttpError, Result, get, post};

fn routes() -> Vec<squall::web::UrlSpec> {
    vec![
        get("/parse", async |_: &Context| -> Result {
            let _: u8 = "<b>".parse()?;
            Ok(())
        }),
        get("/panic", async |_: &Context| -> Result { panic!("<boom>") }),
        get("/said", async |_: &Context| -> Result {
            Err(HttpError::new(418).message("<i>\r\nX: y").log_message("secret").into())
        }),
        post("/json", async |ctx: &Context| {
            #[derive(Deserialize)]
            struct Body {
                #[expect(dead_code, reason = "only parsed")]
                id: u32,
            }
            ctx.json::<Body>().map(drop)
        }),
    ]
}

#[squall::test(timeout = 30)]
async fn a_plain_page_says_the_cause() {
    let app = serve(Application::new(routes()));
    app.get("/said").await.assert_status(418).assert_text(
        "<html><title>418: I&#x27;m a teapot</title><body>418: I&#x27;m a teapot: &lt;i&gt;  X: y</body></html>",
    );
    let answer = app.post("/json").body(r#"{"id":"hunter2"}"#).await;
    answer.assert_status(400).assert_text(
        "<html><title>400: Bad Request</title>\
         <body>400: Bad Request: Invalid JSON body in id: expected u32 at line 1 column 15</body></html>",
    );
    app.get("/parse").await.assert_status(500).assert_text(
        "<html><title>500: Internal Server Error</title><body>500: Internal Server Error</body></html>",
    );
}

#[squall::test(timeout = 30)]
async fn the_debug_page_tells_all_but_secrets() {
    let app = serve(Application::new(routes()).debug(true).setting(7_u8));
    let answer = app
        .get("/parse?name=%3Cscript%3E&password=hunter2")
        .header("Cookie", "session=hunter2")
        .header("Authorization", "Basic hunter2")
        .header("X-Plain", "shown")
        .await;
    answer.assert_status(500).assert_header("Content-Type", "text/html; charset=UTF-8");
    answer.assert_text_contains("invalid digit found in string").assert_text_contains("debug.rs:");
    answer
        .assert_text_contains("&lt;script&gt;")
        .assert_text_contains("shown")
        .assert_text_contains("<th>u8</th>");
    assert!(!answer.text().contains("hunter2") && !answer.text().contains("<script>"), "{}", answer.text());

    let panicked = app.get("/panic").await;
    panicked.assert_status(500).assert_text_contains("panic: &lt;boom&gt;").assert_text_contains("debug.rs:");

    let off = serve(Application::new(routes()).debug(true).serve_traceback(false));
    assert!(!off.get("/parse").await.text().contains("debug.rs"));
}
