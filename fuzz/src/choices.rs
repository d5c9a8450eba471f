//! Choices made by bytes: equal bytes choose equally, and similar bytes choose similarly.
//!
//! Once the bytes are used up, every choice is the first option; so the first option is the simplest.

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

    /// A position in a sequence of this length; `None` if it is empty.
    pub(crate) fn position(&mut self, length: usize) -> Option<usize> {
        let chosen = usize::from(self.below(255)) << 8 | usize::from(self.below(255));
        (length > 0).then(|| chosen * length / (1 << 16))
    }

    /// True with a probability of one in `times`.
    pub(crate) fn one_in(&mut self, times: u8) -> bool {
        self.below(times) == times - 1
    }
}
