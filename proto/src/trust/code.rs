//! The code of an enrolment: six words that a node shows on its console, made from its new key. A
//! person who reads them there and gives them to the coordinator knows that the claim is that node's,
//! and not of somebody who has seen the token.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};

use super::certificate::KeyDigest;
use super::words::WORDS;

const LEN: usize = 6;
/// Six words are 48 bits. Each guess at a key of the same code costs so many rounds, so that finding
/// one takes 2^64 of them; an honest node waits for some 20 ms.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1 << 16).unwrap();
const DOMAIN: &[u8] = b"quorate-enrol-code-v1";

/// Six words that stand for one key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnrolCode([u8; LEN]);

impl EnrolCode {
    /// The code of a key.
    pub fn of(key: &KeyDigest) -> Self {
        let mut code = [0; LEN];
        derive(PBKDF2_HMAC_SHA256, ROUNDS, DOMAIN, &key.0, &mut code);
        Self(code)
    }

    /// Whether a person typed this code; case and what stands between the words do not matter.
    pub fn is(&self, typed: &str) -> bool {
        let typed = typed.to_ascii_lowercase();
        let words = typed.split(|c: char| !c.is_ascii_alphabetic());
        words.filter(|word| !word.is_empty()).eq(self.words())
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.map(|byte| WORDS.split(' ').nth(byte.into()).unwrap_or_default()).into_iter()
    }
}

impl fmt::Display for EnrolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for EnrolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_a_word_for_each_byte_and_each_is_plain() {
        let words: BTreeSet<_> = WORDS.split(' ').collect();
        assert_eq!((words.len(), WORDS.split(' ').count()), (256, 256));
        let plain = |word: &&str| {
            (3..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        assert!(words.iter().all(plain));
    }

    /// Agent and coordinator may be of different versions: a code must not change.
    #[test]
    fn a_key_has_one_code_for_ever() {
        let code = EnrolCode::of(&KeyDigest([1; 32]));
        assert_eq!(code.to_string(), "square iceberg blanket funnel cabin button");
        assert!(code.is(&code.to_string()));
    }

    #[test]
    fn a_code_is_taken_as_people_type_it_and_not_in_part() {
        let code = EnrolCode([0, 1, 2, 3, 4, 255]);
        assert_eq!(code.to_string(), "acid acorn actor album alley zipper");
        assert!(code.is("  Acid, acorn-actor ALBUM alley\tzipper. "));
        for wrong in
            ["", "acid", "acid acorn actor album alley", "zipper alley album actor acorn acid"]
        {
            assert!(!code.is(wrong), "{wrong}");
        }
        assert!(!code.is("acid acorn actor album alley zipper zipper"));
    }
}
