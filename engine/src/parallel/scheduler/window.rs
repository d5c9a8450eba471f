//! The window: how far past the frontier speculation may run.
//!
//! It grows when records are committed and shrinks when they are stale. Where all of them are stale it closes, and
//! opens again after a growing number of commits: a block that cannot be parallelised costs one core.

use blockloom_state::Publication;

use crate::policy::tuning::{LONG_PAUSE, MAX_PAUSE, MAX_REACH_PER_THREAD, MIN_PAUSE, START_REACH};

/// How far speculation may run.
#[derive(Debug)]
pub(super) struct Window {
    reach: usize,
    max_reach: usize,
    /// By how much the reach grows for each committed record.
    step: usize,
    /// How many commits the next pause lasts.
    next_pause: usize,
    /// How many commits of this pause are left, and how many it has.
    pause_left: usize,
    pause: usize,
    widest: usize,
}

impl Window {
    /// A window for a number of threads.
    pub(super) fn new(threads: usize) -> Self {
        let max_reach = MAX_REACH_PER_THREAD * threads;
        let reach = START_REACH.min(max_reach).max(2 * threads);
        let step = threads.max(2);
        Self { reach, max_reach, step, next_pause: MIN_PAUSE, pause_left: 0, pause: 0, widest: reach }
    }

    /// How many batches after the frontier may run.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// When speculative runs will read what is committed now: at once, after a short pause, or too late for it to
    /// matter. A pause that ends with the next commit counts as none.
    pub(super) fn publication(&self) -> Publication {
        if self.reach > 0 || self.pause_left <= 1 {
            Publication::Immediate
        } else if self.pause < LONG_PAUSE {
            Publication::Deferred
        } else {
            Publication::Off
        }
    }

    /// The number of commits after which the window is still closed.
    pub(super) fn pause_left(&self) -> usize {
        if self.reach > 0 { 0 } else { self.pause_left.saturating_sub(1) }
    }

    /// The largest reach so far.
    pub(super) fn widest(&self) -> usize {
        self.widest
    }

    /// Whether no recent run was stale.
    pub(super) fn is_at_maximum(&self) -> bool {
        self.reach == self.max_reach
    }

    /// A record was committed.
    pub(super) fn grow(&mut self) {
        self.reach = (self.reach + self.step).min(self.max_reach);
        self.widest = self.widest.max(self.reach);
        self.next_pause = (self.next_pause / 2).max(MIN_PAUSE);
    }

    /// A speculative run was stale.
    pub(super) fn shrink(&mut self) {
        if self.reach > 1 {
            self.reach -= (self.reach / 3).max(1);
        } else if self.reach == 1 {
            self.reach = 0;
            (self.pause_left, self.pause) = (self.next_pause, self.next_pause);
            self.next_pause = (self.next_pause * 2).min(MAX_PAUSE);
        }
    }

    /// A batch was committed: a pause comes closer to its end.
    pub(super) fn advance(&mut self) {
        if self.reach == 0 {
            self.pause_left = self.pause_left.saturating_sub(1);
            if self.pause_left == 0 {
                self.reach = 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_every_run_is_stale_pauses_get_longer() {
        let mut window = Window::new(2);
        let mut runs = 0;
        for _ in 0..2000 {
            if window.reach() > 0 {
                window.shrink();
                runs += 1;
            }
            window.advance();
        }
        assert!(runs < 40, "{runs} of 2000 runs were stale");
    }

    #[test]
    fn after_several_pauses_effects_are_not_published_any_more() {
        let mut window = Window::new(2);
        let mut publications = Vec::new();
        for _ in 0..3000 {
            if window.reach() > 0 {
                window.shrink();
            }
            if publications.last() != Some(&window.publication()) {
                publications.push(window.publication());
            }
            window.advance();
        }
        let first_off = publications.iter().position(|publication| *publication == Publication::Off);
        let (short, long) = publications.split_at(first_off.expect("a pause gets long"));
        assert!(short.contains(&Publication::Deferred));
        assert!(!long.contains(&Publication::Deferred), "{publications:?}");
        assert!(long.contains(&Publication::Immediate), "the window opens again: {publications:?}");
    }

    #[test]
    fn it_opens_again_where_records_are_committed() {
        let mut window = Window::new(2);
        while window.reach() > 0 {
            window.shrink();
        }
        for _ in 0..1000 {
            window.advance();
            if window.reach() > 0 {
                window.grow();
            }
        }
        assert_eq!(window.reach(), 2 * MAX_REACH_PER_THREAD);
        assert_eq!(window.widest(), 2 * MAX_REACH_PER_THREAD);
    }

    #[test]
    fn it_is_at_its_maximum_until_a_run_is_stale() {
        let mut window = Window::new(2);
        assert!(!window.is_at_maximum());
        (0..MAX_REACH_PER_THREAD).for_each(|_| window.grow());
        assert!(window.is_at_maximum());
        window.shrink();
        assert!(!window.is_at_maximum());
    }

    /// Closes the window; returns what it says of publication after each commit until it opens again.
    fn pause(window: &mut Window) -> Vec<Publication> {
        while window.reach() > 0 {
            window.shrink();
        }
        let mut said = Vec::new();
        while window.reach() == 0 {
            said.push(window.publication());
            window.advance();
        }
        said
    }

    #[test]
    fn each_pause_is_twice_as_long_and_only_its_last_commit_is_published_at_once() {
        let mut window = Window::new(2);
        let mut length = MIN_PAUSE;
        while length <= 2 * LONG_PAUSE {
            let kept = if length < LONG_PAUSE { Publication::Deferred } else { Publication::Off };
            let mut expected = vec![kept; length - 1];
            expected.push(Publication::Immediate);
            assert_eq!(pause(&mut window), expected);
            length *= 2;
        }
    }

    #[test]
    fn each_committed_record_halves_the_next_pause() {
        let mut window = Window::new(2);
        for length in [MIN_PAUSE, 2 * MIN_PAUSE, 4 * MIN_PAUSE] {
            assert_eq!(pause(&mut window).len(), length);
        }
        window.grow();
        assert_eq!(pause(&mut window).len(), 4 * MIN_PAUSE);
    }

    #[test]
    fn a_record_that_is_committed_during_a_pause_ends_the_pause() {
        let mut window = Window::new(2);
        while window.reach() > 0 {
            window.shrink();
        }
        assert_eq!((window.publication(), window.pause_left()), (Publication::Deferred, MIN_PAUSE - 1));
        window.grow();
        assert!(window.reach() > 0);
        assert_eq!((window.publication(), window.pause_left()), (Publication::Immediate, 0));
    }
}
