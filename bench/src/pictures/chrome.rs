//! Traces in Chrome's format, which Perfetto and speedscope open: threads as tracks, runs as slices, arrows from a write to
//! the run that it aborted, and counters.

use std::{
    io::{self, Write},
    time::Duration,
};

use blockloom_bench::{
    lost_runs::LossReason,
    timeline::{Slice, SliceKind, Timeline},
};
use blockloom_engine::GateReason;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::facts::Facts;

/// The process that all tracks belong to.
const PROCESS: u32 = 1;

/// The end of a slice is drawn so much earlier: programs add its start and its length as floating-point numbers, and the
/// sum must not reach into the next slice.
const GAP: Duration = Duration::from_nanos(1);

/// The ends of an arrow lie so far inside their slices, in microseconds.
const INSIDE: f64 = 0.001_5;

/// Writes a timeline as a trace.
pub(crate) fn write(output: &mut dyn Write, timeline: &Timeline, facts: &Facts) -> io::Result<()> {
    let mut events = Events { output, is_first: true };
    events.begin()?;
    events.metadata("process_name", 0, "blockloom")?;
    for (lane, thread) in timeline.lanes.iter().enumerate() {
        events.metadata("thread_name", lane, &thread.name)?;
        for slice in &thread.slices {
            events.slice(lane, slice, facts)?;
        }
    }
    for (number, arrow) in timeline.arrows.iter().enumerate() {
        let ends = [("s", arrow.from, -INSIDE), ("f", arrow.to, INSIDE)];
        for (phase, (lane, at), inside) in ends {
            let event = json!({
                "name": "abort", "cat": "abort", "ph": phase, "bp": "e", "id": number,
                "ts": micros(at) + inside, "pid": PROCESS, "tid": lane,
            });
            events.write(&event)?;
        }
    }
    for point in &timeline.progress {
        for (name, value) in [("steps ahead", point.ahead), ("lost runs", point.lost)] {
            let args = json!({ name: value });
            let event =
                json!({"name": name, "ph": "C", "ts": micros(point.at), "pid": PROCESS, "args": args});
            events.write(&event)?;
        }
    }
    events.end(timeline.dropped)
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// Writes events one by one.
struct Events<'o> {
    output: &'o mut dyn Write,
    is_first: bool,
}

impl Events<'_> {
    fn begin(&mut self) -> io::Result<()> {
        self.output.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")
    }

    fn write(&mut self, event: &impl Serialize) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_first, false) {
            self.output.write_all(b",\n")?;
        }
        Ok(serde_json::to_writer(&mut *self.output, event)?)
    }

    fn metadata(&mut self, what: &str, lane: usize, name: &str) -> io::Result<()> {
        let args = json!({"name": name});
        self.write(&json!({"name": what, "ph": "M", "pid": PROCESS, "tid": lane, "args": args}))
    }

    fn slice(&mut self, lane: usize, slice: &Slice, facts: &Facts) -> io::Result<()> {
        let event = json!({
            "name": name_of(slice), "cat": slice.kind.name(), "ph": "X",
            "ts": micros(slice.start), "dur": micros(slice.end.saturating_sub(slice.start).saturating_sub(GAP)),
            "pid": PROCESS, "tid": lane, "args": arguments(slice, facts),
        });
        self.write(&event)
    }

    fn end(&mut self, dropped: u64) -> io::Result<()> {
        writeln!(self.output, "\n],\"otherData\":{{\"program\":\"blockloom\",\"droppedEvents\":{dropped}}}}}")
    }
}

/// What a slice is called: its transaction, if it has one.
fn name_of(slice: &Slice) -> String {
    match slice.place {
        Some(place) if place.position.is_some() => {
            let number = place.position.unwrap_or_default();
            format!("{} {number}", slice.kind.name())
        }
        Some(place) => format!("{} {}", slice.kind.name(), place.block),
        None => slice.kind.name().to_owned(),
    }
}

fn arguments(slice: &Slice, facts: &Facts) -> Value {
    let mut args = Map::new();
    let mut add = |key: &str, value: Value| drop(args.insert(key.to_owned(), value));
    if let Some(place) = slice.place {
        add("block", place.block.into());
        if let Some(position) = place.position {
            add("index", position.into());
        }
        if let Some(transaction) = facts.get(&place) {
            add("hash", transaction.hash.to_string().into());
            add("to", transaction.to.map_or(Value::Null, |to| to.to_string().into()));
            add("selector", transaction.selector.clone().into());
            if let Some((gas, _)) = transaction.measured {
                add("gas", gas.into());
            }
        }
    }
    if let Some(incarnation) = slice.incarnation {
        add("incarnation", incarnation.into());
    }
    if let Some(reason) = reason_of(slice.kind) {
        add("reason", reason.into());
    }
    Value::Object(args)
}

/// Why a run was lost, or why it ran at the gate.
pub(crate) fn reason_of(kind: SliceKind) -> Option<String> {
    match kind {
        SliceKind::Lost(LossReason::Aborted(by)) => Some(format!("aborted by a write of step {}", by.get())),
        SliceKind::Lost(LossReason::Awaited(on)) => Some(format!("waits for a write of step {}", on.get())),
        SliceKind::Lost(reason) => Some(reason.words().to_owned()),
        SliceKind::AtGate(GateReason::Stale) => Some("its record was stale".to_owned()),
        SliceKind::AtGate(GateReason::Conflict(kind)) => Some(format!("conflict: {kind:?}").to_lowercase()),
        SliceKind::AtGate(_) => Some("it had no record".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use blockloom_bench::timeline::{Arrow, Lane, Place, Progress};

    use super::*;

    fn at(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_trace_has_tracks_slices_arrows_and_counters() {
        let place = Some(Place { block: 7, position: Some(3) });
        let slice =
            |kind, start, end| Slice { start: at(start), end: at(end), kind, place, incarnation: Some(1) };
        let lost = SliceKind::Lost(LossReason::Aborted(blockloom_state::TxIndex::new(2)));
        let timeline = Timeline {
            lanes: vec![
                Lane { name: "gate \"0\"".into(), slices: vec![slice(SliceKind::Committed, 1, 5)] },
                Lane { name: "helper".into(), slices: vec![slice(lost, 2, 4)] },
            ],
            arrows: vec![Arrow { from: (0, at(5)), to: (1, at(2)) }],
            progress: vec![Progress { at: at(5), ahead: 2, lost: 1 }],
            length: at(5),
            dropped: 0,
        };
        let mut text = Vec::new();
        write(&mut text, &timeline, &Facts::new()).unwrap();
        let trace: Value = serde_json::from_slice(&text).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
        assert_eq!(
            [of("M").len(), of("X").len(), of("s").len(), of("f").len(), of("C").len()],
            [3, 2, 1, 1, 2]
        );
        let run = of("X")[1];
        assert_eq!(
            (&run["name"], &run["ts"], &run["dur"]),
            (&json!("lost run 3"), &json!(2.0), &json!(1.999))
        );
        assert_eq!(run["args"]["reason"], "aborted by a write of step 2");
        // Each end of an arrow lies inside a slice of its track.
        for (phase, lane, slice) in [("s", 0, of("X")[0]), ("f", 1, of("X")[1])] {
            let event = of(phase)[0];
            let (ts, start) = (event["ts"].as_f64().unwrap(), slice["ts"].as_f64().unwrap());
            assert!(start < ts && ts < start + slice["dur"].as_f64().unwrap());
            assert_eq!(event["tid"], lane);
        }
    }
}
