//! Names made of content: BLAKE3 digests written as 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that should have been a digest is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: 64 lower-case hexadecimal digits are expected")]
pub struct DigestError(pub String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The digest of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(blake3::hash(bytes).to_hex().to_string())
            }

            /// All 64 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 digits, for people.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() == 64 && text.bytes().all(is_digit) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(DigestError(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = DigestError;

            fn try_from(text: String) -> Result<Self, DigestError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.0
            }
        }
    };
}

digest!(
    /// Names a run: the digest of its canonical form.
    RunDigest
);
digest!(
    /// Names a line probe: the digest of its canonical form. Together with a run's it names a job.
    LineDigest
);
digest!(
    /// Names an artifact: the digest of its bytes.
    ArtifactDigest
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_and_nothing_else_is() {
        let digest = RunDigest::of(b"transect");
        assert_eq!(digest.to_string().parse::<RunDigest>(), Ok(digest.clone()));
        assert_eq!(digest.short().len(), 12);
        for wrong in ["", "abc", &"A".repeat(64), &"g".repeat(64), &"0".repeat(65)] {
            assert!(wrong.parse::<RunDigest>().is_err(), "{wrong}");
        }
    }
}
