//! The wire contract is documented in full and spelled one way.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Numbers of the fields of `descriptor.proto` that lead from a file to what it declares.
mod path {
    pub const MESSAGE: i32 = 4;
    pub const ENUM: i32 = 5;
    pub const SERVICE: i32 = 6;
    pub const FIELD: i32 = 2;
    pub const NESTED: i32 = 3;
    pub const NESTED_ENUM: i32 = 4;
    pub const ONEOF: i32 = 8;
    pub const VALUE: i32 = 2;
    pub const METHOD: i32 = 2;
}

/// What is declared: where, by what name, and in which style the name must be.
struct Declared {
    path: Vec<i32>,
    name: String,
    style: fn(&str) -> bool,
}

fn is_snake_case(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    starts_well && rest && !name.contains("__") && !name.ends_with('_')
}

fn is_camel_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_constant(name: &str) -> bool {
    is_snake_case(&name.to_lowercase()) && name.to_uppercase() == name
}

fn join(path: &[i32], more: [i32; 2]) -> Vec<i32> {
    [path, &more].concat()
}

fn declared(file: &FileDescriptorProto) -> Vec<Declared> {
    let mut found = Vec::new();
    for (i, service) in file.service.iter().enumerate() {
        let at = vec![path::SERVICE, i as i32];
        for (j, method) in service.method.iter().enumerate() {
            let name = format!("{}.{}", service.name(), method.name());
            found.push(Declared { path: join(&at, [path::METHOD, j as i32]), name, style: is_camel_case });
        }
        found.push(Declared { path: at, name: service.name().to_owned(), style: is_camel_case });
    }
    for (i, message) in file.message_type.iter().enumerate() {
        of_message(message, message.name(), vec![path::MESSAGE, i as i32], &mut found);
    }
    for (i, enumeration) in file.enum_type.iter().enumerate() {
        of_enum(enumeration, enumeration.name(), vec![path::ENUM, i as i32], &mut found);
    }
    found
}

fn of_message(message: &DescriptorProto, name: &str, at: Vec<i32>, found: &mut Vec<Declared>) {
    for (j, field) in message.field.iter().enumerate() {
        let name = format!("{name}.{}", field.name());
        found.push(Declared { path: join(&at, [path::FIELD, j as i32]), name, style: is_snake_case });
    }
    for (j, oneof) in message.oneof_decl.iter().enumerate() {
        // `optional` becomes a oneof that nobody wrote.
        let is_written = message.field.iter().any(|f| f.oneof_index == Some(j as i32) && !f.proto3_optional());
        if is_written {
            let name = format!("{name}.{}", oneof.name());
            found.push(Declared { path: join(&at, [path::ONEOF, j as i32]), name, style: is_snake_case });
        }
    }
    for (j, nested) in message.nested_type.iter().enumerate() {
        let name = format!("{name}.{}", nested.name());
        of_message(nested, &name, join(&at, [path::NESTED, j as i32]), found);
    }
    for (j, nested) in message.enum_type.iter().enumerate() {
        let name = format!("{name}.{}", nested.name());
        of_enum(nested, &name, join(&at, [path::NESTED_ENUM, j as i32]), found);
    }
    found.push(Declared { path: at, name: name.to_owned(), style: is_camel_case });
}

fn of_enum(enumeration: &EnumDescriptorProto, name: &str, at: Vec<i32>, found: &mut Vec<Declared>) {
    for (j, value) in enumeration.value.iter().enumerate() {
        let name = format!("{name}.{}", value.name());
        found.push(Declared { path: join(&at, [path::VALUE, j as i32]), name, style: is_constant });
    }
    found.push(Declared { path: at, name: name.to_owned(), style: is_camel_case });
}

fn ours() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(transect_common::DESCRIPTORS).unwrap();
    let files: Vec<_> = set.file.into_iter().filter(|file| file.package().starts_with("transect.")).collect();
    assert!(files.len() >= 4, "only {} files", files.len());
    files
}

#[test]
fn everything_declared_has_a_comment_before_it() {
    for file in ours() {
        let info = file.source_code_info.clone().expect("the descriptors keep their comments");
        let comments: HashMap<Vec<i32>, String> =
            info.location.into_iter().map(|l| (l.path.clone(), l.leading_comments().to_owned())).collect();
        let all = declared(&file);
        assert!(all.len() > 4, "{}: only {} things declared", file.name(), all.len());
        let bare: Vec<&str> = all
            .iter()
            .filter(|d| comments.get(&d.path).is_none_or(|c| c.trim().is_empty()))
            .map(|d| d.name.as_str())
            .collect();
        assert!(bare.is_empty(), "{}: no comment before {bare:?}", file.name());
    }
}

#[test]
fn names_are_spelled_one_way() {
    for file in ours() {
        for declared in declared(&file) {
            let name = declared.name.rsplit('.').next().unwrap();
            assert!((declared.style)(name), "{}: {}", file.name(), declared.name);
        }
    }
}

#[test]
fn every_file_is_proto3_in_a_versioned_package_and_needs_no_other_proto_files() {
    for file in ours() {
        assert!(file.package().rsplit('.').next() == Some("v1"), "{}", file.name());
        assert_eq!(file.syntax(), "proto3", "{}", file.name());
        let foreign: Vec<_> = file.dependency.iter().filter(|name| !name.starts_with("transect/")).collect();
        assert!(foreign.is_empty(), "{}: {foreign:?}", file.name());
    }
}
