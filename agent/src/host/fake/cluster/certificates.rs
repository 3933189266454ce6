//! Certificates as kubeadm signs them, with keys of a kind that is made in no time.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate and its key, PEM.
pub(super) struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A new authority; every kubeadm gives it the same name.
pub(super) fn authority(name: &str) -> Option<Pair> {
    let mut params = params(name, Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    Some(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A certificate of an authority.
pub(super) fn leaf(authority: &Pair, name: &str, sans: Vec<String>) -> Option<Pair> {
    let signer = KeyPair::from_pem(&authority.key).ok()?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signer).ok()?;
    let key = KeyPair::generate().ok()?;
    let certificate = params(name, sans)?.signed_by(&key, &issuer).ok()?;
    Some(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(name: &str, sans: Vec<String>) -> Option<CertificateParams> {
    let mut params = CertificateParams::new(sans).ok()?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A fake machine's clock may stand at its very beginning.
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    Some(params)
}
