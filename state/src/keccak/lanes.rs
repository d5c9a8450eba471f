//! Messages side by side: each is hashed in a lane of its own, and a lane that is done takes the next one.

use std::array;

use alloy_primitives::B256;

/// How many words a state has.
pub(super) const WORDS: usize = 25;

/// How many bytes of a message go into a state between two permutations.
const RATE: usize = 136;

/// The states of so many lanes, word by word.
pub(super) type State<const LANES: usize> = [[u64; LANES]; WORDS];

/// A message that is being hashed.
struct Lane<'m> {
    /// Which one it is.
    message: usize,
    /// What of it did not go into the state yet; nothing once its end is in it.
    rest: Option<&'m [u8]>,
}

/// The hashes of messages, in their order.
pub(super) fn hash_in_lanes<const LANES: usize, M: AsRef<[u8]>>(
    messages: &[M],
    permute: impl Fn(&mut State<LANES>),
) -> Vec<B256> {
    let mut hashes = vec![B256::ZERO; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let mut state = [[0; LANES]; WORDS];
    let mut lanes: [Option<Lane<'_>>; LANES] = array::from_fn(|_| None);
    loop {
        for (at, lane) in lanes.iter_mut().enumerate() {
            if lane.is_none()
                && let Some((message, bytes)) = waiting.next()
            {
                state.iter_mut().for_each(|words| words[at] = 0);
                *lane = Some(Lane { message, rest: Some(bytes.as_ref()) });
            }
            if let Some(lane) = lane {
                lane.absorb(&mut state, at);
            }
        }
        if lanes.iter().all(Option::is_none) {
            return hashes;
        }
        permute(&mut state);
        for (at, lane) in lanes.iter_mut().enumerate() {
            if let Some(Lane { message, .. }) = lane.take_if(|lane| lane.rest.is_none()) {
                hashes[message] = squeeze(&state, at);
            }
        }
    }
}

impl Lane<'_> {
    /// Puts the next bytes, or what is left and the padding, into the state of this lane.
    fn absorb<const LANES: usize>(&mut self, state: &mut State<LANES>, at: usize) {
        let rest = self.rest.expect("a lane that is done is empty");
        if let Some((block, rest)) = rest.split_first_chunk() {
            absorb(state, at, block);
            self.rest = Some(rest);
        } else {
            let mut block = [0; RATE];
            block[..rest.len()].copy_from_slice(rest);
            block[rest.len()] = 0x01;
            block[RATE - 1] |= 0x80;
            absorb(state, at, &block);
            self.rest = None;
        }
    }
}

fn absorb<const LANES: usize>(state: &mut State<LANES>, at: usize, block: &[u8; RATE]) {
    let (bytes, _) = block.as_chunks();
    for (words, bytes) in state.iter_mut().zip(bytes) {
        words[at] ^= u64::from_le_bytes(*bytes);
    }
}

fn squeeze<const LANES: usize>(state: &State<LANES>, at: usize) -> B256 {
    let mut hash = B256::ZERO;
    let (bytes, _) = hash.0.as_chunks_mut();
    for (bytes, words) in bytes.iter_mut().zip(state) {
        *bytes = words[at].to_le_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use proptest::prelude::*;

    use super::*;
    use crate::keccak::{keccak256_all, permutation::permute, simd};

    type Words<const LANES: usize> = [u64; LANES];

    /// What permutes any number of states on any processor.
    fn plain<const LANES: usize>(state: &mut State<LANES>) {
        permute(
            state,
            |constant| [constant; LANES],
            |one, other| pairwise(one, other, |one, other| one ^ other),
            |word, by| word.map(|word| word.rotate_left(by)),
            |less, word| pairwise(less, word, |less, word| !less & word),
        );
    }

    fn pairwise<const LANES: usize>(
        one: Words<LANES>,
        other: Words<LANES>,
        join: impl Fn(u64, u64) -> u64,
    ) -> Words<LANES> {
        array::from_fn(|at| join(one[at], other[at]))
    }

    #[test]
    fn every_length_around_a_block_has_its_hash() {
        let messages: Vec<Vec<u8>> = (0..3 * RATE).map(|length| vec![length as u8; length]).collect();
        let hashes: Vec<_> = messages.iter().map(keccak256).collect();
        assert_eq!(hash_in_lanes(&messages, plain::<1>), hashes);
        assert_eq!(hash_in_lanes(&messages, plain::<3>), hashes);
        assert_eq!(keccak256_all(&messages), hashes);
    }

    #[test]
    fn no_message_has_no_hash() {
        assert!(keccak256_all::<&[u8]>(&[]).is_empty());
        assert!(hash_in_lanes::<2, &[u8]>(&[], plain).is_empty());
    }

    proptest! {
        #[test]
        fn messages_side_by_side_have_the_hashes_that_each_has(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..30),
        ) {
            let hashes: Vec<_> = messages.iter().map(keccak256).collect();
            prop_assert_eq!(&hash_in_lanes(&messages, plain::<5>), &hashes);
            if let Some(permute) = simd::four() {
                prop_assert_eq!(&hash_in_lanes(&messages, permute), &hashes);
            }
            if let Some(permute) = simd::eight() {
                prop_assert_eq!(&hash_in_lanes(&messages, permute), &hashes);
            }
        }
    }
}
