//! Reading certificates and keys, with errors that say what is wrong with them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::SslError;
use super::options::Pem;

/// No file of certificates is as large as this.
const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

impl Pem {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }

    /// The certificates in it, at least one.
    pub(super) fn certificates(
        &self,
        option: &'static str,
    ) -> Result<Vec<CertificateDer<'static>>, SslError> {
        let text = self.read(option)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if found.is_empty() => {
                Err(self.error(option, "there is no certificate in it (-----BEGIN CERTIFICATE-----)"))
            }
            Ok(found) => Ok(found),
            Err(error) => Err(self.error(option, describe(&error))),
        }
    }

    /// The private key in it.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, SslError> {
        let option = "keyfile";
        let text = self.read(option)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let contains = |words: &[u8]| memchr::memmem::find(&text, words).is_some();
            if contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED") {
                return self.error(option, "the key is encrypted; `openssl pkey` writes one that is not");
            }
            match error {
                pem::Error::NoItemsFound => {
                    self.error(option, "there is no private key in it (PKCS#8, PKCS#1 or SEC1, in PEM)")
                }
                error => self.error(option, describe(&error)),
            }
        })
    }

    pub(super) fn error(&self, option: &'static str, cause: impl std::fmt::Display) -> SslError {
        SslError::new(option, self.path(), cause)
    }

    fn read(&self, option: &'static str) -> Result<Vec<u8>, SslError> {
        match self {
            Self::Text(text) => Ok(text.to_vec()),
            Self::File(path) => read_file(path).map_err(|error| self.error(option, error)),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: a pipe would be waited for.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE).read_to_end(&mut text)?;
    Ok(text)
}

/// What the library says of PEM, in words.
fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("it breaks off: there is no line {}", end_marker.escape_ascii())
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("a line of it is broken: {}", line.escape_ascii())
        }
        pem::Error::Base64Decode(_) => "what is in it is not Base64".to_owned(),
        other => other.to_string(),
    }
}
