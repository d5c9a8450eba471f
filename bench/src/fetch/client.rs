//! A node over HTTP: batches, a bound on the requests under way, retries.
//!
//! A blocking client on plain threads. ureq and what it brings are 13 crates that the command does not have anyway;
//! `bench/RESULTS.md` compares that with alloy-provider.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use blockloom_fixtures::node::{Answers, Node, Request, RequestError, decode, encode};
use ureq::{
    Agent,
    http::{Response, StatusCode, header},
};

use super::{Connection, endpoint::Endpoint, retry::Tries};
use crate::interrupt::is_interrupted;

/// The largest answer that is read.
const LARGEST_ANSWER: u64 = 512 << 20;

/// The longest time until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// The most characters of a message or a page that are printed.
const EXCERPT: usize = 300;

/// The codes of JSON-RPC errors with which nodes say that there were too many requests.
const RATE_LIMITS: [i64; 2] = [-32005, 429];

type Answer = Result<String, RequestError>;

/// A node at an address.
pub(super) struct HttpNode {
    agent: Agent,
    endpoint: Endpoint,
    retries: u32,
    /// How many calls are sent in one request. Lowered when the node refuses so many.
    batch: AtomicUsize,
    requests: usize,
    slots: Slots,
    /// Set when a request failed for good: further ones are tried once.
    is_down: AtomicBool,
}

/// What came of one request.
enum Reply {
    Answers(Vec<Answer>),
    /// The node refuses so many calls in one request.
    TooMany,
    /// Worth another try, after the time that the node asks for.
    Again {
        message: String,
        after: Option<Duration>,
    },
    /// Not worth another try.
    Never(String),
}

impl HttpNode {
    pub(super) fn new(endpoint: Endpoint, connection: &Connection) -> Self {
        let Connection { requests, batch, retries, timeout, .. } = *connection;
        let timeout = Duration::from_secs(timeout.into());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the headers to another host.
            .max_redirects(0)
            .max_idle_connections_per_host(requests.into())
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT.min(timeout)))
            .user_agent(concat!("blockloom/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            endpoint,
            retries: retries.into(),
            batch: AtomicUsize::new(batch.into()),
            requests: requests.into(),
            slots: Slots::new(requests.into()),
            is_down: AtomicBool::new(false),
        }
    }

    /// A message without the secrets.
    pub(super) fn redact(&self, message: &str) -> String {
        self.endpoint.redact(message)
    }

    /// Sends a batch until each call has an answer or there is no hope.
    fn exchange(&self, calls: &[Request]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; calls.len()];
        // ORDER: Relaxed: the flag guards no other data; an old value costs a few tries.
        let mut tries = Tries::new(if self.is_down.load(Ordering::Relaxed) { 0 } else { self.retries });
        loop {
            let open: Vec<usize> = (0..calls.len()).filter(|call| answers[*call].is_none()).collect();
            let batch: Vec<Request> = open.iter().map(|call| calls[*call].clone()).collect();
            let (message, after) = match self.post(&batch) {
                Reply::Answers(each) => match settle(&mut answers, &open, each) {
                    None => break,
                    Some(message) => (message, None),
                },
                Reply::TooMany => {
                    let parts = self.split(&batch);
                    open.into_iter().zip(parts).for_each(|(call, answer)| answers[call] = Some(answer));
                    break;
                }
                Reply::Again { message, after } => (message, after),
                Reply::Never(message) => {
                    self.give_up(&mut answers, &message, 1);
                    break;
                }
            };
            if !tries.wait(after) {
                self.give_up(&mut answers, &message, tries.done());
                break;
            }
        }
        answers.into_iter().map(|answer| answer.expect("each call was answered or given up")).collect()
    }

    /// Sends a refused batch in halves, and smaller batches from now on.
    fn split(&self, batch: &[Request]) -> Vec<Answer> {
        let half = batch.len().div_ceil(2).max(1);
        // ORDER: Relaxed: the number is a hint, and guards no other data.
        self.batch.fetch_min(half, Ordering::Relaxed);
        batch.chunks(half).flat_map(|part| self.exchange(part)).collect()
    }

    fn give_up(&self, answers: &mut [Option<Answer>], message: &str, tries: u32) {
        let reason = if is_interrupted() {
            RequestError::Interrupted
        } else {
            // ORDER: Relaxed: the flag guards no other data.
            self.is_down.store(true, Ordering::Relaxed);
            let times = if tries == 1 { String::new() } else { format!(" ({tries} tries)") };
            RequestError::Unanswered(format!("{}: {}{times}", self.endpoint, self.redact(&excerpt(message))))
        };
        answers
            .iter_mut()
            .filter(|answer| answer.is_none())
            .for_each(|answer| *answer = Some(Err(reason.clone())));
    }

    /// Sends a batch once.
    fn post(&self, batch: &[Request]) -> Reply {
        let _slot = self.slots.take();
        if is_interrupted() {
            return Reply::Never(String::new());
        }
        let mut request =
            self.agent.post(self.endpoint.uri()).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in self.endpoint.headers() {
            request = request.header(name, value);
        }
        let again = |error: ureq::Error| Reply::Again { message: error.to_string(), after: None };
        match request.send(encode(batch)) {
            Ok(mut response) => {
                let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
                body.map_or_else(again, |body| self.reply(&response, &body, batch.len()))
            }
            Err(error) => again(error),
        }
    }

    fn reply<B>(&self, response: &Response<B>, body: &[u8], calls: usize) -> Reply {
        let (status, text) = (response.status(), String::from_utf8_lossy(body));
        let is_busy = status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        let answers = decode(&text, calls);
        let message = match answers {
            Ok(Answers::Each(each)) if !is_busy => return Reply::Answers(each),
            Ok(Answers::BatchRefused(error)) if is_rate_limit(&error) => {
                return Reply::Again { message: error.to_string(), after: None };
            }
            Ok(Answers::BatchRefused(_)) if !is_busy && calls > 1 => return Reply::TooMany,
            Err(error) if status.is_success() => error,
            Ok(_) | Err(_) => format!("HTTP status {status}: {text}"),
        };
        if is_busy || status.is_success() {
            let after = response.headers().get(header::RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Reply::Again { message, after: seconds.map(Duration::from_secs) };
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Reply::Never(format!("{}; a token: --header, or BLOCKLOOM_RPC_TOKEN", excerpt(&message)))
            }
            _ if status.is_redirection() => {
                Reply::Never(format!("{}; name the place of the redirect", excerpt(&message)))
            }
            // Such as "content too large", or a node that knows no batches.
            _ if calls > 1 => Reply::TooMany,
            _ => Reply::Never(message),
        }
    }
}

/// Keeps the answers, but for those that say that there were too many requests. Returns the last of these.
fn settle(answers: &mut [Option<Answer>], open: &[usize], each: Vec<Answer>) -> Option<String> {
    let mut limited = None;
    for (call, answer) in open.iter().zip(each) {
        match answer {
            Err(error) if is_rate_limit(&error) => limited = Some(error.to_string()),
            answer => answers[*call] = Some(answer),
        }
    }
    limited
}

fn is_rate_limit(error: &RequestError) -> bool {
    let RequestError::Refused { code, message } = error else { return false };
    RATE_LIMITS.contains(code) || message.to_ascii_lowercase().contains("rate limit")
}

/// The start of a text as one line.
fn excerpt(text: &str) -> String {
    let line: String = text.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}

impl Node for HttpNode {
    fn send(&self, requests: &[Request]) -> Vec<Answer> {
        // ORDER: Relaxed: the number is a hint, and guards no other data.
        let batch = self.batch.load(Ordering::Relaxed).max(1);
        if requests.len() <= batch {
            return if requests.is_empty() { Vec::new() } else { self.exchange(requests) };
        }
        let parts: Vec<&[Request]> = requests.chunks(batch).collect();
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Vec<Answer>>> = parts.iter().map(|_| Mutex::default()).collect();
        let work = || loop {
            // ORDER: Relaxed: only the number matters; the scope's end publishes the answers.
            let part = next.fetch_add(1, Ordering::Relaxed);
            let Some(calls) = parts.get(part) else { return };
            *answers[part].lock().unwrap_or_else(PoisonError::into_inner) = self.exchange(calls);
        };
        thread::scope(|scope| {
            for _ in 1..self.requests.min(parts.len()) {
                scope.spawn(work);
            }
            work();
        });
        let answers = answers.into_iter();
        answers.flat_map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// The bound on the requests under way.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    is_freed: Condvar,
}

/// A request under way.
struct Slot<'s>(&'s Slots);

impl Slots {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), is_freed: Condvar::new() }
    }

    /// Waits for a slot. Each request ends by its time limit, so this wait ends.
    fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.is_freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.is_freed.notify_one();
    }
}
