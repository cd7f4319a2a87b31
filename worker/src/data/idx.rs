//! The IDX layout of MNIST: a big-endian header (magic number, then one length per dimension), then one byte per value.
//!
//! Source: the format's description on yann.lecun.com/exdb/mnist. Magic 2051 is bytes in three dimensions (images, rows,
//! columns), 2049 bytes in one (labels).

use super::format::{FormatError, check_labels, check_length};

const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

/// Bytes of the header of a file of images.
pub const IMAGES_HEADER: u64 = 16;
/// Bytes of the header of a file of labels.
pub const LABELS_HEADER: u64 = 8;

/// Pixels of the images in `bytes`, row by row, one image after another. Each is `size` (height, width); there are at
/// most `most`.
pub fn images(bytes: &[u8], size: [u32; 2], most: u32) -> Result<&[u8], FormatError> {
    let [_, count, height, width] = header("images", IMAGES, bytes)?;
    if [height, width] != size {
        return Err(FormatError::Shape { found: [height, width], expected: size });
    }
    check_count("images", count, most)?;
    let pixels = u64::from(height) * u64::from(width);
    check_length(bytes, IMAGES_HEADER + u64::from(count) * pixels)?;
    Ok(&bytes[IMAGES_HEADER as usize..])
}

/// The labels in `bytes`, at most `most` of them, each below `classes`.
pub fn labels(bytes: &[u8], classes: u32, most: u32) -> Result<&[u8], FormatError> {
    let [_, count] = header("labels", LABELS, bytes)?;
    check_count("labels", count, most)?;
    check_length(bytes, LABELS_HEADER + u64::from(count))?;
    let labels = &bytes[LABELS_HEADER as usize..];
    check_labels(labels, classes)?;
    Ok(labels)
}

/// The `N` big-endian numbers of a header, the first of which must be `magic`.
fn header<const N: usize>(what: &'static str, magic: u32, bytes: &[u8]) -> Result<[u32; N], FormatError> {
    let words = bytes.as_chunks::<4>().0;
    if let Some(found) = words.first().map(|word| u32::from_be_bytes(*word)).filter(|found| *found != magic) {
        return Err(FormatError::Magic { what, found, expected: magic });
    }
    let Some(words) = words.first_chunk::<N>() else {
        return Err(FormatError::Truncated { found: bytes.len() as u64, expected: 4 * N as u64 });
    };
    Ok(words.map(u32::from_be_bytes))
}

fn check_count(what: &'static str, found: u32, most: u32) -> Result<(), FormatError> {
    if found <= most {
        return Ok(());
    }
    Err(FormatError::TooMany { what, found: found.into(), most: most.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image_file(magic: u32, count: u32, size: [u32; 2], pixels: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = [magic, count, size[0], size[1]].iter().flat_map(|n| n.to_be_bytes()).collect();
        bytes.extend((0..pixels).map(|i| i as u8));
        bytes
    }

    fn label_file(magic: u32, count: u32, labels: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = [magic, count].iter().flat_map(|n| n.to_be_bytes()).collect();
        bytes.extend(labels);
        bytes
    }

    #[test]
    fn whole_files_are_read() {
        let bytes = image_file(2051, 2, [3, 4], 24);
        assert_eq!(images(&bytes, [3, 4], 5), Ok(&bytes[16..]));
        assert_eq!(labels(&label_file(2049, 3, &[0, 9, 4]), 10, 3), Ok(&[0, 9, 4][..]));
        assert_eq!(labels(&label_file(2049, 0, &[]), 10, 3), Ok(&[][..]));
    }

    #[test]
    fn another_kind_of_file_is_told_apart() {
        let error = images(&label_file(2049, 9, &[0; 9]), [3, 4], 5).unwrap_err();
        assert_eq!(error, FormatError::Magic { what: "images", found: 2049, expected: 2051 });
        let error = labels(&image_file(2051, 2, [3, 4], 24), 10, 5).unwrap_err();
        assert_eq!(error, FormatError::Magic { what: "labels", found: 2051, expected: 2049 });
        let error = images(&image_file(2051, 2, [4, 3], 24), [3, 4], 5).unwrap_err();
        assert_eq!(error, FormatError::Shape { found: [4, 3], expected: [3, 4] });
    }

    #[test]
    fn files_that_end_too_early_or_too_late_are_refused() {
        let truncated = |found, expected| Err(FormatError::Truncated { found, expected });
        assert_eq!(images(&[], [3, 4], 5), truncated(0, 16));
        assert_eq!(images(&image_file(2051, 2, [3, 4], 24)[..15], [3, 4], 5), truncated(15, 16));
        assert_eq!(images(&image_file(2051, 2, [3, 4], 23), [3, 4], 5), truncated(39, 40));
        assert_eq!(images(&image_file(2051, 2, [3, 4], 25), [3, 4], 5), Err(FormatError::Trailing { expected: 40 }));
        assert_eq!(labels(&label_file(2049, 3, &[1, 2]), 10, 3), truncated(10, 11));
        assert_eq!(labels(&label_file(2049, 1, &[1, 2]), 10, 3), Err(FormatError::Trailing { expected: 9 }));
    }

    #[test]
    fn more_than_the_whole_set_is_refused_before_it_is_looked_for() {
        let error = images(&image_file(2051, u32::MAX, [3, 4], 24), [3, 4], 5).unwrap_err();
        assert_eq!(error, FormatError::TooMany { what: "images", found: u32::MAX.into(), most: 5 });
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        let error = labels(&label_file(2049, 3, &[1, 10, 2]), 10, 3).unwrap_err();
        assert_eq!(error, FormatError::Label { index: 1, label: 10, classes: 10 });
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), magic in 0..3_usize) {
            // Two thirds of the cases get past the magic number.
            if let (Some(head), 1..) = (bytes.first_chunk_mut::<4>(), magic) {
                *head = [LABELS, IMAGES][magic - 1].to_be_bytes();
            }
            let _ = images(&bytes, [3, 4], u32::MAX);
            let _ = labels(&bytes, 10, u32::MAX);
        }
    }
}
