//! The alloy-evm executor on top of the engine, compared with alloy-evm's own executor.

mod announced;
mod case;
mod database;
mod hook;
mod obstacles;

use alloy_consensus::{Signed, TxEip7702, TxEnvelope, TxLegacy, transaction::Recovered};
use alloy_eips::{
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip4895::Withdrawal,
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7702::Authorization,
};
use alloy_evm::{
    EvmFactory,
    block::{BlockExecutor, BlockValidationError},
};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, Bytes, Signature, U256, bytes};
use blockloom_fixtures::compose::Signer;
use blockloom_fuzz::{HostileBlock, hostile_block};
use blockloom_state::Allocation;
use proptest::prelude::*;
use revm::{
    context_interface::result::InvalidTransaction,
    database::{BundleState, states::bundle_state::BundleRetention},
};

use case::*;

fn forks() -> Vec<EthereumHardfork> {
    let forks = [Frontier, Homestead, SpuriousDragon, Byzantium, Petersburg, Istanbul, Berlin, London];
    forks.into_iter().chain([Paris, Shanghai, Cancun, Prague, Osaka, Amsterdam]).collect()
}

/// The hostile block in the types of a client.
fn client_case(HostileBlock { base, block, .. }: HostileBlock) -> Case {
    let transactions = block.transactions.iter().map(|transaction| {
        let env = &transaction.env;
        let signed = TxLegacy {
            chain_id: None,
            nonce: env.nonce,
            gas_price: env.gas_price,
            gas_limit: env.gas_limit,
            to: env.kind,
            value: env.value,
            input: env.data.clone(),
        };
        recovered(signed, env.caller)
    });
    Case {
        transactions: transactions.collect(),
        store: base,
        rules: block.rules,
        env: block.env,
        withdrawals: block.withdrawals,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hostile_blocks_yield_what_alloy_evm_yields(hostile in hostile_block(forks())) {
        client_case(hostile).execute();
    }
}

#[test]
fn a_destroyed_and_recreated_account_leaves_the_same_bundle() {
    // Sets slot 0 and deploys `CALLER SELFDESTRUCT`.
    let init = bytes!("60016000556133ff6000526002601ef3");
    // CREATE2 with this init code, always at the same address.
    let deployer = bytes!("6f60016000556133ff6000526002601ef36000526000601060106000f500");
    let child = CONTRACT.create2_from_code(B256::ZERO, &init);
    let storage = [(U256::from(5), U256::from(7))].into();
    let destructible = Allocation { storage, ..contract(bytes!("33ff")) };
    let call = |nonce, to: Address| pay(SENDER, nonce, to, 1, Bytes::new());
    let case = Case::new(Shanghai, [(CONTRACT, contract(deployer)), (DESTRUCTIBLE, destructible)]).with([
        call(0, CONTRACT),
        call(1, child),
        call(2, CONTRACT),
        call(3, DESTRUCTIBLE),
        call(4, DESTRUCTIBLE),
    ]);
    let bundle = case.execute().bundle;
    assert_eq!(bundle.state[&child].storage[&U256::ZERO].present_value, U256::from(1));
    assert_eq!(bundle.state[&DESTRUCTIBLE].info.as_ref().unwrap().balance, U256::from(1));
    let wipes = bundle.reverts[0].iter().filter(|(_, revert)| revert.wipe_storage);
    assert_eq!(wipes.map(|(address, _)| *address).collect::<Vec<_>>(), [DESTRUCTIBLE]);
}

#[test]
fn withdrawals_rewards_and_fees_are_paid() {
    let payments =
        || (0..20).map(|nonce| pay(SENDER, nonce, Address::with_last_byte(nonce as u8 + 1), 7, Bytes::new()));
    let paid = Case::new(Homestead, []).with(payments()).execute();
    assert!(paid.bundle.state.contains_key(&Address::repeat_byte(0xc0)));

    let mut case = Case::new(Shanghai, []).with(payments());
    case.withdrawals = Some(vec![Withdrawal { address: DESTRUCTIBLE, amount: 3, ..Withdrawal::default() }]);
    let bundle = case.execute().bundle;
    assert_eq!(bundle.state[&DESTRUCTIBLE].info.as_ref().unwrap().balance, U256::from(3_000_000_000u64));
}

#[test]
fn requests_are_collected_from_the_system_contracts() {
    let accounts = [
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, contract(WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone())),
        (BEACON_ROOTS_ADDRESS, contract(BEACON_ROOTS_CODE.clone())),
    ];
    let request = Bytes::from(vec![7; 56]);
    let case = Case::new(Prague, accounts).with([
        pay(SENDER, 0, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1, request.clone()),
        pay(OTHER, 0, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1, request),
    ]);
    let result = case.execute().result.unwrap();
    assert_eq!(result.requests.len(), 1);
    // One type byte, and for each request 20 bytes of address and the 56 bytes.
    assert_eq!(result.requests[0].len(), 1 + 2 * (20 + 56));
}

#[test]
fn a_malformed_deposit_log_makes_the_block_invalid_with_the_same_error() {
    // Emits an empty log with the topic of a deposit.
    let code = bytes!("7f649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5600080a100");
    let case = Case::new(Prague, [(MAINNET_DEPOSIT_CONTRACT_ADDRESS, contract(code))]).with([
        pay(SENDER, 0, CONTRACT, 1, Bytes::new()),
        pay(OTHER, 0, MAINNET_DEPOSIT_CONTRACT_ADDRESS, 0, Bytes::new()),
    ]);
    let error = case.execute().result.unwrap_err();
    let is_deposit = matches!(error.as_validation(), Some(BlockValidationError::DepositRequestDecode(_)));
    assert!(is_deposit, "{error:?}");
}

#[test]
fn an_invalid_transaction_is_reported_with_its_hash_and_reason() {
    let wrong = pay(SENDER, 5, CONTRACT, 1, Bytes::new());
    let case = Case::new(Cancun, []).with([pay(OTHER, 0, CONTRACT, 1, Bytes::new()), wrong.clone()]);
    let error = case.execute().result.unwrap_err();
    let Some(BlockValidationError::InvalidTx { hash, error }) = error.as_validation() else {
        panic!("{error:?}")
    };
    assert_eq!(hash, wrong.hash());
    let reason = error.as_invalid_tx_err().unwrap();
    assert_eq!(*reason, InvalidTransaction::NonceTooHigh { tx: 5, state: 0 });
}

#[test]
fn a_transaction_that_does_not_fit_into_the_block_is_rejected() {
    let mut case = Case::new(Osaka, []);
    case.env.gas_limit = 310_000;
    let pays = (0..3).map(|nonce| pay(SENDER, nonce, CONTRACT, 1, Bytes::new()));
    let error = case.clone().with(pays).execute().result.unwrap_err();
    let expected = "transaction gas limit 300000 is more than blocks available gas 289000";
    assert_eq!(error.to_string(), expected);

    // From Osaka on there is a gas cap per transaction. It is checked before the block's gas limit.
    let mut huge = pay(OTHER, 0, CONTRACT, 1, Bytes::new());
    if let TxEnvelope::Legacy(signed) = huge.inner() {
        huge = recovered(TxLegacy { gas_limit: 40_000_000, ..signed.tx().clone() }, OTHER);
    }
    case.env.gas_limit = 30_000_000;
    case.with([pay(SENDER, 0, CONTRACT, 1, Bytes::new()), huge]).execute().result.unwrap_err();
}

#[test]
fn from_amsterdam_on_execution_and_state_have_budgets_of_their_own() {
    // These contracts write four and five new slots.
    let four = contract(bytes!("4360005543600155436002554360035500"));
    let five = contract(bytes!("4360005543600155436002554360035543600455"));
    let call = |nonce, to, gas_limit| {
        let transaction =
            TxLegacy { nonce, gas_price: 10, gas_limit, to: Address::into(to), ..TxLegacy::default() };
        recovered(transaction, SENDER)
    };
    let mut case = Case::new(Amsterdam, [(CONTRACT, four), (DESTRUCTIBLE, five)]);
    case.env.gas_limit = 1_000_000;
    let fitting = case.with([call(0, CONTRACT, 900_000), call(1, DESTRUCTIBLE, 570_000)]);
    let paid = fitting.execute().result.unwrap().receipts[1].cumulative_gas_used();
    assert!(paid > 1_000_000, "the two budgets together hold more than the limit: {paid}");

    let error = fitting.with([call(2, CONTRACT, 900_000)]).execute().result.unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("transaction gas limit 900000 is more than blocks available gas "),
        "{message}"
    );
}

/// The bundle of three consecutive blocks on one state.
fn execute_consecutive(factory: &impl Factory, case: &Case) -> BundleState {
    let mut state = case.state();
    for nonce in 0..3 {
        let mut env = case.env();
        env.block_env.number += U256::from(nonce);
        let to = [CONTRACT, DESTRUCTIBLE][nonce as usize % 2];
        let transactions =
            [pay(SENDER, nonce, to, nonce, Bytes::new()), pay(OTHER, nonce, CONTRACT, nonce, Bytes::new())];
        let evm = factory.evm_factory().create_evm(&mut state, env);
        factory.create_executor(evm, case.ctx()).execute_block(&transactions).unwrap();
        state.merge_transitions(BundleRetention::Reverts);
    }
    state.take_bundle()
}

#[test]
fn consecutive_blocks_on_one_state_leave_the_same_bundle() {
    let case = Case::new(Shanghai, [(CONTRACT, contract(WRITER)), (DESTRUCTIBLE, contract(bytes!("33ff")))]);
    let found = execute_consecutive(&case.parallel(), &case);
    assert_eq!(found, execute_consecutive(&case.eth(), &case));
    assert_eq!(found.reverts.len(), 3);
}

#[test]
fn an_account_that_is_only_paid_keeps_its_delegated_code() {
    let authority = Signer::new(2);
    let delegate = |nonce, authority_nonce, address| {
        let authorization = Authorization { chain_id: U256::from(1), address, nonce: authority_nonce };
        let signature = authority.sign_hash(authorization.signature_hash());
        let transaction = TxEip7702 {
            chain_id: 1,
            nonce,
            gas_limit: 300_000,
            max_fee_per_gas: 10,
            to: OTHER,
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signed = Signed::new_unhashed(transaction, Signature::test_signature());
        Recovered::new_unchecked(TxEnvelope::Eip7702(signed), SENDER)
    };
    let call = |nonce, value| pay(OTHER, nonce, authority.address(), value, Bytes::new());
    let stopper = (DESTRUCTIBLE, contract(bytes!("00")));
    let case = Case::new(Prague, [(CONTRACT, contract(WRITER)), stopper]).with([
        delegate(0, 0, DESTRUCTIBLE),
        call(0, 5),
        delegate(1, 1, Address::ZERO),
        call(1, 6),
        delegate(2, 2, CONTRACT),
        call(2, 7),
        call(3, 8),
    ]);
    let bundle = case.execute().bundle;
    let account = &bundle.state[&authority.address()];
    let info = account.info.as_ref().unwrap();
    assert_eq!(account.storage[&U256::from(1)].present_value, U256::from(8));
    assert_eq!(info.balance, U256::from(5 + 6 + 7 + 8));
    assert_eq!(bundle.contracts[&info.code_hash].eip7702_address(), Some(CONTRACT));
}
