//! TOML text as a tree of values that know where they stand, in the file's order.

use std::fmt;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::report::Report;

/// Deepest dotted key that is read. The settings need 4; the TOML reader's recursion needs some bound.
const DEEPEST_KEY: usize = 8;

/// A value and the byte offset at which it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: usize,
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// As written, and its value where it fits.
    Whole(String, Option<i128>),
    /// As written, and its value; a number too large for f64 is infinite.
    Number(String, f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

impl Node {
    /// The value as JSON, for comparing and for showing; a number too large for f64 is null.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Text(text) | Value::Date(text) => text.as_str().into(),
            Value::Whole(_, Some(whole)) => i64::try_from(*whole).map_or(Json::Null, Json::from),
            Value::Whole(_, None) => Json::Null,
            Value::Number(_, number) => (*number).into(),
            Value::Flag(flag) => (*flag).into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Table(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.json())).collect(),
        }
    }

    /// JSON as a value that was written at `at`.
    pub fn of_json(at: usize, json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Text(String::new()),
            Json::Bool(flag) => Value::Flag(*flag),
            Json::Number(number) if number.is_f64() => {
                Value::Number(number.to_string(), number.as_f64().unwrap_or(f64::NAN))
            }
            Json::Number(number) => Value::Whole(number.to_string(), number.as_i128()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(|item| Self::of_json(at, item)).collect()),
            Json::Object(map) => Value::Table(
                map.iter().map(|(key, json)| Entry { key: key.clone(), at, node: Self::of_json(at, json) }).collect(),
            ),
        };
        Self { at, value }
    }
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub at: usize,
    pub node: Node,
}

impl fmt::Display for Node {
    /// What was found, for error sentences: `the string "abc"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Text(text) => write!(f, "the string {}", quoted(text)),
            Value::Whole(text, _) | Value::Number(text, _) => f.write_str(&shortened(text)),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Date(date) => write!(f, "the date {date}"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
        }
    }
}

/// `text` in quotation marks, on one line, shortened when it is long.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text).escape_debug())
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads TOML that begins at `offset` of the bundle. `None` when it is not TOML, which is then in `report`.
pub(super) fn parse(text: &str, offset: usize, report: &mut Report) -> Option<Vec<Entry>> {
    if let Some(at) = too_deep(text) {
        report.add(offset + at, "", format!("this key has more than {DEEPEST_KEY} parts; settings have at most 4"));
        return None;
    }
    match DeTable::parse(text) {
        Ok(table) => Some(entries(table.get_ref(), offset)),
        Err(error) => {
            let at = error.span().map_or(text.len(), |span| span.start);
            report.add(offset + at, "", format!("not TOML: {}", error.message()));
            None
        }
    }
}

/// Where a dotted key has too many parts. Tables nest as deep as keys have parts, and dropping them recurses.
fn too_deep(text: &str) -> Option<usize> {
    let mut dots = 0;
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Atom
            | TokenKind::BasicString
            | TokenKind::LiteralString
            | TokenKind::MlBasicString
            | TokenKind::MlLiteralString
            | TokenKind::Whitespace => {}
            _ => dots = 0,
        }
        if dots >= DEEPEST_KEY {
            return Some(token.span().start());
        }
    }
    None
}

fn entries(table: &DeTable<'_>, offset: usize) -> Vec<Entry> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
        key: key_text(key),
        at: offset + key.span().start,
        node: node(value, offset),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn key_text(key: &Spanned<std::borrow::Cow<'_, str>>) -> String {
    key.get_ref().clone().into_owned()
}

fn node(value: &Spanned<DeValue<'_>>, offset: usize) -> Node {
    let at = offset + value.span().start;
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(whole) => {
            Value::Whole(whole.to_string(), i128::from_str_radix(whole.as_str(), whole.radix()).ok())
        }
        DeValue::Float(number) => Value::Number(number.to_string(), number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, offset)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, offset)),
    };
    Node { at, value }
}
