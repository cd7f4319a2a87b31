//! `transect models`: architectures, and the layers, groups and tensors of one.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Map, Value, json};
use transect_common::model::{Description, ModelSpec};
use transect_common::sweep::check_options;

use crate::errors::{Failure, Outcome};
use crate::json;
use crate::output::{Output, counted, grouped, table};

/// Which model.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// The architecture; without it, all are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Shape of an image: channels, height, width
    #[arg(long, value_name = "CxHxW", value_parser = parse_input, requires = "name")]
    input: Option<[u32; 3]>,
    /// Number of classes
    #[arg(long, value_name = "N", default_value_t = 10, requires = "name", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    classes: u32,
    /// An option of the architecture, such as widths=[300,100]
    #[arg(long = "option", value_name = "KEY=VALUE", requires = "name")]
    options: Vec<String>,
}

/// Lists architectures, or describes one.
pub fn models(output: Output, args: &ModelsArgs) -> Outcome {
    let Some(name) = &args.name else {
        return list(output);
    };
    let spec = spec(name, &args.options)?;
    let model = spec
        .describe(args.input.unwrap_or(spec.usual_input()), args.classes)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    if output.is_json() { output.json(&as_json(&spec, &model)) } else { output.text(&as_text(&spec, &model)) }
}

/// Reads `3x32x32`.
pub fn parse_input(text: &str) -> Result<[u32; 3], String> {
    let wrong = || format!("`{text}` is not CHANNELSxHEIGHTxWIDTH, such as 3x32x32 (each 1 to 4096)");
    let numbers: Vec<u32> = text.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let shape: [u32; 3] = numbers.try_into().map_err(|_| wrong())?;
    if shape.iter().all(|n| (1..=4096).contains(n)) { Ok(shape) } else { Err(wrong()) }
}

/// The model of that name with these options (`KEY=VALUE`, the value as JSON or a bare word).
pub fn spec(name: &str, options: &[String]) -> Result<ModelSpec, Failure> {
    if ModelSpec::from_name(name).is_none() {
        let known = ModelSpec::NAMES.join(", ");
        return Err(Failure::Usage(format!("there is no architecture `{name}`; there are {known}")));
    }
    let mut map = Map::from_iter([("architecture".to_owned(), json!(name))]);
    for option in options {
        let Some((key, value)) = option.split_once('=') else {
            return Err(Failure::Usage(format!("`{option}` is not KEY=VALUE, such as widths=[300,100]")));
        };
        if key == "architecture" || map.insert(key.to_owned(), json::nested(value)).is_some() {
            return Err(Failure::Usage(format!("the option `{key}` is given twice")));
        }
    }
    let spec: ModelSpec =
        serde_json::from_value(Value::Object(map)).map_err(|e| Failure::Usage(format!("{name}: {e}")))?;
    check_options(&spec).map_err(|wrong| Failure::Usage(format!("{name}: {wrong}")))?;
    Ok(spec)
}

fn list(output: Output) -> Outcome {
    let described: Vec<(ModelSpec, Description)> = ModelSpec::NAMES
        .iter()
        .filter_map(|name| {
            let spec = ModelSpec::from_name(name)?;
            let model = spec.describe(spec.usual_input(), 10).ok()?;
            Some((spec, model))
        })
        .collect();
    if output.is_json() {
        return output.json(&described.iter().map(|(spec, model)| brief_json(spec, model)).collect::<Value>());
    }
    let row = |(spec, model): &(ModelSpec, Description)| {
        let (input, parameters) = (shape(&model.input, "x"), grouped(model.theta_len() as u64));
        vec![spec.name().to_owned(), input, model.layers.len().to_string(), parameters]
    };
    let rows = described.iter().map(row).collect();
    output.text(&table(&["name", "input", "layers", "parameters"], &[2, 3], rows))?;
    output.text("")?;
    for (spec, _) in &described {
        output.text(&format!("{}: {}", spec.name(), spec.about()))?;
    }
    output.note("\n`transect models NAME` shows layers, groups and tensors.");
    Ok(())
}

fn shape(dimensions: &[u32], between: &str) -> String {
    dimensions.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

fn as_text(spec: &ModelSpec, model: &Description) -> String {
    let mut text = format!(
        "{}: {}\nimages {}, {} classes, {}, {}\n\n",
        spec.name(),
        spec.about(),
        shape(&model.input, "x"),
        model.classes,
        counted(model.theta_len() as u64, "parameter"),
        counted(model.buffers_len() as u64, "buffer"),
    );
    let mut rows = Vec::new();
    for layer in &model.layers {
        for (i, parameter) in model.parameters[layer.parameters.clone()].iter().enumerate() {
            let first = i == 0;
            rows.push(vec![
                if first { layer.name.clone() } else { String::new() },
                if first { layer.kind.name().to_owned() } else { String::new() },
                parameter.name.clone(),
                shape(&parameter.shape, "x"),
                grouped(parameter.len as u64),
            ]);
        }
        for buffer in &model.buffers[layer.buffers.clone()] {
            let (name, dimensions) = (buffer.name.clone(), shape(&buffer.shape, "x"));
            rows.push(vec![String::new(), "(buffer)".into(), name, dimensions, grouped(buffer.len as u64)]);
        }
    }
    text += &table(&["layer", "kind", "tensor", "shape", "elements"], &[4], rows);
    text += "\n\nGroups, which a probe's `layers` may name beside layers and globs:\n";
    for group in &model.groups {
        let elements: usize = group.parameters.iter().map(|&i| model.parameters[i].len).sum();
        let tensors = counted(group.parameters.len() as u64, "tensor");
        let _ = writeln!(text, "  {:<18} {tensors}, {}", group.name, counted(elements as u64, "parameter"));
    }
    text += "\nBlocks, which part the network from bottom to top:\n";
    for (name, tensors, elements) in blocks(model) {
        let _ = writeln!(text, "  {name:<18} {}, {}", counted(tensors, "tensor"), counted(elements, "parameter"));
    }
    text.trim_end().to_owned()
}

/// Each block's name, number of tensors and number of parameters.
fn blocks(model: &Description) -> impl Iterator<Item = (&str, u64, u64)> {
    model.blocks.iter().map(|name| {
        let tensors = model.named(name).unwrap_or_default();
        let elements: usize = tensors.iter().map(|&i| model.parameters[i].len).sum();
        (name.as_str(), tensors.len() as u64, elements as u64)
    })
}

fn brief_json(spec: &ModelSpec, model: &Description) -> Value {
    json!({
        "name": spec.name(),
        "about": spec.about(),
        "input": model.input,
        "classes": model.classes,
        "layers": model.layers.len(),
        "parameters": model.theta_len(),
        "buffers": model.buffers_len(),
    })
}

fn as_json(spec: &ModelSpec, model: &Description) -> Value {
    let layer = |l: &transect_common::model::Layer| {
        let parameters: Value = model.parameters[l.parameters.clone()]
            .iter()
            .map(|p| json!({ "name": p.name, "shape": p.shape, "offset": p.offset, "len": p.len }))
            .collect();
        let buffers: Value = model.buffers[l.buffers.clone()]
            .iter()
            .map(|b| json!({ "name": b.name, "shape": b.shape, "offset": b.offset, "len": b.len }))
            .collect();
        json!({ "name": l.name, "kind": l.kind.name(), "parameters": parameters, "buffers": buffers })
    };
    let group = |g: &transect_common::model::Group| {
        let names: Value = g.parameters.iter().map(|&i| json!(model.parameters[i].name)).collect();
        json!({ "name": g.name, "parameters": names })
    };
    json!({
        "name": spec.name(),
        "about": spec.about(),
        "model": spec,
        "input": model.input,
        "classes": model.classes,
        "parameters": model.theta_len(),
        "buffers": model.buffers_len(),
        "layers": model.layers.iter().map(layer).collect::<Value>(),
        "groups": model.groups.iter().map(group).collect::<Value>(),
        "blocks": blocks(model).map(|(name, _, n)| json!({ "name": name, "parameters": n })).collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_images_are_read() {
        assert_eq!(parse_input("3x32x32"), Ok([3, 32, 32]));
        for wrong in ["", "3", "3x32", "3x32x32x1", "0x1x1", "axbxc", "1x1x5000"] {
            assert!(parse_input(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_checked() {
        let mlp = |options: &[&str]| spec("mlp", &options.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(mlp(&["widths=[7]"]).unwrap(), ModelSpec::mlp([7]));
        assert_eq!(mlp(&[]).unwrap(), ModelSpec::from_name("mlp").unwrap());
        for wrong in ["widths", "widths=[0]", "width=[3]", "widths=many", "architecture=lenet5"] {
            assert_eq!(mlp(&[wrong]).unwrap_err().code(), 2, "{wrong}");
        }
        let error = spec("lenet5", &["widths=[3]".into()]).unwrap_err().to_string();
        assert!(error.contains("lenet5: unknown field `widths`, expected `activation` or `dropout`"), "{error}");
        let error = spec("lenet6", &[]).unwrap_err().to_string();
        assert!(error.contains("mlp, lenet5, resnet20"), "{error}");
    }
}
