//! Numbers with a unit (500k, 30M, 1G), and numbers of things.

/// The units, each with its factor.
const UNITS: [(&str, u64); 4] =
    [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)];

/// Parses a number with an optional unit (k, M, G); `None` if it is malformed or does not fit.
pub(crate) fn quantity(text: &str) -> Option<u64> {
    let unit = UNITS[..3].iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    number.parse().ok().and_then(|number: u64| number.checked_mul(unit))
}

/// A number in at most five characters, rounded to three digits: 9999, 12.3k, 30M.
pub(crate) fn short(number: u128) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let number = number as f64;
    // 999.5k is 1M.
    let unit = UNITS.iter().find(|(_, unit)| number / (*unit as f64) < 999.5);
    let (name, unit) = unit.unwrap_or(&UNITS[3]);
    let scaled = number / *unit as f64;
    let tenths = (scaled * 10.0).round() / 10.0;
    if tenths >= 100.0 || tenths.fract() == 0.0 {
        format!("{scaled:.0}{name}")
    } else {
        format!("{tenths:.1}{name}")
    }
}

/// A number of things with the right ending: 1 block, 2 blocks.
pub(crate) fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    // No number of things is greater.
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
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

    #[test]
    fn a_short_number_has_three_digits() {
        let numbers = [0, 9_999, 10_000, 12_345, 99_960, 123_456, 999_600, 29_980_000, 1_000_000_000];
        let texts = ["0", "9999", "10k", "12.3k", "100k", "123k", "1M", "30M", "1G"];
        assert_eq!(numbers.map(short), texts);
        assert_eq!(short(5_000_000_000_000), "5T");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0u64, 1, 2].map(|number| counted(number, "block")), ["0 blocks", "1 block", "2 blocks"]);
    }
}
