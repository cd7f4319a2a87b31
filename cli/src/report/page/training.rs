//! Training curves.

use super::{Chapter, Subject};
use crate::report::figures;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    if let Some(canvas) = figures::training(subject.measured, subject.sweep()) {
        chapter.figure("training", "Loss and accuracy by epoch, by setting.", &canvas);
    }
    chapter
}
