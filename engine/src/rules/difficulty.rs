//! The difficulty of blocks before the Merge.
//!
//! Owns the formula of each fork and the delays of the ice age. Promises the exact value for every
//! header that can be valid, and never panics on other headers. Does not check the proof of work.

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork::{
    self, ArrowGlacier, Byzantium, Constantinople, GrayGlacier, Homestead, London, MuirGlacier,
};
use alloy_primitives::U256;

use crate::block::rules::Rules;

/// The minimum of all blocks.
const MINIMUM: U256 = U256::from_limbs([131_072, 0, 0, 0]);

/// The difficulty changes by multiples of the parent's difficulty divided by this.
const SHARE: U256 = U256::from_limbs([2_048, 0, 0, 0]);

/// The difficulty decreases by at most this number of shares at once.
const MOST_SHARES_DOWN: i64 = -99;

/// The ice age term doubles once in this number of blocks.
const ICE_AGE_PERIOD: u64 = 100_000;

/// The delay of the ice age under each fork, in blocks since the first block of the chain.
const ICE_AGE_DELAYS: [(EthereumHardfork, u64); 6] = [
    (Byzantium, 3_000_000),
    (Constantinople, 5_000_000),
    (MuirGlacier, 9_000_000),
    (London, 9_700_000),
    (ArrowGlacier, 10_700_000),
    (GrayGlacier, 11_400_000),
];

/// The required difficulty of `header`. Its timestamp must be later than the parent's.
///
/// The result saturates at 256 bits, which no real chain reaches.
pub fn next_difficulty(rules: &Rules, header: &Header, parent: &Header) -> U256 {
    let seconds = header.timestamp.saturating_sub(parent.timestamp);
    let shares = shares(rules, seconds, parent);
    // A share is a 2048th of the difficulty, so a hundred shares do not overflow.
    let change = parent.difficulty / SHARE * U256::from(shares.unsigned_abs());
    let adjusted = if shares < 0 {
        parent.difficulty.saturating_sub(change)
    } else {
        parent.difficulty.saturating_add(change)
    };
    // Some clients apply the minimum before they add the ice age. No real chain shows a difference.
    adjusted.saturating_add(ice_age(rules, header.number)).max(MINIMUM)
}

/// By how many shares the difficulty changes, for a block `seconds` after its parent.
fn shares(rules: &Rules, seconds: u64, parent: &Header) -> i64 {
    if !rules.is_active(Homestead) {
        return if seconds < 13 { 1 } else { -1 };
    }
    let (gain, seconds_per_share) = match (rules.is_active(Byzantium), parent.ommers_hash_is_empty()) {
        (false, _) => (1, 10),
        (true, true) => (1, 9),
        (true, false) => (2, 9),
    };
    let loss = i64::try_from(seconds / seconds_per_share).unwrap_or(i64::MAX);
    (gain - loss).max(MOST_SHARES_DOWN)
}

/// The ice age term of block `number`.
fn ice_age(rules: &Rules, number: u64) -> U256 {
    let delay = ICE_AGE_DELAYS.iter().rev().find(|(fork, _)| rules.is_active(*fork));
    let delay = delay.map_or(0, |(_, delay)| *delay);
    match number.saturating_sub(delay) / ICE_AGE_PERIOD {
        0 | 1 => U256::ZERO,
        period @ 2..=257 => U256::ONE << (period - 2),
        _ => U256::MAX,
    }
}

#[cfg(test)]
mod tests {
    use EthereumHardfork::{Berlin, Frontier, Tangerine};
    use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
    use alloy_primitives::B256;
    use proptest::prelude::*;

    use super::*;

    /// Whether the parent has ommers.
    #[derive(Clone, Copy, Debug)]
    enum Parent {
        Alone,
        WithOmmers,
    }

    fn at(fork: EthereumHardfork, number: u64, seconds: u64, parent: (Parent, U256)) -> U256 {
        let ommers_hash = match parent.0 {
            Parent::Alone => EMPTY_OMMER_ROOT_HASH,
            Parent::WithOmmers => B256::repeat_byte(1),
        };
        let parent = Header { difficulty: parent.1, timestamp: 1_000, ommers_hash, ..Header::default() };
        let timestamp = parent.timestamp.saturating_add(seconds);
        next_difficulty(&Rules::mainnet(fork), &Header { number, timestamp, ..Header::default() }, &parent)
    }

    #[test]
    fn real_blocks_and_official_vectors_have_the_computed_difficulty() {
        use Parent::{Alone, WithOmmers};
        // The fork, the number, the seconds since the parent, the parent, and the expected difficulty.
        let table: [(_, u64, u64, _, u128, u128); 16] = [
            // Mainnet's first block of Homestead, and of Byzantium.
            (Homestead, 1_150_000, 51, Alone, 0x12a8_17e7_a92f, 0x129e_c3db_b75b),
            (Byzantium, 4_370_000, 28, Alone, 0x000a_a601_41ca_e967, 0x000a_a357_c17a_7ead),
            // The suite DifficultyTests of ethereum/tests.
            (Frontier, 0x186a0, 1, Alone, 0x6a80_0757_9a9b_ec39, 0x6a8d_5758_858f_3fb6),
            (Frontier, 0x49_3e00, 20, Alone, 0x1d52_fab2_f1f4_9a87, 0x1d4f_9053_9b96_5bf4),
            (Constantinople, 0x186a0, 20, WithOmmers, 0x3869_8bd3_384b_def3, 0x3869_8bd3_384b_def3),
            (Constantinople, 0x4a_c4a0, 20, Alone, 0x3fb6_4e09_2c00_db60, 0x3fae_573f_6adb_5b45),
            (Berlin, 10_005_684, 10, WithOmmers, 0x5bae_a941_bf49_eb92, 0x5bba_1f16_e781_d5cf),
            (Berlin, 10_437_016, 13, Alone, 0x1704_cd51_e19c_ae61, 0x1704_cd51_e19c_be61),
            (Berlin, 10_483_519, 45, Alone, 0x45c4_c933_12f0_49aa, 0x45a1_e6ce_7966_e186),
            (ArrowGlacier, 0xa3_44e0, 1, Alone, 0x22_3a2d_1723_2652, 0x22_3e74_5cc6_0ab6),
            (ArrowGlacier, 0xaa_e600, 64, WithOmmers, 0x22_3a2d_1723_2652, 0x22_24c8_baf4_b066),
            (ArrowGlacier, 0xd4_e7e8, 21, WithOmmers, 0x6a_81ee_2c85_4967_f056, 0x6a_81ee_2c85_8967_f056),
            (ArrowGlacier, 0xd7_31d8, 9, Alone, 0x1030_0f84_3b54_f5a0_e9df, 0x1030_0f84_3b55_f5a0_e9df),
            // Computed by hand: the greatest decrease, and the minimum.
            (Homestead, 1, 1_000_000, Alone, 2_048_000, 2_048_000 - 99_000),
            (Byzantium, 1, u64::MAX - 1_000, WithOmmers, 2_048_000, 2_048_000 - 99_000),
            (Frontier, 1, 13, Alone, 131_072, 131_072),
        ];
        for (fork, number, seconds, ommers, parent, expected) in table {
            let found = at(fork, number, seconds, (ommers, U256::from(parent)));
            assert_eq!(found, U256::from(expected), "{fork} {number}");
        }
    }

    #[test]
    fn every_ice_age_starts_two_periods_after_its_delay() {
        let table = [
            (Frontier, 0),
            (Tangerine, 0),
            (Byzantium, 3_000_000),
            (Constantinople, 5_000_000),
            (EthereumHardfork::Istanbul, 5_000_000),
            (MuirGlacier, 9_000_000),
            (Berlin, 9_000_000),
            (London, 9_700_000),
            (ArrowGlacier, 10_700_000),
            (GrayGlacier, 11_400_000),
        ];
        for (fork, delay) in table {
            let rules = Rules::mainnet(fork);
            assert_eq!(ice_age(&rules, delay + 199_999), U256::ZERO, "{fork}");
            assert_eq!(ice_age(&rules, delay + 200_000), U256::ONE, "{fork}");
            assert_eq!(ice_age(&rules, delay + 1_250_000), U256::from(1 << 10), "{fork}");
        }
    }

    #[test]
    fn the_difficulty_changes_in_whole_shares() {
        let parent = (Parent::Alone, U256::from(2_048_000));
        let shares = |fork, seconds| at(fork, 1, seconds, parent).to::<i64>() / 1_000 - 2_048;
        assert_eq!([1, 12, 13, 26].map(|seconds| shares(Frontier, seconds)), [1, 1, -1, -1]);
        assert_eq!([9, 10, 19, 20].map(|seconds| shares(Homestead, seconds)), [1, 0, 0, -1]);
        assert_eq!([8, 9, 17, 18].map(|seconds| shares(Byzantium, seconds)), [1, 0, 0, -1]);
    }

    proptest! {
        #[test]
        fn a_hostile_header_causes_no_panic(
            fork in proptest::sample::select(EthereumHardfork::VARIANTS),
            number in prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..30_000_000u64],
            seconds in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
            parent in prop_oneof![Just([0; 4]), Just([u64::MAX; 4]), any::<[u64; 4]>()],
            ommers in prop_oneof![Just(Parent::Alone), Just(Parent::WithOmmers)],
        ) {
            let found = at(fork, number, seconds, (ommers, U256::from_limbs(parent)));
            prop_assert!(found >= MINIMUM);
        }
    }
}
