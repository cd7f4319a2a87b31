//! The nearest valid name for one that is not.

/// The candidate that `name` is most likely a misspelling of, if any is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in length; no name is this long.
    if name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["momentum", "lr", "weight_decay", "nesterov"];
        assert_eq!(nearest("momentun", names), Some("momentum"));
        assert_eq!(nearest("weight-decay", names), Some("weight_decay"));
        assert_eq!(nearest("wd", names), None);
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }
}
