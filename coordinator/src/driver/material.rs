//! What nodes need to join: minted for one run, and in memory only.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use quorate_proto::{JoinMaterial, Secret, hex};

/// The letters of a bootstrap token: 36, as Kubernetes' pattern `[a-z0-9]` has them.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The system has no randomness to give; nothing can be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator failed; see the kernel's log")]
pub struct NoRandom;

/// Mints a bootstrap token and a certificate key.
pub(super) fn mint() -> Result<JoinMaterial, NoRandom> {
    let random = SystemRandom::new();
    let token = format!("{}.{}", letters(&random, 6)?, letters(&random, 16)?);
    let mut key = [0; 32];
    random.fill(&mut key).map_err(|_unspecified| NoRandom)?;
    let certificate_key = Secret::new(hex(&key));
    Ok(JoinMaterial { token: Secret::new(token), certificate_key, ca_pem: None })
}

fn letters(random: &SystemRandom, count: usize) -> Result<String, NoRandom> {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_unspecified| NoRandom)?;
        let [byte] = byte;
        // 252 is the largest multiple of 36 in a byte: above it, letters would not be equally likely.
        if byte < 252 {
            let letter = LETTERS.get(usize::from(byte) % LETTERS.len()).copied();
            text.extend(letter.map(char::from));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_has_the_form_that_kubeadm_asks_for() {
        let (one, other) = (mint().unwrap(), mint().unwrap());
        let token = one.token.expose();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(token.bytes().all(|byte| byte == b'.' || LETTERS.contains(&byte)), "{token}");
        assert_eq!(one.certificate_key.expose().len(), 64);
        assert_ne!(one, other);
    }
}
