//! The example of README.md, compiled: its node builder is replaced by one with the same signatures, because compiling a node
//! of reth takes too long.

use std::{future::Future, pin::pin, sync::Arc, task::Waker};

use blockloom_engine::{Config, Engine};
use blockloom_reth::BlockloomEvmConfig;
use reth_chainspec::ChainSpec;
use reth_ethereum_primitives::EthPrimitives;
use reth_evm::{ConfigureEngineEvm, ConfigureEvm, SenderRecoveryCache};
use reth_evm_ethereum::EthEvmConfig;
use reth_storage_api::{StateProviderFactory, noop::NoopProvider};

/// What reth's node builder has, as far as the example uses it.
mod eyre {
    pub(super) type Result<T> = std::result::Result<T, String>;
}

trait NodeTypes {
    type ChainSpec;
    type Primitives;
}

trait FullNodeTypes: Sized {
    type Types: NodeTypes;
    type Provider: StateProviderFactory + Clone + Sync + 'static;
}

struct BuilderContext<Node: FullNodeTypes> {
    provider: Node::Provider,
    chain_spec: Arc<<Node::Types as NodeTypes>::ChainSpec>,
    cache: Option<SenderRecoveryCache>,
}

impl<Node: FullNodeTypes> BuilderContext<Node> {
    const fn provider(&self) -> &Node::Provider {
        &self.provider
    }

    fn chain_spec(&self) -> Arc<<Node::Types as NodeTypes>::ChainSpec> {
        Arc::clone(&self.chain_spec)
    }

    const fn sender_recovery_cache(&self) -> Option<&SenderRecoveryCache> {
        self.cache.as_ref()
    }
}

trait ExecutorBuilder<Node: FullNodeTypes>: Send {
    type EVM: ConfigureEvm<Primitives = EthPrimitives> + 'static;

    fn build_evm(self, ctx: &BuilderContext<Node>) -> impl Future<Output = eyre::Result<Self::EVM>> + Send;
}

// The example begins here.
struct BlockloomExecutors;

impl<Node> ExecutorBuilder<Node> for BlockloomExecutors
where
    Node: FullNodeTypes<Types: NodeTypes<ChainSpec = ChainSpec, Primitives = EthPrimitives>>,
{
    type EVM = BlockloomEvmConfig;

    async fn build_evm(self, ctx: &BuilderContext<Node>) -> eyre::Result<Self::EVM> {
        let mut eth = EthEvmConfig::new(ctx.chain_spec());
        if let Some(cache) = ctx.sender_recovery_cache() {
            eth = eth.with_sender_recovery_cache(cache.clone());
        }
        Ok(BlockloomEvmConfig::new(eth, Engine::new(Config::default()))
            .with_provider(ctx.provider().clone())
            .with_observer(|report| eprintln!("{report}")))
    }
}
// The example ends here.

struct Node;

impl NodeTypes for Node {
    type ChainSpec = ChainSpec;
    type Primitives = EthPrimitives;
}

impl FullNodeTypes for Node {
    type Types = Self;
    type Provider = NoopProvider;
}

#[test]
fn the_example_of_the_readme_is_this_one() {
    let source = include_str!("readme.rs");
    let example = source.split_once("// The example begins here.\n").unwrap().1;
    let example = example.split_once("// The example ends here.\n").unwrap().0;
    assert!(include_str!("../../README.md").contains(&format!("```rust,ignore\n{example}```\n")));
}

#[test]
fn the_example_of_the_readme_makes_a_configuration_for_payloads() {
    let spec = EthEvmConfig::mainnet().chain_spec().clone();
    let ctx = BuilderContext::<Node> {
        provider: NoopProvider::new(Arc::clone(&spec)),
        chain_spec: spec,
        cache: Some(SenderRecoveryCache::default()),
    };
    let building = pin!(BlockloomExecutors.build_evm(&ctx));
    let built = building.poll(&mut std::task::Context::from_waker(Waker::noop()));
    let std::task::Poll::Ready(Ok(config)) = built else { panic!("it does not wait") };
    assert!(config.eth().sender_recovery_cache.is_some());
    fn is_for_payloads(_: &impl ConfigureEngineEvm<alloy_rpc_types_engine::ExecutionData>) {}
    is_for_payloads(&config);
}
