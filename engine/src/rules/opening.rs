//! The steps of a block before its first transaction: the DAO fork and system calls.

use alloy_eips::{eip2935, eip4788, eip7002, eip7251, eip8282};
use alloy_evm::{
    block::{BlockExecutionError, BlockValidationError, SystemCaller},
    eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
};
use alloy_primitives::{Address, U256};
use blockloom_state::{Base, Overlay};
use revm::{
    Database, DatabaseCommit,
    state::{Account as EvmAccount, TransactionId},
};

use crate::{
    block::{
        block::Block,
        error::{BlockStep, Invalid, Reason, SystemCallError},
    },
    evm::{CommittedMachine, handling::Handling, watch::Watch},
};

/// Makes the DAO's irregular state change and the system calls of EIP-2935 and EIP-4788, where the
/// rules have them.
pub(crate) fn open<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    machine: &mut CommittedMachine<'a, B, H, W>,
    block: &Block,
) -> Result<(), Reason> {
    if !block.frame.has_opening() {
        return Ok(());
    }
    if block.rules.dao_block == Some(block.number()) {
        drain_dao(machine).map_err(|error| base_error(BlockStep::Opening, error))?;
    }
    let mut caller = SystemCaller::new(&block.rules);
    caller
        .apply_blockhashes_contract_call(block.parent_hash, machine)
        .and_then(|()| caller.apply_beacon_root_contract_call(block.parent_beacon_root, machine))
        .map_err(|error| system_call_error(machine, BlockStep::Opening, error))
}

/// Moves the balances of the DAO and its children to the refund contract.
fn drain_dao<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    machine: &mut CommittedMachine<'a, B, H, W>,
) -> Result<(), B::Error> {
    let mut total = U256::ZERO;
    for address in DAO_HARDFORK_ACCOUNTS {
        total += set_balance(machine, address, |_| U256::ZERO)?;
    }
    set_balance(machine, DAO_HARDFORK_BENEFICIARY, |balance| balance + total)?;
    Ok(())
}

/// Sets the balance of an account, and returns the old balance.
fn set_balance<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    machine: &mut CommittedMachine<'a, B, H, W>,
    address: Address,
    balance: impl FnOnce(U256) -> U256,
) -> Result<U256, B::Error> {
    let overlay = machine.overlay();
    let mut account = match overlay.basic(address)? {
        Some(info) => EvmAccount::from(info),
        None => EvmAccount::new_not_existing(TransactionId::ZERO),
    };
    let old = account.info.balance;
    account.info.balance = balance(old);
    account.mark_touch();
    if account.is_empty() {
        // The fork is before EIP-161: an account with the balance zero exists from then on.
        account.mark_created();
    }
    overlay.commit_iter(&mut [(address, account)].into_iter());
    Ok(old)
}

/// The reason of a failed base read.
pub(super) fn base_error(step: BlockStep, error: impl std::error::Error + Send + Sync + 'static) -> Reason {
    Reason::Base { step, source: std::sync::Arc::new(error) }
}

/// The reason behind alloy-evm's error of a system call.
pub(super) fn system_call_error<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    machine: &mut CommittedMachine<'a, B, H, W>,
    step: BlockStep,
    error: BlockExecutionError,
) -> Reason {
    use BlockValidationError as E;
    if let Some(error) = machine.take_failed_read() {
        return base_error(step, error);
    }
    let (contract, message) = match error {
        BlockExecutionError::Validation(E::MissingParentBeaconBlockRoot) => {
            return Invalid::MissingBeaconRoot.into();
        }
        BlockExecutionError::Validation(error) => match error {
            E::BeaconRootContractCall { message, .. } => (eip4788::BEACON_ROOTS_ADDRESS, message),
            E::BlockHashContractCall { message } => (eip2935::HISTORY_STORAGE_ADDRESS, message),
            E::WithdrawalRequestsContractCall { message } => {
                (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, message)
            }
            E::ConsolidationRequestsContractCall { message } => {
                (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, message)
            }
            E::BuilderDepositRequestsContractCall { message } => {
                (eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS, message)
            }
            E::BuilderExitRequestsContractCall { message } => {
                (eip8282::BUILDER_EXIT_CONTRACT_ADDRESS, message)
            }
            error => return Reason::Abandoned { step, message: error.to_string() },
        },
        BlockExecutionError::Internal(error) => {
            return Reason::Abandoned { step, message: error.to_string() };
        }
    };
    Invalid::SystemCall { contract, reason: SystemCallError::Failed(message) }.into()
}
