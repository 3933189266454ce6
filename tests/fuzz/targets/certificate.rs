//! Requests and certificates: what strangers send during enrolment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_proto::Secret;
use quorate_proto::trust::{Credentials, KeyDigest, SigningRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = SigningRequest::from_der(bytes) {
        request.key_digest();
    }
    KeyDigest::of_certificate(&bytes.to_vec().into()).ok();
    if let Ok(text) = std::str::from_utf8(bytes) {
        let credentials = Credentials {
            chain_pem: text.to_owned(),
            key_pem: Secret::new(text.to_owned()),
            peer_roots_pem: text.to_owned(),
        };
        credentials.identity().ok();
        quorate_proto::trust::server_config(&credentials).ok();
    }
});
