//! Interim responses that handlers send, as HEADERS before the response's (RFC 9113 §8.1).

use std::future::poll_fn;

use squall::httputil::HttpHeaders;
use squall::{Application, Context, get};

use super::support::{Client, answer, get as asks, serve};

#[squall::test]
async fn interim_responses_come_before_the_response() {
    let make = || {
        Application::new([get("/", async |ctx: &Context| {
            ctx.send_informational(102, &HttpHeaders::new()).await?;
            let hints = [("Link", "</a.css>"), ("Connection", "close")].into_iter().collect();
            ctx.send_informational(103, &hints).await?;
            ctx.write("page");
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server);
    let mut client = Client::new(port).await;
    let (mut response, _sink) = client.open(asks("/"), true).await;
    let mut interim = Vec::new();
    while let Some(head) = poll_fn(|cx| response.poll_informational(cx)).await {
        let head = head.unwrap();
        assert!(!head.headers().contains_key("connection"));
        interim.push((head.status().as_u16(), head.headers().get("link").cloned()));
    }
    assert_eq!(interim, [(102, None), (103, Some("</a.css>".parse().unwrap()))]);
    let answer = answer(response).await.unwrap();
    assert_eq!((answer.status(), answer.text()), (200, "page"));
}
