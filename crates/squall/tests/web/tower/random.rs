//! Random heads of all octets between squall's types and those of tower services: never more than one message, and the
//! fields as they came, but for those of [`is_added`] and for their order, which the `http` crate keeps among fields of
//! one name only.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use squall::httputil::HttpHeaders;
use squall::testing::{TestServer, serve};
use squall::web::{FallbackHandler, RequestBody, UrlSpec};
use squall::{Application, Bytes, Context, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{ServiceExt, service_fn};

use super::heads::{block, is_added, kept, start};

type Fields = Vec<(String, Vec<u8>)>;

/// In the order that passing on keeps, without those that either side adds.
fn ordered(mut fields: Fields) -> Fields {
    fields.retain(|(name, _)| !is_added(name) && !["Server", "Content-Type"].contains(&&**name));
    fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn of_headers(headers: &HttpHeaders) -> Fields {
    headers.iter_bytes().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

fn of_map(map: &HeaderMap) -> Fields {
    let title_case = |name: &HeaderName| {
        let mut headers = HttpHeaders::new();
        headers.add(name.as_str(), "").unwrap();
        headers.iter().next().unwrap().0.to_owned()
    };
    map.iter().map(|(name, value)| (title_case(name), value.as_bytes().to_vec())).collect()
}

fn is_sound(value: &[u8]) -> bool {
    value.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..))
}

/// Sends a request with these fields and reads all that comes back.
async fn ask(app: &TestServer, fields: &Fields) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", app.port())).await.unwrap();
    let request =
        [b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", &block(fields)[..], b"\r\n"].concat();
    // Of what is refused the end may find nobody who reads.
    let _ = stream.write_all(&request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// One answer, the whole of it; whether it is a refusal.
fn is_refusal(answer: &[u8], context: &str) -> bool {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect(context) + 4;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        assert_eq!(&answer[end..], b"ok", "{context}");
        return false;
    }
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{context}");
    assert!(!answer[end..].windows(5).any(|window| window == b"HTTP/"), "{context}");
    true
}

#[squall::test(timeout = 120)]
async fn random_heads_through_a_service_behind_squall() {
    let (mut random, rounds) = start();
    let seen: Rc<RefCell<Vec<Fields>>> = Rc::default();
    let down: Rc<RefCell<Fields>> = Rc::default();
    let (sees, sends) = (Rc::clone(&seen), Rc::clone(&down));
    let service = service_fn(move |request: Request<RequestBody>| {
        sees.borrow_mut().push(of_map(request.headers()));
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
        for (name, value) in &*sends.borrow() {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            response.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        std::future::ready(Ok::<_, std::io::Error>(response))
    });
    let app = serve(Application::new([]).fallback(FallbackHandler::new(service)));
    for round in 0..rounds {
        let evil = random.below(2) == 0;
        let up = random.fields(evil);
        *down.borrow_mut() = random.fields(false);
        seen.borrow_mut().clear();
        let answer = ask(&app, &up).await;
        let context = format!("round {round}: {up:?} {:?} {}", down.borrow(), answer.escape_ascii());
        let refused = is_refusal(&answer, &context);
        assert_eq!(seen.borrow().len(), usize::from(!refused), "{context}");
        assert!(!refused || evil, "{context}");
        if !refused {
            assert_eq!(ordered(kept(&answer)), ordered(down.borrow().clone()), "{context}");
        }
        if up.iter().all(|(_, value)| is_sound(value)) {
            assert_eq!(ordered(seen.borrow()[0].clone()), ordered(up), "{context}");
        }
    }
}

/// A handler that notes the fields it gets, and tries to send others: those that it may send it notes too.
fn noting(seen: &Rc<RefCell<Vec<Fields>>>, down: &Rc<RefCell<Fields>>) -> UrlSpec {
    let (seen, down) = (Rc::clone(seen), Rc::clone(down));
    get("/", async move |ctx: &Context| {
        seen.borrow_mut().push(of_headers(ctx.request().headers()));
        ctx.clear_header("Etag");
        down.borrow_mut().retain(|(name, value)| {
            let added = ctx.add_header(name, value.as_slice()).is_ok();
            assert_eq!(added, is_sound(value), "{}", value.escape_ascii());
            added
        });
        ctx.write("ok");
        Ok(())
    })
}

/// The fields of an answer, without the tag that the application makes where its handler has set none.
fn without_own_tag(mut fields: Fields, down: &Fields) -> Fields {
    let tagged = down.iter().any(|(name, _)| name == "Etag");
    fields.retain(|(name, _)| tagged || name != "Etag");
    fields
}

#[squall::test(timeout = 120)]
async fn random_heads_through_an_application_as_a_service() {
    let (mut random, rounds) = start();
    let (seen, down): (Rc<RefCell<Vec<Fields>>>, Rc<RefCell<Fields>>) = Default::default();
    let service = Application::new([noting(&seen, &down)]).into_service().unwrap();
    // As the types of the `http` crate, and over both adapters from bytes to bytes.
    let app = serve(Application::new([]).fallback(FallbackHandler::new(service.clone())));
    for round in 0..rounds {
        let up = random.fields(false);
        let evil_down = random.below(2) == 0;
        *down.borrow_mut() = random.fields(evil_down);
        seen.borrow_mut().clear();
        let context = format!("round {round}: {up:?} {:?}", down.borrow());
        let mut request = Request::get("/").header("Host", "h");
        for (name, value) in &up {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let got = without_own_tag(of_map(response.headers()), &down.borrow());
        assert_eq!(response.status(), 200, "{context}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok", "{context}");
        assert_eq!(ordered(got), ordered(down.borrow().clone()), "{context}");
        assert_eq!(seen.borrow().len(), 1, "{context}");
        assert_eq!(ordered(seen.borrow()[0].clone()), ordered(up), "{context}");

        let evil = random.below(2) == 0;
        let up = random.fields(evil);
        let evil_down = random.below(2) == 0;
        *down.borrow_mut() = random.fields(evil_down);
        seen.borrow_mut().clear();
        let answer = ask(&app, &up).await;
        let context = format!("round {round}: {up:?} {:?} {}", down.borrow(), answer.escape_ascii());
        let refused = is_refusal(&answer, &context);
        assert!(!refused || evil, "{context}");
        assert_eq!(seen.borrow().len(), usize::from(!refused), "{context}");
        if !refused {
            let got = without_own_tag(kept(&answer), &down.borrow());
            assert_eq!(ordered(got), ordered(down.borrow().clone()), "{context}");
        }
        if up.iter().all(|(_, value)| is_sound(value)) {
            assert_eq!(ordered(seen.borrow()[0].clone()), ordered(up), "{context}");
        }
    }
}
