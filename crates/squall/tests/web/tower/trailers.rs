//! Trailers to and from services.

use std::convert::Infallible;

use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpRequest};
use squall::httputil::HttpHeaders;
use squall::iostream::StreamError;
use squall::testing::serve;
use squall::web::{FallbackHandler, RequestBody};
use squall::{Application, Bytes, Context, get, post, url};
use tower::{ServiceExt, service_fn};

type Frames = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn frames(data: &[&'static str], trailers: &[(&'static str, &'static str)]) -> Frames {
    let trailers: HeaderMap =
        trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let data = data.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    StreamBody::new(futures_util::stream::iter(
        data.chain(std::iter::once(Ok(Frame::trailers(trailers)))).collect::<Vec<_>>(),
    ))
}

/// Says which trailers have come, in a trailer.
async fn tells(request: Request<RequestBody>) -> Result<Response<Frames>, std::io::Error> {
    let collected = request.into_body().collect().await.map_err(std::io::Error::other)?;
    let told = collected.trailers().map_or("none".to_owned(), |trailers| {
        trailers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect::<String>()
    });
    let data: &[&str] = if collected.to_bytes().is_empty() { &[] } else { &["bo", "dy"] };
    let mut body = Response::new(frames(data, &[]));
    let told = Box::leak(told.into_boxed_str());
    *body.body_mut() = frames(data, &[("x-told", told), ("set-cookie", "a=b")]);
    Ok(body)
}

#[squall::test]
async fn a_service_s_trailers_pass_both_ways() {
    let app = serve(Application::new([url("/", FallbackHandler::new(service_fn(tells)))]));
    let client = AsyncHttpClient::new();
    let with = async |writer: BodyWriter| {
        writer.write("abc").await?;
        let mut trailers = HttpHeaders::new();
        for (name, value) in [("X-Sum", "6"), ("Host", "evil")] {
            trailers.add(name, value).unwrap();
        }
        writer.set_trailers(trailers);
        Ok::<(), StreamError>(())
    };
    for (te, expected) in [(Some("trailers"), Some("x-sum=6")), (None, None)] {
        let mut request = HttpRequest::post(app.url("/")).body_producer(with);
        if let Some(te) = te {
            request = request.header("TE", te);
        }
        let response = client.fetch(request).await.unwrap();
        assert_eq!(response.text(), "body");
        let trailers = response.trailers().map(|all| all.iter().collect::<Vec<_>>());
        assert_eq!(trailers, expected.map(|told| vec![("X-Told", told)]), "{te:?}");
    }
    // A service that writes nothing but trailers.
    let empty = HttpRequest::get(app.url("/")).header("TE", "trailers");
    let mut response = client.fetch_stream(empty).await.unwrap();
    assert!(response.trailers().is_none(), "not before the end");
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(response.trailers().unwrap().get("X-Told"), Some("none"));
}

#[squall::test]
async fn an_application_s_trailers_pass_both_ways() {
    let app = Application::new([
        post("/", async |ctx: &Context| {
            let told = ctx.request_trailers().map_or("none".to_owned(), |trailers| {
                trailers.iter().map(|(name, value)| format!("{name}={value}")).collect()
            });
            ctx.write(ctx.request().body());
            ctx.set_trailer("X-Told", told)?;
            Ok(())
        }),
        get("/", async |ctx: &Context| {
            ctx.set_trailer("X-Told", "nothing")?;
            ctx.set_status(204);
            Ok(())
        }),
    ]);
    let service = app.into_service().unwrap();
    let ask = |version, body| Request::post("/").version(version).header("Host", "h").body(body).unwrap();
    let body = || frames(&["a", "b"], &[("x-sum", "2"), ("host", "evil")]);
    for (version, expected) in [(http::Version::HTTP_2, Some("X-Sum=2")), (http::Version::HTTP_11, None)] {
        let response = service.clone().oneshot(ask(version, body())).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let told = collected.trailers().map(|trailers| trailers["x-told"].to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), expected, "{version:?}");
        assert_eq!(collected.to_bytes(), "ab");
    }
    let nothing = Request::get("/").version(http::Version::HTTP_2).header("Host", "h");
    let response = service.oneshot(nothing.body(frames(&[], &[])).unwrap()).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().trailers().is_none());
}
