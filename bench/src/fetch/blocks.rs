//! Which blocks to fetch, as a person types them.

use std::{ops::RangeInclusive, str::FromStr};

/// A block, or a range of blocks with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRange {
    first: End,
    last: End,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Number(u64),
    Latest,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let is_digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let number = if is_digits { text.parse().ok() } else { None };
        number.map(Self::Number).ok_or_else(|| {
            "expected the number of a block, `latest`, or a range such as 24000000..24000100".to_owned()
        })
    }
}

impl FromStr for BlockRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let range = Self { first: first.parse()?, last: last.parse()? };
        match range {
            Self { first: End::Number(first), last: End::Number(last) } if first > last => {
                Err("the range ends before it starts".to_owned())
            }
            Self { first: End::Number(0), .. } => {
                Err("block 0 has no parent and nothing to execute: start with block 1".to_owned())
            }
            _ => Ok(range),
        }
    }
}

impl BlockRange {
    /// The numbers, on a chain whose latest block is `latest`.
    pub(super) fn numbers(self, latest: u64) -> Result<RangeInclusive<u64>, String> {
        let number = |end| match end {
            End::Number(number) => number,
            End::Latest => latest,
        };
        let (first, last) = (number(self.first), number(self.last));
        match first.max(last) {
            0 => Err("the node has no block but the first, which has nothing to execute".to_owned()),
            most if most > latest => Err(format!("the node has no block {most}: its latest is {latest}")),
            _ if first > last => {
                Err(format!("the range ends before it starts: the latest block is {latest}"))
            }
            _ => Ok(first..=last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<RangeInclusive<u64>, String> {
        text.parse::<BlockRange>()?.numbers(100)
    }

    #[test]
    fn a_range_has_both_ends() {
        assert_eq!(numbers("7"), Ok(7..=7));
        assert_eq!(numbers("7..9"), Ok(7..=9));
        assert_eq!(numbers("latest"), Ok(100..=100));
        assert_eq!(numbers("98..latest"), Ok(98..=100));
    }

    #[test]
    fn what_is_no_block_of_the_chain_is_refused() {
        for (text, why) in [
            ("", "expected the number"),
            ("0x10", "expected the number"),
            ("-1", "expected the number"),
            ("1...3", "expected the number"),
            ("18446744073709551616", "expected the number"),
            ("9..7", "ends before"),
            ("0", "block 0"),
            ("latest..7", "ends before"),
            ("101", "latest is 100"),
            ("99..101", "latest is 100"),
        ] {
            assert!(numbers(text).unwrap_err().contains(why), "{text}");
        }
        assert!("latest".parse::<BlockRange>().unwrap().numbers(0).is_err());
    }
}
