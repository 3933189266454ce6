//! What a certificate file says: whose key it is, who signed it, for which names and until when.

use std::collections::BTreeSet;
use std::net::IpAddr;

use quorate_proto::{CaFacts, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// The text is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a PEM certificate")]
pub struct NotACertificate;

/// What a leaf certificate must be.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names and addresses that it must stand for.
    pub sans: BTreeSet<String>,
    /// The common name of its subject, where that matters.
    pub common_name: Option<String>,
    /// The node's clock, seconds since 1970.
    pub now_s: i64,
}

/// A certificate authority, as other nodes can compare it.
pub fn authority(pem: &str) -> Result<CaFacts, NotACertificate> {
    let der = first(pem.as_bytes())?;
    let spki = Sha256::of(parsed(&der)?.public_key().raw);
    Ok(CaFacts { pem: pem.to_owned(), spki })
}

/// What is wrong with a certificate that `ca` must have signed; `None` if nothing.
pub fn flaw(leaf: &[u8], ca: &[u8], wanted: &Wanted) -> Option<String> {
    let (Ok(leaf), Ok(ca)) = (first(leaf), first(ca)) else {
        return Some(NotACertificate.to_string());
    };
    let (Ok(leaf), Ok(ca)) = (parsed(&leaf), parsed(&ca)) else {
        return Some(NotACertificate.to_string());
    };
    if leaf.issuer() != ca.subject() || leaf.verify_signature(Some(ca.public_key())).is_err() {
        return Some("signed by another authority".to_owned());
    }
    let validity = leaf.validity();
    if validity.not_after.timestamp() <= wanted.now_s {
        return Some(format!("expired on {}", validity.not_after));
    }
    if validity.not_before.timestamp() > wanted.now_s {
        return Some(format!("not valid before {}", validity.not_before));
    }
    let name = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    if wanted.common_name.is_some() && name != wanted.common_name.as_deref() {
        return Some(format!("it is of {}", name.unwrap_or("nobody")));
    }
    let has = sans(&leaf);
    let lacking: Vec<&str> = wanted.sans.difference(&has).map(String::as_str).collect();
    (!lacking.is_empty()).then(|| format!("without {}", lacking.join(", ")))
}

/// The common name of a certificate's subject; `None` where the text is no certificate.
pub fn common_name(pem: &[u8]) -> Option<String> {
    let pem = first(pem).ok()?;
    let leaf = parsed(&pem).ok()?;
    let name = leaf.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

fn first(pem: &[u8]) -> Result<Pem, NotACertificate> {
    let certificates = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    certificates.into_iter().find(|pem| pem.label == "CERTIFICATE").ok_or(NotACertificate)
}

fn parsed(pem: &Pem) -> Result<X509Certificate<'_>, NotACertificate> {
    pem.parse_x509().ok().ok_or(NotACertificate)
}

fn sans(leaf: &X509Certificate<'_>) -> BTreeSet<String> {
    let extension = leaf.subject_alternative_name().ok().flatten();
    let names = extension.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| {
            if let GeneralName::DNSName(name) = name {
                Some((*name).to_owned())
            } else if let GeneralName::IPAddress(bytes) = name {
                address(bytes).map(|ip| ip.to_string())
            } else {
                None
            }
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    const NOW_S: i64 = 1_800_000_000; // in January 2027

    fn params(name: &str, sans: &[&str]) -> CertificateParams {
        let sans: Vec<String> = sans.iter().map(|&san| san.to_owned()).collect();
        let mut params = CertificateParams::new(sans).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2028, 1, 1);
        params
    }

    fn ca() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = params("kubernetes", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn judged(sans: &[&str], wanted: &Wanted) -> Option<String> {
        let ca = ca();
        let leaf = params("kube-apiserver", sans).signed_by(&KeyPair::generate().unwrap(), &ca);
        flaw(leaf.unwrap().pem().as_bytes(), ca.pem().as_bytes(), wanted)
    }

    fn wanted(sans: &[&str]) -> Wanted {
        let sans = sans.iter().map(|&san| san.to_owned()).collect();
        Wanted { sans, common_name: None, now_s: NOW_S }
    }

    #[test]
    fn a_certificate_stands_for_the_names_that_are_wanted_and_may_for_more() {
        let has = ["cp-1", "10.77.0.11", "fd00::1"];
        assert_eq!(judged(&has, &wanted(&["fd00::1", "10.77.0.11"])), None);
        let lacking = judged(&has, &wanted(&["cp-1", "cp-2", "10.77.0.12"]));
        assert_eq!(lacking.as_deref(), Some("without 10.77.0.12, cp-2"));
    }

    #[test]
    fn a_certificate_of_another_authority_of_the_same_name_is_told() {
        let (ours, theirs) = (ca(), ca());
        let leaf = params("x", &[]).signed_by(&KeyPair::generate().unwrap(), &theirs).unwrap();
        let told = flaw(leaf.pem().as_bytes(), ours.pem().as_bytes(), &wanted(&[]));
        assert_eq!(told.as_deref(), Some("signed by another authority"));
    }

    #[test]
    fn a_certificate_is_good_in_its_time_and_for_its_owner() {
        let at = |now_s| judged(&[], &Wanted { now_s, ..wanted(&[]) }).unwrap_or_default();
        assert!(at(NOW_S + 400 * 86_400).starts_with("expired on"));
        assert!(at(NOW_S - 800 * 86_400).starts_with("not valid before"));
        let of = |name: &str| Wanted { common_name: Some(name.to_owned()), ..wanted(&[]) };
        assert_eq!(judged(&[], &of("kube-apiserver")), None);
        assert_eq!(judged(&[], &of("another")).as_deref(), Some("it is of kube-apiserver"));
    }

    #[test]
    fn an_authority_is_known_by_its_key() {
        let (ours, theirs) = (ca(), ca());
        let spki = |pem: String| authority(&pem).unwrap().spki;
        assert_eq!(spki(ours.pem()), spki(ours.pem()));
        assert_ne!(spki(ours.pem()), spki(theirs.pem()));
        assert_eq!(authority("-----BEGIN NOTHING-----"), Err(NotACertificate));
    }
}
