//! Where threads stay a little after a job, in case there is another.
//!
//! Waking a thread up takes up to a tenth of a millisecond, and a core that slept is slow at first:
//! more than many a block takes. So a thread that has done its job looks for the next one for a
//! while. It lends its core to whoever else wants it meanwhile. Promises that a job is done as long
//! as whoever was called comes, and that nobody leaves while there is one.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use blockloom_state::sync::{Mutex, MutexGuard};

use crate::threads::{
    clock::Stopwatch,
    event_count::{EventCount, EventSnapshot},
    idle_timeout::IdleTimeout,
};

/// How often a thread looks for a job before it looks at the clock and lends its core.
const LOOKS: u32 = 64;

type Job = Box<dyn FnOnce() + Send>;

/// A room for the threads of one pool.
pub(crate) struct JobQueue {
    room: Mutex<Room>,
    /// Of jobs that came, and of the end.
    news: EventCount,
    seats: usize,
}

struct Room {
    jobs: VecDeque<Job>,
    /// Threads that are here, at a job or not, and those that were called and will come.
    expected: usize,
    /// Those of them that are at a job.
    busy: usize,
    is_closed: bool,
    patience: IdleTimeout,
    /// Since when the last job is done.
    since_last: Option<Stopwatch>,
}

/// How much there is in a job's being done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobPriority {
    /// It is what threads stay for: somebody waits until it is done.
    Now,
    /// It may be done at any time.
    SomeTime,
}

/// Whether somebody is to be called for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadDemand {
    /// Yes: one thread, which is to [`JobQueue::stay`].
    Somebody,
    /// No: those who are here, or on their way, will do it.
    Nobody,
}

impl JobQueue {
    /// A room for so many threads, which stay that long after their last job at most.
    pub(crate) fn new(seats: usize, patience: Duration) -> Self {
        let room = Room {
            jobs: VecDeque::new(),
            expected: 0,
            busy: 0,
            is_closed: false,
            patience: IdleTimeout::of(patience),
            since_last: None,
        };
        Self { room: Mutex::new(room), news: EventCount::default(), seats }
    }

    /// Leaves a job for whoever is free first.
    pub(crate) fn leave(&self, job: Job, hurry: JobPriority) -> ThreadDemand {
        let mut room = self.room.lock();
        if hurry == JobPriority::Now
            && let Some(last) = room.since_last.take()
        {
            room.patience.job_came_after(last.elapsed());
        }
        room.jobs.push_back(job);
        self.news.add();
        room.call_if_short(self.seats)
    }

    /// Whether somebody is here, or on the way.
    pub(crate) fn has_somebody(&self) -> bool {
        self.room.lock().expected > 0
    }

    /// Does one job after the other, and stays a little after the last. For a thread that was called.
    pub(crate) fn stay(&self) {
        let mut room = self.room.lock();
        let (mut watch, mut panic) = (Stopwatch::start(), None);
        loop {
            if let Some(job) = room.jobs.pop_front() {
                let result = self.at_job(room, job);
                panic = panic.or(result.err());
                watch = Stopwatch::start();
            } else if room.is_closed || watch.elapsed() >= room.patience.now() {
                room.expected -= 1;
                if room.expected == 0 {
                    room.patience.wait_was_in_vain();
                }
                drop(room);
                return panic.map_or((), |panic| resume_unwind(panic));
            } else {
                let (seen, patience) = (self.news.seen(), room.patience.now());
                drop(room);
                self.wait_for_news(seen, &watch, patience);
            }
            room = self.room.lock();
        }
    }

    /// Does one job, if there is one, and leaves. For a thread that was called in the middle of
    /// something else, which must not wait here.
    pub(crate) fn pass_through(&self) -> ThreadDemand {
        let mut room = self.room.lock();
        let mut panic = None;
        if let Some(job) = room.jobs.pop_front() {
            panic = self.at_job(room, job).err();
            room = self.room.lock();
        }
        room.expected -= 1;
        let call = room.call_if_short(self.seats);
        drop(room);
        panic.map_or(call, |panic| resume_unwind(panic))
    }

    /// Nobody waits for a next job any more.
    pub(crate) fn close(&self) {
        let mut room = self.room.lock();
        room.is_closed = true;
        self.news.add();
    }

    fn at_job(&self, mut room: MutexGuard<'_, Room>, job: Job) -> std::thread::Result<()> {
        room.busy += 1;
        drop(room);
        let result = catch_unwind(AssertUnwindSafe(job));
        let mut room = self.room.lock();
        room.busy -= 1;
        room.since_last = Some(Stopwatch::start());
        result
    }

    /// Looks for news until there are some, or patience is at an end.
    fn wait_for_news(&self, seen: EventSnapshot, watch: &Stopwatch, patience: Duration) {
        while !self.news.is_more_soon(seen, LOOKS) && watch.elapsed() < patience {
            std::thread::yield_now();
        }
    }
}

impl Room {
    /// Calls somebody if there are more jobs than threads for them, and a seat is free.
    fn call_if_short(&mut self, seats: usize) -> ThreadDemand {
        if self.expected - self.busy < self.jobs.len() && self.expected < seats {
            self.expected += 1;
            ThreadDemand::Somebody
        } else {
            ThreadDemand::Nobody
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::{
        sync::{
            Arc,
            mpsc::{Sender, channel},
        },
        thread,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn note(done: &Sender<u32>, number: u32) -> Job {
        let done = done.clone();
        Box::new(move || done.send(number).expect("somebody listens"))
    }

    #[test]
    fn who_is_called_does_everything_and_leaves() {
        let lobby = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        assert_eq!(lobby.leave(note(&done, 1), JobPriority::Now), ThreadDemand::Somebody);
        assert_eq!(lobby.leave(note(&done, 2), JobPriority::Now), ThreadDemand::Nobody, "there is one seat");
        lobby.stay();
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(lobby.leave(note(&done, 3), JobPriority::Now), ThreadDemand::Somebody, "nobody is here any more");
    }

    #[test]
    fn what_nobody_waits_for_says_nothing_of_how_long_to_stay() {
        let lobby = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        let is_timed = || lobby.room.lock().since_last.is_some();
        lobby.leave(note(&done, 1), JobPriority::Now);
        lobby.stay();
        assert!(is_timed());
        lobby.leave(note(&done, 2), JobPriority::SomeTime);
        assert!(is_timed(), "it still counts from the job before");
        lobby.leave(note(&done, 3), JobPriority::Now);
        assert!(!is_timed(), "it counted");
        lobby.stay();
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn who_stays_is_given_the_next_job_and_another_is_called_for_the_one_after() {
        let lobby = Arc::new(JobQueue::new(2, LONG));
        let (done, jobs) = channel();
        assert_eq!(lobby.leave(note(&done, 1), JobPriority::Now), ThreadDemand::Somebody);
        let called = Arc::clone(&lobby);
        thread::spawn(move || called.stay());
        assert_eq!(jobs.recv_timeout(LONG), Ok(1));
        while lobby.room.lock().busy > 0 {
            thread::yield_now();
        }
        let (go, gate) = channel();
        let blocked: Job = Box::new(move || gate.recv_timeout(LONG).expect("it is let go"));
        assert_eq!(lobby.leave(blocked, JobPriority::Now), ThreadDemand::Nobody);
        assert_eq!(lobby.leave(note(&done, 2), JobPriority::Now), ThreadDemand::Somebody);
        let called = Arc::clone(&lobby);
        thread::spawn(move || called.stay());
        assert_eq!(jobs.recv_timeout(LONG), Ok(2));
        go.send(()).expect("somebody waits");
        lobby.close();
    }

    #[test]
    fn who_finds_the_job_taken_stays_for_the_next_one_until_the_lobby_closes() {
        let lobby = Arc::new(JobQueue::new(2, LONG));
        let (done, jobs) = channel();
        let (go, gate) = channel();
        // The first thread is at its job until the second one has come.
        let blocked: Job = Box::new(move || gate.recv_timeout(LONG).expect("it is let go"));
        let threads = [blocked, note(&done, 2)].map(|job| {
            assert_eq!(lobby.leave(job, JobPriority::Now), ThreadDemand::Somebody);
            let called = Arc::clone(&lobby);
            thread::spawn(move || called.stay())
        });
        go.send(()).expect("somebody waits");
        for number in 3..50 {
            jobs.recv_timeout(LONG).expect("it is done");
            assert_eq!(lobby.leave(note(&done, number), JobPriority::Now), ThreadDemand::Nobody, "both are here");
        }
        assert!(lobby.has_somebody());
        lobby.close();
        threads.into_iter().for_each(|thread| thread.join().expect("it leaves"));
        assert!(!lobby.has_somebody());
    }

    #[test]
    fn who_passes_through_does_one_job_and_has_others_called_for_the_rest() {
        let lobby = JobQueue::new(1, LONG);
        let (done, jobs) = channel();
        assert_eq!(lobby.leave(note(&done, 1), JobPriority::Now), ThreadDemand::Somebody);
        assert_eq!(lobby.leave(note(&done, 2), JobPriority::Now), ThreadDemand::Nobody);
        assert_eq!(lobby.pass_through(), ThreadDemand::Somebody);
        assert_eq!(lobby.pass_through(), ThreadDemand::Nobody);
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_job_that_panics_leaves_none_behind() {
        let lobby = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        assert_eq!(lobby.leave(Box::new(|| panic!("a bad job")), JobPriority::Now), ThreadDemand::Somebody);
        assert_eq!(lobby.leave(note(&done, 1), JobPriority::Now), ThreadDemand::Nobody);
        assert!(catch_unwind(AssertUnwindSafe(|| lobby.stay())).is_err());
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1]);
        assert!(!lobby.has_somebody());
    }
}
