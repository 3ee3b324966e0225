//! What a proxy says about the client (`xheaders`).

use squall::httpserver::HttpServer;
use squall::testing::{TestServer, serve_on};
use squall::{Application, Context, get};

use super::support::{Case, Client, ok, probe, stays, table};

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            let request = ctx.request();
            ctx.write(format!("{} {}", request.remote_ip(), request.protocol()));
            Ok(())
        }),
        get("/url", async |ctx: &Context| {
            ctx.write(format!("{} {}", ctx.request().full_url(), ctx.request().host_name()));
            Ok(())
        }),
        probe(),
    ])
}

fn server() -> TestServer {
    let trusted = ["5.5.5.5", "::5"].map(|ip| ip.parse().expect("an address"));
    serve_on(HttpServer::new(app).xheaders(true).trusted_downstream(trusted))
}

/// A request with these fields is seen as coming from `seen`.
fn case(row: &str, fields: &str, seen: &str) -> Case {
    stays(row, format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), ok(seen))
}

#[squall::test(timeout = 60)]
async fn remote_ip() {
    let local = "127.0.0.1 http";
    table(
        &server(),
        [
            case("no header: the socket's address", "", local),
            case("X-Real-Ip", "X-Real-Ip: 4.4.4.4\r\n", "4.4.4.4 http"),
            case("IPv6", "X-Real-Ip: 2620:0:1cfe:face:b00c::3\r\n", "2620:0:1cfe:face:b00c::3 http"),
            case("X-Forwarded-For", "X-Forwarded-For: 4.4.4.4\r\n", "4.4.4.4 http"),
            case("right-most entry", "X-Forwarded-For: 127.0.0.1, 4.4.4.4\r\n", "4.4.4.4 http"),
            case(
                "right-most, several lines",
                "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 4.4.4.4\r\n",
                "4.4.4.4 http",
            ),
            case(
                "right-most that is not trusted",
                "X-Forwarded-For: 4.4.4.4, 5.5.5.5, ::5\r\n",
                "4.4.4.4 http",
            ),
            case("spaces do not matter", "X-Forwarded-For: 4.4.4.4 ,5.5.5.5\r\n", "4.4.4.4 http"),
            case(
                "X-Real-Ip overrides it",
                "X-Forwarded-For: 1.1.1.1\r\nX-Real-Ip: 4.4.4.4\r\n",
                "4.4.4.4 http",
            ),
            case("not an IP literal: the socket's address", "X-Real-Ip: 4.4.4.4<script>\r\n", local),
            case("a name is none", "X-Real-Ip: www.google.com\r\n", local),
            case("nor has one a port", "X-Real-Ip: 4.4.4.4:80\r\n", local),
            case("empty", "X-Forwarded-For:\r\n", local),
            case("only commas", "X-Forwarded-For: ,,\r\n", local),
            case("invalid entry on the right", "X-Forwarded-For: 4.4.4.4, 5.5.5.5<script>\r\n", local),
            case("invalid left of a trusted one", "X-Forwarded-For: 4.4.4.4, evil, 5.5.5.5\r\n", local),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn all_entries_trusted() {
    // Tornado takes the left-most then; that is who asked first.
    table(&server(), [case("all trusted", "X-Forwarded-For: ::5, 5.5.5.5\r\n", "::5 http")]).await;
}

#[squall::test(timeout = 60)]
async fn protocol() {
    let http = "127.0.0.1 http";
    let https = "127.0.0.1 https";
    table(
        &server(),
        [
            case("X-Scheme", "X-Scheme: https\r\n", https),
            case("X-Forwarded-Proto", "X-Forwarded-Proto: https\r\n", https),
            case("X-Scheme wins", "X-Scheme: http\r\nX-Forwarded-Proto: https\r\n", http),
            case("last comma entry", "X-Forwarded-Proto: https , http\r\n", http),
            case("last comma entry https", "X-Scheme: http,https\r\n", https),
            case("only http and https are accepted", "X-Forwarded-Proto: unknown\r\n", http),
            case("empty", "X-Scheme:\r\n", http),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn scope() {
    let server = server();
    let fields = "X-Real-Ip: 4.4.4.4\r\nX-Scheme: https\r\n";
    let mut client = Client::connect(&server).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    client.expect(ok("4.4.4.4 https") + &ok("127.0.0.1 http")).await;
    // Off by default: anyone can send these headers.
    let server = serve_on(HttpServer::new(app));
    table(
        &server,
        [
            case("off", fields, "127.0.0.1 http"),
            case(
                "off, X-Forwarded-For",
                "X-Forwarded-For: 4.4.4.4\r\nX-Forwarded-Proto: https\r\n",
                "127.0.0.1 http",
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn full_url() {
    let case = |row: &str, line: &str, fields: &str, shown: &str| {
        stays(row, format!("{line} HTTP/1.1\r\n{fields}\r\n"), ok(shown))
    };
    table(
        &server(),
        [
            case(
                "protocol, Host as sent, uri",
                "GET /url?a=%20",
                "Host: EXAMPLE.com:8080\r\n",
                "http://EXAMPLE.com:8080/url?a=%20 example.com",
            ),
            case("behind a proxy with TLS", "GET /url", "Host: h\r\nX-Scheme: https\r\n", "https://h/url h"),
            case("absolute-form", "GET http://o:1/url?x", "Host: h\r\n", "http://o:1/url?x o"),
        ],
    )
    .await;
    let server = serve_on(HttpServer::new(app).protocol("https"));
    table(&server, [case("the server's protocol", "GET /url", "Host: h\r\n", "https://h/url h")]).await;
    let server = serve_on(HttpServer::new(app).protocol("https").xheaders(true));
    table(
        &server,
        [case("which a proxy may change", "GET /url", "Host: h\r\nX-Scheme: http\r\n", "http://h/url h")],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn unix_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let path = std::env::temp_dir().join(format!("squall-wire-{}.sock", std::process::id()));
    let listener =
        squall::netutil::bind_unix_socket(&path, 0o600, 16).expect("a socket in the temporary directory");
    let server = HttpServer::new(app);
    server.add_sockets([listener]).expect("a sound application");
    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("the server listens");
    std::fs::remove_file(&path).expect("the socket's file");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n0.0.0.0 http"),
        "{answer}"
    );
    server.stop();
}
