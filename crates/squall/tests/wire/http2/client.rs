//! The HTTP client over HTTP/2, against squall's own server.

use std::cell::Cell;
use std::rc::Rc;

use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::{Application, Context, get, post};

use super::support::serve;

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write(format!("{:?} {}", ctx.request().version(), ctx.request().protocol()));
            Ok(())
        }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body().to_vec());
            Ok(())
        }),
    ])
}

#[squall::test]
async fn it_is_spoken_without_asking_where_that_is_said() {
    let (_server, port) = serve(app, |server| server);
    let client = AsyncHttpClient::builder().http2_prior_knowledge(true).build();
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..3 {
        let response = client.fetch(&*url).await.unwrap();
        assert_eq!((response.version(), response.text()), (http::Version::HTTP_2, "HTTP/2.0 http".to_owned()));
    }
    assert_eq!(client.idle_connections(), 1);
    let response = client.fetch(HttpRequest::get(&*url).http2_prior_knowledge(false)).await.unwrap();
    assert_eq!((response.version(), response.text()), (http::Version::HTTP_11, "HTTP/1.1 http".to_owned()));
    let body = vec![b'x'; 3_000_000];
    let echoed = client.fetch(HttpRequest::post(format!("{url}echo")).body(body.clone())).await.unwrap();
    assert!(echoed.body()[..] == body[..]);
    let _ = (Cell::new(0), Rc::new(0));
}
