//! A sweep file and the files that it extends, as one text.
//!
//! `extends = "base.toml"` names a file beside the sweep file. What is read, sent and stored is one text that holds them
//! all: the sweep file, then each base after a line `#--- base.toml`. So a sweep stays whole wherever it goes, and every
//! mistake still has its file, line and column.

/// What begins the line before a base; its name follows.
const MARK: &str = "#--- ";

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'t> {
    /// Its path from the folder of the sweep file; empty for the sweep file itself.
    pub name: &'t str,
    /// Where its text begins in the bundle.
    pub at: usize,
    pub text: &'t str,
}

/// The files of a bundle, the sweep file first.
pub(super) fn parts(bundle: &str) -> Vec<Part<'_>> {
    let mut parts = vec![];
    let (mut name, mut at, mut place) = ("", 0, 0);
    for line in bundle.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix(MARK) {
            parts.push(Part { name, at, text: &bundle[at..place] });
            (name, at) = (next.trim(), place + line.len());
        }
        place += line.len();
    }
    parts.push(Part { name, at, text: &bundle[at..] });
    parts
}

/// The path that `extends = value` means in the file `current`, both from the folder of the sweep file.
pub fn extended_path(current: &str, value: &str) -> String {
    let folder = current.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut path: Vec<&str> = vec![];
    for step in folder.split('/').chain(value.split('/')).filter(|step| !step.is_empty() && *step != ".") {
        match (step, path.last()) {
            ("..", Some(&last)) if last != ".." => {
                path.pop();
            }
            _ => path.push(step),
        }
    }
    path.join("/")
}

/// The name that a file extends, if it is TOML and says so; mistakes are found when the whole is read.
pub fn extends_of(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    Some(table.get("extends")?.as_str()?.to_owned())
}

/// `bundle` with one more base.
#[must_use]
pub fn with_base(bundle: &str, name: &str, text: &str) -> String {
    let newline = if bundle.ends_with('\n') { "" } else { "\n" };
    format!("{bundle}{newline}{MARK}{name}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_taken_apart_as_it_was_put_together() {
        let bundle = with_base(&with_base("name = \"a\"", "b.toml", "x = 1\n"), "c/d.toml", "y = 2");
        let parts = parts(&bundle);
        let found: Vec<_> = parts.iter().map(|part| (part.name, part.text)).collect();
        assert_eq!(found, [("", "name = \"a\"\n"), ("b.toml", "x = 1\n"), ("c/d.toml", "y = 2")]);
        assert!(parts.iter().all(|part| bundle[part.at..].starts_with(part.text)));
    }

    #[test]
    fn paths_start_at_the_file_that_says_them() {
        for (current, value, path) in [
            ("", "base.toml", "base.toml"),
            ("", "./x/base.toml", "x/base.toml"),
            ("x/base.toml", "deeper.toml", "x/deeper.toml"),
            ("x/base.toml", "../other.toml", "other.toml"),
            ("", "../other.toml", "../other.toml"),
            ("../other.toml", "../far.toml", "../../far.toml"),
        ] {
            assert_eq!(extended_path(current, value), path, "{value} in {current}");
        }
        assert_eq!(extends_of("extends = \"base.toml\"").as_deref(), Some("base.toml"));
        assert_eq!(extends_of("x = 1"), None);
        assert_eq!(extends_of("x ="), None);
    }
}
