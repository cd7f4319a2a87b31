//! Bounds of a model's options, for a model that no sweep file names.

use serde_json::Value as Json;

use super::schema::{self, Kind};
use super::value::grouped;
use crate::model::ModelSpec;

/// Holds the options of `model` to the bounds that a sweep file has for them.
///
/// # Errors
/// With a sentence about the first option that is out of bounds.
pub fn check_options(model: &ModelSpec) -> Result<(), String> {
    let options = serde_json::to_value(model).expect("a model is plain data with text keys");
    for setting in schema::options(model.name()) {
        if let Some(wrong) = wrong(&setting.kind, &options[setting.name]) {
            return Err(format!("`{}` {wrong}", setting.name));
        }
    }
    Ok(())
}

/// Why `value` is out of bounds. That it is of the right type is known.
fn wrong(kind: &Kind, value: &Json) -> Option<String> {
    match kind {
        Kind::Whole { min, max } if !value.as_u64().is_some_and(|n| (*min..=*max).contains(&n)) => {
            Some(format!("must be from {} to {}, found {value}", grouped(*min), grouped(*max)))
        }
        Kind::Number(domain) if !value.as_f64().is_some_and(|x| domain.holds(x)) => {
            Some(format!("must be {}, found {value}", domain.text()))
        }
        Kind::List { of, most, .. } => {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if items.len() > *most {
                return Some(format!("takes at most {most} items, found {}", items.len()));
            }
            items.iter().find_map(|item| wrong(of, item)).map(|text| format!("has an item that {text}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CifarResnet, Lenet5};

    #[test]
    fn options_within_bounds_pass_and_others_are_named() {
        for name in ModelSpec::NAMES {
            assert_eq!(check_options(&ModelSpec::from_name(name).unwrap()), Ok(()), "{name}");
        }
        let error = |model| check_options(&model).unwrap_err();
        assert_eq!(error(ModelSpec::mlp([3, 0])), "`widths` has an item that must be from 1 to 65,536, found 0");
        assert_eq!(error(ModelSpec::mlp([1; 65])), "`widths` takes at most 64 items, found 65");
        let lenet = ModelSpec::Lenet5(Lenet5 { dropout: 1.0, ..Lenet5::default() });
        assert_eq!(error(lenet), "`dropout` must be at least 0 and below 1, found 1.0");
        let resnet = ModelSpec::Resnet56(CifarResnet { width: 0, ..CifarResnet::default() });
        assert_eq!(error(resnet), "`width` must be from 1 to 1,024, found 0");
    }
}
