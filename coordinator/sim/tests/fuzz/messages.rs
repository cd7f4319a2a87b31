//! Messages made from the descriptors of the protocol: fields that are there or not, with values that mean something to the
//! store, or that nobody expects.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Numbers that a seed decides (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A method, and what it takes.
pub struct Method {
    pub path: String,
    pub input: String,
    pub streams: bool,
}

/// Words that mean something, by the name of the field: `(field, word)`.
pub type Known = Vec<(&'static str, String)>;

/// The protocol.
pub struct Schema {
    messages: Vec<(String, DescriptorProto)>,
    pub methods: Vec<Method>,
}

const ODD_TEXTS: [&str; 12] =
    ["", "\0", "s-", "s-0", "s-18446744073709551616", "w--1", "../..", "'; --", "\u{202e}x", "init", "final", "nan"];
const ODD_NUMBERS: [u64; 14] =
    [0, 1, 2, 3, 5, 1000, 1001, 1 << 31, u32::MAX as u64, 1 << 60, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];
const ODD_REALS: [f64; 10] = [0.0, -0.0, 0.5, 1.0, -1.0, 1e308, 1e19, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 2.0];

impl Schema {
    pub fn new() -> Self {
        let all = FileDescriptorSet::decode(transect_common::DESCRIPTORS).unwrap();
        let ours: Vec<_> = all.file.into_iter().filter(|file| file.package() == "transect.v1").collect();
        let name = |message: &DescriptorProto| format!(".transect.v1.{}", message.name());
        let messages = ours.iter().flat_map(|file| &file.message_type).map(|m| (name(m), m.clone())).collect();
        let services = ours.iter().flat_map(|file| &file.service);
        let methods = services.flat_map(|service| {
            service.method.iter().map(|method| Method {
                path: format!("/transect.v1.{}/{}", service.name(), method.name()),
                input: method.input_type().to_owned(),
                streams: method.client_streaming(),
            })
        });
        Self { messages, methods: methods.collect() }
    }

    /// The bytes of some message of this type.
    pub fn message(&self, name: &str, known: &Known, chance: &mut Chance) -> Vec<u8> {
        let (_, message) = self.messages.iter().find(|(found, _)| found == name).unwrap();
        let mut bytes = vec![];
        let one_of = message.oneof_decl.iter().map(|_| chance.next()).collect::<Vec<_>>();
        for (place, field) in message.field.iter().enumerate() {
            // Of several that exclude each other one is chosen, mostly.
            let is_left_out = field.oneof_index.is_some_and(|index| {
                let rivals: Vec<_> =
                    message.field.iter().enumerate().filter(|(_, f)| f.oneof_index == field.oneof_index).collect();
                let chosen = rivals[(one_of[index as usize] % rivals.len() as u64) as usize].0;
                rivals.len() > 1 && chosen != place && chance.below(50) > 0
            });
            if is_left_out || chance.below(10) == 0 {
                continue;
            }
            let times = if field.label() == Label::Repeated { *chance.pick(&[0, 1, 1, 2, 3, 120]) } else { 1 };
            for _ in 0..times {
                self.field(field, known, chance, &mut bytes);
            }
        }
        bytes
    }

    fn field(&self, field: &FieldDescriptorProto, known: &Known, chance: &mut Chance, into: &mut Vec<u8>) {
        let number = field.number() as u32;
        let mut whole = |bytes: &[u8]| {
            encode_key(number, WireType::LengthDelimited, into);
            encode_varint(bytes.len() as u64, into);
            into.extend(bytes);
        };
        match field.r#type() {
            Type::Message => whole(&self.message(field.type_name(), known, chance)),
            Type::String => whole(text(field.name(), known, chance).as_bytes()),
            Type::Bytes => whole(&vec![7; *chance.pick(&[0, 1, 3, 1000, (1 << 20) + 1])]),
            Type::Double => {
                encode_key(number, WireType::SixtyFourBit, into);
                let real = if chance.below(3) == 0 { 0.5 } else { *chance.pick(&ODD_REALS) };
                into.extend(real.to_le_bytes());
            }
            _ => {
                encode_key(number, WireType::Varint, into);
                let meant: Vec<u64> = known
                    .iter()
                    .filter(|(name, _)| *name == field.name())
                    .filter_map(|(_, v)| v.parse().ok())
                    .collect();
                let is_meant = !meant.is_empty() && chance.below(4) > 0;
                encode_varint(if is_meant { *chance.pick(&meant) } else { *chance.pick(&ODD_NUMBERS) }, into);
            }
        }
    }
}

fn text(field: &str, known: &Known, chance: &mut Chance) -> String {
    let meant: Vec<&String> = known.iter().filter(|(name, _)| *name == field).map(|(_, word)| word).collect();
    match chance.below(8) {
        0 => (*chance.pick(&ODD_TEXTS)).to_owned(),
        1 => chance.pick(known).1.clone(),
        2 if chance.below(4) == 0 => "x".repeat(10_000),
        _ if meant.is_empty() => (*chance.pick(&ODD_TEXTS)).to_owned(),
        _ => (*chance.pick(&meant)).clone(),
    }
}
