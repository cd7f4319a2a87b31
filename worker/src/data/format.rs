//! What can be wrong with the bytes of a data file, said once for every layout.

/// The bytes are not what the layout asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Another kind of file.
    #[error("begins with the number {found} where a file of {what} begins with {expected}: it is another kind of file")]
    Magic {
        /// What the file should hold.
        what: &'static str,
        /// The first four bytes, big-endian.
        found: u32,
        /// What they should be.
        expected: u32,
    },
    /// Images of another size.
    #[error("holds images of {}x{} pixels where {}x{} belong", found[0], found[1], expected[0], expected[1])]
    Shape {
        /// Height and width in the file.
        found: [u32; 2],
        /// Height and width of the data set.
        expected: [u32; 2],
    },
    /// More than the whole data set.
    #[error("holds {found} {what} where the whole file has {most}")]
    TooMany {
        /// What the file holds.
        what: &'static str,
        /// How many.
        found: u64,
        /// How many the published file has.
        most: u64,
    },
    /// It ends too early.
    #[error("is truncated: it ends after {found} bytes, {expected} are needed; fetch it again")]
    Truncated {
        /// Bytes that there are.
        found: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// It goes on too long.
    #[error("goes on after the {expected} bytes that belong to it; fetch it again")]
    Trailing {
        /// Bytes that there should be.
        expected: u64,
    },
    /// A label that no class has.
    #[error("gives image {index} the label {label}, but the labels are 0 to {}", classes - 1)]
    Label {
        /// Place of the image in the file, from 0.
        index: usize,
        /// Its label.
        label: u8,
        /// Number of classes.
        classes: u32,
    },
}

/// Compares the length of `bytes` with what it should be.
pub(super) fn check_length(bytes: &[u8], expected: u64) -> Result<(), FormatError> {
    let found = bytes.len() as u64;
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(FormatError::Truncated { found, expected }),
        std::cmp::Ordering::Greater => Err(FormatError::Trailing { expected }),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// Checks that every label is below `classes`.
pub(super) fn check_labels(labels: &[u8], classes: u32) -> Result<(), FormatError> {
    match labels.iter().position(|&label| u32::from(label) >= classes) {
        Some(index) => Err(FormatError::Label { index, label: labels[index], classes }),
        None => Ok(()),
    }
}
