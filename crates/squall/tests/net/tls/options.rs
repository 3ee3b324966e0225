//! What is wrong with options is said at start-up: the file and the cause (Tornado's BadSSLOptionsTest, and more).

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::date_time_ymd;
use squall::httpserver::ServerError;
use squall::tls::{CertReqs, SslError, SslOptions, TlsAcceptor, TlsVersion};
use squall::{Application, HttpServer};

use super::support::Authority;

const PKCS1: &str = include_str!("keys/pkcs1.pem");
const SEC1: &str = include_str!("keys/sec1.pem");
const ENCRYPTED: &str = include_str!("keys/encrypted.pem");

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn each_mistake_names_the_file_and_the_cause() {
    let authority = Authority::new();
    let folder = Folder::new();
    let (good, other) = (authority.certify(&["a.test"]), authority.certify(&["a.test"]));
    let expired = authority.certify_with(&["a.test"], |params| params.not_after = date_time_ymd(2020, 1, 2));
    let early = authority.certify_with(&["a.test"], |params| params.not_before = date_time_ymd(4000, 1, 2));
    let cert = folder.write("cert.pem", &good.cert);
    let key = folder.write("key.pem", &good.key);
    let cases: &[(&str, &str, &str, &str)] = &[
        // certfile's text, keyfile's text, which of them is named, what is said
        ("", &good.key, "certfile", "there is no certificate in it"),
        ("nonsense", &good.key, "certfile", "there is no certificate in it"),
        (&good.key, &good.key, "certfile", "there is no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", &good.key, "certfile", "breaks off"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            &good.key,
            "certfile",
            "not Base64",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key,
            "certfile",
            "no X.509 certificate",
        ),
        (&expired.cert, &expired.key, "certfile", "has expired, on Thu, 02 Jan 2020"),
        (&early.cert, &early.key, "certfile", "valid from Sun, 02 Jan 4000"),
        (&good.cert, "", "keyfile", "no private key in it"),
        (&good.cert, &good.cert, "keyfile", "no private key in it"),
        (&good.cert, &other.key, "keyfile", "does not fit the certificate in "),
        (&good.cert, PKCS1, "keyfile", "does not fit"),
        (&good.cert, ENCRYPTED, "keyfile", "encrypted"),
        (
            &good.cert,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "keyfile",
            "failed to parse private key",
        ),
    ];
    for (number, (certificate, private, option, cause)) in cases.iter().enumerate() {
        let files = (
            folder.write(&format!("{number}-certfile.pem"), certificate),
            folder.write(&format!("{number}-keyfile.pem"), private),
        );
        let error = TlsAcceptor::new(SslOptions::new(&files.0, &files.1)).unwrap_err();
        let path = folder.path(&format!("{number}-{option}.pem"));
        assert_eq!((error.option(), error.path()), (*option, Some(path.as_path())), "{error}");
        assert!(error.cause().contains(cause), "{error}");
        assert_eq!(error.to_string(), format!("ssl_options: {option} {}: {}", path.display(), error.cause()));
        // The same as text: there is no file to name.
        let error = TlsAcceptor::new(SslOptions::from_pem(*certificate, *private)).unwrap_err();
        assert_eq!((error.option(), error.path()), (*option, None), "{error}");
    }

    let missing = folder.path("missing.pem");
    let not_a_file = Path::new("/dev/null");
    let options = || SslOptions::new(&cert, &key);
    let more: &[(SslOptions, &str, Option<&Path>, &str)] = &[
        (SslOptions::new(&missing, &key), "certfile", Some(&missing), "No such file"),
        (SslOptions::new(&cert, &missing), "keyfile", Some(&missing), "No such file"),
        (SslOptions::new(folder.0.path(), &key), "certfile", Some(folder.0.path()), "not a file"),
        (SslOptions::new(&cert, not_a_file), "keyfile", Some(not_a_file), "not a file"),
        (options().certificate(&missing, &key), "certfile", Some(&missing), "No such file"),
        (
            options().ca_certs(&missing).cert_reqs(CertReqs::Required),
            "ca_certs",
            Some(&missing),
            "No such file",
        ),
        (options().ca_certs(&key).cert_reqs(CertReqs::Optional), "ca_certs", Some(&key), "no certificate"),
        (options().ca_certs(&cert), "ca_certs", Some(&cert), "without cert_reqs"),
        (options().cert_reqs(CertReqs::Required), "cert_reqs", None, "without ca_certs"),
        (options().ciphers("RC4-MD5"), "ciphers", None, "there is no RC4-MD5"),
        (options().ciphers(""), "ciphers", None, "none is named"),
        (options().curves("P-521"), "curves", None, "there is no P-521"),
        (options().curves(":"), "curves", None, "none is named"),
    ];
    for (options, option, path, cause) in more {
        let error: SslError = TlsAcceptor::new(options.clone()).unwrap_err();
        assert_eq!((error.option(), error.path()), (*option, *path), "{error}");
        assert!(error.cause().contains(cause), "{error}");
    }
}

#[test]
fn every_kind_of_key_and_file_is_read() {
    let authority = Authority::new();
    let folder = Folder::new();
    let good = authority.certify(&["a.test"]);
    let together = folder.write("both.pem", &format!("# a comment\n{}\n{}", good.key, good.cert));
    let chain = folder.write("chain.pem", &format!("{}{}", good.cert, authority.pem()));
    let crlf = folder.write("crlf.pem", &good.cert.replace('\n', "\r\n"));
    let key = folder.write("key.pem", &good.key);
    let rsa = (include_str!("keys/rsa-cert.pem"), PKCS1);
    let ec = (include_str!("keys/ec-cert.pem"), SEC1);
    for options in [
        SslOptions::new(&together, &together),
        SslOptions::new(&chain, &key),
        SslOptions::new(&crlf, &key),
        SslOptions::from_pem(rsa.0, rsa.1),
        SslOptions::from_pem(ec.0, ec.1),
        SslOptions::from_pem(rsa.0, rsa.1).certificate_pem(ec.0, ec.1),
        good.options()
            .min_version(TlsVersion::Tls13)
            .ciphers("TLS_AES_128_GCM_SHA256")
            .curves("X25519:P-256"),
        good.options().ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ] {
        TlsAcceptor::new(options).unwrap();
    }
}

/// The server says so before it listens, each time, and never serves in clear text instead.
#[test]
fn a_server_with_bad_options_does_not_start() {
    let options = SslOptions::new("/no/cert.pem", "/no/key.pem");
    let server = HttpServer::new(|| Application::new([])).ssl_options(options);
    for _ in 0..2 {
        for result in [server.listen(0), server.bind(0).map(drop), server.start(1), server.add_sockets([])] {
            let error = result.unwrap_err();
            assert!(matches!(error, ServerError::Option(_)), "{error:?}");
            assert_eq!(
                error.to_string(),
                "ssl_options: certfile /no/cert.pem: No such file or directory (os error 2)"
            );
        }
    }
    assert!(server.local_addrs().is_empty());
}

/// Secrets are not for logs.
#[test]
fn debug_output_shows_no_key() {
    let good = Authority::new().certify(&["a.test"]);
    let shown = format!("{:?}", TlsAcceptor::new(good.options()).unwrap());
    assert!(!shown.contains("PRIVATE") && !shown.contains("45, 45"), "{shown}");
}
