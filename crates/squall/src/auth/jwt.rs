//! Signed tokens: RFC 7515 (JWS), 7517 (keys) and 7519 (JWT), as far as OpenID Connect needs them. No clock and no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::AuthError;

/// A token whose signature has not been looked at.
pub(super) struct Jwt<'a> {
    header: Header,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is here.
    crit: Option<Value>,
}

/// A key of a provider's.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A set of keys; those of a kind that is not known here are left out.
pub(super) fn keys(set: &Value) -> Vec<Jwk> {
    let keys = set.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(|key| Jwk::deserialize(key).ok()).collect()
}

impl<'a> Jwt<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::Signature)?;
        let (header, payload) = signed.split_once('.').ok_or(AuthError::Signature)?;
        let header: Header = json(header)?;
        if header.crit.is_some() {
            return Err(AuthError::Signature);
        }
        let signature = decode(signature).ok_or(AuthError::Signature)?;
        Ok(Jwt { header, signed: signed.as_bytes(), signature, claims: json(payload)? })
    }

    /// The claims, if one of the keys has signed them.
    pub(super) fn verify(self, keys: &[Jwk]) -> Result<Map<String, Value>, AuthError> {
        let signed = keys.iter().filter(|key| key.is_for(&self.header)).any(|key| key.has_signed(&self));
        if signed { Ok(self.claims) } else { Err(AuthError::Signature) }
    }
}

impl Jwk {
    fn is_for(&self, header: &Header) -> bool {
        let named = header.kid.is_none() || self.kid.is_none() || header.kid == self.kid;
        let signs = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        named && signs && self.alg.as_deref().is_none_or(|alg| alg == header.alg)
    }

    /// The algorithm must be one of the key's own kind: a token cannot have an RSA key used as the secret of an HMAC, and
    /// `none` is nobody's.
    fn has_signed(&self, token: &Jwt<'_>) -> bool {
        match (self.kty.as_str(), token.header.alg.as_str(), self.crv.as_deref()) {
            ("RSA", "RS256", _) => self.rsa(&RSA_PKCS1_2048_8192_SHA256, token),
            ("RSA", "RS384", _) => self.rsa(&RSA_PKCS1_2048_8192_SHA384, token),
            ("RSA", "RS512", _) => self.rsa(&RSA_PKCS1_2048_8192_SHA512, token),
            ("RSA", "PS256", _) => self.rsa(&RSA_PSS_2048_8192_SHA256, token),
            ("RSA", "PS384", _) => self.rsa(&RSA_PSS_2048_8192_SHA384, token),
            ("RSA", "PS512", _) => self.rsa(&RSA_PSS_2048_8192_SHA512, token),
            ("EC", "ES256", Some("P-256")) => self.curve(&ECDSA_P256_SHA256_FIXED, token),
            ("EC", "ES384", Some("P-384")) => self.curve(&ECDSA_P384_SHA384_FIXED, token),
            ("OKP", "EdDSA", Some("Ed25519")) => {
                part(self.x.as_deref()).is_some_and(|key| verify(&ED25519, &key, token))
            }
            _ => false,
        }
    }

    fn rsa(&self, parameters: &'static RsaParameters, token: &Jwt<'_>) -> bool {
        let (Some(n), Some(e)) = (part(self.n.as_deref()), part(self.e.as_deref())) else { return false };
        RsaPublicKeyComponents { n, e }.verify(parameters, token.signed, &token.signature).is_ok()
    }

    fn curve(&self, algorithm: &'static dyn VerificationAlgorithm, token: &Jwt<'_>) -> bool {
        const UNCOMPRESSED: u8 = 4;
        let (Some(x), Some(y)) = (part(self.x.as_deref()), part(self.y.as_deref())) else { return false };
        let mut point = vec![UNCOMPRESSED];
        point.extend(x);
        point.extend(y);
        verify(algorithm, &point, token)
    }
}

fn verify(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], token: &Jwt<'_>) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(token.signed, &token.signature).is_ok()
}

fn part(text: Option<&str>) -> Option<Vec<u8>> {
    decode(text?)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, AuthError> {
    let bytes = decode(text).ok_or(AuthError::Signature)?;
    serde_json::from_slice(&bytes).map_err(|_| AuthError::Signature)
}
