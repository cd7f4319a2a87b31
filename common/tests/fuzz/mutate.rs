//! Damage done to valid inputs, as files and messages meet it: cut off, flipped, repeated, spliced with another, numbers
//! that are huge or lie about a length, brackets within brackets.

use proptest::prelude::*;
use proptest::sample::Index;

/// One piece of damage; places are shares of the input's length.
#[derive(Debug, Clone)]
pub enum Damage {
    /// What comes after the place is gone.
    Cut(Index),
    /// One bit is another.
    Flip(Index, u8),
    /// Bytes are gone.
    Remove(Index, usize),
    /// Bytes come again so often.
    Repeat(Index, usize, usize),
    /// Bytes of another input stand there.
    Splice(Index, Index, Index, usize),
    /// The number (in digits) at or after the place is another.
    Number(Index, &'static str),
    /// Eight bytes there are this number, little or big end first.
    Word(Index, u64, bool),
    /// An opening so deep, closed or not.
    Nest(Index, &'static str, usize, bool),
    /// Any bytes are put in.
    Insert(Index, Vec<u8>),
}

const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967295",
    "4294967296",
    "1152921504606846976",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0.0",
    "nan",
    "0.1000000000000000055511151231257827",
];
const WORDS: [u64; 8] = [0, 1, 0x7f, 0xffff, u32::MAX as u64, 1 << 60, i64::MAX as u64, u64::MAX];
const OPENINGS: [&str; 6] = ["[", "{", "[[", "{ a = ", "{\"a\":", "("];

/// Any damage.
pub fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Damage::Cut),
        (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), 1..40usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        (at(), 1..40usize, prop_oneof![Just(1), Just(2), Just(500)])
            .prop_map(|(at, len, n)| Damage::Repeat(at, len, n)),
        (at(), at(), at(), 1..120usize).prop_map(|(at, of, from, len)| Damage::Splice(at, of, from, len)),
        (at(), prop::sample::select(NUMBERS.to_vec())).prop_map(|(at, number)| Damage::Number(at, number)),
        (at(), prop::sample::select(WORDS.to_vec()), any::<bool>()).prop_map(|(at, w, big)| Damage::Word(at, w, big)),
        (at(), prop::sample::select(OPENINGS.to_vec()), prop_oneof![Just(1), Just(60), Just(2_000)], any::<bool>())
            .prop_map(|(at, opening, deep, closed)| Damage::Nest(at, opening, deep, closed)),
        (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

/// One to four pieces of damage.
pub fn damages() -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec(damage(), 1..5)
}

/// An input after damage; `others` are what it is spliced with.
pub fn damaged(input: &[u8], others: &[Vec<u8>], damages: &[Damage]) -> Vec<u8> {
    damages.iter().fold(input.to_vec(), |bytes, damage| apply(bytes, others, damage))
}

fn apply(mut bytes: Vec<u8>, others: &[Vec<u8>], damage: &Damage) -> Vec<u8> {
    let len = bytes.len();
    let place = |at: &Index| at.index(len + 1);
    match damage {
        Damage::Cut(at) => bytes.truncate(place(at)),
        Damage::Flip(..) | Damage::Word(..) if len == 0 => {}
        Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Damage::Remove(at, count) => {
            let from = place(at);
            bytes.drain(from..(from + count).min(len));
        }
        Damage::Repeat(at, count, times) => {
            let from = place(at);
            let piece = bytes[from..(from + count).min(len)].repeat(*times);
            bytes.splice(from..from, piece);
        }
        Damage::Splice(at, of, from, count) => {
            let other = &others[of.index(others.len())];
            let start = from.index(other.len() + 1);
            let piece = other[start..(start + count).min(other.len())].to_vec();
            let from = place(at);
            bytes.splice(from..from, piece);
        }
        Damage::Number(at, number) => {
            let from = place(at);
            let Some(first) = bytes[from..].iter().position(u8::is_ascii_digit).map(|found| from + found) else {
                return bytes;
            };
            let digits = bytes[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.splice(first..first + digits, number.bytes());
        }
        Damage::Word(at, word, big) => {
            // Where numbers of a header begin: at a multiple of four.
            let from = at.index(len) / 4 * 4;
            let word = if *big { word.to_be_bytes() } else { word.to_le_bytes() };
            for (slot, byte) in bytes[from..].iter_mut().zip(word) {
                *slot = byte;
            }
        }
        Damage::Nest(at, opening, deep, closed) => {
            let close = match opening.as_bytes()[0] {
                b'[' => "]".repeat(opening.len()),
                b'{' => "}".to_owned(),
                _ => ")".to_owned(),
            };
            let mut piece = opening.repeat(*deep);
            if *closed {
                piece.push('1');
                piece.push_str(&close.repeat(*deep));
            }
            let from = place(at);
            bytes.splice(from..from, piece.bytes());
        }
        Damage::Insert(at, piece) => {
            let from = place(at);
            bytes.splice(from..from, piece.iter().copied());
        }
    }
    bytes
}
