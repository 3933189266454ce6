//! Whether a claim is granted. Reasons are for the coordinator's log; the claimant learns none.

use std::net::IpAddr;
use std::time::SystemTime;

use quorate_proto::trust::enrol::ClaimRequest;
use quorate_proto::trust::{
    ChannelBinding, ClaimError, GrantedIdentity, SigningRequest, TokenId, TrustError, VerifyKey,
    check_proof,
};
use quorate_proto::{Machine, NodeName};

use super::{Site, SiteError};
use crate::store::{Claimant, Claimed, Store, StoreError, StoredCertificate, TokenRecord, seconds};

/// Stands in for tokens that do not exist, so that these take no less time than others: the base
/// point of Ed25519, a key that decodes. What it verifies is refused all the same.
const NOBODY: VerifyKey = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    VerifyKey(key)
};

/// Why a claim is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many claims within a minute")]
    TooMany,
    #[error("there is no such token")]
    Unknown,
    #[error("the claim is not in order")]
    Claim(#[source] ClaimError),
    #[error("the certificate request is not in order")]
    Request(#[source] TrustError),
    #[error("the facts cannot be read")]
    Facts(#[source] serde_json::Error),
    #[error("the token has expired")]
    Late,
    #[error("the token was used, rejected or replaced before")]
    Spent,
    #[error(
        "ALARM: a second key claimed the token, which is burned now; unless the node was set up \
         twice, someone else has seen the token: find out who enrolled with it"
    )]
    Burned,
    #[error("ALARM: the key was certified with another token before; keys must not be copied")]
    KnownKey,
    #[error(
        "the site's roots change at this moment; see that `quorate trust rotate` got further, and start \
         `quorate serve` again"
    )]
    RootsChange,
    #[error("making the certificate")]
    Sign(#[source] TrustError),
    #[error("using the trust bundle")]
    Bundle(#[source] Box<SiteError>),
    #[error("using the store")]
    Store(#[source] StoreError),
}

/// What a claim that is in order is answered.
pub(super) enum Answer {
    Granted(NodeName, GrantedIdentity),
    /// A person has to approve of it first.
    Waits(NodeName),
}

/// Grants the claim, lets it wait, or says why not. What is answered is on disk before.
pub(super) fn answer(
    store: &mut Store,
    site: &Site,
    claim: &ClaimRequest,
    source: IpAddr,
    binding: &ChannelBinding,
    now: SystemTime,
) -> Result<Answer, Refusal> {
    let (token, request) = examine(store, claim, binding)?;
    // A token is used up by a claim: better no claim than one that the node would not believe.
    let (bundle, signed) = site.bundle().map_err(|error| Refusal::Bundle(Box::new(error)))?;
    if bundle.operator_roots.first() != Some(&site.roots.to_pem().operators_pem) {
        return Err(Refusal::RootsChange);
    }
    serde_json::from_str::<Machine>(&claim.facts_json).map_err(Refusal::Facts)?;
    let key = request.key_digest();
    let facts_json = claim.facts_json.clone();
    let claimant = Claimant { at: seconds(now), from: source.to_string(), facts_json };
    let der = match store.claim(&token.id, &key, &claimant).map_err(Refusal::Store)? {
        Claimed::Waits => return Ok(Answer::Waits(token.node)),
        Claimed::Granted => {
            let issued =
                site.roots.certify_node(&token.node, &request, now).map_err(Refusal::Sign)?;
            let certificate = StoredCertificate::of(&issued, now);
            let signed = store.sign(&token, &key, &certificate, &claim.facts_json);
            if !signed.map_err(Refusal::Store)? {
                return Err(Refusal::Burned);
            }
            certificate.der
        }
        Claimed::Again => {
            let stored = store.certificate(&key).map_err(Refusal::Store)?;
            stored.ok_or(Refusal::Spent)?.der
        }
        Claimed::Burned => return Err(Refusal::Burned),
        Claimed::Spent => return Err(Refusal::Spent),
        Claimed::Late => return Err(Refusal::Late),
        Claimed::KnownKey => return Err(Refusal::KnownKey),
    };
    let mut granted = site.roots.grant(site.roots.node_chain(der.into()));
    granted.bundle = signed.to_json();
    Ok(Answer::Granted(token.node, granted))
}

/// The token and the key of a claim that is in order. Changes nothing.
fn examine(
    store: &Store,
    claim: &ClaimRequest,
    binding: &ChannelBinding,
) -> Result<(TokenRecord, SigningRequest), Refusal> {
    let id: TokenId = claim.token().map_err(Refusal::Claim)?;
    let token = store.token(&id).map_err(Refusal::Store)?;
    let verify_key = token.as_ref().map_or(NOBODY, |token| token.verify_key);
    let proof = check_proof(claim, binding, &verify_key);
    let token = token.ok_or(Refusal::Unknown)?;
    proof.map_err(Refusal::Claim)?;
    let request = SigningRequest::from_der(&claim.csr_der).map_err(Refusal::Request)?;
    Ok((token, request))
}
