//! The job queue of a pool, with threads that wait a while for the next job.
//!
//! Waking a thread takes up to a tenth of a millisecond, and a core that slept is slow at first: more
//! than many a block takes. So a thread that has done its job looks for the next one until its idle
//! timeout expires, and yields its core to other threads meanwhile. Thread A adds a job, thread B
//! serves the queue:
//!
//! 1. A takes the lock, adds the job, and compares the jobs with the threads that serve the queue and
//!    have no job. If there are too few threads, it counts one more thread, and then starts it.
//! 2. B takes the lock and takes jobs until there are none. It then waits without the lock: it spins on
//!    the event count, which A advances with each job.
//! 3. B's timeout expires. B takes the lock and looks for jobs once more. Only if there are none it
//!    counts itself out, under the same lock. So A either finds B counted, and B finds A's job; or A
//!    finds B gone, and starts a thread.
//!
//! Promises that each job is done, as long as each requested thread comes.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use blockloom_state::sync::{Mutex, MutexGuard};

use crate::{
    policy::tuning::READS_PER_YIELD,
    threads::{
        clock::Stopwatch,
        event_count::{EventCount, EventSnapshot},
        idle_timeout::IdleTimeout,
    },
};

type BoxedJob = Box<dyn FnOnce() + Send>;

/// The jobs of one pool.
pub(crate) struct JobQueue {
    state: Mutex<QueueState>,
    /// Counts new jobs, and the closing of the queue.
    events: EventCount,
    max_threads: usize,
}

struct QueueState {
    jobs: VecDeque<BoxedJob>,
    /// The threads that serve the queue, with a job or without, and the requested ones.
    threads: usize,
    /// The threads among them that have a job.
    busy: usize,
    is_closed: bool,
    idle_timeout: IdleTimeout,
    /// Runs since the end of the last job.
    since_last_job: Option<Stopwatch>,
}

/// Whether another thread waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobPriority {
    /// A thread waits for the job. Threads stay awake for such jobs: their gaps set the idle timeout.
    Urgent,
    /// The job may be done at any time.
    Background,
}

/// Whether the queue needs another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadDemand {
    /// It needs one, which the caller starts. It must call [`JobQueue::run_until_idle`] or
    /// [`JobQueue::run_one`].
    OneMore,
    /// The threads that serve it are enough.
    Enough,
}

impl JobQueue {
    /// A queue that at most `max_threads` threads serve, each until `idle_timeout` after its last job
    /// at the latest.
    pub(crate) fn new(max_threads: usize, idle_timeout: Duration) -> Self {
        let state = QueueState {
            jobs: VecDeque::new(),
            threads: 0,
            busy: 0,
            is_closed: false,
            idle_timeout: IdleTimeout::new(idle_timeout),
            since_last_job: None,
        };
        Self { state: Mutex::new(state), events: EventCount::default(), max_threads }
    }

    /// Adds a job for the next free thread.
    pub(crate) fn push(&self, job: BoxedJob, priority: JobPriority) -> ThreadDemand {
        let mut state = self.state.lock();
        if priority == JobPriority::Urgent
            && let Some(last) = state.since_last_job.take()
        {
            state.idle_timeout.record_gap(last.elapsed());
        }
        state.jobs.push_back(job);
        self.events.advance();
        state.request_thread(self.max_threads)
    }

    /// Whether a thread serves the queue, or is requested.
    pub(crate) fn has_threads(&self) -> bool {
        self.state.lock().threads > 0
    }

    /// Does jobs until the idle timeout expires. For a thread that was requested.
    pub(crate) fn run_until_idle(&self) {
        let mut state = self.state.lock();
        let (mut idle, mut panic) = (Stopwatch::start(), None);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                let result = self.run_job(state, job);
                panic = panic.or(result.err());
                idle = Stopwatch::start();
            } else if state.is_closed || idle.elapsed() >= state.idle_timeout.current() {
                state.threads -= 1;
                if state.threads == 0 {
                    state.idle_timeout.record_expiration();
                }
                drop(state);
                return panic.map_or((), |panic| resume_unwind(panic));
            } else {
                let (snapshot, timeout) = (self.events.snapshot(), state.idle_timeout.current());
                drop(state);
                self.wait_for_event(snapshot, &idle, timeout);
            }
            state = self.state.lock();
        }
    }

    /// Does one job, if there is one, and leaves. For a requested thread that is in the middle of
    /// another job, and must not wait here.
    pub(crate) fn run_one(&self) -> ThreadDemand {
        let mut state = self.state.lock();
        let mut panic = None;
        if let Some(job) = state.jobs.pop_front() {
            panic = self.run_job(state, job).err();
            state = self.state.lock();
        }
        state.threads -= 1;
        let demand = state.request_thread(self.max_threads);
        drop(state);
        panic.map_or(demand, |panic| resume_unwind(panic))
    }

    /// Ends all waits for a next job.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        self.events.advance();
    }

    fn run_job(&self, mut state: MutexGuard<'_, QueueState>, job: BoxedJob) -> std::thread::Result<()> {
        state.busy += 1;
        drop(state);
        let result = catch_unwind(AssertUnwindSafe(job));
        let mut state = self.state.lock();
        state.busy -= 1;
        state.since_last_job = Some(Stopwatch::start());
        result
    }

    /// Waits until there is an event, or the timeout expires.
    fn wait_for_event(&self, snapshot: EventSnapshot, idle: &Stopwatch, timeout: Duration) {
        while !self.events.spin_until_changed(snapshot, READS_PER_YIELD) && idle.elapsed() < timeout {
            std::thread::yield_now();
        }
    }
}

impl QueueState {
    /// Requests a thread if there are more jobs than free threads, and fewer threads than `max_threads`.
    fn request_thread(&mut self, max_threads: usize) -> ThreadDemand {
        if self.threads - self.busy < self.jobs.len() && self.threads < max_threads {
            self.threads += 1;
            ThreadDemand::OneMore
        } else {
            ThreadDemand::Enough
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

    /// A job that sends its number.
    fn numbered(done: &Sender<u32>, number: u32) -> BoxedJob {
        let done = done.clone();
        Box::new(move || done.send(number).expect("the test receives"))
    }

    fn spawn_server(queue: &Arc<JobQueue>) -> thread::JoinHandle<()> {
        let queue = Arc::clone(queue);
        thread::spawn(move || queue.run_until_idle())
    }

    #[test]
    fn a_requested_thread_does_all_jobs_and_leaves() {
        let queue = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        assert_eq!(queue.push(numbered(&done, 1), JobPriority::Urgent), ThreadDemand::OneMore);
        let demand = queue.push(numbered(&done, 2), JobPriority::Urgent);
        assert_eq!(demand, ThreadDemand::Enough, "one thread is the most");
        queue.run_until_idle();
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2]);
        let demand = queue.push(numbered(&done, 3), JobPriority::Urgent);
        assert_eq!(demand, ThreadDemand::OneMore, "no thread serves the queue any more");
    }

    #[test]
    fn a_background_job_does_not_count_for_the_idle_timeout() {
        let queue = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        let is_timed = || queue.state.lock().since_last_job.is_some();
        queue.push(numbered(&done, 1), JobPriority::Urgent);
        queue.run_until_idle();
        assert!(is_timed());
        queue.push(numbered(&done, 2), JobPriority::Background);
        assert!(is_timed(), "the gap since job 1 goes on");
        queue.push(numbered(&done, 3), JobPriority::Urgent);
        assert!(!is_timed(), "the gap was recorded");
        queue.run_until_idle();
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_waiting_thread_takes_the_next_job_and_another_thread_is_requested_for_the_one_after() {
        let queue = Arc::new(JobQueue::new(2, LONG));
        let (done, jobs) = channel();
        assert_eq!(queue.push(numbered(&done, 1), JobPriority::Urgent), ThreadDemand::OneMore);
        spawn_server(&queue);
        assert_eq!(jobs.recv_timeout(LONG), Ok(1));
        while queue.state.lock().busy > 0 {
            thread::yield_now();
        }
        let (go, gate) = channel();
        let blocked: BoxedJob = Box::new(move || gate.recv_timeout(LONG).expect("the test sends"));
        assert_eq!(queue.push(blocked, JobPriority::Urgent), ThreadDemand::Enough);
        assert_eq!(queue.push(numbered(&done, 2), JobPriority::Urgent), ThreadDemand::OneMore);
        spawn_server(&queue);
        assert_eq!(jobs.recv_timeout(LONG), Ok(2));
        go.send(()).expect("the blocked job receives");
        queue.close();
    }

    #[test]
    fn threads_serve_the_queue_until_it_is_closed() {
        let queue = Arc::new(JobQueue::new(2, LONG));
        let (done, jobs) = channel();
        let (go, gate) = channel();
        // The first thread has its job until the second thread has come.
        let blocked: BoxedJob = Box::new(move || gate.recv_timeout(LONG).expect("the test sends"));
        let threads = [blocked, numbered(&done, 2)].map(|job| {
            assert_eq!(queue.push(job, JobPriority::Urgent), ThreadDemand::OneMore);
            spawn_server(&queue)
        });
        go.send(()).expect("the blocked job receives");
        for number in 3..50 {
            jobs.recv_timeout(LONG).expect("the job is done");
            let demand = queue.push(numbered(&done, number), JobPriority::Urgent);
            assert_eq!(demand, ThreadDemand::Enough, "both threads serve the queue");
        }
        assert!(queue.has_threads());
        queue.close();
        threads.into_iter().for_each(|thread| thread.join().expect("it leaves"));
        assert!(!queue.has_threads());
    }

    #[test]
    fn a_thread_that_cannot_wait_does_one_job_and_requests_a_thread_for_the_rest() {
        let queue = JobQueue::new(1, LONG);
        let (done, jobs) = channel();
        assert_eq!(queue.push(numbered(&done, 1), JobPriority::Urgent), ThreadDemand::OneMore);
        assert_eq!(queue.push(numbered(&done, 2), JobPriority::Urgent), ThreadDemand::Enough);
        assert_eq!(queue.run_one(), ThreadDemand::OneMore);
        assert_eq!(queue.run_one(), ThreadDemand::Enough);
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_jobs_after_one_that_panics_are_done() {
        let queue = JobQueue::new(1, Duration::ZERO);
        let (done, jobs) = channel();
        let panics: BoxedJob = Box::new(|| panic!("a bad job"));
        assert_eq!(queue.push(panics, JobPriority::Urgent), ThreadDemand::OneMore);
        assert_eq!(queue.push(numbered(&done, 1), JobPriority::Urgent), ThreadDemand::Enough);
        assert!(catch_unwind(AssertUnwindSafe(|| queue.run_until_idle())).is_err());
        assert_eq!(jobs.try_iter().collect::<Vec<_>>(), [1]);
        assert!(!queue.has_threads());
    }
}
