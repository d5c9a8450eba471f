//! A chain's genesis, and transactions of every type for each of its blocks.

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7702::Authorization,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use blockloom_engine::SignedTransaction;
use blockloom_fixtures::compose::{Signer, Unsigned, system_contracts};
use revm::bytecode::opcode::*;
use serde_json::{Map, Value, json};

/// The chain id, which belongs to no public network.
pub(crate) const CHAIN_ID: u64 = 424_242;
/// The time of the first block.
const START: u64 = 1_750_000_000;
/// Seconds between two blocks.
const SLOT: u64 = 12;
/// The forks after Shanghai, by the key of their time, and their first blocks.
const FORKS: [(&str, u64); 5] =
    [("cancunTime", 20), ("pragueTime", 40), ("osakaTime", 60), ("bpo1Time", 80), ("bpo2Time", 90)];

/// Adds one to the slot that the input names, and logs it.
const COUNTER: Address = Address::with_last_byte(0xc1);
/// Writes the second word of its input to the slot that the first names.
const WRITER: Address = Address::with_last_byte(0xc2);
/// Stores the hash of an ancestor, as far back as the input says, and logs the environment.
const OBSERVER: Address = Address::with_last_byte(0xc3);
/// Writes a slot and reverts.
const REVERTER: Address = Address::with_last_byte(0xc4);
/// Creates a contract with CREATE2, salt and init code in its input, and calls it.
const FACTORY: Address = Address::with_last_byte(0xc5);
/// Logs its input as a deposit: the deposit contract of this chain.
const DEPOSITS: Address = Address::with_last_byte(0xc6);
/// Has storage and self-destructs in favour of its caller; there is one for each fork.
const MORTALS: [Address; 4] = [
    Address::with_last_byte(0xd1),
    Address::with_last_byte(0xd2),
    Address::with_last_byte(0xd3),
    Address::with_last_byte(0xd4),
];

/// The code of [`MORTALS`].
const MORTAL: [u8; 2] = [CALLER, SELFDESTRUCT];
/// The code of contracts that die in the transaction that creates them. It is not that of [`MORTALS`]: ethrex's witness
/// would lack it for them, and it is nowhere else after the transaction.
const TRANSIENT: [u8; 3] = [CALLER, SELFDESTRUCT, STOP];
const COUNTER_CODE: [u8; 21] = [
    PUSH1,
    0,
    CALLDATALOAD,
    DUP1,
    SLOAD,
    PUSH1,
    1,
    ADD,
    DUP1,
    DUP3,
    SSTORE,
    PUSH1,
    0,
    MSTORE,
    PUSH1,
    32,
    PUSH1,
    0,
    LOG1,
    STOP,
    STOP,
];

/// The number of accounts that send transactions.
const SENDERS: usize = 10;
/// The signer of the authorizations, which sends nothing.
const AUTHORITY: u64 = 77;

/// The transactions of a chain, block by block.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    nonces: [u64; SENDERS],
    authorizations: u64,
}

/// The chain's genesis.json.
pub(crate) fn genesis() -> Value {
    let mut alloc: Map<String, Value> = (0..SENDERS)
        .map(|sender| (signer(sender).address().to_string(), json!({ "balance": "0x3635c9adc5dea00000" })))
        .collect();
    for (address, allocation) in system_contracts() {
        alloc.insert(
            address.to_string(),
            json!({ "balance": "0x0", "nonce": "0x1", "code": allocation.code }),
        );
    }
    let contracts: [(Address, Vec<u8>); 6] = [
        (COUNTER, COUNTER_CODE.to_vec()),
        (WRITER, vec![PUSH1, 32, CALLDATALOAD, PUSH1, 0, CALLDATALOAD, SSTORE, STOP]),
        (OBSERVER, observer()),
        (REVERTER, vec![PUSH1, 1, PUSH1, 0, SSTORE, PUSH1, 0, PUSH1, 0, REVERT]),
        (FACTORY, factory()),
        (DEPOSITS, deposits()),
    ];
    for (address, code) in contracts {
        alloc.insert(address.to_string(), json!({ "balance": "0x0", "code": Bytes::from(code) }));
    }
    for address in MORTALS {
        let storage: Map<_, _> = (1..20_u8)
            .map(|slot| (B256::with_last_byte(slot).to_string(), json!(B256::repeat_byte(slot))))
            .collect();
        let code = Bytes::from_static(&MORTAL);
        alloc.insert(address.to_string(), json!({ "balance": "0x5", "code": code, "storage": storage }));
    }
    json!({
        "config": config(),
        "alloc": alloc,
        "coinbase": Address::ZERO,
        "difficulty": "0x0",
        "extraData": "0x",
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": "0x3b9aca00",
        "nonce": "0x0",
        "mixHash": B256::ZERO,
        "timestamp": format!("{START:#x}"),
    })
}

fn config() -> Value {
    let blocks = [
        "homesteadBlock",
        "eip150Block",
        "eip155Block",
        "eip158Block",
        "byzantiumBlock",
        "constantinopleBlock",
        "petersburgBlock",
        "istanbulBlock",
        "muirGlacierBlock",
        "berlinBlock",
        "londonBlock",
        "mergeNetsplitBlock",
        "shanghaiTime",
        "terminalTotalDifficulty",
    ];
    let mut config: Map<String, Value> = blocks.iter().map(|key| ((*key).to_owned(), json!(0))).collect();
    config.insert("chainId".into(), json!(CHAIN_ID));
    config.insert("terminalTotalDifficultyPassed".into(), json!(true));
    config.insert("depositContractAddress".into(), json!(DEPOSITS));
    for (key, block) in FORKS {
        config.insert(key.into(), json!(time(block)));
    }
    let schedule = |target: u64, max: u64, fraction: u64| json!({ "target": target, "max": max, "baseFeeUpdateFraction": fraction });
    let schedules = [
        ("cancun", schedule(3, 6, 3_338_477)),
        ("prague", schedule(6, 9, 5_007_716)),
        ("osaka", schedule(6, 9, 5_007_716)),
        ("bpo1", schedule(10, 15, 8_346_193)),
        ("bpo2", schedule(14, 21, 11_684_671)),
    ];
    let schedules = schedules.into_iter().map(|(fork, schedule)| (fork.to_owned(), schedule));
    config.insert("blobSchedule".into(), Value::Object(schedules.collect()));
    Value::Object(config)
}

/// The payload attributes of a block.
pub(crate) fn attributes(block: u64) -> Value {
    let word = |name: &str| keccak256(format!("{name} {block}"));
    let withdrawals =
        [(0, Address::with_last_byte(0xe0)), (1, signer(0).address()), (2, Address::from_word(word("to")))]
            .map(|(position, address)| {
                json!({
                    "index": format!("{:#x}", 3 * block + position),
                    "validatorIndex": format!("{position:#x}"),
                    "address": address,
                    "amount": format!("{:#x}", position * 1_000_000),
                })
            });
    json!({
        "timestamp": format!("{:#x}", time(block)),
        "prevRandao": word("random"),
        "suggestedFeeRecipient": if block.is_multiple_of(7) { signer(1).address() } else { Address::repeat_byte(0xfe) },
        "withdrawals": withdrawals,
        "parentBeaconBlockRoot": is_since("cancunTime", block).then(|| word("beacon")),
    })
}

impl Traffic {
    /// The transactions of a block: of every type that its fork has.
    pub(crate) fn transactions(&mut self, block: u64) -> Vec<SignedTransaction> {
        let slot = B256::from(U256::from(block % 5));
        let fresh = Address::from_word(keccak256(block.to_be_bytes()));
        let mut transactions = vec![
            self.legacy(TxKind::Call(fresh), 1 + block, []),
            self.legacy(TxKind::Create, 0, init_code(&COUNTER_CODE)),
            self.dynamic(WRITER, 0, [slot, B256::from(U256::from(block % 3))].concat()),
            self.with_list(COUNTER, slot),
            self.dynamic(OBSERVER, 0, B256::from(U256::from(1 + block % 12)).to_vec()),
            self.dynamic(REVERTER, 7, []),
            self.dynamic(FACTORY, 9, [slot.to_vec(), init_code(&TRANSIENT)].concat()),
            self.dynamic(
                FACTORY,
                0,
                [B256::from(U256::from(block)).to_vec(), init_code(&COUNTER_CODE)].concat(),
            ),
        ];
        if let Some(mortal) = (block % 20 == 11).then(|| MORTALS.get(block as usize / 20)).flatten() {
            transactions.push(self.dynamic(*mortal, 1, []));
            transactions.push(self.dynamic(*mortal, 2, []));
        }
        if is_since("cancunTime", block) {
            transactions.push(self.blobs(1 + block % 3));
        }
        if is_since("pragueTime", block) {
            transactions.push(self.set_code(block));
            transactions.push(self.dynamic(Signer::new(AUTHORITY).address(), 0, slot.to_vec()));
            transactions.push(self.dynamic(DEPOSITS, 0, deposit(block)));
            transactions.push(self.dynamic(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1_000, [block as u8; 56]));
            transactions.push(self.dynamic(
                CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                1_000,
                [block as u8; 96],
            ));
        }
        transactions
    }

    /// The fields that all transactions have, and their sender: that with the fewest transactions.
    fn next(&mut self, to: TxKind, value: u64, input: impl Into<Vec<u8>>) -> (Signer, Unsigned) {
        let (sender, nonce) = self.nonces.iter_mut().enumerate().min_by_key(|(_, nonce)| **nonce).unwrap();
        let unsigned = Unsigned {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit: 400_000,
            gas_price: 100_000_000_000,
            tip: 1_000_000_000,
            to,
            value: U256::from(value),
            access_list: AccessList::default(),
            input: input.into().into(),
        };
        *nonce += 1;
        (signer(sender), unsigned)
    }

    fn legacy(&mut self, to: TxKind, value: u64, input: impl Into<Vec<u8>>) -> SignedTransaction {
        let (signer, unsigned) = self.next(to, value, input);
        signer.sign(unsigned.legacy())
    }

    fn dynamic(&mut self, to: Address, value: u64, input: impl Into<Vec<u8>>) -> SignedTransaction {
        let (signer, unsigned) = self.next(TxKind::Call(to), value, input);
        signer.sign(unsigned.dynamic_fee())
    }

    fn with_list(&mut self, to: Address, slot: B256) -> SignedTransaction {
        let (signer, unsigned) = self.next(TxKind::Call(to), 0, slot.to_vec());
        let items = vec![AccessListItem { address: to, storage_keys: vec![slot, B256::repeat_byte(1)] }];
        signer.sign(Unsigned { access_list: AccessList(items), ..unsigned }.access_list())
    }

    fn blobs(&mut self, count: u64) -> SignedTransaction {
        let (signer, unsigned) = self.next(TxKind::Call(COUNTER), 0, []);
        let hashes = (0..count).map(|number| {
            let mut hash = keccak256(number.to_be_bytes());
            hash[0] = 1;
            hash
        });
        signer.sign(unsigned.blobs(hashes.collect(), 1_000_000_000_000))
    }

    /// Delegates the authority to the counter, or takes the delegation back.
    fn set_code(&mut self, block: u64) -> SignedTransaction {
        let authority = Signer::new(AUTHORITY);
        let address = if block % 4 == 3 { Address::ZERO } else { COUNTER };
        let authorization =
            Authorization { chain_id: U256::from(CHAIN_ID), address, nonce: self.authorizations };
        self.authorizations += 1;
        let signature = authority.sign_hash(authorization.signature_hash());
        let (signer, unsigned) = self.next(TxKind::Call(authority.address()), 3, [0; 32]);
        signer.sign(unsigned.set_code(vec![authorization.into_signed(signature)]))
    }
}

fn signer(sender: usize) -> Signer {
    Signer::new(1 + sender as u64)
}

fn time(block: u64) -> u64 {
    START + SLOT * block
}

fn is_since(fork: &str, block: u64) -> bool {
    FORKS.iter().any(|(key, first)| *key == fork && *first <= block)
}

/// Init code that returns `code`.
fn init_code(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).unwrap();
    [&[PUSH1, length, DUP1, PUSH1, 11, PUSH1, 0, CODECOPY, PUSH1, 0, RETURN], code].concat()
}

fn observer() -> Vec<u8> {
    let mut code = vec![
        PUSH1,
        0,
        CALLDATALOAD,
        NUMBER,
        SUB,
        BLOCKHASH,
        NUMBER,
        SSTORE,
        COINBASE,
        BALANCE,
        PUSH1,
        160,
        MSTORE,
    ];
    for (position, opcode) in [DIFFICULTY, BASEFEE, CHAINID, GASLIMIT, TIMESTAMP].into_iter().enumerate() {
        code.extend([opcode, PUSH1, 32 * position as u8, MSTORE]);
    }
    code.extend([PUSH1, 192, PUSH1, 0, LOG0, STOP]);
    code
}

fn factory() -> Vec<u8> {
    vec![
        // The init code, without the salt before it.
        PUSH1,
        32,
        CALLDATASIZE,
        SUB,
        DUP1,
        PUSH1,
        32,
        PUSH1,
        0,
        CALLDATACOPY,
        PUSH1,
        0,
        CALLDATALOAD,
        SWAP1,
        PUSH1,
        0,
        CALLVALUE,
        CREATE2,
        PUSH1,
        0,
        PUSH1,
        0,
        PUSH1,
        0,
        PUSH1,
        0,
        PUSH1,
        0,
        DUP6,
        GAS,
        CALL,
        POP,
        PUSH1,
        0,
        MSTORE,
        PUSH1,
        32,
        PUSH1,
        0,
        LOG0,
        STOP,
    ]
}

fn deposits() -> Vec<u8> {
    let topic = keccak256("DepositEvent(bytes,bytes,bytes,bytes,bytes)");
    let mut code = vec![CALLDATASIZE, PUSH1, 0, PUSH1, 0, CALLDATACOPY, PUSH32];
    code.extend(topic);
    code.extend([CALLDATASIZE, PUSH1, 0, LOG1, STOP]);
    code
}

/// The data of a deposit's event (EIP-6110).
fn deposit(block: u64) -> Vec<u8> {
    let fields = [48, 32, 8, 96, 8];
    let words = |length: usize| length.div_ceil(32);
    let mut data = Vec::new();
    let mut offset = 32 * fields.len();
    for length in fields {
        data.extend(U256::from(offset).to_be_bytes::<32>());
        offset += 32 * (1 + words(length));
    }
    for length in fields {
        data.extend(U256::from(length).to_be_bytes::<32>());
        data.extend((0..32 * words(length)).map(|byte| if byte < length { block as u8 } else { 0 }));
    }
    data
}
