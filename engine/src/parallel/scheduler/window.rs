//! How far past the frontier speculation may run.
//!
//! Grows when runs turn out to be worth it and shrinks when they do not. Where nothing pays it
//! closes altogether, and is tried again at growing distances: a hopeless block costs one core.

/// The reach at the start of a block.
const REACH_AT_START: usize = 32;
/// The furthest reach for each thread: so many records are held at once at most.
const FURTHEST: usize = 64;
/// After so many commits at most a closed window is tried again.
const LONGEST_REST: usize = 4096;

/// From so many commits on a rest is a long one: little of what happens in it matters after it.
const LONG_REST: usize = 512;

/// Whether a window is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closure {
    /// It is not, or will not be after the next commit.
    None,
    /// For a while.
    Short,
    /// For long.
    Long,
}

/// How far speculation may run.
#[derive(Debug)]
pub(super) struct Window {
    reach: usize,
    furthest: usize,
    /// By how much it grows for each run that paid.
    step: usize,
    /// How many commits a closed window stays closed.
    rest: usize,
    rest_left: usize,
    /// How long it is closed in all this time.
    closure: usize,
    widest: usize,
}

impl Window {
    /// A window for so many threads.
    pub(super) fn new(threads: usize) -> Self {
        let furthest = FURTHEST * threads;
        let reach = REACH_AT_START.min(furthest).max(2 * threads);
        Self { reach, furthest, step: threads.max(2), rest: 4, rest_left: 0, closure: 0, widest: reach }
    }

    /// How many transactions after the frontier may be run.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Whether it is closed and will still be closed after the next commit.
    pub(super) fn closure(&self) -> Closure {
        if self.reach > 0 || self.rest_left <= 1 {
            Closure::None
        } else if self.closure < LONG_REST {
            Closure::Short
        } else {
            Closure::Long
        }
    }

    /// The furthest that it ever was.
    pub(super) fn widest(&self) -> usize {
        self.widest
    }

    /// Whether nothing was for nothing for a long time.
    pub(super) fn is_calm(&self) -> bool {
        self.reach == self.furthest
    }

    /// A speculative run was committed.
    pub(super) fn paid(&mut self) {
        self.reach = (self.reach + self.step).min(self.furthest);
        self.widest = self.widest.max(self.reach);
        self.rest = (self.rest / 2).max(4);
    }

    /// A speculative run was for nothing.
    pub(super) fn wasted(&mut self) {
        if self.reach > 1 {
            self.reach -= (self.reach / 3).max(1);
        } else if self.reach == 1 {
            self.reach = 0;
            (self.rest_left, self.closure) = (self.rest, self.rest);
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
    }

    /// A transaction was committed: a closed window comes closer to being tried again.
    pub(super) fn moved(&mut self) {
        if self.reach == 0 {
            self.rest_left = self.rest_left.saturating_sub(1);
            if self.rest_left == 0 {
                self.reach = 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_where_nothing_pays_and_is_tried_ever_more_seldom() {
        let mut window = Window::new(2);
        let mut runs = 0;
        for _ in 0..2000 {
            if window.reach() > 0 {
                window.wasted();
                runs += 1;
            }
            window.moved();
        }
        assert!(runs < 40, "{runs} runs of 2000 were for nothing");
    }

    #[test]
    fn a_rest_is_a_long_one_when_several_tries_were_in_vain() {
        let mut window = Window::new(2);
        let mut closures = Vec::new();
        for _ in 0..3000 {
            if window.reach() > 0 {
                window.wasted();
            }
            if closures.last() != Some(&window.closure()) {
                closures.push(window.closure());
            }
            window.moved();
        }
        let (first_long, _) =
            closures.iter().enumerate().find(|(_, closure)| **closure == Closure::Long).expect("one is long");
        assert!(closures[..first_long].contains(&Closure::Short));
        assert!(!closures[first_long..].contains(&Closure::Short), "{closures:?}");
        assert!(closures[first_long..].contains(&Closure::None), "it is tried again: {closures:?}");
    }

    #[test]
    fn it_opens_again_where_runs_pay() {
        let mut window = Window::new(2);
        while window.reach() > 0 {
            window.wasted();
        }
        for _ in 0..1000 {
            window.moved();
            if window.reach() > 0 {
                window.paid();
            }
        }
        assert_eq!(window.reach(), 2 * FURTHEST);
        assert_eq!(window.widest(), 2 * FURTHEST);
    }

    #[test]
    fn it_is_calm_once_it_cannot_grow_any_more_and_until_something_is_wasted() {
        let mut window = Window::new(2);
        assert!(!window.is_calm());
        (0..FURTHEST).for_each(|_| window.paid());
        assert!(window.is_calm());
        window.wasted();
        assert!(!window.is_calm());
    }
}
