//! Between SQL's types and ours. What does not fit is damage, never a guess.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use transect_common::data::Split;
use transect_common::digest::RunDigest;

use crate::store::{Result, RunLabel, StoreError};

/// Rows that one statement takes as JSON.
pub(super) const BATCH: usize = 1000;

/// Anything that is written as text.
pub(super) fn text<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error| StoreError::Damaged(format!("{error}")))
}

/// The same, where there may be none.
pub(super) fn optional_text<T: FromStr<Err: Display>>(value: Option<&str>) -> Result<Option<T>> {
    value.map(text).transpose()
}

/// A word of a closed list, such as a state.
pub(super) fn word<T>(word: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T> {
    from_name(word).ok_or_else(|| StoreError::Damaged(format!("`{word}` is not a word that is known here")))
}

/// A split.
pub(super) fn split(name: &str) -> Result<Split> {
    word(name, Split::from_name)
}

/// A number that is never negative.
pub(super) fn count<T: TryFrom<i64>>(number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| StoreError::Damaged(format!("{number} is out of range")))
}

/// A number for SQL, whose integers have 63 bits beside the sign.
pub(super) fn integer(number: u64, what: &str) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("{what} is {number}; at most {} fits", i64::MAX)))
}

/// Rows as JSON for one statement.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> String {
    serde_json::to_string(rows).expect("rows are plain data with text keys")
}

/// What the first columns of results and curves say.
pub(super) fn label(run: &str, model: String, seed: Option<i64>, settings: String) -> Result<RunLabel> {
    Ok(RunLabel { run: text::<RunDigest>(run)?, model, seed: seed.map(count).transpose()?, settings })
}
