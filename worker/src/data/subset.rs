//! Which images of a split a run uses.

use std::path::Path;

use transect_common::data::{DataSpec, Split};

use super::error::DataError;

/// Places in the files, ascending, of the images that a run uses of those with `labels`: the first ones, or, where the
/// training set is to be balanced, the first ones of each class. Where the size is no multiple of the classes, each of
/// the lower classes gives one more.
pub(super) fn places(spec: &DataSpec, folder: &Path, split: Split, labels: &[u8]) -> Result<Vec<u32>, DataError> {
    let (size, is_balanced) = match split {
        Split::Train => (spec.train_size, spec.balanced),
        Split::Test => (spec.test_size, false),
    };
    let size = match size {
        Some(size) if size as usize <= labels.len() => size,
        None if !labels.is_empty() => return Ok((0..labels.len() as u32).collect()),
        // Only a partial set can be empty.
        asked => {
            return Err(DataError::SizeOutOfReach {
                set: spec.set.name(),
                folder: folder.to_owned(),
                split,
                asked: asked.unwrap_or(1),
                found: labels.len(),
            });
        }
    };
    if !is_balanced {
        return Ok((0..size).collect());
    }
    let classes = spec.classes();
    let mut wanted: Vec<u32> = (0..classes).map(|class| size / classes + u32::from(class < size % classes)).collect();
    let mut places = Vec::with_capacity(size as usize);
    for (place, &label) in labels.iter().enumerate() {
        let wanted = &mut wanted[usize::from(label)];
        if *wanted > 0 {
            *wanted -= 1;
            places.push(place as u32);
        }
    }
    match wanted.iter().position(|&lacking| lacking > 0) {
        None => Ok(places),
        Some(class) => Err(DataError::Unbalanced {
            set: spec.set.name(),
            folder: folder.to_owned(),
            size,
            class: class as u32,
            found: labels.iter().filter(|&&label| usize::from(label) == class).count(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use transect_common::data::DataSet;

    use super::*;

    fn balanced(size: u32, labels: &[u8]) -> Result<Vec<u32>, DataError> {
        let classes = transect_common::data::Spirals { classes: 3, ..Default::default() };
        let spec = DataSpec { train_size: Some(size), balanced: true, ..DataSpec::new(DataSet::Spirals) };
        places(&DataSpec { spirals: classes, ..spec }, Path::new("data"), Split::Train, labels)
    }

    #[test]
    fn a_balanced_subset_has_the_first_of_each_class_in_file_order() {
        let labels = [2, 2, 0, 0, 2, 1, 0, 1, 1, 0];
        assert_eq!(balanced(6, &labels).unwrap(), [0, 1, 2, 3, 5, 7]);
        // One more of class 0, then one more of classes 0 and 1.
        assert_eq!(balanced(4, &labels).unwrap(), [0, 2, 3, 5]);
        assert_eq!(balanced(5, &labels).unwrap(), [0, 2, 3, 5, 7]);
        assert_eq!(balanced(1, &labels).unwrap(), [2]);
    }

    #[test]
    fn a_class_with_too_few_images_is_named() {
        let said = balanced(6, &[0, 0, 1, 2, 0, 2, 0]).unwrap_err().to_string();
        assert!(said.contains("class 1 has only 1 training image"), "{said}");
    }
}
