//! The Keccak permutation, generic over the word: a vector of words permutes several states at once.

use crate::keccak::lanes::WORDS;

/// The constant of each round.
const ROUNDS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// The rotation of each word of the square, in bits.
const ROTATIONS: [u32; WORDS] =
    [0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14];

/// Permutes a state. `all` makes a word of a constant, `rotate` rotates to the left, and `without` returns the
/// bits of its second word that its first word has not.
///
/// Always inlined, so that it is compiled with the instruction set of its caller.
#[inline(always)]
pub(super) fn permute<W: Copy>(
    state: &mut [W; WORDS],
    all: impl Fn(u64) -> W,
    xor: impl Fn(W, W) -> W,
    rotate: impl Fn(W, u32) -> W,
    without: impl Fn(W, W) -> W,
) {
    for constant in ROUNDS {
        let mut columns = [all(0); 5];
        for (x, column) in columns.iter_mut().enumerate() {
            let [upper, lower] = [xor(state[x], state[x + 5]), xor(state[x + 10], state[x + 15])];
            *column = xor(xor(upper, lower), state[x + 20]);
        }
        let mut moved = [all(0); WORDS];
        for x in 0..5 {
            let mixed = xor(columns[(x + 4) % 5], rotate(columns[(x + 1) % 5], 1));
            for y in 0..5 {
                let at = x + 5 * y;
                moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(xor(state[at], mixed), ROTATIONS[at]);
            }
        }
        for y in 0..5 {
            let row: [W; 5] = std::array::from_fn(|x| moved[x + 5 * y]);
            for x in 0..5 {
                state[x + 5 * y] = xor(row[x], without(row[(x + 1) % 5], row[(x + 2) % 5]));
            }
        }
        state[0] = xor(state[0], all(constant));
    }
}
