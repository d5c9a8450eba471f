//! The permutation with vector instructions, if the processor has them.
//!
//! The only file of this crate with unsafe code. It reduces the time of a hash to a tenth (512 bits) or to two
//! fifths (256 bits).

use crate::keccak::lanes::LaneStates;

/// Permutes several states.
pub(super) type Permute<const LANES: usize> = fn(&mut LaneStates<LANES>);

/// The function that permutes eight states at once; `None` if the processor lacks the instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn eight() -> Option<Permute<8>> {
    None
}

/// The function that permutes four states at once; `None` if the processor lacks the instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn four() -> Option<Permute<4>> {
    None
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{eight, four};

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "only the running program can detect vector instructions")]
mod x86_64 {
    use std::{
        arch::x86_64::{
            __m256i, __m512i, _mm256_andnot_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_sllv_epi64,
            _mm256_srlv_epi64, _mm256_xor_si256, _mm512_andnot_si512, _mm512_rolv_epi64, _mm512_set1_epi64,
            _mm512_xor_si512,
        },
        mem::transmute,
    };

    use crate::keccak::{
        lanes::{LaneStates, WORDS},
        permutation::permute,
        simd::Permute,
    };

    /// The function that permutes eight states at once; `None` if the processor lacks the instructions.
    pub(in crate::keccak) fn eight() -> Option<Permute<8>> {
        // SAFETY: the function is returned only if the processor has the instructions.
        is_x86_feature_detected!("avx512f").then_some(|state| unsafe { permute_eight(state) })
    }

    /// The function that permutes four states at once; `None` if the processor lacks the instructions.
    pub(in crate::keccak) fn four() -> Option<Permute<4>> {
        // SAFETY: the function is returned only if the processor has the instructions.
        is_x86_feature_detected!("avx2").then_some(|state| unsafe { permute_four(state) })
    }

    #[target_feature(enable = "avx512f")]
    fn permute_eight(state: &mut LaneStates<8>) {
        // SAFETY: both types have 1600 bytes, and any bytes are valid words.
        let mut words = unsafe { transmute::<LaneStates<8>, [__m512i; WORDS]>(*state) };
        permute(
            &mut words,
            |constant| _mm512_set1_epi64(constant.cast_signed()),
            |one, other| _mm512_xor_si512(one, other),
            |word, by| _mm512_rolv_epi64(word, _mm512_set1_epi64(by.into())),
            |less, word| _mm512_andnot_si512(less, word),
        );
        // SAFETY: as above.
        *state = unsafe { transmute::<[__m512i; WORDS], LaneStates<8>>(words) };
    }

    #[target_feature(enable = "avx2")]
    fn permute_four(state: &mut LaneStates<4>) {
        // SAFETY: both types have 800 bytes, and any bytes are valid words.
        let mut words = unsafe { transmute::<LaneStates<4>, [__m256i; WORDS]>(*state) };
        permute(
            &mut words,
            |constant| _mm256_set1_epi64x(constant.cast_signed()),
            |one, other| _mm256_xor_si256(one, other),
            |word, by| {
                let [left, right] = [by, 64 - by].map(|by| _mm256_set1_epi64x(by.into()));
                _mm256_or_si256(_mm256_sllv_epi64(word, left), _mm256_srlv_epi64(word, right))
            },
            |less, word| _mm256_andnot_si256(less, word),
        );
        // SAFETY: as above.
        *state = unsafe { transmute::<[__m256i; WORDS], LaneStates<4>>(words) };
    }
}
