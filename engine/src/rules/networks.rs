//! The public networks: mainnet and its test networks, by name and by chain id.
//!
//! The starts of the forks are those of alloy-hardforks. Blob parameters change at the same forks and to the
//! same values on all four networks; the times of these forks and the deposit contracts are each network's
//! own.

use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_hardforks::{EthereumHardfork, ForkCondition};
use alloy_primitives::{Address, address};

use crate::rules::chain::ChainSpec;

const SEPOLIA_DEPOSIT_CONTRACT: Address = address!("0x7f02c3e3c98b133055b8b348b2ac625669ed295d");
const HOLESKY_DEPOSIT_CONTRACT: Address = address!("0x4242424242424242424242424242424242424242");

impl ChainSpec {
    /// The names of the networks that [`named`](Self::named) knows.
    pub const NAMES: [&str; 4] = ["mainnet", "sepolia", "holesky", "hoodi"];

    /// Ethereum mainnet.
    pub fn mainnet() -> Self {
        Self::network(1, MAINNET_DEPOSIT_CONTRACT_ADDRESS, &EthereumHardfork::mainnet())
    }

    /// The test network Sepolia.
    pub fn sepolia() -> Self {
        Self::network(11_155_111, SEPOLIA_DEPOSIT_CONTRACT, &without_dao(EthereumHardfork::sepolia()))
    }

    /// The test network Holesky.
    pub fn holesky() -> Self {
        Self::network(17_000, HOLESKY_DEPOSIT_CONTRACT, &without_dao(EthereumHardfork::holesky()))
    }

    /// The test network Hoodi.
    pub fn hoodi() -> Self {
        Self::network(560_048, MAINNET_DEPOSIT_CONTRACT_ADDRESS, &without_dao(EthereumHardfork::hoodi()))
    }

    /// The network with this chain id, if it is a known one.
    ///
    /// ```
    /// use blockloom_engine::ChainSpec;
    ///
    /// assert_eq!(ChainSpec::known(17_000), Some(ChainSpec::holesky()));
    /// assert_eq!(ChainSpec::known(31_337), None);
    /// ```
    pub fn known(chain_id: u64) -> Option<Self> {
        Self::NAMES.into_iter().filter_map(Self::named).find(|network| network.chain_id() == chain_id)
    }

    /// The network with one of the names in [`NAMES`](Self::NAMES).
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "mainnet" => Some(Self::mainnet()),
            "sepolia" => Some(Self::sepolia()),
            "holesky" => Some(Self::holesky()),
            "hoodi" => Some(Self::hoodi()),
            _ => None,
        }
    }

    fn network(
        chain_id: u64,
        deposit_contract: Address,
        starts: &[(EthereumHardfork, ForkCondition)],
    ) -> Self {
        let spec = Self::always(EthereumHardfork::Frontier)
            .with_chain_id(chain_id)
            .with_deposit_contract(deposit_contract);
        starts.iter().fold(spec, |spec, (fork, start)| spec.with_fork(*fork, *start))
    }
}

/// The starts without the DAO's: alloy-hardforks has one for each test network, and none of them had the
/// irregular state change.
fn without_dao<const N: usize>(
    starts: [(EthereumHardfork, ForkCondition); N],
) -> Vec<(EthereumHardfork, ForkCondition)> {
    starts.into_iter().filter(|(fork, _)| *fork != EthereumHardfork::Dao).collect()
}

#[cfg(test)]
mod tests {
    use EthereumHardfork::*;
    use alloy_consensus::Header;
    use alloy_eips::eip7840::BlobParams;

    use super::*;

    fn fork_at(network: &ChainSpec, number: u64, timestamp: u64) -> EthereumHardfork {
        network.rules(&Header { number, timestamp, ..Header::default() }).fork
    }

    /// Checks that each fork starts at its time and not a second earlier, after the block `number`.
    fn check_times(
        network: &ChainSpec,
        number: u64,
        before: EthereumHardfork,
        times: &[(u64, EthereumHardfork)],
    ) {
        let mut before = before;
        for (time, fork) in times {
            if let Some(earlier) = time.checked_sub(1) {
                assert_eq!(fork_at(network, number, earlier), before, "a second before {fork}");
            }
            assert_eq!(fork_at(network, number, *time), *fork, "at {time}");
            before = *fork;
        }
        assert_eq!(fork_at(network, number, u64::MAX), before, "the last fork of all");
    }

    #[test]
    fn mainnet_has_its_historical_forks() {
        let mainnet = ChainSpec::mainnet();
        let blocks = [
            (1_150_000, Frontier, Homestead),
            (1_920_000, Homestead, Homestead),
            (2_463_000, Homestead, Tangerine),
            (2_675_000, Tangerine, SpuriousDragon),
            (4_370_000, SpuriousDragon, Byzantium),
            (7_280_000, Byzantium, Petersburg),
            (9_069_000, Petersburg, Istanbul),
            (9_200_000, Istanbul, MuirGlacier),
            (12_244_000, MuirGlacier, Berlin),
            (12_965_000, Berlin, London),
            (13_773_000, London, ArrowGlacier),
            (15_050_000, ArrowGlacier, GrayGlacier),
            (15_537_394, GrayGlacier, Paris),
        ];
        for (number, before, fork) in blocks {
            assert_eq!(fork_at(&mainnet, number - 1, 0), before, "before block {number}");
            assert_eq!(fork_at(&mainnet, number, 0), fork, "block {number}");
        }
        let times = [
            (1_681_338_455, Shanghai),
            (1_710_338_135, Cancun),
            (1_746_612_311, Prague),
            (1_764_798_551, Osaka),
            (1_765_290_071, Bpo1),
            (1_767_747_671, Bpo2),
        ];
        check_times(&mainnet, 20_000_000, Paris, &times);
        assert_eq!(fork_at(&mainnet, 1, u64::MAX), Frontier, "timestamps do not count before the Merge");
        assert_eq!(mainnet.rules(&Header::default()).dao_block, Some(1_920_000));
    }

    #[test]
    fn sepolia_merges_at_its_first_block_without_work_and_not_at_its_netsplit_block() {
        let sepolia = ChainSpec::sepolia();
        assert_eq!(fork_at(&sepolia, 0, 1_633_267_481), London);
        assert_eq!(fork_at(&sepolia, 1_450_408, 1_657_107_000), London);
        for number in [1_450_409, 1_735_370, 1_735_371] {
            assert_eq!(fork_at(&sepolia, number, 1_661_000_000), Paris, "block {number}");
        }
        let times = [
            (1_677_557_088, Shanghai),
            (1_706_655_072, Cancun),
            (1_741_159_776, Prague),
            (1_760_427_360, Osaka),
            (1_761_017_184, Bpo1),
            (1_761_607_008, Bpo2),
            (1_791_294_816, Amsterdam),
        ];
        check_times(&sepolia, 3_000_000, Paris, &times);
    }

    #[test]
    fn holesky_and_hoodi_start_after_the_merge() {
        let holesky = [
            (1_696_000_704, Shanghai),
            (1_707_305_664, Cancun),
            (1_740_434_112, Prague),
            (1_759_308_480, Osaka),
            (1_759_800_000, Bpo1),
            (1_760_389_824, Bpo2),
        ];
        check_times(&ChainSpec::holesky(), 1, Paris, &holesky);
        let hoodi = [
            (0, Cancun),
            (1_742_999_832, Prague),
            (1_761_677_592, Osaka),
            (1_762_365_720, Bpo1),
            (1_762_955_544, Bpo2),
        ];
        check_times(&ChainSpec::hoodi(), 1, Cancun, &hoodi);
    }

    #[test]
    fn each_network_has_its_own_deposit_contract_and_only_mainnet_the_change_of_the_dao() {
        let contracts = [
            ("mainnet", 1, "0x00000000219ab540356cBB839Cbe05303d7705Fa"),
            ("sepolia", 11_155_111, "0x7f02C3E3c98b133055B8B348B2Ac625669Ed295D"),
            ("holesky", 17_000, "0x4242424242424242424242424242424242424242"),
            ("hoodi", 560_048, "0x00000000219ab540356cBB839Cbe05303d7705Fa"),
        ];
        for (name, chain_id, contract) in contracts {
            let network = ChainSpec::named(name).unwrap();
            assert_eq!(ChainSpec::known(chain_id).as_ref(), Some(&network));
            let rules = network.rules(&Header { number: 1, ..Header::default() });
            assert_eq!(
                (rules.chain_id, rules.deposit_contract),
                (chain_id, contract.parse().unwrap()),
                "{name}"
            );
            assert_eq!(rules.dao_block.is_some(), name == "mainnet");
        }
        assert!(ChainSpec::named("Mainnet").is_none() && ChainSpec::named("").is_none());
        assert!(ChainSpec::known(0).is_none() && ChainSpec::known(5).is_none());
    }

    #[test]
    fn the_blob_parameters_change_at_each_networks_own_times() {
        let networks = [
            ("mainnet", 23_935_694, [1_746_612_311, 1_764_798_551, 1_765_290_071, 1_767_747_671]),
            ("sepolia", 9_408_576, [1_741_159_776, 1_760_427_360, 1_761_017_184, 1_761_607_008]),
            ("holesky", 5_000_000, [1_740_434_112, 1_759_308_480, 1_759_800_000, 1_760_389_824]),
            ("hoodi", 1_507_304, [1_742_999_832, 1_761_677_592, 1_762_365_720, 1_762_955_544]),
        ];
        let params = [BlobParams::prague(), BlobParams::osaka(), BlobParams::bpo1(), BlobParams::bpo2()];
        for (name, number, times) in networks {
            let network = ChainSpec::named(name).unwrap();
            let blobs = |timestamp| network.rules(&Header { number, timestamp, ..Header::default() }).blobs;
            assert_eq!(blobs(times[0] - 1), Some(BlobParams::cancun()), "{name}");
            for (index, time) in times.into_iter().enumerate() {
                assert_eq!(blobs(time), Some(params[index]), "{name} at {time}");
                if let Some(next) = times.get(index + 1) {
                    assert_eq!(blobs(next - 1), Some(params[index]), "{name} before {next}");
                }
            }
        }
    }
}
