//! What is read of a certificate: who it names, what it is for, how long, and its key.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use sha2::Digest as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::error::TrustError;
use super::identity::{Identity, IdentityError};
use crate::digest::{Sha256, hex};

/// SHA-256 of a public key, as certificates carry it (the DER of SubjectPublicKeyInfo).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Of a public key in DER.
    pub fn of_spki(der: &[u8]) -> Self {
        Self(sha2::Sha256::digest(der).into())
    }

    /// Of a certificate's key.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, TrustError> {
        Ok(Self::of_spki(parse(der)?.public_key().raw))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<KeyDigest> for Sha256 {
    fn from(key: KeyDigest) -> Self {
        Self::from_raw(&key.0)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}

/// What a leaf is made for: the whole set of extended key usages must be one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Server,
    Client,
    Both,
    Other,
}

/// A leaf, as far as trust depends on it. Says nothing on who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) identity: Identity,
    pub(super) usage: Usage,
    /// From the first to the last moment of validity, seconds.
    pub(super) lifetime_s: i64,
    /// Last moment of validity, seconds since 1970.
    pub(super) not_after: i64,
    /// In hexadecimal digits.
    pub(super) serial: String,
    pub(super) key: KeyDigest,
}

impl Leaf {
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, TrustError> {
        let certificate = parse(der)?;
        let validity = certificate.validity();
        let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self {
            identity: identity(&certificate).map_err(TrustError::Nameless)?,
            usage: usage(&certificate),
            lifetime_s: to.saturating_sub(from),
            not_after: to,
            serial: hex(certificate.raw_serial()),
            key: KeyDigest::of_spki(certificate.public_key().raw),
        })
    }
}

/// What is asked of a certificate beyond its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub key: KeyDigest,
    /// In hexadecimal digits.
    pub serial: String,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

impl Seen {
    pub(super) fn of(leaf: &Leaf) -> Self {
        let Leaf { key, serial, not_after, lifetime_s, .. } = leaf;
        let not_before = not_after.saturating_sub(*lifetime_s);
        Self { key: *key, serial: serial.clone(), not_before, not_after: *not_after }
    }
}

/// Whom a certificate names, and what a policy asks of it. Says nothing on who signed it.
pub fn read_leaf(der: &CertificateDer<'_>) -> Result<(Identity, Seen), TrustError> {
    let leaf = Leaf::read(der)?;
    let seen = Seen::of(&leaf);
    Ok((leaf.identity, seen))
}

/// The key of a certificate, as signatures are verified with it: a point, for P-256.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Result<Vec<u8>, TrustError> {
    Ok(parse(der)?.public_key().subject_public_key.data.to_vec())
}

/// The last moment of a certificate's validity.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Result<SystemTime, TrustError> {
    let seconds = parse(der)?.validity().not_after.timestamp();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// The first moment of a certificate's validity, seconds since 1970.
pub(super) fn not_before(der: &CertificateDer<'_>) -> Result<i64, TrustError> {
    Ok(parse(der)?.validity().not_before.timestamp())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TrustError> {
    let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    let unreadable = TrustError::Nameless(IdentityError::Unreadable);
    parsed.map(|(_, certificate)| certificate).ok_or(unreadable)
}

fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    let names = certificate.subject_alternative_name().ok().ok_or(IdentityError::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    match (uris.next(), uris.count()) {
        (Some(uri), 0) => uri.parse(),
        (first, more) => Err(IdentityError::Count(more + usize::from(first.is_some()))),
    }
}

fn usage(certificate: &X509Certificate<'_>) -> Usage {
    let Ok(Some(usages)) = certificate.extended_key_usage() else { return Usage::Other };
    let usages = usages.value;
    let more = usages.any
        || usages.code_signing
        || usages.email_protection
        || usages.time_stamping
        || usages.ocsp_signing
        || !usages.other.is_empty();
    match (usages.server_auth, usages.client_auth, more) {
        (true, false, false) => Usage::Server,
        (false, true, false) => Usage::Client,
        (true, true, false) => Usage::Both,
        _ => Usage::Other,
    }
}
