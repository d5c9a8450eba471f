//! System contracts.

use alloy_eips::{eip2935, eip4788, eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7002, eip7251, eip8282};
use alloy_hardforks::EthereumHardfork::{self, Amsterdam, Cancun, Prague};
use alloy_primitives::{Address, keccak256};
use blockloom_state::Allocation;
use revm::bytecode::opcode::{ADD, DUP1, LOG1, MSTORE, PUSH1, PUSH2, PUSH32, SLOAD, SSTORE};

/// The contracts that make requests when a transaction calls them.
pub(crate) const REQUEST_CONTRACTS: [Address; 3] = [
    MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
];

/// The system contracts that exist under a fork.
pub(crate) fn contracts(fork: EthereumHardfork) -> impl Iterator<Item = (Address, Allocation)> {
    let [deposits, withdrawals, consolidations] = REQUEST_CONTRACTS;
    let contracts = [
        (Cancun, eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()),
        (Prague, eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
        (Prague, deposits, deposit_contract().into()),
        (Prague, withdrawals, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (Prague, consolidations, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
        (
            Amsterdam,
            eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS,
            eip8282::BUILDER_DEPOSIT_CONTRACT_CODE.clone(),
        ),
        (Amsterdam, eip8282::BUILDER_EXIT_CONTRACT_ADDRESS, eip8282::BUILDER_EXIT_CONTRACT_CODE.clone()),
    ];
    let present = contracts.into_iter().filter(move |(since, ..)| fork >= *since);
    present.map(|(_, address, code)| (address, Allocation { nonce: 1, code, ..Allocation::default() }))
}

/// A minimal deposit contract (EIP-6110): it logs a deposit with the number of the call.
fn deposit_contract() -> Vec<u8> {
    // The nonzero words of the log's data: the offsets and lengths of five fields.
    let words =
        [(0, 160), (1, 256), (2, 320), (3, 384), (4, 512), (5, 48), (8, 32), (10, 8), (12, 96), (16, 8)];
    let mut code = Vec::new();
    for (position, word) in words {
        code.push(PUSH2);
        code.extend(u16::to_be_bytes(word));
        code.push(PUSH2);
        code.extend(u16::to_be_bytes(32 * position));
        code.push(MSTORE);
    }
    code.extend([PUSH1, 0, SLOAD, PUSH1, 1, ADD, DUP1, PUSH1, 0, SSTORE]);
    code.extend([PUSH2]);
    code.extend(u16::to_be_bytes(32 * 17));
    code.extend([MSTORE, PUSH32]);
    code.extend(keccak256("DepositEvent(bytes,bytes,bytes,bytes,bytes)"));
    code.extend([PUSH2, 2, 64, PUSH1, 0, LOG1]);
    code
}

/// The length of the input that an account expects; the request contracts check it.
pub(crate) fn input_length(address: &Address) -> usize {
    let [_, withdrawals, consolidations] = REQUEST_CONTRACTS;
    match *address {
        address if address == withdrawals => 56,
        address if address == consolidations => 96,
        _ => 32,
    }
}
