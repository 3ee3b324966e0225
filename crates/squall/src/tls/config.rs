//! From options to what rustls works with.

use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite};
use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::names::CertificatesByName;
use super::options::{CertReqs, Pem, SslOptions, TlsVersion};
use super::tickets::{TicketSecret, Ticketer};
use super::{SslError, provider};

/// One state of the options' files, ready for handshakes.
pub(super) struct Settings {
    pub(super) server: Arc<ServerConfig>,
    /// What checks client certificates; `None` when none are asked for.
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Settings {
    pub(super) fn load(options: &SslOptions, secret: &Arc<TicketSecret>) -> Result<Self, SslError> {
        let provider = Arc::new(choose(options)?);
        let certificates: Result<Vec<_>, _> = options
            .identities
            .iter()
            .map(|(certificate, key)| identity(certificate, key, &provider))
            .collect();
        let authorities = authorities(options)?;
        let client_verifier = authorities.map(|roots| verifier(roots, options, &provider)).transpose()?;
        let versions: &[_] = match options.min_version {
            TlsVersion::Tls12 => rustls::ALL_VERSIONS,
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| SslError::new("ciphers", None, error))?;
        let builder = match &client_verifier {
            None => builder.with_no_client_auth(),
            Some((verifier, _)) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let mut server = builder.with_cert_resolver(Arc::new(CertificatesByName::new(certificates?)));
        server.alpn_protocols = options.alpn_protocols.clone().unwrap_or_default();
        // Tickets only: a cache would be one process's, and memory that clients fill.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if options.session_tickets {
            let rules = client_verifier.as_ref().map_or([0; 32], |(_, rules)| *rules);
            server.ticketer = Arc::new(Ticketer::new(Arc::clone(secret), rules));
        } else {
            server.send_tls13_tickets = 0;
        }
        Ok(Self { server: Arc::new(server), client_verifier: client_verifier.map(|(verifier, _)| verifier) })
    }

    /// Checks the certificates of a client whose session was taken up again: when it began they were good, which may
    /// have been hours ago.
    pub(super) fn check_again(&self, chain: &[Vec<u8>]) -> Result<(), rustls::Error> {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        match (&self.client_verifier, &*chain) {
            (Some(verifier), [own, rest @ ..]) => {
                verifier.verify_client_cert(own, rest, UnixTime::now()).map(drop)
            }
            (Some(verifier), []) if verifier.client_auth_mandatory() => {
                Err(rustls::Error::NoCertificatesPresented)
            }
            _ => Ok(()),
        }
    }
}

/// A certificate with its key, and the names that it is for.
fn identity(
    certfile: &Pem,
    keyfile: &Pem,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Vec<String>), SslError> {
    let chain = certfile.certificates("certfile")?;
    let key = keyfile.key()?;
    let wrong = |cause: &dyn std::fmt::Display| certfile.error("certfile", cause);
    let own = chain.first().ok_or_else(|| wrong(&"there is no certificate in it"))?;
    let parsed = Certificate::parse(own).map_err(|cause| wrong(&cause))?;
    let now = SystemTime::now();
    if parsed.not_after() < now {
        return Err(wrong(&format_args!("the certificate has expired, on {}", date(parsed.not_after()))));
    }
    if parsed.not_before() > now {
        return Err(wrong(&format_args!("the certificate is valid from {} only", date(parsed.not_before()))));
    }
    let names = parsed.dns_names().map(str::to_owned).collect();
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(certified) => Ok((certified, names)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let mut cause = "the key does not fit the certificate".to_owned();
            if let Some(path) = certfile.path() {
                let _ = write!(cause, " in {}", path.display()); // writing to a string cannot fail
            }
            Err(keyfile.error("keyfile", cause))
        }
        Err(rustls::Error::InvalidCertificate(error)) => Err(wrong(&error)),
        Err(error) => Err(keyfile.error("keyfile", error)),
    }
}

fn date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// The authorities of client certificates, if any are asked for.
fn authorities(options: &SslOptions) -> Result<Option<(RootCertStore, [u8; 32])>, SslError> {
    let file = match (&options.ca_certs, options.cert_reqs) {
        (None, CertReqs::None) => return Ok(None),
        (Some(file), CertReqs::None) => {
            return Err(
                file.error("ca_certs", "without cert_reqs no client would be asked for a certificate")
            );
        }
        (None, CertReqs::Optional | CertReqs::Required) => {
            return Err(SslError::new("cert_reqs", None, "without ca_certs no client's certificate is good"));
        }
        (Some(file), CertReqs::Optional | CertReqs::Required) => file,
    };
    let mut store = RootCertStore::empty();
    let mut rules = Sha256::new();
    rules.update([u8::from(options.cert_reqs == CertReqs::Required)]);
    for certificate in file.certificates("ca_certs")? {
        rules.update(Sha256::digest(&certificate));
        store.add(certificate).map_err(|error| file.error("ca_certs", error))?;
    }
    Ok(Some((store, rules.finalize().into())))
}

type Verifier = (Arc<dyn ClientCertVerifier>, [u8; 32]);

fn verifier(
    (roots, rules): (RootCertStore, [u8; 32]),
    options: &SslOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, SslError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match options.cert_reqs {
        CertReqs::Optional => builder.allow_unauthenticated(),
        CertReqs::None | CertReqs::Required => builder,
    };
    let verifier = builder.build().map_err(|error| SslError::new("ca_certs", None, error))?;
    Ok((verifier, rules))
}

/// The cryptography with the chosen ciphers and curves.
fn choose(options: &SslOptions) -> Result<CryptoProvider, SslError> {
    let mut provider = provider();
    if let Some(names) = &options.ciphers {
        provider.cipher_suites = cipher_suites(names, &provider.cipher_suites)?;
    }
    if let Some(names) = &options.curves {
        provider.kx_groups = curves(names, &provider.kx_groups)?;
    }
    Ok(provider)
}

/// The names that OpenSSL has for IANA's.
const CIPHERS: [(&str, &str); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

fn cipher_suites(names: &str, all: &[SupportedCipherSuite]) -> Result<Vec<SupportedCipherSuite>, SslError> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    for name in list(names) {
        let iana = CIPHERS.iter().find(|(openssl, _)| *openssl == name).map_or(name, |(_, iana)| *iana);
        // rustls spells TLS 1.3's `TLS13_…`.
        let suite = all.iter().find(|suite| {
            suite.suite().as_str().is_some_and(|own| own.replacen("TLS13_", "TLS_", 1) == iana)
        });
        match suite {
            Some(suite) if !chosen.contains(suite) => chosen.push(*suite),
            Some(_) => {}
            None => return Err(SslError::new("ciphers", None, format_args!("there is no {name}"))),
        }
    }
    if chosen.is_empty() {
        return Err(SslError::new("ciphers", None, "none is named"));
    }
    if !chosen.iter().any(|suite| suite.tls13().is_some()) {
        chosen.splice(0..0, all.iter().filter(|suite| suite.tls13().is_some()).copied());
    }
    Ok(chosen)
}

fn curves(
    names: &str,
    all: &[&'static dyn SupportedKxGroup],
) -> Result<Vec<&'static dyn SupportedKxGroup>, SslError> {
    let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in list(names) {
        let group = match name {
            "X25519" | "x25519" => NamedGroup::X25519,
            "P-256" | "prime256v1" | "secp256r1" => NamedGroup::secp256r1,
            "P-384" | "secp384r1" => NamedGroup::secp384r1,
            "X25519MLKEM768" => NamedGroup::X25519MLKEM768,
            _ => NamedGroup::Unknown(0),
        };
        match all.iter().find(|known| known.name() == group) {
            Some(known) => chosen.push(*known),
            None => return Err(SslError::new("curves", None, format_args!("there is no {name}"))),
        }
    }
    if chosen.is_empty() {
        return Err(SslError::new("curves", None, "none is named"));
    }
    Ok(chosen)
}

fn list(names: &str) -> impl Iterator<Item = &str> {
    names.split([':', ',']).map(crate::escape::trim).filter(|name| !name.is_empty())
}
