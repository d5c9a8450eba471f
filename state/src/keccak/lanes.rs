//! Hashes several messages in parallel lanes. A lane that has finished a message takes the next one.

use std::array;

use alloy_primitives::B256;

/// The number of words of a state.
pub(super) const WORDS: usize = 25;

/// The number of message bytes that a state absorbs between two permutations.
const RATE: usize = 136;

/// The states of several lanes, word by word.
pub(super) type LaneStates<const LANES: usize> = [[u64; LANES]; WORDS];

/// A message that is being hashed.
struct Lane<'m> {
    /// The position of the message.
    message: usize,
    /// The bytes that are not absorbed yet; `None` after the last one.
    rest: Option<&'m [u8]>,
}

/// Hashes messages. The hashes are in the order of the messages.
pub(super) fn hash_in_lanes<const LANES: usize, M: AsRef<[u8]>>(
    messages: &[M],
    permute: impl Fn(&mut LaneStates<LANES>),
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
    /// Absorbs the next full block, or the last bytes and the padding, into the state of this lane.
    fn absorb<const LANES: usize>(&mut self, state: &mut LaneStates<LANES>, at: usize) {
        let rest = self.rest.expect("a finished lane has no message");
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

fn absorb<const LANES: usize>(state: &mut LaneStates<LANES>, at: usize, block: &[u8; RATE]) {
    let (bytes, _) = block.as_chunks();
    for (words, bytes) in state.iter_mut().zip(bytes) {
        words[at] ^= u64::from_le_bytes(*bytes);
    }
}

fn squeeze<const LANES: usize>(state: &LaneStates<LANES>, at: usize) -> B256 {
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

    /// Permutes any number of states on any processor.
    fn plain<const LANES: usize>(state: &mut LaneStates<LANES>) {
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
    fn messages_of_every_length_around_a_block_have_the_right_hash() {
        let messages: Vec<Vec<u8>> = (0..3 * RATE).map(|length| vec![length as u8; length]).collect();
        let hashes: Vec<_> = messages.iter().map(keccak256).collect();
        assert_eq!(hash_in_lanes(&messages, plain::<1>), hashes);
        assert_eq!(hash_in_lanes(&messages, plain::<3>), hashes);
        assert_eq!(keccak256_all(&messages), hashes);
    }

    #[test]
    fn no_messages_have_no_hashes() {
        assert!(keccak256_all::<&[u8]>(&[]).is_empty());
        assert!(hash_in_lanes::<2, &[u8]>(&[], plain).is_empty());
    }

    proptest! {
        #[test]
        fn hashes_in_lanes_equal_hashes_one_by_one(
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
