//! Parses numbers with a unit: 500k, 30M, 1G.

/// Parses a number with an optional unit (k, M, G); `None` if it is malformed or does not fit.
pub(crate) fn quantity(text: &str) -> Option<u64> {
    let units = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let unit = units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    number.parse().ok().and_then(|number: u64| number.checked_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_multiplies_the_number() {
        assert_eq!(
            ["7", "500k", "30M", "1G"].map(quantity),
            [7, 500_000, 30_000_000, 1_000_000_000].map(Some)
        );
        assert_eq!(["", "k", "-1", "1.5M", "1T", "99999999999999G"].map(quantity), [None; 6]);
    }
}
