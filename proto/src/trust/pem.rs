//! Certificates as text, the way they are stored and handed over.

use base64::Engine as _;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::TrustError;

/// PEM as it is written everywhere: 64 characters a line.
pub(super) fn pem_of(der: &CertificateDer<'_>) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while let Some((line, tail)) = rest.split_at_checked(64) {
        pem.extend([line, "\n"]);
        rest = tail;
    }
    if !rest.is_empty() {
        pem.extend([rest, "\n"]);
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// All that stand in a text; an error where there is none. `what` they are is for the error.
pub(super) fn certificates(
    pem: &str,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.ok().filter(|found| !found.is_empty()).ok_or(TrustError::Pem { what })
}

/// As roots that chains are led to.
pub(super) fn roots(found: &[CertificateDer<'static>]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for root in found {
        roots.add(root.clone()).map_err(TrustError::Tls)?;
    }
    Ok(roots)
}
