//! The claim by which a node shows that it holds a join token, without showing the token.

use std::time::Duration;

use aws_lc_rs::rand;
use sha2::{Digest as _, Sha256};

use super::credentials::GrantedIdentity;
use super::error::TrustError;
use super::peer::ChannelBinding;
use super::token::{JoinToken, TokenId, VerifyKey};
pub use crate::generated::enrol;

/// No other signature by a token means the same.
const DOMAIN: &[u8] = b"quorate-enrol-v1\0";
const NONCE: usize = 16;
/// A machine's facts have some hundred bytes for each address; nothing honest is larger.
const MAX_FACTS: usize = 16 * 1024;

/// A claim that cannot be granted, whatever the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("the claim's {0} is of a length that none has")]
    Length(&'static str),
    #[error("the claim's signature is not of its token over this connection")]
    Signature,
}

/// A claim for the certificate of the key in `csr_der`, good on this one connection.
pub fn prove(
    token: &JoinToken,
    binding: &ChannelBinding,
    csr_der: Vec<u8>,
    facts_json: String,
) -> Result<enrol::ClaimRequest, TrustError> {
    let mut nonce = vec![0; NONCE];
    rand::fill(&mut nonce).ok().ok_or(TrustError::Random)?;
    let token_id = token.id().0.to_vec();
    let mut claim =
        enrol::ClaimRequest { token_id, csr_der, facts_json, nonce, signature: Vec::new() };
    claim.signature = token.sign(&transcript(binding, &claim))?;
    Ok(claim)
}

impl enrol::ClaimRequest {
    /// Which token the claim is made with, if its parts have lengths that a claim can have.
    pub fn token(&self) -> Result<TokenId, ClaimError> {
        if self.nonce.len() != NONCE {
            return Err(ClaimError::Length("nonce"));
        }
        if self.facts_json.len() > MAX_FACTS {
            return Err(ClaimError::Length("facts"));
        }
        let id = self.token_id.as_slice().try_into().ok();
        id.map(TokenId).ok_or(ClaimError::Length("token id"))
    }
}

/// Whether the claim was made on this connection by the holder of the token.
pub fn check_proof(
    claim: &enrol::ClaimRequest,
    binding: &ChannelBinding,
    key: &VerifyKey,
) -> Result<(), ClaimError> {
    let proven = key.verify(&transcript(binding, claim), &claim.signature);
    if proven { Ok(()) } else { Err(ClaimError::Signature) }
}

/// Every part has a fixed length, so no two claims have one transcript.
fn transcript(binding: &ChannelBinding, claim: &enrol::ClaimRequest) -> Vec<u8> {
    let (csr, facts) = (Sha256::digest(&claim.csr_der), Sha256::digest(&claim.facts_json));
    [DOMAIN, &binding.0, &claim.token_id, &csr, &facts, &claim.nonce].concat()
}

impl From<enrol::ClaimReply> for GrantedIdentity {
    fn from(reply: enrol::ClaimReply) -> Self {
        Self {
            chain: reply.chain.into_iter().map(Into::into).collect(),
            operator_root: reply.operator_root.into(),
            node_root: reply.node_root.into(),
            bundle: reply.bundle,
        }
    }
}

impl From<GrantedIdentity> for enrol::ClaimReply {
    fn from(granted: GrantedIdentity) -> Self {
        Self {
            chain: granted.chain.iter().map(|der| der.to_vec()).collect(),
            operator_root: granted.operator_root.to_vec(),
            node_root: granted.node_root.to_vec(),
            bundle: granted.bundle,
            ask_again_after_s: 0,
        }
    }
}

impl enrol::ClaimReply {
    /// The answer to a claim that a person has yet to approve.
    pub fn waiting(ask_again: Duration) -> Self {
        let seconds = u32::try_from(ask_again.as_secs()).unwrap_or(u32::MAX);
        Self { ask_again_after_s: seconds.max(1), ..Self::default() }
    }

    /// After which time to ask again, where the claim waits for a person's approval.
    pub fn waits(&self) -> Option<Duration> {
        let seconds = Some(self.ask_again_after_s).filter(|&seconds| seconds > 0);
        seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::KeyDigest;

    #[test]
    fn a_claim_holds_on_its_own_connection_and_as_it_was_sent() {
        let token = JoinToken::mint(KeyDigest([1; 32])).unwrap();
        let key = token.verify_key().unwrap();
        let here = ChannelBinding([2; 32]);
        let claim = prove(&token, &here, vec![3; 100], "{}".to_owned()).unwrap();
        assert_eq!(claim.token().unwrap(), token.id());
        assert_eq!(check_proof(&claim, &here, &key), Ok(()));

        let refused = Err(ClaimError::Signature);
        assert_eq!(check_proof(&claim, &ChannelBinding([4; 32]), &key), refused);
        let other_key = enrol::ClaimRequest { csr_der: vec![5; 100], ..claim.clone() };
        assert_eq!(check_proof(&other_key, &here, &key), refused);
        let other_facts = enrol::ClaimRequest { facts_json: "[]".to_owned(), ..claim.clone() };
        assert_eq!(check_proof(&other_facts, &here, &key), refused);
        let short = enrol::ClaimRequest { nonce: vec![0; 15], ..claim };
        assert_eq!(short.token(), Err(ClaimError::Length("nonce")));
    }
}
