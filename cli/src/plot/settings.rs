//! Axis values of a run, split into what names a column (the model) and what names a figure (everything else).

use std::cmp::Ordering;

use serde_json::Value;

/// What one run was set to, apart from its seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Options of the model, and the name of an import: `widths = [50]`.
    pub of_model: Vec<Setting>,
    /// All others: `train.optimizer.lr` = `0.1`.
    pub others: Vec<Setting>,
}

impl Settings {
    /// Tables become one setting for each of their keys.
    fn add(&mut self, name: String, value: Value) {
        let value = match value {
            Value::Object(table) => {
                for (key, value) in table {
                    self.add(format!("{name}.{key}"), value);
                }
                return;
            }
            Value::String(text) => text,
            other => other.to_string(),
        };
        match name.as_str() {
            "train.seed" | "seed" | "model" | "model.architecture" | "architecture" => {}
            option if option == "imported" || option.starts_with("model.") => {
                self.of_model.push(Setting::new(name, value));
            }
            _ => self.others.push(Setting::new(name, value)),
        }
    }
}

/// One setting with its value, ordered by name and then by value, numbers by size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Dotted.
    pub name: String,
    /// For people: without quotes.
    pub value: String,
}

impl Setting {
    /// A setting.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// The last part of its name, `lr`; the last two where one would say too little, `optimizer.name`.
    pub fn short_name(&self) -> &str {
        let mut starts = self.name.rmatch_indices('.').map(|(dot, _)| dot + 1);
        match starts.next() {
            Some(last) if &self.name[last..] == "name" => &self.name[starts.next().unwrap_or(0)..],
            last => &self.name[last.unwrap_or(0)..],
        }
    }

    /// `lr = 0.1`.
    pub fn describe(&self) -> String {
        format!("{} = {}", self.short_name(), self.value)
    }
}

impl Ord for Setting {
    fn cmp(&self, other: &Self) -> Ordering {
        let values = match (self.value.parse::<f64>(), other.value.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => Ordering::Equal,
        };
        self.name.cmp(&other.name).then(values).then_with(|| self.value.cmp(&other.value))
    }
}

impl PartialOrd for Setting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads the JSON object of axis values that comes with every result. Text that is none is kept as one nameless value,
/// so that runs which differ stay apart.
pub fn read(json: &str) -> Settings {
    let mut settings = Settings::default();
    if json.is_empty() {
        return settings;
    }
    let Ok(Value::Object(values)) = serde_json::from_str(json) else {
        settings.others.push(Setting::new("settings", json));
        return settings;
    };
    for (name, value) in values {
        settings.add(name, value);
    }
    settings.of_model.sort();
    settings.others.sort();
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_architecture_name_neither_figure_nor_column() {
        let json = r#"{"model.architecture":"mlp","train.optimizer.lr":0.1,"model.mlp.widths":[50],"train.seed":3}"#;
        let settings = read(json);
        assert_eq!(settings.others, [Setting::new("train.optimizer.lr", "0.1")]);
        assert_eq!(settings.of_model, [Setting::new("model.mlp.widths", "[50]")]);
        assert_eq!(settings.others[0].describe(), "lr = 0.1");
    }

    #[test]
    fn tables_are_taken_apart() {
        let settings = read(r#"{"train.optimizer":{"name":"sgd","lr":0.1}}"#);
        let described: Vec<_> = settings.others.iter().map(Setting::describe).collect();
        assert_eq!(described, ["lr = 0.1", "optimizer.name = sgd"]);
    }

    #[test]
    fn values_are_ordered_as_numbers() {
        assert!(Setting::new("lr", "0.5") < Setting::new("lr", "10"));
        assert!(Setting::new("set", "cifar10") < Setting::new("set", "mnist"));
    }

    #[test]
    fn what_is_no_object_is_kept() {
        assert_eq!(read("oops").others, [Setting::new("settings", "oops")]);
        assert_eq!(read(""), Settings::default());
        assert_eq!(read("{}"), Settings::default());
    }
}
