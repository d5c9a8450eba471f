//! The chain in memory, and the method that adds a block to it.

use std::{net::Ipv4Addr, sync::Arc};

use ethrex_blockchain_24::{
    Blockchain, BlockchainOptions,
    fork_choice::apply_fork_choice,
    payload::{BuildPayloadArgs, create_payload},
};
use ethrex_common_24::{
    H256, H512,
    types::{Block, ELASTICITY_MULTIPLIER, Genesis},
};
use ethrex_p2p_24::types::{Node, NodeRecord};
use ethrex_rpc_24::{
    ClientVersion, NodeData, RpcApiContext, RpcErr, RpcHandler, RpcNamespace, start_block_executor,
    testing::BuildBlockV1Request,
};
use ethrex_storage_24::{EngineType, Store};
use rand::rngs::OsRng;
use secp256k1::SecretKey;
use serde_json::{Value, json};

/// The gas limit that blocks move towards.
const GAS_LIMIT: u64 = 60_000_000;

/// A chain with nothing but its genesis block, and all that ethrex's methods need.
pub(crate) async fn open(genesis: Genesis) -> Result<RpcApiContext, String> {
    let mut storage = Store::new("", EngineType::InMemory).map_err(|error| error.to_string())?;
    storage.add_initial_state(genesis).await.map_err(|error| error.to_string())?;
    let blockchain = Arc::new(Blockchain::new(storage.clone(), BlockchainOptions::default()));
    // ethrex takes transactions only when it believes to know the head of the network.
    blockchain.set_synced();
    let namespaces = [
        RpcNamespace::Eth,
        RpcNamespace::Net,
        RpcNamespace::Web3,
        RpcNamespace::Debug,
        RpcNamespace::Mempool,
        RpcNamespace::Testing,
    ];
    Ok(RpcApiContext {
        storage,
        block_worker_channel: start_block_executor(blockchain.clone()),
        blockchain,
        active_filters: Default::default(),
        syncer: None,
        peer_handler: None,
        node_data: node_data()?,
        gas_tip_estimator: Default::default(),
        log_filter_handler: None,
        gas_ceil: GAS_LIMIT,
        ws: None,
        allowed_namespaces: Arc::new(namespaces.into()),
    })
}

/// The node's identity. It has no peers.
fn node_data() -> Result<NodeData, String> {
    let node = Node::new(Ipv4Addr::LOCALHOST.into(), 0, 0, H512::zero());
    let record =
        NodeRecord::from_node(&node, 1, &SecretKey::new(&mut OsRng)).map_err(|error| error.to_string())?;
    let text = |text: &str| text.to_owned();
    let client_version = ClientVersion::new(
        text("ethrex"),
        text("24.0.0"),
        text("registry"),
        text("none"),
        text("any"),
        text("any"),
    );
    Ok(NodeData {
        jwt_secret: Default::default(),
        local_p2p_node: node,
        local_node_record: record,
        client_version,
        extra_data: Default::default(),
    })
}

/// `node_mineBlock`: builds the next block, executes it, and makes it the head; returns its number and hash.
///
/// The parameters are those of `testing_buildBlockV1` without the parent: payload attributes, and raw transactions in
/// order, or `null` for those of the pool. A blob transaction in the list comes without its blobs.
pub(crate) async fn mine(context: &RpcApiContext, params: Option<Vec<Value>>) -> Result<Value, RpcErr> {
    let internal = |error: String| RpcErr::Internal(error);
    let head = context
        .storage
        .get_latest_canonical_block_hash()
        .await
        .map_err(|error| internal(error.to_string()))?;
    let head = head.ok_or_else(|| internal("there is no head".into()))?;
    let mut with_parent = vec![json!(head)];
    with_parent.extend(params.unwrap_or_default());
    let request = BuildBlockV1Request::parse(&Some(with_parent))?;
    let block = tokio::task::block_in_place(|| add_block(context, head, request))?;
    let (number, hash) = (block.header.number, block.hash());
    apply_fork_choice(&context.storage, hash, hash, H256::zero(), None)
        .await
        .map_err(|error| internal(error.to_string()))?;
    Ok(json!({ "number": format!("{number:#x}"), "hash": hash }))
}

fn add_block(context: &RpcApiContext, head: H256, request: BuildBlockV1Request) -> Result<Block, RpcErr> {
    let attributes = request.attributes;
    let is_amsterdam = context.storage.get_chain_config().is_amsterdam_activated(attributes.timestamp);
    let arguments = BuildPayloadArgs {
        parent: head,
        timestamp: attributes.timestamp,
        fee_recipient: attributes.suggested_fee_recipient,
        random: attributes.prev_randao,
        withdrawals: attributes.withdrawals,
        beacon_root: attributes.parent_beacon_block_root,
        slot_number: is_amsterdam.then(|| request.slot_number.unwrap_or_default()),
        version: 3,
        elasticity_multiplier: ELASTICITY_MULTIPLIER,
        gas_ceil: context.gas_ceil,
    };
    let refused = |error: String| RpcErr::BadParams(error);
    let payload = create_payload(&arguments, &context.storage, request.extra_data)
        .map_err(|error| refused(error.to_string()))?;
    let built = match request.transactions {
        Some(transactions) => context.blockchain.build_payload_with_transactions(payload, transactions),
        None => context.blockchain.build_payload(payload),
    };
    let block = built.map_err(|error| refused(error.to_string()))?.payload;
    context.blockchain.add_block(block.clone()).map_err(|error| refused(error.to_string()))?;
    context
        .blockchain
        .remove_block_transactions_from_pool(&block)
        .map_err(|error| RpcErr::Internal(error.to_string()))?;
    Ok(block)
}
