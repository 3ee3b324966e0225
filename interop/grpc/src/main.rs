//! A tonic service on squall, and tonic's client: every kind of call, in clear text and over TLS. Ends with a panic when
//! something is not as it should be.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall::httpserver::HttpServer;
use squall::netutil::BindOptions;
use squall::tls::SslOptions;
use squall::web::FallbackHandler;
use squall::{Application, Context, get, url};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use self::proto::Words;
use self::proto::talk_client::TalkClient;
use self::proto::talk_server::{Talk, TalkServer};

mod proto {
    tonic::include_proto!("squall.talk");
}

type Answers = Pin<Box<dyn Stream<Item = Result<Words, Status>> + Send>>;

fn words(text: impl Into<String>, number: u32) -> Words {
    Words { text: text.into(), number }
}

#[derive(Default)]
struct Service {
    /// Told when a stream of answers was dropped before its end.
    dropped: Arc<Notify>,
}

struct Tell(Arc<Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tonic::async_trait]
impl Talk for Service {
    async fn say(&self, request: Request<Words>) -> Result<Response<Words>, Status> {
        if let Some(who) = request.metadata().get("x-who") {
            let mut response = Response::new(words(who.to_str().unwrap_or_default(), 0));
            response.metadata_mut().insert("x-answered", "yes".parse().expect("ASCII"));
            return Ok(response);
        }
        match request.into_inner() {
            Words { text, .. } if text == "fail" => Err(Status::with_details(
                Code::FailedPrecondition,
                "not \u{fc}ber 100 %",
                b"\0\x01\xff".as_slice().into(),
            )),
            Words { text, .. } if text == "sleep" => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(Response::new(words(text, 0)))
            }
            Words { text, number } => Ok(Response::new(words(text, number + 1))),
        }
    }

    type CountStream = Answers;

    async fn count(&self, request: Request<Words>) -> Result<Response<Answers>, Status> {
        let Words { text, number } = request.into_inner();
        if text == "endless" {
            let tell = Tell(Arc::clone(&self.dropped));
            let endless = tokio_stream::iter(0..).map(move |n| {
                let _ = &tell;
                Ok(words("x".repeat(10_000), n))
            });
            return Ok(Response::new(Box::pin(endless)));
        }
        let counted = tokio_stream::iter(0..number).map(|n| Ok(words("", n)));
        if text == "fail" {
            let end = tokio_stream::once(Err(Status::data_loss("no more")));
            return Ok(Response::new(Box::pin(counted.chain(end))));
        }
        Ok(Response::new(Box::pin(counted)))
    }

    async fn gather(&self, request: Request<Streaming<Words>>) -> Result<Response<Words>, Status> {
        let mut stream = request.into_inner();
        let (mut length, mut sum) = (0, 0);
        while let Some(Words { text, number }) = stream.message().await? {
            length += text.len();
            sum += number;
        }
        Ok(Response::new(words(length.to_string(), sum)))
    }

    type ChatStream = Answers;

    async fn chat(&self, request: Request<Streaming<Words>>) -> Result<Response<Answers>, Status> {
        let answers = request.into_inner().map(|asked| {
            let Words { text, number } = asked?;
            if text == "fail" {
                Err(Status::aborted("as asked"))
            } else {
                Ok(words(text.to_uppercase(), number))
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn app(dropped: &Arc<Notify>) -> Application {
    let service = TalkServer::new(Service { dropped: Arc::clone(dropped) })
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(32 << 20);
    let ours = get("/", async |ctx: &Context| {
        ctx.write("squall");
        Ok(())
    });
    Application::new([ours, url(r"/squall\.talk\.Talk/.*", FallbackHandler::new(service))])
}

/// Every kind of call.
async fn calls(channel: Channel, dropped: &Notify) {
    let mut client = TalkClient::new(channel.clone()).max_decoding_message_size(32 << 20);

    let said = client.say(words("hello", 1)).await.expect("an answer").into_inner();
    assert_eq!(said, words("hello", 2));
    let mut asked = Request::new(words("", 0));
    asked.metadata_mut().insert("x-who", "me".parse().expect("ASCII"));
    let answer = client.say(asked).await.expect("an answer");
    assert_eq!(answer.metadata().get("x-answered").map(|value| value.as_bytes()), Some(&b"yes"[..]));
    assert_eq!(answer.into_inner().text, "me");
    let large = "y".repeat(9_000_000);
    assert_eq!(client.say(words(large.clone(), 0)).await.expect("9 MB").into_inner().text, large);
    println!("ok: unary");

    let status = client.say(words("fail", 0)).await.expect_err("a status");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not \u{fc}ber 100 %"));
    assert_eq!(status.details(), b"\0\x01\xff");
    let mut slow = Request::new(words("sleep", 0));
    slow.set_timeout(Duration::from_millis(200));
    let late = client.say(slow).await.expect_err("a deadline");
    assert!(matches!(late.code(), Code::Cancelled | Code::DeadlineExceeded), "{late}");
    println!("ok: statuses");

    let stream = client.count(words("", 1_000)).await.expect("a stream").into_inner();
    let counted: Vec<u32> = stream.map(|answer| answer.expect("a number").number).collect().await;
    assert_eq!(counted, (0..1_000).collect::<Vec<_>>());
    let mut stream = client.count(words("fail", 3)).await.expect("a stream").into_inner();
    for number in 0..3 {
        assert_eq!(stream.message().await.expect("a message"), Some(words("", number)));
    }
    let status = stream.message().await.expect_err("the status behind them");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "no more"));
    println!("ok: streaming down");

    let parts = tokio_stream::iter(0..100).map(|number| words("z".repeat(20_000), number));
    let gathered = client.gather(parts).await.expect("a sum").into_inner();
    assert_eq!(gathered, words("2000000", 4_950));
    println!("ok: streaming up");

    // Each answer before the next question.
    let (questions, receiver) = mpsc::channel(1);
    let mut answers = client.chat(ReceiverStream::new(receiver)).await.expect("a stream").into_inner();
    for number in 0..20 {
        questions.send(words("ping", number)).await.expect("it is listened to");
        assert_eq!(answers.message().await.expect("an answer"), Some(words("PING", number)));
    }
    questions.send(words("fail", 0)).await.expect("it is listened to");
    let status = answers.message().await.expect_err("a status");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "as asked"));
    let (questions, receiver) = mpsc::channel(1);
    let mut answers = client.chat(ReceiverStream::new(receiver)).await.expect("a stream").into_inner();
    drop(questions);
    assert_eq!(answers.message().await.expect("an end"), None);
    println!("ok: streaming both ways");

    let mut squeezed = TalkClient::new(channel)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let said = squeezed.say(words("a".repeat(100_000), 1)).await.expect("an answer").into_inner();
    assert_eq!(said.text.len(), 100_000);
    println!("ok: compressed");

    let mut endless = client.count(words("endless", 0)).await.expect("a stream").into_inner();
    for number in 0..100 {
        assert_eq!(endless.message().await.expect("a message").expect("no end").number, number);
    }
    drop(endless);
    dropped.notified().await;
    println!("ok: a stream that is cancelled");
}

fn listen(server: HttpServer) -> (HttpServer, u16) {
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).expect("a port");
    let port = server.local_addrs()[0].port().expect("TCP");
    (server, port)
}

async fn all() {
    let dropped = Arc::new(Notify::new());
    let make = {
        let dropped = Rc::new(Arc::clone(&dropped));
        move || app(&dropped)
    };
    println!("--- h2c");
    let (_clear, port) = listen(HttpServer::new(make.clone()).h2c(true));
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a URL");
    calls(endpoint.connect().await.expect("a connection"), &dropped).await;

    println!("--- TLS");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (_tls, port) = listen(HttpServer::new(make).ssl_options(SslOptions::from_pem(cert.clone(), key)));
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(cert)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).expect("a URL");
    let endpoint = endpoint.tls_config(tls).expect("a configuration");
    calls(endpoint.connect().await.expect("a connection"), &dropped).await;
}

fn main() {
    let limit = Some(Duration::from_secs(120));
    squall::IoLoop::current().run_sync(all(), limit).expect("no longer than two minutes");
    println!("gRPC works");
}
