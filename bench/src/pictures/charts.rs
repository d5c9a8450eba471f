//! Charts of measurements, as SVG.

use maud::{Markup, PreEscaped, html};

use crate::quantity::short;

/// The width of a chart, and of the names beside its bars.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 220.0;
/// The height of a bar with the space around it, and of the axis.
const ROW: f64 = 24.0;
const AXIS: f64 = 26.0;
/// The height of a chart with lines.
const HEIGHT: f64 = 260.0;

/// The style of a chart that stands alone.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1b1f27}.faint{fill:#667080}.axis{stroke:#d5d9e0;fill:none}\
.a{fill:#2f8f5b}.b{fill:#2b6fc4}.c{fill:#c9a23c}.d{fill:#b06bb0}.e{fill:#3f9fb0}.f{fill:#d2483f}\
.la{stroke:#2f8f5b}.lb{stroke:#2b6fc4}.lc{stroke:#c9a23c}.ld{stroke:#b06bb0}.le{stroke:#3f9fb0}.lf{stroke:#d2483f}\
.line{stroke-width:2;fill:none}.limit{stroke:#e08a1e;stroke-width:3}.interval{stroke:#1b1f27;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.faint{fill:#98a2b3}.axis{stroke:#343b46}.interval{stroke:#e6e9ef}}";

/// The classes of the colours of lines.
const COLOURS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A measurement.
#[derive(Clone, Debug)]
pub(crate) struct ChartRow {
    pub(crate) name: String,
    pub(crate) gas: u64,
    pub(crate) threads: usize,
    /// The sequential time / the parallel one, and its interval.
    pub(crate) ratio: f64,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) limit: Option<f64>,
    /// The parallel peak of memory / the sequential one.
    pub(crate) memory: f64,
}

/// The ratio of each row, with its interval and its limit.
pub(crate) fn ratios(rows: &[ChartRow]) -> Markup {
    let bars = rows.iter().map(|row| Bar {
        name: name_of(row),
        value: row.ratio,
        interval: row.interval,
        limit: row.limit,
    });
    bar_chart(
        &Vec::from_iter(bars),
        "sequential time / parallel time; orange: the limit; thin: the 95 % interval",
    )
}

/// The memory of each row.
pub(crate) fn memory(rows: &[ChartRow]) -> Markup {
    let bars =
        rows.iter().map(|row| Bar { name: name_of(row), value: row.memory, interval: None, limit: None });
    bar_chart(&Vec::from_iter(bars), "peak of memory in parallel / sequentially")
}

fn name_of(row: &ChartRow) -> String {
    format!("{}, {}, {} thr", row.name, short(row.gas.into()), row.threads)
}

/// The ratios over the number of threads, of what was measured with several.
pub(crate) fn over_threads(rows: &[ChartRow]) -> Option<Markup> {
    let name = |row: &ChartRow| format!("{}, {}", row.name, short(row.gas.into()));
    let series = series(rows, name, |row| row.threads as u64);
    line_chart(&series, "sequential time / parallel time by threads", |threads| threads.to_string())
}

/// The ratios over the gas of the block, of what was measured with several.
pub(crate) fn over_gas(rows: &[ChartRow]) -> Option<Markup> {
    let series = series(rows, |row| format!("{}, {} thr", row.name, row.threads), |row| row.gas);
    line_chart(&series, "sequential time / parallel time by the gas of the block", |gas| short(gas.into()))
}

/// A line: its name, and its points in order.
type Series = (String, Vec<(u64, f64)>);

/// The lines of the rows with the same name, at their places.
fn series(
    rows: &[ChartRow],
    name: impl Fn(&ChartRow) -> String,
    place: impl Fn(&ChartRow) -> u64,
) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for row in rows {
        let name = name(row);
        let number = all.iter().position(|(known, _)| *known == name).unwrap_or(all.len());
        if number == all.len() {
            all.push((name, Vec::new()));
        }
        all[number].1.push((place(row), row.ratio));
    }
    all.retain(|(_, points)| points.len() > 1);
    all.iter_mut().for_each(|(_, points)| points.sort_by_key(|(place, _)| *place));
    all
}

struct Bar {
    name: String,
    value: f64,
    interval: Option<(f64, f64)>,
    limit: Option<f64>,
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn bar_chart(bars: &[Bar], title: &str) -> Markup {
    let highest = bars
        .iter()
        .flat_map(|bar| [Some(bar.value), bar.limit, bar.interval.map(|(_, high)| high)])
        .flatten()
        .fold(1.0, f64::max);
    let x = |value: f64| NAMES + (WIDTH - NAMES - 60.0) * value / highest;
    let height = AXIS + ROW * bars.len() as f64;
    svg(
        height,
        title,
        &html! {
            line.axis x1=(number(x(1.0))) y1=(AXIS - 6.0) x2=(number(x(1.0))) y2=(height) {}
            text.faint x="0" y="14" { (title) }
            @for (place, bar) in bars.iter().enumerate() {
                @let y = AXIS + ROW * place as f64;
                text x=(NAMES - 8.0) y=(number(y + 15.0)) text-anchor="end" { (bar.name) }
                rect.a x=(number(NAMES)) y=(number(y + 4.0)) width=(number(x(bar.value) - NAMES)) height="14" rx="2" {}
                @if let Some((low, high)) = bar.interval {
                    line.interval x1=(number(x(low))) y1=(number(y + 11.0)) x2=(number(x(high))) y2=(number(y + 11.0)) {}
                }
                @if let Some(limit) = bar.limit {
                    line.limit x1=(number(x(limit))) y1=(number(y + 1.0)) x2=(number(x(limit))) y2=(number(y + 21.0)) {}
                }
                @let end = bar.interval.map_or(bar.value, |(_, high)| high.max(bar.value));
                text x=(number(x(end) + 6.0)) y=(number(y + 15.0)) { (format!("{:.2}", bar.value)) }
            }
        },
    )
}

fn line_chart(series: &[Series], title: &str, name: impl Fn(u64) -> String) -> Option<Markup> {
    let mut places: Vec<u64> =
        series.iter().flat_map(|(_, points)| points).map(|(place, _)| *place).collect();
    places.sort_unstable();
    places.dedup();
    let last = places.len().checked_sub(1).filter(|last| *last > 0)?;
    let highest = series.iter().flat_map(|(_, points)| points).map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let x = |place: u64| {
        let position = places.partition_point(|known| *known < place);
        40.0 + (WIDTH - NAMES - 60.0) * position as f64 / last as f64
    };
    let y = |ratio: f64| HEIGHT - 30.0 - (HEIGHT - 60.0) * ratio / (highest * 1.05);
    Some(svg(
        HEIGHT,
        title,
        &html! {
            text.faint x="0" y="14" { (title) }
            polyline.axis points={ "40,24 40," (HEIGHT - 30.0) " " (WIDTH - NAMES) "," (HEIGHT - 30.0) } {}
            line.axis x1="40" y1=(number(y(1.0))) x2=(WIDTH - NAMES) y2=(number(y(1.0))) {}
            text.faint x="34" y=(number(y(1.0) + 4.0)) text-anchor="end" { "1" }
            @for place in &places {
                text.faint x=(number(x(*place))) y=(HEIGHT - 12.0) text-anchor="middle" { (name(*place)) }
            }
            @for (number_of, (series_name, points)) in series.iter().enumerate() {
                @let colour = COLOURS[number_of % COLOURS.len()];
                @let line = points.iter().map(|(place, ratio)| format!("{:.1},{:.1}", x(*place), y(*ratio)));
                polyline class={ "line l" (colour) } points=(Vec::from_iter(line).join(" ")) {}
                @for (place, ratio) in points {
                    circle class=(colour) cx=(number(x(*place))) cy=(number(y(*ratio))) r="3.5" {
                        title { (format!("{series_name}: {ratio:.2}")) }
                    }
                }
                rect class=(colour) x=(WIDTH - NAMES + 16.0) y=(number(28.0 + 20.0 * number_of as f64)) width="10" height="10" {}
                text x=(WIDTH - NAMES + 32.0) y=(number(37.0 + 20.0 * number_of as f64)) { (series_name) }
            }
        },
    ))
}

fn svg(height: f64, title: &str, content: &Markup) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (number(height)) } width=(WIDTH) role="img" aria-label=(title) {
            style { (PreEscaped(STYLE)) }
            (content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, threads: usize, gas: u64) -> ChartRow {
        let (ratio, interval, limit) = (1.5, Some((1.4, 1.6)), Some(1.9));
        ChartRow { name: name.to_owned(), gas, threads, ratio, interval, limit, memory: 2.0 }
    }

    #[test]
    fn a_bar_has_its_value_its_spread_and_its_limit() {
        let chart = ratios(&[row("a <b>", 2, 1), row("c", 2, 1)]).into_string();
        assert_eq!([chart.matches("<rect").count(), chart.matches("class=\"limit\"").count()], [2, 2]);
        assert!(chart.contains("a &lt;b&gt;, 1, 2 thr") && chart.contains(">1.50<"), "{chart}");
    }

    #[test]
    fn lines_are_of_what_was_measured_more_than_once() {
        let rows = [row("a", 2, 1), row("a", 4, 1), row("b", 2, 5)];
        let threads = over_threads(&rows).unwrap().into_string();
        assert_eq!([threads.matches("<circle").count(), threads.matches("class=\"line").count()], [2, 1]);
        assert!(over_gas(&rows).is_none());
        let rows = [row("a", 2, 1), row("a", 2, 30_000_000)];
        assert!(over_threads(&rows).is_none());
        assert!(over_gas(&rows).unwrap().into_string().contains(">30M<"));
    }
}
