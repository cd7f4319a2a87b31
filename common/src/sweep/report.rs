//! Collects mistakes by byte offset and turns them into diagnostics with lines and columns.

use std::collections::HashSet;

use super::bundle::parts;
use super::{Diagnostic, SweepErrors};

/// Most mistakes that one answer lists; what is left is counted.
const MOST: usize = 50;
/// Most mistakes that are looked at: a file can hold a million.
const ENOUGH: usize = 10_000;
/// Longest key or sentence about a mistake, in characters: a value that is repeated in it can be as long as the file.
const LONGEST: usize = 800;
/// Of these, so many come from its end, where it says what would be right.
const LAST: usize = 300;

/// A sweep file's text and where its lines begin.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub text: String,
    lines: Vec<usize>,
}

impl Source {
    pub fn new(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i + 1);
        Self { text: text.to_owned(), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// File (empty for the sweep file itself), line and column (in characters) of a byte offset, both from 1.
    pub fn location(&self, at: usize) -> (String, u32, u32) {
        let at = self.text.floor_char_boundary(at);
        let line_of = |at: usize| self.lines.partition_point(|&start| start <= at);
        let line = line_of(at);
        let column = self.text[self.lines[line - 1]..at].chars().count() + 1;
        let parts = parts(&self.text);
        let part = parts.iter().rev().find(|part| part.at <= at).unwrap_or(&parts[0]);
        (part.name.to_owned(), (line - line_of(part.at) + 1) as u32, column as u32)
    }
}

/// A text without its middle where it is too long.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST {
        return text.to_owned();
    }
    let first: String = text.chars().take(LONGEST - LAST).collect();
    let last: String = text.chars().skip(count - LAST).collect();
    format!("{first} ... {last}")
}

/// Mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<(usize, String, String)>,
}

impl Report {
    /// Notes a mistake at byte `at` of the file about the setting `key`.
    pub fn add(&mut self, at: usize, key: &str, message: impl Into<String>) {
        if self.found.len() < ENOUGH {
            self.found.push((at, key.to_owned(), message.into()));
        }
    }

    /// How many mistakes were noted so far.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// `Ok` when nothing was found; else every mistake once, in the file's order.
    pub fn finish(mut self, source: &Source) -> Result<(), SweepErrors> {
        if self.found.is_empty() {
            return Ok(());
        }
        // Stable, so that mistakes of one place stay in the order in which they were found.
        self.found.sort_by_key(|(at, ..)| *at);
        // What all cases share is read, and found wrong, once for each.
        let mut seen = HashSet::new();
        self.found.retain(|mistake| seen.insert(mistake.clone()));
        let left_out = self.found.len().saturating_sub(MOST);
        let diagnostic = |(at, key, message): &(usize, String, String)| {
            let (file, line, column) = source.location(*at);
            Diagnostic { file, line, column, key: shortened(key), message: shortened(message) }
        };
        let mut listed: Vec<_> = self.found.iter().take(MOST).map(diagnostic).collect();
        if left_out > 0 {
            let (file, line, column) = source.location(self.found[MOST].0);
            let message = format!("{left_out} more mistakes from here on are not listed");
            listed.push(Diagnostic { file, line, column, key: String::new(), message });
        }
        Err(SweepErrors(listed))
    }
}
