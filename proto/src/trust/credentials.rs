//! What a party proves itself with, and whom it believes.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::NodeKey;
use super::bundle::{SignedBundle, TrustBundle};
use super::certificate::{KeyDigest, Leaf, Seen, Usage};
use super::error::TrustError;
use super::identity::{Identity, SiteId, Who};
use super::pem::{certificates, pem_of, roots};
use crate::secret::Secret;

/// Own chain and key, and the roots that peers must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Leaf first.
    pub chain_pem: String,
    pub key_pem: Secret,
    /// Several during a change of roots.
    pub peer_roots_pem: String,
}

impl Credentials {
    /// Who these credentials are of.
    pub fn identity(&self) -> Result<Identity, TrustError> {
        Ok(self.leaf()?.identity)
    }

    /// The digest of the key that these credentials prove.
    pub fn key_digest(&self) -> Result<KeyDigest, TrustError> {
        Ok(self.leaf()?.key)
    }

    /// Last moment of validity, seconds since 1970.
    pub fn not_after(&self) -> Result<i64, TrustError> {
        Ok(self.leaf()?.not_after)
    }

    /// What others see of the certificate.
    pub fn seen(&self) -> Result<Seen, TrustError> {
        Ok(Seen::of(&self.leaf()?))
    }

    /// The certificate alone, DER.
    pub fn certificate(&self) -> Result<CertificateDer<'static>, TrustError> {
        let first = self.chain()?.into_iter().next();
        first.ok_or(TrustError::Pem { what: "the certificate" })
    }

    /// What a node proves itself with next, once it is certain that the chain is of its new key,
    /// of the same node, and leads to one of these roots.
    pub fn renewed(
        &self,
        key: &NodeKey,
        chain: &[CertificateDer<'static>],
        node_roots_pem: &str,
    ) -> Result<Self, TrustError> {
        let own = self.identity()?;
        let roots = roots(&certificates(node_roots_pem, "the nodes' root")?)?;
        let found = check_chain(chain, key.key_digest(), own.site, &roots)?;
        if found != own {
            let wanted = "this node";
            return Err(TrustError::NotEntitled { identity: found, wanted });
        }
        let chain_pem = chain.iter().map(pem_of).collect();
        Ok(Self { chain_pem, key_pem: key.to_pem(), peer_roots_pem: self.peer_roots_pem.clone() })
    }

    pub(super) fn leaf(&self) -> Result<Leaf, TrustError> {
        let chain = self.chain()?;
        Leaf::read(chain.first().ok_or(TrustError::Pem { what: "the certificate" })?)
    }

    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TrustError> {
        certificates(&self.chain_pem, "the certificate")
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TrustError> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.expose().as_bytes());
        key.ok().ok_or(TrustError::Pem { what: "the private key" })
    }

    pub(super) fn peer_roots(&self) -> Result<RootCertStore, TrustError> {
        roots(&certificates(&self.peer_roots_pem, "the root")?)
    }
}

/// What a coordinator grants to a node that enrols. The node checks it before it believes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    pub operator_root: CertificateDer<'static>,
    pub node_root: CertificateDer<'static>,
    /// The newest trust bundle, signed, as JSON; empty where the site has none.
    pub bundle: String,
}

impl GrantedIdentity {
    /// What the node proves itself with from now on, and whose orders it takes.
    pub fn credentials(&self, key_pem: Secret) -> Credentials {
        let chain_pem = self.chain.iter().map(pem_of).collect();
        Credentials { chain_pem, key_pem, peer_roots_pem: pem_of(&self.operator_root) }
    }

    pub fn node_root_pem(&self) -> String {
        pem_of(&self.node_root)
    }

    /// Who the certificate names, once it is certain that it is of the node's own key and of the
    /// site that the token pins, and that it serves as a node's certificate.
    pub fn check(
        &self,
        own: KeyDigest,
        pin: KeyDigest,
        site: SiteId,
    ) -> Result<Identity, TrustError> {
        if KeyDigest::of_certificate(&self.operator_root)? != pin {
            return Err(TrustError::OtherCoordinator);
        }
        let node_roots = roots(std::slice::from_ref(&self.node_root))?;
        let identity = check_chain(&self.chain, own, site, &node_roots)?;
        if !self.bundle.is_empty() {
            let (operators, nodes) = (pem_of(&self.operator_root), pem_of(&self.node_root));
            let enrolled = TrustBundle::of_enrolment(site, operators, nodes);
            let signed = SignedBundle::from_json(&self.bundle);
            signed.and_then(|signed| enrolled.accept(&signed)).map_err(TrustError::Bundle)?;
        }
        Ok(identity)
    }
}

/// Which node of the site a chain names, once it is certain that it is of this key and leads to one of
/// the roots.
fn check_chain(
    chain: &[CertificateDer<'static>],
    own: KeyDigest,
    site: SiteId,
    node_roots: &RootCertStore,
) -> Result<Identity, TrustError> {
    let (first, rest) =
        chain.split_first().ok_or(TrustError::Pem { what: "the granted certificate" })?;
    let leaf = Leaf::read(first)?;
    if leaf.key != own {
        return Err(TrustError::KeyMismatch("the key that the node made"));
    }
    if leaf.identity.site != site {
        return Err(TrustError::OtherSite { expected: site, found: leaf.identity.site });
    }
    if !matches!(leaf.identity.who, Who::Node(_)) || leaf.usage != Usage::Both {
        return Err(TrustError::NotEntitled { identity: leaf.identity, wanted: "node" });
    }
    super::verifier::chain_of_server(first, rest, node_roots).map_err(TrustError::Tls)?;
    Ok(leaf.identity)
}
