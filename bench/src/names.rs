//! What things are called in the report: shortened, so that a table fits a terminal.

use std::time::Duration;

use alloy_primitives::{Address, TxKind};
use blockloom_bench::explanation::Subject;
use blockloom_engine::Transaction;
use blockloom_state::Location;

/// The start and the end of hex digits.
fn ends(text: &str) -> String {
    if text.len() <= 12 {
        return text.to_owned();
    }
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

/// An address.
pub(crate) fn of_address(address: &Address) -> String {
    ends(&format!("{address:#x}"))
}

/// A location.
pub(crate) fn of_location(location: &Location) -> String {
    let address = of_address(&location.address());
    match location {
        Location::Slot(_, key) => format!("{address} slot {}", ends(&format!("{key:#x}"))),
        Location::Balance(_) => format!("{address} balance"),
        Location::Nonce(_) => format!("{address} nonce"),
        Location::Code(_) => format!("{address} code"),
        _ => format!("{address} existence"),
    }
}

/// Something that may limit a block.
pub(crate) fn of_subject(subject: &Subject) -> String {
    match subject {
        Subject::Location(location) => of_location(location),
        Subject::Account(address) => of_address(address),
        Subject::Transaction(index) => format!("transaction {}", index.get()),
    }
}

/// The whole name of something that may limit a block.
pub(crate) fn whole(subject: &Subject) -> String {
    match subject {
        Subject::Location(location) => location.to_string(),
        Subject::Account(address) => address.to_string(),
        Subject::Transaction(_) => of_subject(subject),
    }
}

/// The recipient of a transaction.
pub(crate) fn of_recipient(transaction: &Transaction) -> String {
    match transaction.env.kind {
        TxKind::Call(to) => of_address(&to),
        TxKind::Create => "creation".to_owned(),
    }
}

/// The hash of a transaction.
pub(crate) fn of_hash(transaction: &Transaction) -> String {
    ends(&transaction.hash.to_string())
}

/// A time with three digits.
pub(crate) fn of_time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..999.5 => format!("{micros:.0} us"),
        ..9_995.0 => format!("{:.2} ms", micros / 1e3),
        ..99_950.0 => format!("{:.1} ms", micros / 1e3),
        ..999_500.0 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn names_keep_the_ends_of_long_numbers() {
        let address = Address::from_word(U256::from(0xabcdef).into());
        assert_eq!(of_address(&address), "0x0000…cdef");
        assert_eq!(of_location(&Location::Slot(address, U256::from(17))), "0x0000…cdef slot 0x11");
        let far = of_location(&Location::Slot(address, U256::MAX));
        assert_eq!(far, "0x0000…cdef slot 0xffff…ffff");
        assert_eq!(of_subject(&Subject::Account(address)), "0x0000…cdef");
    }

    #[test]
    fn times_have_three_digits() {
        let times = [0, 999, 1_000, 9_999, 10_000, 99_999, 999_499, 1_500_000].map(Duration::from_micros);
        let texts = ["0 us", "999 us", "1.00 ms", "10.0 ms", "10.0 ms", "100 ms", "999 ms", "1.50 s"];
        assert_eq!(times.map(of_time), texts);
    }
}
