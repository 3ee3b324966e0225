//! What a certificate says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

/// A certificate (what Python's `getpeercert` gives).
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    subject: String,
    issuer: String,
    serial_number: String,
    alt_names: Vec<AltName>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// For whom a certificate is, besides its subject (`subjectAltName`, RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AltName {
    /// A host name, perhaps with `*` for the first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mail address.
    Email(String),
    /// A URI, such as a SPIFFE identity.
    Uri(String),
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// When it is none; says why.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|error| format!("it is no X.509 certificate: {error}"))?;
        if !rest.is_empty() {
            return Err("it is no X.509 certificate: bytes follow it".to_owned());
        }
        let alt_names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(alt_name).collect(),
            Ok(None) => Vec::new(),
            Err(error) => return Err(format!("its subjectAltName is broken: {error}")),
        };
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial_number: parsed.raw_serial_as_string(),
            alt_names,
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            der: der.to_vec(),
        })
    }

    /// The certificate itself (Tornado's `binary_form`).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom it is for, as `CN=…, O=…`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The authority that signed it, written like the subject.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its number among those of the issuer, in hexadecimal with colons.
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// The names that it is for.
    pub fn alt_names(&self) -> &[AltName] {
        &self.alt_names
    }

    /// From when on it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.alt_names.iter().filter_map(|name| match name {
            AltName::Dns(name) => Some(name.as_str()),
            AltName::Ip(_) | AltName::Email(_) | AltName::Uri(_) => None,
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("alt_names", &self.alt_names)
            .finish_non_exhaustive()
    }
}

fn alt_name(name: &GeneralName<'_>) -> Option<AltName> {
    Some(match name {
        GeneralName::DNSName(name) => AltName::Dns((*name).to_owned()),
        GeneralName::RFC822Name(name) => AltName::Email((*name).to_owned()),
        GeneralName::URI(uri) => AltName::Uri((*uri).to_owned()),
        GeneralName::IPAddress(octets) => AltName::Ip(match octets.len() {
            4 => Ipv4Addr::from(<[u8; 4]>::try_from(*octets).ok()?).into(),
            _ => Ipv6Addr::from(<[u8; 16]>::try_from(*octets).ok()?).into(),
        }),
        _ => return None,
    })
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
