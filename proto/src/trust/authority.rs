//! One authority, and the leaves that it signs. A request gives a public key and nothing else: names,
//! use and lifetime are the authority's.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber, SigningKey as _,
};
use rustls::pki_types::CertificateDer;

use super::certificate::KeyDigest;
use super::error::TrustError;
use super::identity::Identity;
use super::pem::certificates;
use crate::secret::Secret;

const ROOT_LIFETIME: Duration = Duration::from_hours(24 * 3652);
/// The key of an issuing authority lies beside the site's records: it must not serve for long.
const ISSUING_LIFETIME: Duration = Duration::from_hours(24 * 365);
/// Clocks differ: a new certificate must hold on a node that is a little behind.
pub const BACKDATE: Duration = Duration::from_mins(5);
/// Ours have some 250 bytes; anything much larger only costs time to parse.
const MAX_REQUEST: usize = 4096;

/// A certificate for a key that someone else holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Leaf first, and the issuing authority after it.
    pub chain: Vec<CertificateDer<'static>>,
    pub not_after: SystemTime,
}

/// The public key of a certificate request whose sender holds the private one.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    pub(super) key: rcgen::PublicKey,
}

impl SigningRequest {
    /// Checks the self-signature and the kind of key. All else that a request says is ignored.
    pub fn from_der(der: &[u8]) -> Result<Self, TrustError> {
        if der.len() > MAX_REQUEST {
            return Err(TrustError::Request("it is too large"));
        }
        let request = CertificateSigningRequestParams::from_der(&der.into());
        let key = request.map_err(TrustError::Issue)?.public_key;
        // The algorithm named is that of the signature: a point on P-256 has 65 bytes.
        let p256 = *key.algorithm() == rcgen::PKCS_ECDSA_P256_SHA256 && key.der_bytes().len() == 65;
        if p256 { Ok(Self { key }) } else { Err(TrustError::Request("its key is not of P-256")) }
    }

    pub fn key_digest(&self) -> KeyDigest {
        KeyDigest::of_spki(&self.key.subject_public_key_info())
    }
}

/// The private key of a node, made there and never sent.
#[derive(Debug)]
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// A new key on P-256.
    pub fn generate() -> Result<Self, TrustError> {
        KeyPair::generate().map(Self).map_err(TrustError::Issue)
    }

    /// The key as it was kept.
    pub fn from_pem(pem: &Secret) -> Result<Self, TrustError> {
        let key = KeyPair::from_pem(pem.expose()).ok();
        key.map(Self).ok_or(TrustError::Pem { what: "the node's key" })
    }

    /// For keeping.
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    pub fn key_digest(&self) -> KeyDigest {
        KeyDigest::of_spki(&self.0.subject_public_key_info())
    }

    /// A certificate request: proof that we hold the key, and nothing else.
    pub fn request(&self) -> Result<Vec<u8>, TrustError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(TrustError::Issue)?;
        Ok(request.der().to_vec())
    }
}

/// An authority and its key: a root, or one that a root lets sign leaves.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A root, which lets authorities sign leaves.
    pub(super) fn root(name: &str, now: SystemTime) -> Result<Self, TrustError> {
        let key = KeyPair::generate().map_err(TrustError::Issue)?;
        let params = authority(name, 1, now, now + ROOT_LIFETIME)?;
        let certificate = params.self_signed(&key).map_err(TrustError::Issue)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// An authority with a key of its own, which signs leaves and nothing else.
    pub(super) fn issuing(&self, name: &str, now: SystemTime) -> Result<Self, TrustError> {
        let key = KeyPair::generate().map_err(TrustError::Issue)?;
        let mut params = authority(name, 0, now, now + ISSUING_LIFETIME)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(TrustError::Issue)?;
        let certificate = certificate.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    pub(super) fn load(
        pem: &str,
        key_pem: &Secret,
        what: &'static str,
    ) -> Result<Self, TrustError> {
        let unreadable = || TrustError::Pem { what };
        let certificate = certificates(pem, what)?.into_iter().next().ok_or_else(unreadable)?;
        let key = KeyPair::from_pem(key_pem.expose()).ok().ok_or_else(unreadable)?;
        let own = KeyDigest::of_spki(&key.subject_public_key_info());
        if own != KeyDigest::of_certificate(&certificate)? {
            return Err(TrustError::KeyMismatch(what));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(TrustError::Issue)?;
        Ok(Self { certificate, issuer })
    }

    /// A signature of this authority's key, ECDSA in DER.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, TrustError> {
        self.issuer.key().sign(message).map_err(TrustError::Issue)
    }

    pub(super) fn key_pem(&self) -> Secret {
        Secret::new(self.issuer.key().serialize_pem())
    }

    pub(super) fn sign(
        &self,
        identity: &Identity,
        usages: &[ExtendedKeyUsagePurpose],
        now: SystemTime,
        until: SystemTime,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let mut params = validity(now, until)?;
        params.subject_alt_names = vec![
            SanType::URI(identity.to_string().try_into().map_err(TrustError::Issue)?),
            SanType::DnsName(identity.dns_name().try_into().map_err(TrustError::Issue)?),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(TrustError::Issue)?;
        Ok(certificate.der().clone())
    }
}

fn authority(
    name: &str,
    below: u8,
    now: SystemTime,
    until: SystemTime,
) -> Result<CertificateParams, TrustError> {
    let mut params = validity(now, until)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn validity(now: SystemTime, until: SystemTime) -> Result<CertificateParams, TrustError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).ok().ok_or(TrustError::Random)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = (now - BACKDATE).into();
    params.not_after = until.into();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}
