//! Pages and chunks: how much one message holds.

use prost::Message;
use tonic::Status;

use crate::status::invalid;

/// Most rows in a page or message.
pub const MAX_ROWS: u32 = 1000;
/// Rows in a page unless said otherwise.
const DEFAULT_ROWS: u32 = 100;
/// Bytes at which a message is full. Clients take 4 MiB unless told otherwise.
const FULL_BYTES: usize = 1 << 20;

/// The page size that a request asks for.
pub fn page_size(asked: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(DEFAULT_ROWS),
        1..=MAX_ROWS => Ok(asked),
        _ => {
            Err(invalid("page_size", format!("{asked} is too many; ask for 1 to {MAX_ROWS}, or 0 for {DEFAULT_ROWS}")))
        }
    }
}

/// The place that a page token names; None for the first page.
pub fn page_token<T>(token: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = parse(token);
    place.map(Some).ok_or_else(|| {
        let message = format!("`{token}` is no page token; pass the `next_page_token` of the page before, or nothing");
        invalid("page_token", message)
    })
}

/// How many of `rows`, from the first, make a full message; at least one where there is one.
pub fn fill<M: Message>(rows: &[M]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&M| {
        let first = bytes == 0;
        bytes += row.encoded_len() + 5;
        first || bytes <= FULL_BYTES
    };
    rows.iter().take(MAX_ROWS as usize).take_while(fits).count()
}

/// `rows` in messages that are not too large.
pub fn chunks<M: Message>(mut rows: Vec<M>) -> Vec<Vec<M>> {
    let mut chunks = Vec::new();
    while !rows.is_empty() {
        let rest = rows.split_off(fill(&rows));
        chunks.push(rows);
        rows = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_order_and_stay_below_a_message() {
        for (rows, bytes) in [(0, 4), (1, 10), (2500, 10), (40, 100_000), (3, 2 << 20)] {
            let texts: Vec<String> = (0..rows).map(|i| format!("{i:<4}{}", "x".repeat(bytes - 4))).collect();
            let chunks = chunks(texts.clone());
            assert!(chunks.iter().all(|c| c.len() <= 1000 && (c.len() == 1 || c.len() * bytes <= FULL_BYTES)));
            assert_eq!(chunks.concat(), texts);
        }
    }

    #[test]
    fn page_sizes_have_a_default_and_a_limit() {
        assert_eq!(page_size(0).unwrap(), 100);
        assert_eq!(page_size(1000).unwrap(), 1000);
        assert!(page_size(1001).is_err());
    }
}
