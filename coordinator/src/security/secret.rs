//! The secret of a token, and the hash that stands for it.
//!
//! A secret is 256 random bits, so nobody guesses it, and one fast hash is enough: slow, salted hashes protect what people
//! choose, which can be guessed from a list. Looking the hash up compares nothing that the secret could be learned from.

use std::fmt;

/// What every secret begins with, so that people and scanners recognise one that leaked.
pub const PREFIX: &str = "transect_";

/// A secret: `transect_` and 64 digits. It is shown once, to whoever made the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// BLAKE3 of a secret: what the database holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl Secret {
    /// Of 32 bytes from the system's source of randomness.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Self(PREFIX.to_owned() + &digits.collect::<String>())
    }

    /// What may be one: the prefix and 64 digits.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (digits.len() == 64 && digits.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The secret itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(*blake3::hash(self.0.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SecretHash {
    /// As the database holds it: 64 digits.
    pub fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_and_never_shown_by_debug() {
        let secret = Secret::from_random(&[0xab; 32]);
        assert_eq!(secret.reveal().len(), PREFIX.len() + 64);
        assert_eq!(Secret::read(secret.reveal()), Some(secret.clone()));
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains("ab"));
        for other in ["", "transect_", "transect_ab", &secret.reveal().to_uppercase(), &format!("{} ", secret.reveal())]
        {
            assert_eq!(Secret::read(other), None, "{other}");
        }
    }
}
