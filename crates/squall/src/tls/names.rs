//! Which certificate a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by the names in them. The first of all is for everybody else.
#[derive(Debug)]
pub(super) struct CertificatesByName {
    all: Vec<Arc<CertifiedKey>>,
    /// Names in lower case, perhaps with a `*` for the first label, and the places of their certificates.
    names: HashMap<String, Vec<usize>>,
}

impl CertificatesByName {
    pub(super) fn new(certificates: Vec<(CertifiedKey, Vec<String>)>) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        let mut all = Vec::new();
        for (place, (certificate, own_names)) in certificates.into_iter().enumerate() {
            for name in own_names {
                names.entry(name.to_ascii_lowercase()).or_default().push(place);
            }
            all.push(Arc::new(certificate));
        }
        Self { all, names }
    }

    fn find(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let named = server_name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            self.names.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.names.get(&format!("*.{parent}"))
            })
        });
        let named = named.into_iter().flatten().filter_map(|place| self.all.get(*place));
        named.clone().find(fits).or_else(|| self.all.iter().find(fits)).or(self.all.first()).cloned()
    }
}

impl ResolvesServerCert for CertificatesByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}
