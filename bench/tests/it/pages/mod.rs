//! The pages for a browser, in a real one: nothing fails, nothing is loaded, and pictures answer to mouse and keyboard.

mod browser;

use std::{fs, path::Path};

use serde_json::Value;

use crate::command::{blockloom, text};
use browser::Browser;

/// The most bytes of a page, and the most milliseconds until something is painted.
const MOST_BYTES: u64 = 6 << 20;
const MOST_MILLISECONDS: f64 = 3_000.0;

/// A browser; `None`, with a message, if the system has none.
fn browser() -> Option<Browser> {
    let browser = Browser::start(1_300, 1_000);
    if browser.is_none() {
        eprintln!("skipped: there is no Chromium");
    }
    browser
}

/// Opens a page, and asserts that it is there soon and complains about nothing.
fn open(browser: &mut Browser, page: &Path) {
    assert!(fs::metadata(page).unwrap().len() < MOST_BYTES);
    browser.open(page);
    let paint = "performance.getEntriesByType('paint').map((entry) => entry.startTime)";
    let painted = browser.evaluate(&format!(
        "new Promise((done) => {{ const look = () => {{ const times = {paint}; \
         if (times.length) done(times[0]); else setTimeout(look, 20); }}; look(); }})"
    ));
    assert!(painted.as_f64().unwrap() < MOST_MILLISECONDS, "{painted}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The middle of the longest slice of a lane, and a point beside all slices, in the window.
fn point_of_slice(browser: &mut Browser, lane: usize) -> (f64, f64) {
    let place = browser.evaluate(&format!(
        "(() => {{ const lanes = blockloom.pictures.lanes; const slices = blockloom.data.lanes[{lane}].slices; \
         const inner = slices.map((slice, number) => [slice[1], number]) \
           .filter(([, number]) => lanes.depths[{lane}][number] === lanes.rows[{lane}] - 1); \
         const [, number] = inner.reduce((one, other) => other[0] > one[0] ? other : one); \
         lanes.canvas.scrollIntoView({{block: 'center'}}); \
         const box = lanes.canvas.getBoundingClientRect(); \
         const [start, length] = slices[number]; \
         return [box.left + lanes.x(start + length / 2), box.top + lanes.row({lane}, number) + 9]; }})()"
    ));
    (number(&place[0]), number(&place[1]))
}

fn span(browser: &mut Browser, picture: &str) -> f64 {
    number(&browser.evaluate(&format!("blockloom.pictures.{picture}.span")))
}

/// Hovers, pins, zooms and pans in the picture of the threads.
fn drive_lanes(browser: &mut Browser) {
    let point = point_of_slice(browser, 0);
    browser.mouse(point, &["mouseMoved"]);
    assert_eq!(browser.evaluate("document.getElementById('tip').hidden"), false);
    let tip = browser.evaluate("document.getElementById('tip').textContent");
    assert!(tip.as_str().unwrap().contains("block"), "{tip}");
    browser.mouse(point, &["mousePressed", "mouseReleased"]);
    assert_eq!(browser.evaluate("document.getElementById('pinned').textContent"), tip);
    browser.key("Escape");
    assert_eq!(browser.evaluate("document.getElementById('pinned').textContent"), "");

    let whole = span(browser, "lanes");
    browser.wheel(point, -400.0);
    let closer = span(browser, "lanes");
    assert!(closer < whole * 0.5, "{closer} of {whole}");
    browser.key("-");
    assert!(span(browser, "lanes") > closer);
    browser.key("+");
    let left = number(&browser.evaluate("blockloom.pictures.lanes.left"));
    browser.key("ArrowLeft");
    assert!(number(&browser.evaluate("blockloom.pictures.lanes.left")) < left);
    browser.key("0");
    assert_eq!(span(browser, "lanes"), whole);
    browser.evaluate("document.querySelector('[data-of=lanes][data-does=in]').click()");
    assert!(span(browser, "lanes") < whole);
    browser.evaluate("document.querySelector('[data-of=lanes][data-does=all]').click()");
}

/// Whether something was painted in a picture: how many colours it has.
fn colours(browser: &mut Browser, picture: &str) -> f64 {
    number(&browser.evaluate(&format!(
        "(() => {{ const canvas = document.getElementById('{picture}'); \
         const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); \
         const seen = new Set(); \
         for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) \
           seen.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]); \
         return seen.size; }})()"
    )))
}

#[test]
fn the_page_of_a_block_works_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let generated = ["generate", "--blocks", "1", "--gas", "100M", "--accounts", "2000", "--out"];
    let output = blockloom(&[&generated[..], &[&path("chain")]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let explain = ["explain", "--threads", "2", "--rounds", "3", "--html"];
    let output = blockloom(&[&explain[..], &[&path("block.html"), &path("chain")]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));

    let Some(mut browser) = browser() else { return };
    let page = folder.path().join("block.html");
    open(&mut browser, &page);
    let tables = number(&browser.evaluate("document.querySelectorAll('table tr').length"));
    assert!(tables > 20.0, "{tables} rows");
    assert!(colours(&mut browser, "lanes") > 3.0 && colours(&mut browser, "graph") > 2.0);
    drive_lanes(&mut browser);
    let whole = span(&mut browser, "graph");
    browser.evaluate("document.getElementById('graph').focus()");
    browser.key("+");
    assert!(span(&mut browser, "graph") < whole);
    // In the dark, the colours are others.
    let light = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    let features = serde_json::json!([{"name": "prefers-color-scheme", "value": "dark"}]);
    browser.ask("Emulation.setEmulatedMedia", &serde_json::json!({"features": features}));
    assert_ne!(browser.evaluate("getComputedStyle(document.body).backgroundColor"), light);
    assert_eq!(browser.complaints(&page), [""; 0]);
}

#[test]
fn the_page_of_an_import_of_many_blocks_works_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let generated =
        ["generate", "--blocks", "500", "--gas", "1M", "--accounts", "2000", "--format", "rlp", "--out"];
    let output = blockloom(&[&generated[..], &[&path("chain")]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (store, chain, html) = (path("store"), path("chain"), path("import.html"));
    let arguments = ["chain", &store, "--import", &chain, "--threads", "2", "--html", &html];
    let output = blockloom(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let Some(mut browser) = browser() else { return };
    let page = folder.path().join("import.html");
    open(&mut browser, &page);
    let blocks =
        browser.evaluate("blockloom.data.lanes.find((lane) => lane.name === 'blocks').slices.length");
    assert_eq!(blocks, 500);
    let kinds = browser.evaluate("blockloom.data.kinds.map((kind) => kind[0])");
    for stage in ["read", "prepare", "execute", "root", "write"] {
        assert!(kinds.as_array().unwrap().contains(&stage.into()), "{stage}: {kinds}");
    }
    drive_lanes(&mut browser);
    assert_eq!(browser.complaints(&page), [""; 0]);
}

#[test]
fn the_page_of_measurements_has_a_bar_for_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments = ["bench", "transfers", "--gas", "300k,1M", "--threads", "1,2", "--rounds", "2"];
    let files = ["--html", &path("bench.html"), "--svg", &path("bench.svg")];
    let output = blockloom(&[&arguments[..], &files].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let chart = fs::read_to_string(path("bench.svg")).unwrap();
    assert!(chart.starts_with("<svg xmlns=") && chart.matches("<rect").count() == 4, "{chart}");

    let Some(mut browser) = browser() else { return };
    let page = folder.path().join("bench.html");
    open(&mut browser, &page);
    let bars = browser.evaluate("document.querySelectorAll('svg')[0].querySelectorAll('rect').length");
    // Ratios, threads, growth and memory.
    let charts = browser.evaluate("document.querySelectorAll('svg').length");
    assert_eq!((bars, charts), (4.into(), 4.into()));
    let words = browser.evaluate("document.body.innerText");
    assert!(words.as_str().unwrap().contains("blockloom bench transfers --gas 300k,1M"), "{words}");
    assert_eq!(browser.complaints(&page), [""; 0]);
}
