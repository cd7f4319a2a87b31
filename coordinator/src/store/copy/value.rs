//! Values as every database knows them, and the digest of rows of them.

use blake3::Hasher;

use super::Copied;

/// One value. Truth is 0 or 1; what is not a number is NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Count and digest of rows.
#[derive(Default)]
pub(super) struct Digest {
    rows: u64,
    hasher: Hasher,
}

impl Digest {
    /// Each value says its kind and its length, so that different rows are different bytes.
    pub(super) fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Integer(number) => (1, &number.to_le_bytes()),
                Value::Real(number) => (2, &number.to_bits().to_le_bytes()),
                Value::Text(text) => (3, text.as_bytes()),
                Value::Bytes(bytes) => (4, bytes),
            };
            self.hasher.update(&[kind]);
            self.hasher.update(&(bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
    }

    pub(super) fn finish(self, table: &str) -> Copied {
        Copied { table: table.to_owned(), rows: self.rows, digest: self.hasher.finalize().to_hex().to_string() }
    }
}
