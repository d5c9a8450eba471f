//! Gas that a block paid for without executing it, which is no speed.
//!
//! A transaction that halts exceptionally (an invalid instruction, a collision of a creation, out of gas) pays its
//! whole gas limit, however little it executed. Its receipt says that it failed, and that it used its limit. How much
//! of that it executed is not known, so none of it counts. A call inside a transaction that succeeds can burn gas as
//! well; receipts do not show it, and it counts.

use blockloom_engine::{Block, Outcome};

/// The gas of the transactions that failed with their whole gas limit used.
pub(crate) fn burnt_gas(block: &Block, outcome: &Outcome) -> u64 {
    let mut before = 0;
    let burnt = block.transactions.iter().zip(&outcome.receipts).map(|(transaction, receipt)| {
        let used = receipt.cumulative_gas_used - before;
        before = receipt.cumulative_gas_used;
        let is_halt = !receipt.status.coerce_status() && used >= transaction.env.gas_limit;
        if is_halt { used } else { 0 }
    });
    burnt.sum()
}

/// Millions of gas per second; `None` if nothing was executed, or the time is not known.
pub(crate) fn speed(executed_gas: u128, micros: f64) -> Option<f64> {
    // Gas per microsecond is Mgas per second.
    (executed_gas > 0 && micros > 0.0).then(|| executed_gas as f64 / micros)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{Address, B256, TxKind, U256, bytes};
    use blockloom_engine::{Config, Engine, Frame, Rules, Transaction};
    use blockloom_state::{Allocation, MemoryStore};
    use revm::context::TxEnv;

    use super::*;

    #[test]
    fn gas_of_exceptional_halts_is_burnt_and_that_of_reverts_is_not() {
        let address = Address::with_last_byte;
        let code = |code| Allocation { nonce: 1, code, ..Allocation::default() };
        let base = MemoryStore::from_genesis([
            (address(0xaa), Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() }),
            // An invalid instruction; a revert; nothing.
            (address(0xb0), code(bytes!("fe"))),
            (address(0xb1), code(bytes!("5f5ffd"))),
        ]);
        let call = |(nonce, to): (u64, u8)| TxEnv {
            caller: address(0xaa),
            nonce,
            kind: TxKind::Call(address(to)),
            gas_limit: 1_000_000,
            ..TxEnv::default()
        };
        let transaction = |env| Transaction { hash: B256::ZERO, env };
        let header = Header { gas_limit: 30_000_000, ..Header::default() };
        let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &header);
        let transactions = [(0, 0xb0), (1, 0xb1), (2, 0xb2), (3, 0xb0)].map(call).map(transaction).into();
        let block = Block { transactions, frame: Frame::TransactionsOnly, ..empty };
        let outcome = Engine::new(Config::sequential()).execute(&base, &block).unwrap();
        assert_eq!(burnt_gas(&block, &outcome), 2_000_000);
        assert!(outcome.gas_used > 2_042_000 && outcome.gas_used < 2_043_000, "{}", outcome.gas_used);
    }

    #[test]
    fn nothing_executed_has_no_speed() {
        assert_eq!(speed(0, 10.0), None);
        assert_eq!(speed(10, 0.0), None);
        assert_eq!(speed(30, 10.0), Some(3.0));
    }
}
