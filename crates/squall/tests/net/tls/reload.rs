//! Certificates that change while the server runs.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall::httpclient::HttpRequest;
use squall::testing::serve_on;
use squall::tls::{CertReqs, Certificate, SslOptions, TlsAcceptor};
use squall::{Application, Context, HttpServer, get};

use super::support::{Authority, Identity, ask, connect};
use crate::log::Lines;

fn app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        ctx.write("ok");
        Ok(())
    })])
}

fn write(folder: &Path, identity: &Identity) {
    fs::write(folder.join("cert.pem"), &identity.cert).unwrap();
    fs::write(folder.join("key.pem"), &identity.key).unwrap();
}

fn options(folder: &Path) -> SslOptions {
    SslOptions::new(folder.join("cert.pem"), folder.join("key.pem"))
}

fn named(authority: &Authority, number: usize) -> Identity {
    let number = number.to_string();
    authority.certify(&[&number, "server.test"])
}

/// The subject that the server shows now.
async fn shown(authority: &Authority, port: u16) -> String {
    let stream = connect(&Arc::new(authority.config()), port).await.unwrap();
    let info = stream.tls_info().unwrap();
    Certificate::parse(&info.peer_certificates[0]).unwrap().subject().to_owned()
}

/// 20 swaps under load, one of them broken: no request fails, connections go on, and the new certificate is shown.
#[squall::test(timeout = 300)]
async fn swaps_under_load() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &named(&authority, 0));
    let (log, _guard) = Lines::capture();
    let server = serve_on(HttpServer::new(app).ssl_options(options(folder.path())));
    let kept = connect(&Arc::new(authority.config()), server.port()).await.unwrap();
    assert_eq!(ask(&kept, "/").await.unwrap(), "ok");

    let (done, requests) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let url = format!("https://server.test:{}/", server.port());
    let (client, ended, counter) = (authority.client(), Rc::clone(&done), Rc::clone(&requests));
    let load = squall::IoLoop::current().spawn(async move {
        while !ended.get() {
            let request = HttpRequest::get(url.as_str()).header("Connection", "close");
            assert_eq!(client.fetch(request).await.unwrap().text(), "ok");
            counter.set(counter.get() + 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for number in 1..=20 {
        let before = shown(&authority, server.port()).await;
        if number == 10 {
            // A key that does not fit.
            fs::write(folder.path().join("cert.pem"), &named(&authority, number).cert).unwrap();
            while log.count("The former certificates stay in use") == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(log.text().contains("keyfile") && log.text().contains("does not fit"), "{}", log.text());
            assert_eq!(shown(&authority, server.port()).await, before);
            continue;
        }
        write(folder.path(), &named(&authority, number));
        // Were it never shown, the test's time would be over.
        while shown(&authority, server.port()).await != format!("CN={number}") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(ask(&kept, "/").await.unwrap(), "ok", "a connection from before goes on");
    done.set(true);
    load.await.unwrap();
    assert!(requests.get() > 0);
    assert_eq!(log.count("ERROR"), 1, "{}", log.text());
}

/// Behind a symbolic link, as certbot's and Kubernetes' files are; and files that are replaced by renaming.
#[squall::test(timeout = 120)]
async fn links_that_lead_elsewhere() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for number in 0..2 {
        let version = path.join(number.to_string());
        fs::create_dir(&version).unwrap();
        write(&version, &named(&authority, number));
    }
    std::os::unix::fs::symlink(path.join("0"), path.join("live")).unwrap();
    let server = serve_on(HttpServer::new(app).ssl_options(options(&path.join("live"))));
    assert_eq!(shown(&authority, server.port()).await, "CN=0");
    std::os::unix::fs::symlink(path.join("1"), path.join("next")).unwrap();
    fs::rename(path.join("next"), path.join("live")).unwrap();
    while shown(&authority, server.port()).await != "CN=1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// By hand, as on SIGHUP.
#[squall::test(timeout = 60)]
async fn reload_when_told() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &named(&authority, 0));
    let server = HttpServer::new(app).ssl_options(options(folder.path()).reload(false));
    let bind = squall::netutil::BindOptions::new().address("127.0.0.1");
    server.listen_on(0, &bind).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    assert_eq!(shown(&authority, port).await, "CN=0");
    write(folder.path(), &named(&authority, 1));
    assert_eq!(shown(&authority, port).await, "CN=0", "nobody has told it");
    server.reload().unwrap();
    assert_eq!(shown(&authority, port).await, "CN=1");
    fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    let error = server.reload().unwrap_err();
    assert!(error.to_string().contains("keyfile"), "{error}");
    assert_eq!(shown(&authority, port).await, "CN=1");
    server.stop();
    // A server without files to look at.
    HttpServer::new(app).reload().unwrap();
}

/// No session goes on past checks of client certificates that have changed since.
#[squall::test(timeout = 60)]
async fn sessions_end_with_the_rules_that_they_passed() {
    let authority = Authority::new();
    let (first, second) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let both = format!("{}{}", first.pem(), second.pem());
    let options = named(&authority, 0).options().reload(false).cert_reqs(CertReqs::Required).ca_certs(&ca);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        fs::write(&ca, &both).unwrap();
        let acceptor = TlsAcceptor::new(options.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(authority.config_with(&[version], Some(&first.certify(&["ann"]))));
        // Whether the client was let in, and whether by its old session.
        let visit = async || {
            let serve = async {
                let (socket, _) = listener.accept().await.unwrap();
                let stream = acceptor.accept(socket.into()).await?;
                let resumed = stream.tls_info().unwrap().resumed;
                stream.write("welcome").await?;
                Ok::<_, std::io::Error>(resumed)
            };
            let ask = async {
                let stream = connect(&config, port).await?;
                Ok::<_, std::io::Error>(stream.read_bytes(7).await?)
            };
            let (served, _) = tokio::join!(serve, ask);
            served.ok()
        };
        assert_eq!(visit().await, Some(false), "{version:?}");
        assert_eq!(visit().await, Some(true), "{version:?}");
        // The same again: the session goes on.
        acceptor.reload().unwrap();
        assert_eq!(visit().await, Some(true), "{version:?}");
        // The client's authority is not among them any more.
        fs::write(&ca, second.pem()).unwrap();
        acceptor.reload().unwrap();
        assert_eq!(visit().await, None, "{version:?}");
    }
}
