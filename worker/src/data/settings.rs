//! Whether a run's data settings make sense. A sweep file was checked already, but a run need not come from one.

use std::path::{Component, Path};

use transect_common::data::{Augment, Corruption, DataSet, DataSpec, Split};

use super::error::DataError;

/// Refuses settings that no data can have.
pub(super) fn check(spec: &DataSpec, seed: Option<u64>) -> Result<(), DataError> {
    let refuse = |sentence: String| Err(DataError::Setting(sentence));
    let (name, [channels, ..]) = (spec.set.name(), spec.input());
    let (mean, std) = (spec.mean(), spec.std());
    if mean.len() != channels as usize || std.len() != channels as usize {
        let (means, stds) = (mean.len(), std.len());
        return refuse(format!("{name} has {channels} channels, but {means} means and {stds} standard deviations"));
    }
    if mean.iter().any(|m| !m.is_finite()) || std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return refuse("means must be finite, and standard deviations finite and above 0".into());
    }
    if !(0.0..=1.0).contains(&spec.label_noise) {
        return refuse(format!("label_noise = {} is not in [0, 1]", spec.label_noise));
    }
    if seed.is_none() && spec.label_noise > 0.0 {
        return refuse("an imported run has no seed, so its data can have no label noise: set label_noise = 0".into());
    }
    if spec.train_size == Some(0) || spec.test_size == Some(0) {
        return refuse("train_size and test_size must be at least 1".into());
    }
    match spec.set {
        DataSet::Spirals => spirals(spec)?,
        DataSet::ImageFolder => image_folder(spec)?,
        _ => {}
    }
    corruption(spec)
}

fn spirals(spec: &DataSpec) -> Result<(), DataError> {
    let refuse = |sentence: String| Err(DataError::Setting(sentence));
    let spirals = &spec.spirals;
    if !(2..=256).contains(&spirals.classes) {
        return refuse(format!("spirals.classes = {} is not in 2 to 256", spirals.classes));
    }
    let fits = spirals.turns.is_finite() && spirals.turns > 0.0 && spirals.noise.is_finite() && spirals.noise >= 0.0;
    if !fits {
        return refuse("spirals.turns must be finite and above 0, spirals.noise finite and at least 0".into());
    }
    for (split, size) in [(Split::Train, spec.train_size), (Split::Test, spec.test_size)] {
        if let Some((size, most)) = size.zip(spec.largest_size(split)).filter(|(size, most)| size > most) {
            return refuse(format!("{split}_size = {size} is more than the {most} points that spirals make"));
        }
    }
    if !spec.corruption.is_none() || spec.augment != Augment::default() {
        return refuse("spirals are points of the plane: corruption and augment are for images, leave them out".into());
    }
    Ok(())
}

fn image_folder(spec: &DataSpec) -> Result<(), DataError> {
    let refuse = |sentence: &str| Err(DataError::Setting(sentence.into()));
    let (Some(folder), Some([channels, height, width]), Some(classes)) = (&spec.folder, spec.shape, spec.classes)
    else {
        return refuse("an image folder needs folder, shape and classes");
    };
    // Never outside the data folder.
    if folder.is_empty() || !Path::new(folder).components().all(|part| matches!(part, Component::Normal(_))) {
        return refuse("folder must be a folder below the data folder, without `.` or `..`");
    }
    if !matches!(channels, 1 | 3) || !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
        return refuse("shape must be 1 or 3 channels, then height and width from 1 to 4,096");
    }
    if !(1..=256).contains(&classes) {
        return refuse("classes must be from 1 to 256");
    }
    Ok(())
}

fn corruption(spec: &DataSpec) -> Result<(), DataError> {
    let refuse = |sentence: String| Err(DataError::Setting(sentence));
    let [_, height, width] = spec.input();
    match spec.corruption {
        Corruption::GaussianNoise { level, .. } if !(level.is_finite() && level > 0.0) => {
            refuse(format!("corruption.level = {level} is not above 0 and finite"))
        }
        Corruption::Blur { sigma } if !(sigma > 0.0 && sigma <= 16.0) => {
            refuse(format!("corruption.sigma = {sigma} is not above 0 and at most 16"))
        }
        Corruption::BlockShuffle { blocks, .. }
            if blocks == 0 || !height.is_multiple_of(blocks) || !width.is_multiple_of(blocks) =>
        {
            refuse(format!("corruption.blocks = {blocks} does not divide images of {height}x{width}"))
        }
        _ => Ok(()),
    }
}
