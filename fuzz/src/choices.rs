//! Choices out of bytes: the same bytes always choose the same, and nearby bytes nearly the same.
//!
//! When the bytes are used up every further choice is the first, so the first is the plainest.

/// Bytes, one for each choice.
#[derive(Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices that these bytes make.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u8) -> u8 {
        let byte = self.0.split_off_first().copied().unwrap_or(0);
        (u16::from(byte) * u16::from(end) / 256) as u8
    }

    /// One of the options.
    pub(crate) fn of<T: Clone>(&mut self, options: &[T]) -> T {
        options[usize::from(self.below(options.len() as u8))].clone()
    }

    /// A position in something so long, if it is not empty.
    pub(crate) fn position(&mut self, length: usize) -> Option<usize> {
        let chosen = usize::from(self.below(255)) << 8 | usize::from(self.below(255));
        (length > 0).then(|| chosen * length / (1 << 16))
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u8) -> bool {
        self.below(times) == times - 1
    }
}
