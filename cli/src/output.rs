//! What is printed: answers on standard output, notes and errors on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::args::Color;
use crate::errors::{Failure, Outcome};

/// How to answer.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    color: bool,
}

impl Output {
    /// As the command line asks.
    pub fn new(json: bool, color: Color) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self { json, color }
    }

    /// True when the answer is to be JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a line, or several, of an answer in words.
    pub fn text(self, text: &str) -> Outcome {
        debug_assert!(!self.json, "standard output holds nothing but JSON");
        answer(text)
    }

    /// Prints a JSON document on one line of its own.
    pub fn json(self, value: &Value) -> Outcome {
        debug_assert!(self.json, "JSON was not asked for");
        answer(&value.to_string())
    }

    /// Says something beside the answer, to people only.
    pub fn note(self, text: &str) {
        if !self.json {
            aside(text);
        }
    }

    /// Says something that the user should know and that stops nothing.
    pub fn warning(self, text: &str) {
        if self.json {
            aside(&json!({ "warning": text }).to_string());
        } else {
            aside(&format!("{} {text}", self.painted("warning:", "33;1")));
        }
    }

    /// Says what went wrong, and gives the exit code.
    pub fn failure(self, failure: &Failure) -> ExitCode {
        match failure.json() {
            None => {}
            Some(error) if self.json => aside(&error.to_string()),
            Some(_) => {
                let head = self.painted("error:", "31;1");
                for line in failure.to_string().lines() {
                    aside(&format!("{head} {line}"));
                }
            }
        }
        ExitCode::from(failure.code())
    }

    fn painted(self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn answer(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

fn aside(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What became of writing to standard output.
pub fn written(result: io::Result<()>) -> Outcome {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Closed),
        other => other.map_err(|e| Failure::Other(anyhow::anyhow!("cannot write the answer: {e}"))),
    }
}

/// Aligned columns without lines; columns named in `right` are aligned right.
pub fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(i > 0), 1));
        if right.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// `1 run`, `3 runs`.
pub fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MB`.
pub fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// At most `limit` characters, the last of them ` ...` where there were more.
pub fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit - 4).collect();
    format!("{kept} ...")
}

/// `4.2 s`, `1 min 20 s`, `3 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12, 1_234, 999_999, 5_000_000_000].map(bytes), ["12 B", "1.2 kB", "1.0 MB", "5.0 GB"]);
        assert_eq!(
            [0.04, 4.2, 59.4, 80.0, 3_600.0].map(duration),
            ["0.0 s", "4.2 s", "59 s", "1 min 20 s", "1 h 00 min"]
        );
        assert_eq!((cut("abcdef", 6), cut("abcdefg", 6)), ("abcdef".into(), "ab ...".into()));
        assert_eq!(counted(1, "run"), "1 run");
        assert_eq!(counted(2_000, "point"), "2,000 points");
    }

    #[test]
    fn tables_are_aligned_and_have_no_trailing_spaces() {
        let text = table(&["name", "n"], &[1], vec![vec!["a".into(), "12".into()], vec!["long".into(), "3".into()]]);
        assert_eq!(text, "name   n\na     12\nlong   3");
    }
}
