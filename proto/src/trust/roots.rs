//! The two roots of a site, and the issuing authorities below them, which sign every leaf.
//!
//! Which authority signs, what for and for how long follows from who is named, so no caller can mix
//! them. The roots' own keys are in [`RootKeys`] alone: they may lie on a medium in a safe.

use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose as Usage;
use rustls::pki_types::CertificateDer;

use super::authority::{Authority, BACKDATE, IssuedCertificate, SigningRequest};
use super::bundle::{SignedBundle, TrustBundle, signed_bytes};
use super::certificate::{KeyDigest, not_after, not_before};
use super::credentials::{Credentials, GrantedIdentity};
use super::error::TrustError;
use super::identity::{Identity, OperatorName, SiteId, Who};
use super::pem::{certificates, pem_of};
use super::role::Role;
use crate::id::NodeName;
use crate::secret::Secret;

const DAY: Duration = Duration::from_hours(24);
/// No issuer is always on, so that a node must outlast some months without one.
const NODE_LIFETIME: Duration = Duration::from_hours(24 * 90);

/// Both roots of a site, and what signs leaves for them.
#[derive(Debug)]
pub struct Roots {
    site: SiteId,
    operators: Branch,
    nodes: Branch,
}

/// A root's certificate, and the issuing authority below it.
#[derive(Debug)]
struct Branch {
    root: CertificateDer<'static>,
    issuing: Authority,
}

/// Both roots as they are kept: no key of a root is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootsPem {
    pub operators_pem: String,
    pub operators_issuing_pem: String,
    /// Of the issuing authority.
    pub operators_key_pem: Secret,
    pub nodes_pem: String,
    pub nodes_issuing_pem: String,
    /// Of the issuing authority.
    pub nodes_key_pem: Secret,
}

/// Both roots with their keys, for as long as one of these signs something.
#[derive(Debug)]
pub struct RootKeys {
    site: SiteId,
    operators: Authority,
    nodes: Authority,
}

impl RootKeys {
    /// New roots for a site, valid for ten years.
    pub fn create(site: SiteId, now: SystemTime) -> Result<Self, TrustError> {
        Ok(Self {
            site,
            operators: Authority::root(&format!("quorate operators of site {site}"), now)?,
            nodes: Authority::root(&format!("quorate nodes of site {site}"), now)?,
        })
    }

    /// The roots that are to follow these. They are newer, whatever the clock did: by that the two are
    /// told apart.
    pub fn successor(&self, now: SystemTime) -> Result<Self, TrustError> {
        let own = [&self.operators.certificate, &self.nodes.certificate].map(not_before);
        let [operators, nodes] = own;
        let own = u64::try_from(operators?.max(nodes?)).unwrap_or_default();
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(own) + BACKDATE;
        Self::create(self.site, now.max(after + Duration::from_secs(1)))
    }

    /// Whether a key as it was kept is that of this root.
    pub fn is_key_of(key: &Secret, root_pem: &str) -> bool {
        Authority::load(root_pem, key, "the root").is_ok()
    }

    /// The keys as they were kept, of the operators' root and of the nodes'.
    pub fn load(
        site: SiteId,
        roots: &RootsPem,
        operators_key: &Secret,
        nodes_key: &Secret,
    ) -> Result<Self, TrustError> {
        Ok(Self {
            site,
            operators: Authority::load(&roots.operators_pem, operators_key, "the operators' root")?,
            nodes: Authority::load(&roots.nodes_pem, nodes_key, "the nodes' root")?,
        })
    }

    /// For keeping: the key of the operators' root and that of the nodes'.
    pub fn keys_pem(&self) -> (Secret, Secret) {
        (self.operators.key_pem(), self.nodes.key_pem())
    }

    /// The bundle that a new site begins with.
    pub fn first_bundle(&self, now: SystemTime) -> TrustBundle {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        TrustBundle {
            site: self.site,
            generation: 1,
            issued_at: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            operator_roots: vec![pem_of(&self.operators.certificate)],
            node_roots: vec![pem_of(&self.nodes.certificate)],
            epoch: 0,
            deny: Vec::new(),
        }
    }

    /// A bundle, signed by the operators' root.
    pub fn sign(&self, bundle: &TrustBundle) -> Result<SignedBundle, TrustError> {
        let signature = self.operators.sign_bytes(&signed_bytes(&bundle.canonical()))?;
        let signer = KeyDigest::of_certificate(&self.operators.certificate)?;
        Ok(SignedBundle::new(bundle, signer, &signature))
    }

    /// Issuing authorities with new keys, for a year.
    pub fn issue(&self, now: SystemTime) -> Result<Roots, TrustError> {
        let Self { site, operators, nodes } = self;
        let below = |root: &Authority, of: &str| {
            let issuing = root.issuing(&format!("quorate {of} of site {site}, issuing"), now)?;
            Ok(Branch { root: root.certificate.clone(), issuing })
        };
        let (operators, nodes) = (below(operators, "operators")?, below(nodes, "nodes")?);
        Ok(Roots { site: *site, operators, nodes })
    }
}

impl Roots {
    /// New roots for a site whose keys are thrown away at once: nothing but leaves can be signed.
    pub fn create(site: SiteId, now: SystemTime) -> Result<Self, TrustError> {
        RootKeys::create(site, now)?.issue(now)
    }

    /// The roots as they were kept.
    pub fn load(site: SiteId, pem: &RootsPem) -> Result<Self, TrustError> {
        let branch = |root: &str, issuing: &str, key: &Secret, what| {
            let root = certificates(root, what)?;
            let root = root.into_iter().next().ok_or(TrustError::Pem { what })?;
            Ok(Branch { root, issuing: Authority::load(issuing, key, what)? })
        };
        let RootsPem { operators_pem, operators_issuing_pem, operators_key_pem, .. } = pem;
        let RootsPem { nodes_pem, nodes_issuing_pem, nodes_key_pem, .. } = pem;
        let what = "the operators' issuing authority";
        let operators = branch(operators_pem, operators_issuing_pem, operators_key_pem, what)?;
        let what = "the nodes' issuing authority";
        let nodes = branch(nodes_pem, nodes_issuing_pem, nodes_key_pem, what)?;
        Ok(Self { site, operators, nodes })
    }

    /// For keeping.
    pub fn to_pem(&self) -> RootsPem {
        RootsPem {
            operators_pem: pem_of(&self.operators.root),
            operators_issuing_pem: pem_of(&self.operators.issuing.certificate),
            operators_key_pem: self.operators.issuing.key_pem(),
            nodes_pem: pem_of(&self.nodes.root),
            nodes_issuing_pem: pem_of(&self.nodes.issuing.certificate),
            nodes_key_pem: self.nodes.issuing.key_pem(),
        }
    }

    pub fn site(&self) -> SiteId {
        self.site
    }

    /// When each authority ends, in seconds since 1970.
    pub fn ends(&self) -> Result<[(&'static str, i64); 4], TrustError> {
        let end = |der: &CertificateDer<'_>| {
            let since = not_after(der)?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        };
        Ok([
            ("operators-root", end(&self.operators.root)?),
            ("operators-issuing", end(&self.operators.issuing.certificate)?),
            ("nodes-root", end(&self.nodes.root)?),
            ("nodes-issuing", end(&self.nodes.issuing.certificate)?),
        ])
    }

    /// The root whose leaves may give orders.
    pub fn operator_root(&self) -> &CertificateDer<'static> {
        &self.operators.root
    }

    /// The root of the nodes.
    pub fn node_root(&self) -> &CertificateDer<'static> {
        &self.nodes.root
    }

    /// What a join token pins.
    pub fn pin(&self) -> Result<KeyDigest, TrustError> {
        KeyDigest::of_certificate(&self.operators.root)
    }

    /// A certificate of 90 days for a node, to serve as itself.
    pub fn certify_node(
        &self,
        node: &NodeName,
        request: &SigningRequest,
        now: SystemTime,
    ) -> Result<IssuedCertificate, TrustError> {
        let identity = Identity { site: self.site, who: Who::Node(node.clone()) };
        let usages = [Usage::ServerAuth, Usage::ClientAuth];
        let until = self.nodes.until(now + NODE_LIFETIME)?;
        let leaf = self.nodes.issuing.sign(&identity, &usages, now, until, &request.key)?;
        Ok(IssuedCertificate { chain: self.node_chain(leaf), not_after: until })
    }

    /// A node's leaf, as it is shown to others.
    pub fn node_chain(&self, leaf: CertificateDer<'static>) -> Vec<CertificateDer<'static>> {
        vec![leaf, self.nodes.issuing.certificate.clone()]
    }

    /// What a node is granted with a chain of [`Self::certify_node`].
    pub fn grant(&self, chain: Vec<CertificateDer<'static>>) -> GrantedIdentity {
        let (operator_root, node_root) = (self.operators.root.clone(), self.nodes.root.clone());
        GrantedIdentity { chain, operator_root, node_root, bundle: String::new() }
    }

    /// Credentials to ask nodes with, for a day at most: agents take none that live longer.
    pub fn operator(
        &self,
        name: &OperatorName,
        role: Role,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Credentials, TrustError> {
        let who = Who::Operator { name: name.clone(), role };
        let identity = Identity { site: self.site, who };
        let until = now + lifetime.min(DAY);
        let (chain_pem, key_pem) = self.operators.leaf(&identity, Usage::ClientAuth, now, until)?;
        Ok(Credentials { chain_pem, key_pem, peer_roots_pem: pem_of(&self.nodes.root) })
    }

    /// Credentials to serve enrolment with, for a day and for memory alone. The chain ends with
    /// the root itself, because a node that enrols knows nothing but the root's digest.
    pub fn service(&self, now: SystemTime) -> Result<Credentials, TrustError> {
        self.coordinator(Usage::ServerAuth, now)
    }

    /// Credentials to claim a node with that waits for it, otherwise as those of [`Self::service`].
    pub fn claimer(&self, now: SystemTime) -> Result<Credentials, TrustError> {
        self.coordinator(Usage::ClientAuth, now)
    }

    fn coordinator(&self, usage: Usage, now: SystemTime) -> Result<Credentials, TrustError> {
        let identity = Identity { site: self.site, who: Who::Coordinator };
        let (chain_pem, key_pem) = self.operators.leaf(&identity, usage, now, now + DAY)?;
        Ok(Credentials {
            chain_pem: chain_pem + &pem_of(&self.operators.root),
            key_pem,
            peer_roots_pem: pem_of(&self.nodes.root),
        })
    }
}

impl Branch {
    /// No leaf outlives the authority that signs it.
    fn until(&self, wanted: SystemTime) -> Result<SystemTime, TrustError> {
        Ok(wanted.min(not_after(&self.issuing.certificate)?))
    }

    /// A leaf with a key of its own, and the issuing authority after it; both PEM.
    fn leaf(
        &self,
        identity: &Identity,
        usage: Usage,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<(String, Secret), TrustError> {
        let key = rcgen::KeyPair::generate().map_err(TrustError::Issue)?;
        let leaf = self.issuing.sign(identity, &[usage], now, self.until(until)?, &key)?;
        let chain_pem = pem_of(&leaf) + &pem_of(&self.issuing.certificate);
        Ok((chain_pem, Secret::new(key.serialize_pem())))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;
    use crate::trust::NodeKey;

    fn roots() -> Roots {
        Roots::create(SiteId::random(), SystemTime::UNIX_EPOCH + DAY).unwrap()
    }

    #[test]
    fn roots_load_as_they_were_kept_and_not_with_each_others_keys() {
        let keys = RootKeys::create(SiteId::random(), SystemTime::UNIX_EPOCH + DAY).unwrap();
        let roots = keys.issue(SystemTime::UNIX_EPOCH + DAY).unwrap();
        let pem = roots.to_pem();
        let loaded = Roots::load(roots.site(), &pem).unwrap();
        assert_eq!(loaded.pin().unwrap(), roots.pin().unwrap());
        assert_eq!(loaded.to_pem(), pem);
        let swapped = RootsPem { operators_key_pem: pem.nodes_key_pem.clone(), ..pem.clone() };
        let error = Roots::load(roots.site(), &swapped).unwrap_err();
        assert!(matches!(error, TrustError::KeyMismatch(_)), "{error}");

        let (operators, nodes) = keys.keys_pem();
        let again = RootKeys::load(roots.site(), &pem, &operators, &nodes).unwrap();
        assert_eq!(
            again.issue(SystemTime::UNIX_EPOCH + DAY).unwrap().pin().unwrap(),
            roots.pin().unwrap()
        );
        let error = RootKeys::load(roots.site(), &pem, &nodes, &operators).unwrap_err();
        assert!(matches!(error, TrustError::KeyMismatch("the operators' root")), "{error}");
    }

    #[test]
    fn an_issuing_authority_lives_a_year_signs_leaves_alone_and_is_outlived_by_none() {
        let now = SystemTime::UNIX_EPOCH + DAY;
        let roots = Roots::create(SiteId::random(), now).unwrap();
        let pem = roots.to_pem();
        for text in [&pem.operators_issuing_pem, &pem.nodes_issuing_pem] {
            let der = certificates(text, "it").unwrap();
            let (_, issuing) = x509_parser::parse_x509_certificate(&der[0]).unwrap();
            let constraints = issuing.basic_constraints().unwrap().unwrap().value;
            assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
            let validity = issuing.validity();
            let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
            assert_eq!(days, 365);
        }
        let key = NodeKey::generate().unwrap();
        let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
        let node = NodeName::try_from("cp-1").unwrap();
        let late = now + 300 * DAY;
        let issued = roots.certify_node(&node, &request, late).unwrap();
        assert_eq!(issued.not_after, now + 365 * DAY);
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

        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        assert!(!leaf.is_ca());
        assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(leaf.subject().iter().count(), 0);
        let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value);
        assert!(names.contains(":node:cp-1") && !names.contains("admin"), "{names}");
        assert_eq!(KeyDigest::of_certificate(&issued.chain[0]).unwrap(), request.key_digest());
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
        assert!(SigningRequest::from_der(&[0; 4097]).is_err());
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
