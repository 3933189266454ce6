//! The two roots of a site and the leaves that they sign. A request gives a public key and nothing
//! else: names, use and lifetime are the authority's.
//!
//! Which root signs, what for and for how long follows from who is named, so no caller can mix them.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use super::certificate::KeyDigest;
use super::credentials::{Credentials, certificates, pem_of};
use super::error::TrustError;
use super::identity::{Identity, OperatorName, SiteId, Who};
use crate::id::NodeName;
use crate::secret::Secret;

const DAY: Duration = Duration::from_hours(24);
const ROOT_LIFETIME: Duration = Duration::from_hours(24 * 3652);
/// No issuer is always on, so that a node must outlast some months without one.
const NODE_LIFETIME: Duration = Duration::from_hours(24 * 90);
/// Clocks differ: a new certificate must hold on a node that is a little behind.
const BACKDATE: Duration = Duration::from_mins(5);
/// Ours have some 250 bytes; anything much larger only costs time to parse.
const MAX_REQUEST: usize = 4096;

/// Both roots of a site, with their keys.
#[derive(Debug)]
pub struct Roots {
    site: SiteId,
    operators: Authority,
    nodes: Authority,
}

/// Both roots as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootsPem {
    pub operators_pem: String,
    pub operators_key_pem: Secret,
    pub nodes_pem: String,
    pub nodes_key_pem: Secret,
}

impl Roots {
    /// New roots for a site, valid for ten years.
    pub fn create(site: SiteId, now: SystemTime) -> Result<Self, TrustError> {
        Ok(Self {
            site,
            operators: Authority::create(&format!("quorate operators of site {site}"), now)?,
            nodes: Authority::create(&format!("quorate nodes of site {site}"), now)?,
        })
    }

    /// The roots as they were kept.
    pub fn load(site: SiteId, pem: &RootsPem) -> Result<Self, TrustError> {
        Ok(Self {
            site,
            operators: Authority::load(
                &pem.operators_pem,
                &pem.operators_key_pem,
                "the operators' root",
            )?,
            nodes: Authority::load(&pem.nodes_pem, &pem.nodes_key_pem, "the nodes' root")?,
        })
    }

    /// For keeping.
    pub fn to_pem(&self) -> RootsPem {
        RootsPem {
            operators_pem: pem_of(&self.operators.certificate),
            operators_key_pem: self.operators.key_pem(),
            nodes_pem: pem_of(&self.nodes.certificate),
            nodes_key_pem: self.nodes.key_pem(),
        }
    }

    pub fn site(&self) -> SiteId {
        self.site
    }

    /// The root whose leaves may give orders.
    pub fn operator_root(&self) -> &CertificateDer<'static> {
        &self.operators.certificate
    }

    /// The root of the nodes.
    pub fn node_root(&self) -> &CertificateDer<'static> {
        &self.nodes.certificate
    }

    /// What a join token pins.
    pub fn pin(&self) -> Result<KeyDigest, TrustError> {
        KeyDigest::of_certificate(&self.operators.certificate)
    }

    /// A certificate of 90 days for a node, to serve as itself and to renew.
    pub fn certify_node(
        &self,
        node: &NodeName,
        request: &SigningRequest,
        now: SystemTime,
    ) -> Result<IssuedCertificate, TrustError> {
        let identity = Identity { site: self.site, who: Who::Node(node.clone()) };
        let (both, until) = (
            [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            now + NODE_LIFETIME,
        );
        let der = self.nodes.sign(&identity, &both, now, until, &request.key)?;
        Ok(IssuedCertificate { der, not_after: until })
    }

    /// Credentials to give orders with, for a day and for memory alone.
    pub fn operator(
        &self,
        name: &OperatorName,
        now: SystemTime,
    ) -> Result<Credentials, TrustError> {
        let identity = Identity { site: self.site, who: Who::Operator(name.clone()) };
        let (chain_pem, key_pem) =
            self.operators.leaf(&identity, ExtendedKeyUsagePurpose::ClientAuth, now)?;
        Ok(Credentials { chain_pem, key_pem, peer_roots_pem: pem_of(&self.nodes.certificate) })
    }

    /// Credentials to serve enrolment with, for a day and for memory alone. The chain ends with
    /// the root itself, because a node that enrols knows nothing but the root's digest.
    pub fn service(&self, now: SystemTime) -> Result<Credentials, TrustError> {
        self.coordinator(ExtendedKeyUsagePurpose::ServerAuth, now)
    }

    /// Credentials to claim a node with that waits for it, otherwise as those of [`Self::service`].
    pub fn claimer(&self, now: SystemTime) -> Result<Credentials, TrustError> {
        self.coordinator(ExtendedKeyUsagePurpose::ClientAuth, now)
    }

    fn coordinator(
        &self,
        usage: ExtendedKeyUsagePurpose,
        now: SystemTime,
    ) -> Result<Credentials, TrustError> {
        let identity = Identity { site: self.site, who: Who::Coordinator };
        let (leaf_pem, key_pem) = self.operators.leaf(&identity, usage, now)?;
        Ok(Credentials {
            chain_pem: leaf_pem + &pem_of(&self.operators.certificate),
            key_pem,
            peer_roots_pem: pem_of(&self.nodes.certificate),
        })
    }
}

/// A certificate for a key that someone else holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    pub der: CertificateDer<'static>,
    pub not_after: SystemTime,
}

/// The public key of a certificate request whose sender holds the private one.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    key: rcgen::PublicKey,
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

/// One root and its key.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn create(name: &str, now: SystemTime) -> Result<Self, TrustError> {
        let key = KeyPair::generate().map_err(TrustError::Issue)?;
        let mut params = validity(now, now + ROOT_LIFETIME)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(TrustError::Issue)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    fn load(pem: &str, key_pem: &Secret, what: &'static str) -> Result<Self, TrustError> {
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

    fn key_pem(&self) -> Secret {
        Secret::new(self.issuer.key().serialize_pem())
    }

    /// A leaf of a day, with a key of its own; both PEM.
    fn leaf(
        &self,
        identity: &Identity,
        usage: ExtendedKeyUsagePurpose,
        now: SystemTime,
    ) -> Result<(String, Secret), TrustError> {
        let key = KeyPair::generate().map_err(TrustError::Issue)?;
        let der = self.sign(identity, &[usage], now, now + DAY, &key)?;
        Ok((pem_of(&der), Secret::new(key.serialize_pem())))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots::create(SiteId::random(), SystemTime::UNIX_EPOCH + DAY).unwrap()
    }

    #[test]
    fn roots_load_as_they_were_kept_and_not_with_each_others_keys() {
        let roots = roots();
        let pem = roots.to_pem();
        let loaded = Roots::load(roots.site(), &pem).unwrap();
        assert_eq!(loaded.pin().unwrap(), roots.pin().unwrap());
        assert_eq!(loaded.to_pem(), pem);

        let swapped = RootsPem { operators_key_pem: pem.nodes_key_pem.clone(), ..pem };
        let error = Roots::load(roots.site(), &swapped).unwrap_err();
        assert!(matches!(error, TrustError::KeyMismatch("the operators' root")), "{error}");
    }

    #[test]
    fn a_request_gives_its_key_and_nothing_else() {
        let key = KeyPair::generate().unwrap();
        let mut greedy = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = greedy.serialize_request(&key).unwrap();

        let request = SigningRequest::from_der(der.der()).unwrap();
        let node = NodeName::try_from("cp-1").unwrap();
        let issued = roots().certify_node(&node, &request, SystemTime::UNIX_EPOCH + DAY).unwrap();

        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
        assert!(!leaf.is_ca());
        assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(leaf.subject().iter().count(), 0);
        let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value);
        assert!(names.contains(":node:cp-1") && !names.contains("admin"), "{names}");
        assert_eq!(KeyDigest::of_certificate(&issued.der).unwrap(), request.key_digest());
    }

    #[test]
    fn a_request_with_a_wrong_signature_or_another_kind_of_key_is_refused() {
        let mut der = NodeKey::generate().unwrap().request().unwrap();
        if let Some(last) = der.last_mut() {
            *last ^= 1;
        }
        assert!(SigningRequest::from_der(&der).is_err());

        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let der = CertificateParams::default().serialize_request(&ed25519).unwrap();
        let error = SigningRequest::from_der(der.der()).unwrap_err();
        assert!(matches!(error, TrustError::Request(_)), "{error}");
        assert!(SigningRequest::from_der(&[0; MAX_REQUEST + 1]).is_err());
    }

    #[test]
    fn keys_are_not_printed() {
        let roots = roots();
        let key = NodeKey::generate().unwrap();
        let printed = format!("{roots:?} {:?} {key:?}", roots.to_pem());
        assert!(!printed.contains("PRIVATE"), "{printed}");
        let secret = key.to_pem();
        let body = secret.expose().lines().nth(1).unwrap();
        assert!(!printed.contains(body), "{printed}");
    }
}
