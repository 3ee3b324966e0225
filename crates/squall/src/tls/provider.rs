//! The cryptography: ring.

use rustls::crypto::{CryptoProvider, ring};

pub(crate) fn provider() -> CryptoProvider {
    ring::default_provider()
}
