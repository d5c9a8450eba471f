//! Pages for a browser: one file each, which loads nothing else.

use std::{
    io::{self, Write},
    time::Duration,
};

use blockloom_bench::{
    explanation::{COMPARED, Cause, Explanation, WORKERS, share},
    limit::WorkerCount,
    timeline::{SliceKind, Timeline},
};
use blockloom_engine::Block;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::{
    data::{Collector, colour},
    facts::{Facts, selector},
};
use crate::{names, quantity::short};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The most rows of a table of transactions or runs.
const MOST_ROWS: usize = 200;

/// Nothing but what is in the file itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Writes the page of an explained block.
pub(crate) fn write_block(
    output: &mut dyn Write,
    summary: &[String],
    block: &Block,
    explanation: &Explanation,
    facts: &Facts,
    top: usize,
) -> io::Result<()> {
    let timeline = explanation.timeline();
    let mut data = Collector::new(facts);
    data.add_timeline(&timeline);
    data.add_graph(block.number(), explanation);
    let title = format!("Block {}", block.number());
    let Explanation { locations, accounts, spent, .. } = explanation;
    let body = html! {
        (header(&title, summary))
        div.share title="time of all threads" {
            @for (name, time) in spent.parts() {
                i style={ "width:" (percent(time, spent.total)) ";background:var(--" (colour_of_part(name)) ")" }
                    title={ (name) ": " (names::of_time(time)) } {}
            }
        }
        (lanes(&timeline))
        h2 { "As early as the dependencies allow" }
        p.faint {
            "Transactions that depend on others, and those that they depend on. Each begins when those that it waits for have "
            "ended. Highlighted: the critical path. No number of threads is faster."
        }
        (picture("graph", &[]))
        div.columns {
            div {
                h2 { "Limit by threads" }
                (limit_curve(explanation))
            }
            div {
                h2 { "Time of all threads" }
                (parts_table(explanation))
            }
        }
        h2 { "Critical path" }
        (path_table(block, explanation))
        h2 { "Hot locations" }
        (causes_table(locations, explanation, top))
        h2 { "Hot accounts" }
        (causes_table(accounts, explanation, top))
        h2 { "Lost runs" }
        (lost_table(explanation))
    };
    write_page(output, &title, &body, &data.finish())
}

/// Writes the page of a stream of blocks.
pub(crate) fn write_stream(
    output: &mut dyn Write,
    title: &str,
    summary: &[String],
    timeline: &Timeline,
    facts: &Facts,
) -> io::Result<()> {
    let mut data = Collector::new(facts);
    data.add_timeline(timeline);
    let body = html! {
        (header(title, summary))
        (lanes(timeline))
    };
    write_page(output, title, &body, &data.finish())
}

/// Writes a page with this body, and the data for the script.
pub(super) fn write_page(
    output: &mut dyn Write,
    title: &str,
    body: &Markup,
    data: &impl Serialize,
) -> io::Result<()> {
    // The text of a script ends at the first `</script`, whatever its type is.
    let data = serde_json::to_string(data)?.replace('<', "\\u003c");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
                div #tip hidden {}
                script #data type="application/json" { (PreEscaped(data)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    output.write_all(page.into_string().as_bytes())
}

fn header(title: &str, summary: &[String]) -> Markup {
    html! {
        h1 { (title) }
        @for line in summary { p { (line) } }
    }
}

/// The picture of the threads, with its legend.
fn lanes(timeline: &Timeline) -> Markup {
    let mut kinds: Vec<SliceKind> = Vec::new();
    for slice in timeline.lanes.iter().flat_map(|lane| &lane.slices) {
        if kinds.iter().all(|kind| kind.name() != slice.kind.name()) {
            kinds.push(slice.kind);
        }
    }
    html! {
        h2 { "Threads" }
        p.faint {
            "Wheel or + and - zoom, dragging or the arrow keys pan, 0 shows all; a click pins. Arrows lead from a write to the run "
            "that it aborted."
        }
        div.bar {
            @for kind in kinds {
                span.key { i style={ "background:var(--" (colour(kind)) ")" } {} (kind.name()) }
            }
        }
        (picture("lanes", &[("arrows", "arrows")]))
        p #pinned {}
        @if timeline.dropped > 0 { p.faint { (timeline.dropped) " events are missing: there were too many" } }
    }
}

/// A picture that the script draws, with its buttons.
fn picture(name: &str, buttons: &[(&str, &str)]) -> Markup {
    let usual = [("in", "zoom in"), ("out", "zoom out"), ("all", "all")];
    html! {
        div.bar {
            @for (does, text) in usual.iter().chain(buttons) {
                button type="button" data-of=(name) data-does=(does) { (text) }
            }
        }
        div.picture { canvas id=(name) tabindex="0" role="img" aria-label=(name) {} }
    }
}

fn percent(part: Duration, of: Duration) -> String {
    format!("{:.2}%", 100.0 * share(part, of))
}

/// The colour of a part of the threads' time.
fn colour_of_part(name: &str) -> &'static str {
    match name {
        "committed runs" => "run",
        "runs at the gate" => "gate",
        "validating and committing" => "commit",
        "lost runs" => "lost",
        "waiting for work" => "wait",
        "opening and closing" => "around",
        "helpers not there" => "line",
        _ => "other",
    }
}

fn parts_table(explanation: &Explanation) -> Markup {
    let spent = &explanation.spent;
    html! {
        table {
            @for (name, time) in spent.parts() {
                tr {
                    td { span.key { i style={ "background:var(--" (colour_of_part(name)) ")" } {} (name) } }
                    td { (names::of_time(time)) }
                    td { (format!("{:.1} %", 100.0 * share(time, spent.total))) }
                }
            }
        }
    }
}

/// The limit over the number of threads, and what was reached.
fn limit_curve(explanation: &Explanation) -> Markup {
    const WIDTH: f64 = 420.0;
    const HEIGHT: f64 = 220.0;
    let Explanation { limits, threads, .. } = explanation;
    let highest = limits.iter().copied().fold(2.0, f64::max) * 1.1;
    // One thread comes first, and any number last.
    let step = (WIDTH - 70.0) / WORKERS.len() as f64;
    let x = |place: usize| 40.0 + step * place as f64;
    let y = |limit: f64| HEIGHT - 30.0 - (HEIGHT - 50.0) * limit / highest;
    let name = |workers: &WorkerCount| match workers {
        WorkerCount::Exactly(count) => count.to_string(),
        WorkerCount::Unlimited => "any".to_owned(),
    };
    let points =
        std::iter::once((0, 1.0)).chain(limits.iter().enumerate().map(|(place, limit)| (place + 1, *limit)));
    let points: Vec<(usize, f64)> = points.collect();
    let line: Vec<_> =
        points.iter().map(|(place, limit)| format!("{:.1},{:.1}", x(*place), y(*limit))).collect();
    let place_of = |threads: f64| threads.log2();
    let reached = explanation.ratio().filter(|_| threads.get() <= 16);
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width="100%" role="img" aria-label="limit by threads" {
            polyline.axis points={ "40,10 40," (HEIGHT - 30.0) " " (WIDTH - 20.0) "," (HEIGHT - 30.0) } {}
            @for (place, workers) in std::iter::once("1".to_owned()).chain(WORKERS.iter().map(name)).enumerate() {
                text x=(format!("{:.1}", x(place))) y=(HEIGHT - 12.0) text-anchor="middle" { (workers) }
            }
            polyline.curve points=(line.join(" ")) {}
            @for (place, limit) in &points {
                circle.point cx=(format!("{:.1}", x(*place))) cy=(format!("{:.1}", y(*limit))) r="3" {
                    title { (format!("limit {limit:.2}")) }
                }
                text x=(format!("{:.1}", x(*place))) y=(format!("{:.1}", y(*limit) - 9.0)) text-anchor="middle" {
                    (format!("{limit:.2}"))
                }
            }
            @if let Some(reached) = reached {
                circle.reached cx=(format!("{:.1}", 40.0 + step * place_of(threads.get() as f64))) cy=(format!("{:.1}", y(reached))) r="5" {
                    title { (format!("reached: {reached:.2}")) }
                }
            }
        }
        p.faint { "Large: what was reached with " (threads) " threads." }
    }
}

fn path_table(block: &Block, explanation: &Explanation) -> Markup {
    let Explanation { critical_path, graph, .. } = explanation;
    html! {
        div.wide {
            table {
                tr { th { "hash" } th { "index" } th { "to" } th { "selector" } th { "gas" } th { "time" } th { "waits for" } }
                @for step in critical_path.iter().take(MOST_ROWS) {
                    @let transaction = &block.transactions[step.position];
                    @let measured = &graph.transactions[step.position];
                    tr {
                        td.name title=(transaction.hash) { (names::of_hash(transaction)) }
                        td { (step.position) }
                        td.name { (names::of_recipient(transaction)) }
                        td.name { (selector(transaction).unwrap_or_default()) }
                        td { (short(measured.gas.into())) }
                        td { (names::of_time(measured.time)) }
                        td.name {
                            @if let Some(needed) = step.waits_for {
                                (needed.on.get())
                                @if let Some(location) = needed.location {
                                    ": " span title=(location) { (names::of_location(&location)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        (more(critical_path.len()))
    }
}

/// How many rows a table lacks.
fn more(all: usize) -> Markup {
    let left_out = all.saturating_sub(MOST_ROWS);
    html! { @if left_out > 0 { p.faint { "and " (left_out) " more" } } }
}

fn causes_table(causes: &[Cause], explanation: &Explanation, top: usize) -> Markup {
    let limit = explanation.compared_limit;
    let highest = causes.iter().map(|cause| cause.limit_without).fold(limit, f64::max);
    html! {
        div.wide {
            table {
                tr {
                    th { "name" } th { "writers" } th { "readers" } th { "lost runs" } th { "time lost" }
                    th { "limit of " (COMPARED) " threads without it, instead of " (format!("{limit:.2}")) }
                }
                @for cause in causes.iter().take(top) {
                    tr {
                        td.name title=(names::whole(&cause.subject)) { (names::of_subject(&cause.subject)) }
                        td { (cause.writers) }
                        td { (cause.readers) }
                        td { (cause.lost_runs) }
                        td { (names::of_time(cause.time_lost)) }
                        td {
                            span.amount style={ "width:" (format!("{:.0}", 120.0 * cause.limit_without / highest)) "px" } {}
                            (format!("{:.2}", cause.limit_without))
                        }
                    }
                }
            }
        }
    }
}

fn lost_table(explanation: &Explanation) -> Markup {
    let lost = &explanation.lost;
    html! {
        @if lost.is_empty() { p { "none" } } @else {
            div.wide {
                table {
                    tr { th { "reason" } th { "transaction" } th { "incarnation" } th { "time" } th { "location" } }
                    @for run in lost.iter().take(MOST_ROWS) {
                        tr {
                            td { (run.reason.words()) }
                            td { (run.version.index.get()) }
                            td { (run.version.incarnation.get()) }
                            td { (names::of_time(run.time)) }
                            td.name { @if let Some(location) = run.location { (names::of_location(&location)) } }
                        }
                    }
                }
            }
            (more(lost.len()))
        }
    }
}
