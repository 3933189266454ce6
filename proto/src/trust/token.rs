//! Join tokens: `qrt1_` and 127 characters. A token is a signing seed and the digest of the root
//! that its coordinator must come from. It never crosses the wire, and it carries nothing else:
//! which node it is for, and until when, is in the coordinator's records.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::certificate::KeyDigest;
use super::error::TrustError;
use crate::digest::hex;
use crate::secret::Secret;

/// So that scanners for secrets can find one.
const PREFIX: &str = "qrt1_";
const VERSION: u8 = 1;
/// Crockford's alphabet: without i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// version, id, seed, digest of the root's key, checksum
const LEN: usize = 1 + 10 + 32 + 32 + 4;
/// Characters for that many bytes, of five bits each.
const CHARACTERS: usize = (LEN * 8).div_ceil(5);

/// A text is not a join token. Never quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("not a join token: one begins with {PREFIX}; `quorate node token NAME` makes one")]
    Prefix,
    #[error("the token is for another version of quorate; upgrade the agent, or get a new token")]
    Version,
    #[error("the token has {0} characters after {PREFIX}, not {CHARACTERS}; copy it whole")]
    Length(usize),
    #[error("the token has a typing error; copy it again")]
    Typo,
}

/// Names a token; public.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(pub [u8; 10]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// The public half of a token, all that the coordinator keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyKey(pub [u8; 32]);

impl VerifyKey {
    /// Whether the token of this key signed the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// A single-use right to one certificate.
#[derive(Clone)]
pub struct JoinToken {
    id: TokenId,
    seed: Zeroizing<[u8; 32]>,
    pin: KeyDigest,
}

impl JoinToken {
    /// A new token of the coordinator whose root has this key.
    pub fn mint(pin: KeyDigest) -> Result<Self, TrustError> {
        let (mut id, mut seed) = ([0; 10], Zeroizing::new([0; 32]));
        rand::fill(&mut id).and_then(|()| rand::fill(&mut *seed)).ok().ok_or(TrustError::Random)?;
        Ok(Self { id: TokenId(id), seed, pin })
    }

    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The digest of the root's key that the coordinator must come from.
    pub fn pin(&self) -> KeyDigest {
        self.pin
    }

    /// For the coordinator's records.
    pub fn verify_key(&self) -> Result<VerifyKey, TrustError> {
        let public = self.key_pair()?;
        let public = public.public_key().as_ref().try_into().ok();
        public.map(VerifyKey).ok_or(TrustError::Random)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TrustError> {
        Ok(self.key_pair()?.sign(message).as_ref().to_vec())
    }

    /// The token as it is handed to the node.
    pub fn to_text(&self) -> Secret {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&*self.seed);
        bytes.extend_from_slice(&self.pin.0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let mut text = String::with_capacity(PREFIX.len() + CHARACTERS);
        text.push_str(PREFIX);
        encode(&bytes, &mut text);
        Secret::new(text)
    }

    fn key_pair(&self) -> Result<Ed25519KeyPair, TrustError> {
        // Any 32 bytes are a seed; the library can only run out of memory here.
        Ed25519KeyPair::from_seed_unchecked(&*self.seed).ok().ok_or(TrustError::Random)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Takes both cases, white space around it, and an editor's mark of the byte order before it.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let Some(body) = text.strip_prefix(PREFIX) else {
            let other = text.strip_prefix("qrt").is_some_and(|rest| rest.contains('_'));
            return Err(if other { TokenError::Version } else { TokenError::Prefix });
        };
        let found = body.chars().count();
        if found != CHARACTERS {
            return Err(TokenError::Length(found));
        }
        let bytes = Zeroizing::new(decode(body).ok_or(TokenError::Typo)?);
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Typo)?;
        if *sum != checksum(content) {
            return Err(TokenError::Typo);
        }
        let (&version, content) = content.split_first().ok_or(TokenError::Typo)?;
        let (&id, content) = content.split_first_chunk::<10>().ok_or(TokenError::Typo)?;
        let (seed, pin) = content.split_first_chunk::<32>().ok_or(TokenError::Typo)?;
        let pin = <[u8; 32]>::try_from(pin).ok().ok_or(TokenError::Typo)?;
        if version != VERSION {
            return Err(TokenError::Version);
        }
        Ok(Self { id: TokenId(id), seed: Zeroizing::new(*seed), pin: KeyDigest(pin) })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, secret)", self.id)
    }
}

/// Against typing errors only; whoever can compute it gains nothing.
fn checksum(content: &[u8]) -> [u8; 4] {
    let digest = sha2::Sha256::digest(content);
    digest.first_chunk().copied().unwrap_or_default()
}

fn encode(bytes: &[u8], text: &mut String) {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut put = |five: u32| {
        let symbol = usize::try_from(five & 31).ok().and_then(|five| ALPHABET.get(five));
        text.extend(symbol.map(|&symbol| char::from(symbol)));
    };
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            put(bits >> held);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        put(bits << (5 - held));
    }
}

/// `None` for a strange character, or bits left over that are not zero.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut bytes = Vec::with_capacity(LEN);
    for character in text.bytes() {
        // Crockford reads these as what they look like.
        let symbol = match character {
            b'o' => b'0',
            b'i' | b'l' => b'1',
            other => other,
        };
        let five = ALPHABET.iter().position(|&known| known == symbol)?;
        bits = (bits << 5) | u32::try_from(five).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(id: [u8; 10], seed: [u8; 32], pin: [u8; 32]) -> JoinToken {
        JoinToken { id: TokenId(id), seed: Zeroizing::new(seed), pin: KeyDigest(pin) }
    }

    fn same(a: &JoinToken, b: &JoinToken) -> bool {
        a.id == b.id && a.seed == b.seed && a.pin == b.pin
    }

    proptest! {
        #[test]
        fn a_token_reads_back_as_it_prints(
            id: [u8; 10], seed: [u8; 32], pin: [u8; 32], upper: bool,
        ) {
            let token = token(id, seed, pin);
            let mut text = token.to_text().expose().to_owned();
            prop_assert_eq!(text.len(), 132);
            if upper {
                text = format!("  {}\r\n", text.to_uppercase());
            }
            prop_assert!(same(&text.parse::<JoinToken>().unwrap(), &token));
        }

        #[test]
        fn one_wrong_character_is_a_typing_error(
            seed: [u8; 32], at in 5_usize..132, by in 1_usize..32,
        ) {
            let mut text = token([7; 10], seed, [9; 32]).to_text().expose().as_bytes().to_vec();
            let was = ALPHABET.iter().position(|&known| known == text[at]).unwrap();
            text[at] = ALPHABET[(was + by) % 32];
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(text.parse::<JoinToken>().unwrap_err(), TokenError::Typo);
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise(text: String) {
            prop_assert!(text.parse::<JoinToken>().is_err());
            let prefixed = format!("{PREFIX}{text}");
            prop_assert!(prefixed.parse::<JoinToken>().is_err());
        }
    }

    #[test]
    fn other_versions_are_told_from_typing_errors() {
        let text = token([1; 10], [2; 32], [3; 32]).to_text();
        let newer = text.expose().replace(PREFIX, "qrt2_");
        assert_eq!(newer.parse::<JoinToken>().unwrap_err(), TokenError::Version);
        assert_eq!("hvs.abc".parse::<JoinToken>().unwrap_err(), TokenError::Prefix);
        let cut = text.expose().get(..100).unwrap();
        assert_eq!(cut.parse::<JoinToken>().unwrap_err(), TokenError::Length(95));
    }

    #[test]
    fn a_newer_version_is_told_by_its_byte_as_well() {
        let text = token([1; 10], [2; 32], [3; 32]).to_text();
        let mut bytes = decode(text.expose().strip_prefix(PREFIX).unwrap()).unwrap();
        bytes[0] = VERSION + 1;
        let sum = checksum(&bytes[..LEN - 4]);
        bytes[LEN - 4..].copy_from_slice(&sum);
        let mut newer = PREFIX.to_owned();
        encode(&bytes, &mut newer);
        assert_eq!(newer.parse::<JoinToken>().unwrap_err(), TokenError::Version);
    }

    #[test]
    fn only_the_tokens_own_signature_verifies() {
        let pin = KeyDigest([0; 32]);
        let (one, other) = (JoinToken::mint(pin).unwrap(), JoinToken::mint(pin).unwrap());
        let signature = one.sign(b"message").unwrap();
        assert!(one.verify_key().unwrap().verify(b"message", &signature));
        assert!(!one.verify_key().unwrap().verify(b"massage", &signature));
        assert!(!other.verify_key().unwrap().verify(b"message", &signature));
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = token([1; 10], [0xab; 32], [3; 32]);
        let printed = format!("{token:?} {:?}", token.to_text());
        assert!(!printed.contains("abab") && !printed.contains(PREFIX), "{printed}");
        assert!(!printed.contains("171"), "{printed}");
    }
}
