//! The cryptography: aws-lc-rs, with post-quantum key agreement before all others.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}
