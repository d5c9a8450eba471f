//! Hostile blocks, executed on their witnesses alone; and witnesses that lie.

use std::env;

use alloy_primitives::{Bytes, keccak256};
use blockloom_fuzz::{
    FORKS, HostileBlock, MadeWitness, difference, engine_on, engines, hostile_block, isolated_engine_on,
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// How many blocks are tried: two hundred, unless `PROPTEST_CASES` says how many.
fn cases() -> ProptestConfig {
    match env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(200),
    }
}

/// A lie about some bytes.
#[derive(Clone, Debug)]
enum Lie {
    Flip(Index, u8),
    Truncate(Index),
    Append(u8),
    Drop,
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(place, bit)| Lie::Flip(place, bit)),
        1 => any::<Index>().prop_map(Lie::Truncate),
        1 => any::<u8>().prop_map(Lie::Append),
        2 => Just(Lie::Drop),
    ]
}

impl Lie {
    /// The bytes of a lie instead of these.
    fn about(&self, bytes: &Bytes) -> Option<Bytes> {
        let mut told = bytes.to_vec();
        match self {
            Self::Flip(place, bit) => told[place.index(bytes.len())] ^= 1 << bit,
            Self::Truncate(place) => told.truncate(place.index(bytes.len())),
            Self::Append(byte) => told.push(*byte),
            Self::Drop => return None,
        }
        Some(told.into())
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_hostile_block_has_the_same_outcome_and_root_on_its_witness(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
    ) {
        let Ok(witness) = MadeWitness::of(&base, &block) else { return Ok(()) };
        for engine in [engine_on(1), isolated_engine_on(3)].iter().chain(&engines()) {
            let (found, root) = match witness.execute(engine, &block) {
                Ok(found) => found,
                Err(error) => return Err(TestCaseError::fail(format!("{} threads: {error}", engine.threads()))),
            };
            prop_assert_eq!(difference(&Ok(witness.outcome.clone()), &Ok(found)), None);
            prop_assert_eq!(root, witness.root_after);
        }
    }

    #[test]
    fn a_lying_witness_is_an_error_and_never_a_wrong_state(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
        lies in vec((any::<Index>(), lie()), 1..4),
        threads in 1usize..4,
    ) {
        let Ok(honest) = MadeWitness::of(&base, &block) else { return Ok(()) };
        let mut lying = honest.clone();
        let parts = honest.nodes.len() + honest.codes.len();
        prop_assume!(parts > 0);
        let mut told: Vec<_> = honest.nodes.iter().chain(&honest.codes).cloned().map(Some).collect();
        for (place, lie) in &lies {
            let part = &mut told[place.index(parts)];
            *part = part.take().filter(|bytes| !bytes.is_empty()).and_then(|bytes| lie.about(&bytes));
        }
        let codes = told.split_off(honest.nodes.len());
        (lying.nodes, lying.codes) = (told.into_iter().flatten().collect(), codes.into_iter().flatten().collect());
        let are_all_there = |honest: &[Bytes], told: &[Bytes]| honest.iter().all(|part| told.contains(part));
        match lying.execute(&engine_on(threads), &block) {
            Ok((outcome, root)) => {
                prop_assert_eq!(difference(&Ok(honest.outcome), &Ok(outcome)), None);
                prop_assert_eq!(root, honest.root_after);
                prop_assert!(are_all_there(&honest.nodes, &lying.nodes), "each node is needed");
            }
            Err(error) => {
                let message = error.to_string();
                let missing = honest.nodes.iter().chain(&honest.codes).filter(|part| {
                    !lying.nodes.contains(part) && !lying.codes.contains(part)
                });
                let hashes: Vec<_> = missing.map(|part| keccak256(part).to_string()).collect();
                prop_assert!(hashes.iter().any(|hash| message.contains(hash)), "{message}");
            }
        }
    }
}
