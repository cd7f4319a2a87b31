//! CIFAR's binary layout: records of label bytes and 3 x 32 x 32 bytes, red, green, blue, each row by row. CIFAR-10 has
//! one label byte, CIFAR-100 the coarse label and then the fine one, which is the class.
//!
//! Source: the section "Binary version" of cs.toronto.edu/~kriz/cifar.html. There is no header: the length must be a
//! whole number of records.

use super::format::{FormatError, check_labels, check_length};

/// Classes and pixels of the records in `bytes`, each of `label_bytes` labels (the last is the class) and an image of
/// `pixels` bytes, at most `most` of them, each class below `classes`.
pub fn records(
    bytes: &[u8],
    (label_bytes, pixels): (usize, usize),
    classes: u32,
    most: u32,
) -> Result<(Vec<u8>, Vec<u8>), FormatError> {
    let record = label_bytes + pixels;
    let count = bytes.len() / record;
    if bytes.len() as u64 > u64::from(most) * record as u64 {
        let found = bytes.len().div_ceil(record) as u64;
        return Err(FormatError::TooMany { what: "images", found, most: most.into() });
    }
    check_length(bytes, (bytes.len().div_ceil(record) * record) as u64)?;
    let mut labels = Vec::with_capacity(count);
    let mut images = Vec::with_capacity(count * pixels);
    for record in bytes.chunks_exact(record) {
        labels.push(record[label_bytes - 1]);
        images.extend_from_slice(&record[label_bytes..]);
    }
    check_labels(&labels, classes)?;
    Ok((labels, images))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_records_are_read_in_order() {
        let (labels, pixels) = records(&[7, 1, 2, 3, 0, 4, 5, 6], (1, 3), 10, 2).unwrap();
        assert_eq!(labels, [7, 0]);
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
        assert_eq!(records(&[], (1, 3), 10, 2), Ok((vec![], vec![])));
    }

    #[test]
    fn the_last_label_byte_is_the_class() {
        let (labels, pixels) = records(&[19, 99, 1, 2, 3, 0, 49, 4, 5, 6], (2, 3), 100, 2).unwrap();
        assert_eq!(labels, [99, 49]);
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_broken_record_is_refused() {
        let error = records(&[7, 1, 2, 3, 0, 4], (1, 3), 10, 2);
        assert_eq!(error, Err(FormatError::Truncated { found: 6, expected: 8 }));
    }

    #[test]
    fn more_than_the_whole_file_is_refused() {
        let error = records(&[0; 9], (1, 3), 10, 2);
        assert_eq!(error, Err(FormatError::TooMany { what: "images", found: 3, most: 2 }));
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        let error = records(&[7, 1, 2, 3, 12, 4, 5, 6], (1, 3), 10, 2);
        assert_eq!(error, Err(FormatError::Label { index: 1, label: 12, classes: 10 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((labels, pixels)) = records(&bytes, (1, 3), 10, 6) {
                prop_assert_eq!(labels.len() * 3, pixels.len());
            }
        }
    }
}
