//! Whom a site trusts, as one signed document: its roots, and whom of their leaves it does not take.
//!
//! A bundle proves itself: who brings it, and over which way, does not matter. An agent keeps the one of
//! the highest generation, and takes a newer one only if a root signed it that the kept one trusts.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::certificate::{KeyDigest, not_before, public_key};
use super::error::{BundleError, TrustError};
use super::identity::SiteId;
use super::pem::certificates;
use crate::digest::unhex;

/// No other signature by a root means the same.
const DOMAIN: &[u8] = b"quorate-trust-bundle-v1\0";
/// Largest bundle with its signature, in bytes.
pub const BUNDLE_BYTES: usize = 1 << 20;
/// Most entries of a deny list.
const ENTRIES: usize = 10_000;
const TOO_LARGE: BundleError = BundleError::Size { bytes: BUNDLE_BYTES, entries: ENTRIES };

/// Whom a site trusts from one generation on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustBundle {
    pub site: SiteId,
    /// The higher one is the newer one.
    pub generation: u64,
    /// Seconds since 1970.
    pub issued_at: i64,
    /// PEM. The first is the one that the site works with; more during a change of roots.
    pub operator_roots: Vec<String>,
    /// PEM, in the same order.
    pub node_roots: Vec<String>,
    /// Certificates that began before are not taken; seconds since 1970.
    pub epoch: i64,
    pub deny: Vec<Denial>,
}

/// Whom not to take, although a root's leaf says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    pub who: Denied,
    /// Seconds since 1970; no certificate that it is about may live longer.
    pub until: i64,
}

/// What a denied certificate is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denied {
    /// `operator:alice` or `node:cp-1`, whatever the role.
    Party(String),
    /// SHA-256 of the public key, in hexadecimal digits.
    Key(String),
    /// The certificate's serial number, in hexadecimal digits.
    Serial(String),
}

/// A bundle and the signature of an operators' root over its very bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedBundle {
    bundle: String,
    /// Digest of the key that signed.
    signer: String,
    /// ECDSA on P-256 with SHA-256, DER in hexadecimal digits.
    signature: String,
}

impl TrustBundle {
    /// What is trusted before any bundle came: the roots of the enrolment.
    pub fn of_enrolment(site: SiteId, operator_roots_pem: String, node_roots_pem: String) -> Self {
        Self {
            site,
            generation: 0,
            issued_at: 0,
            operator_roots: vec![operator_roots_pem],
            node_roots: vec![node_roots_pem],
            epoch: 0,
            deny: Vec::new(),
        }
    }

    /// All operators' roots, PEM.
    pub fn operator_roots_pem(&self) -> String {
        self.operator_roots.concat()
    }

    /// All nodes' roots, PEM.
    pub fn node_roots_pem(&self) -> String {
        self.node_roots.concat()
    }

    /// Which of the roots are the newest, of the operators and of the nodes: during a change of roots
    /// those that come.
    pub fn newest_roots(&self) -> Result<[&str; 2], TrustError> {
        Ok([newest(&self.operator_roots)?, newest(&self.node_roots)?])
    }

    /// The one way to write it: what is signed are these bytes.
    pub(super) fn canonical(&self) -> String {
        // Plain data: it cannot fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What this bundle allows to follow it: the whole of it, or why not.
    pub fn accept(&self, signed: &SignedBundle) -> Result<Self, BundleError> {
        let next = signed.read()?;
        let roots = self.roots()?;
        let signer = roots.iter().find(|root| signed.is_by(root)).ok_or(BundleError::Signature)?;
        if next.site != self.site {
            return Err(BundleError::Site(next.site));
        }
        if next.generation <= self.generation {
            let (kept, found) = (self.generation, next.generation);
            return Err(BundleError::Generation { kept, found });
        }
        let next_roots = next.roots()?;
        if next_roots.is_empty() || next.node_roots.is_empty() {
            return Err(BundleError::NoRoots);
        }
        let node_roots = certificates(&next.node_roots_pem(), "a root");
        node_roots.ok().ok_or(BundleError::Form)?;
        let first = roots.first().ok_or(BundleError::NoRoots)?;
        if !next_roots.contains(first) && signer != first {
            return Err(BundleError::Dropped);
        }
        Ok(next)
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, BundleError> {
        if self.operator_roots.is_empty() {
            return Ok(Vec::new());
        }
        certificates(&self.operator_roots_pem(), "a root").ok().ok_or(BundleError::Form)
    }
}

impl SignedBundle {
    pub(super) fn new(bundle: &TrustBundle, signer: KeyDigest, signature: &[u8]) -> Self {
        let (signer, signature) = (signer.to_string(), crate::digest::hex(signature));
        Self { bundle: bundle.canonical(), signer, signature }
    }

    /// What it says. Nothing is said of who signed it: [`TrustBundle::accept`] asks that.
    pub fn read(&self) -> Result<TrustBundle, BundleError> {
        if self.bundle.len() > BUNDLE_BYTES {
            return Err(TOO_LARGE);
        }
        let bundle: TrustBundle =
            serde_json::from_str(&self.bundle).ok().ok_or(BundleError::Form)?;
        if bundle.deny.len() > ENTRIES {
            return Err(TOO_LARGE);
        }
        if bundle.canonical() == self.bundle { Ok(bundle) } else { Err(BundleError::Form) }
    }

    /// As it is kept and sent.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As it was kept or came.
    pub fn from_json(text: &str) -> Result<Self, BundleError> {
        // Escaping makes the bundle within longer, at worst by half.
        if text.len() > 2 * BUNDLE_BYTES {
            return Err(TOO_LARGE);
        }
        serde_json::from_str(text).ok().ok_or(BundleError::Form)
    }

    fn is_by(&self, root: &CertificateDer<'_>) -> bool {
        let own = KeyDigest::of_certificate(root).is_ok_and(|key| key.to_string() == self.signer);
        let (Some(signature), Ok(key)) = (unhex(&self.signature), public_key(root)) else {
            return false;
        };
        let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(&signed_bytes(&self.bundle), &signature);
        own && verified.is_ok()
    }
}

fn newest(roots: &[String]) -> Result<&str, TrustError> {
    let mut newest = None;
    for pem in roots {
        let root = certificates(pem, "a root")?;
        let began = root.first().map(not_before).transpose()?;
        newest = newest.max(Some((began, pem.as_str())));
    }
    newest.map(|(_, pem)| pem).ok_or(TrustError::Bundle(BundleError::NoRoots))
}

/// What a root signs.
pub(super) fn signed_bytes(bundle: &str) -> Vec<u8> {
    [DOMAIN, bundle.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::trust::RootKeys;

    fn keys() -> (RootKeys, TrustBundle) {
        let site = SiteId::random();
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let keys = RootKeys::create(site, now).unwrap();
        let first = keys.first_bundle(now);
        (keys, first)
    }

    #[test]
    fn a_newer_bundle_of_a_trusted_root_is_taken_and_no_older_one() {
        let (keys, first) = keys();
        let enrolled = TrustBundle { generation: 0, ..first.clone() };
        assert_eq!(enrolled.accept(&keys.sign(&first).unwrap()), Ok(first.clone()));
        let next = TrustBundle { generation: 7, epoch: 9, ..first.clone() };
        let signed = keys.sign(&next).unwrap();
        let kept = first.accept(&SignedBundle::from_json(&signed.to_json()).unwrap()).unwrap();
        assert_eq!(kept, next);
        for generation in [1, 6, 7] {
            let signed = keys.sign(&TrustBundle { generation, ..first.clone() }).unwrap();
            let refused = Err(BundleError::Generation { kept: 7, found: generation });
            assert_eq!(kept.accept(&signed), refused);
        }
    }

    #[test]
    fn what_no_trusted_root_signed_as_it_stands_is_refused() {
        let (own, first) = keys();
        let (strangers, _) = keys();
        let next = TrustBundle { generation: 2, ..first.clone() };
        let refused = Err(BundleError::Signature);
        assert_eq!(first.accept(&strangers.sign(&next).unwrap()), refused);
        let good = own.sign(&next).unwrap();
        let changed = TrustBundle { epoch: 1, ..next.clone() };
        assert_eq!(
            first.accept(&SignedBundle { bundle: changed.canonical(), ..good.clone() }),
            refused
        );
        for signature in ["", "zz", "30", "é"] {
            let signature = signature.to_owned();
            assert_eq!(first.accept(&SignedBundle { signature, ..good.clone() }), refused);
        }
        let other = TrustBundle { site: SiteId::random(), ..next.clone() };
        assert_eq!(first.accept(&own.sign(&other).unwrap()), Err(BundleError::Site(other.site)));
        let spaced = SignedBundle { bundle: format!(" {}", next.canonical()), ..good };
        assert_eq!(first.accept(&spaced), Err(BundleError::Form));
    }

    #[test]
    fn no_bundle_leaves_nobody_to_trust_and_the_first_root_goes_by_its_own_word() {
        let (a, first) = keys();
        let b = RootKeys::create(first.site, SystemTime::UNIX_EPOCH).unwrap();
        let of_b = b.first_bundle(SystemTime::UNIX_EPOCH);
        let none = TrustBundle { generation: 2, operator_roots: Vec::new(), ..first.clone() };
        assert_eq!(first.accept(&a.sign(&none).unwrap()), Err(BundleError::NoRoots));
        let none = TrustBundle { generation: 2, node_roots: Vec::new(), ..first.clone() };
        assert_eq!(first.accept(&a.sign(&none).unwrap()), Err(BundleError::NoRoots));

        let both = TrustBundle {
            generation: 2,
            operator_roots: [&first.operator_roots[..], &of_b.operator_roots].concat(),
            node_roots: [&first.node_roots[..], &of_b.node_roots].concat(),
            ..first.clone()
        };
        let both = first.accept(&a.sign(&both).unwrap()).unwrap();
        let only_b = TrustBundle { generation: 3, ..of_b };
        assert_eq!(both.accept(&b.sign(&only_b).unwrap()), Err(BundleError::Dropped));
        assert_eq!(both.accept(&a.sign(&only_b).unwrap()), Ok(only_b.clone()));
        assert_eq!(
            only_b.accept(&a.sign(&TrustBundle { generation: 4, ..first }).unwrap()),
            Err(BundleError::Signature)
        );
    }

    #[test]
    fn what_is_too_large_is_refused_unread() {
        let (keys, first) = keys();
        let denial = |n: usize| Denial { who: Denied::Party(format!("operator:o{n}")), until: 9 };
        let many =
            |n| TrustBundle { generation: 2, deny: (0..n).map(denial).collect(), ..first.clone() };
        assert!(first.accept(&keys.sign(&many(ENTRIES)).unwrap()).is_ok());
        let too_many = keys.sign(&many(ENTRIES + 1)).unwrap();
        assert_eq!(first.accept(&too_many), Err(TOO_LARGE));
        assert_eq!(SignedBundle::from_json(&" ".repeat(2 * BUNDLE_BYTES + 1)), Err(TOO_LARGE));
        assert_eq!(SignedBundle::from_json("{}"), Err(BundleError::Form));
    }
}
