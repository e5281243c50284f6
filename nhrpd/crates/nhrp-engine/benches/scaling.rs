//! Every operation at 1,000, 10,000 and 100,000 peers: `cargo bench -p nhrp-engine --bench scaling`.
//!
//! Prints ratios to the time at 1,000 peers, beside those of a yardstick that does nothing but miss the processor's
//! caches: a look-up in a map of as many addresses and one in a table of entries of the same size. With `--svg FILE` it
//! draws them. Absolute times are of no use to anybody else and are not printed.
//!
//! What time cannot tell from the disturbance of a single run, instructions can. `--peers N` does everything at one size,
//! for `valgrind --tool=callgrind --toggle-collect='*Machine::first_shortcut*'` and the like.

mod support;

use std::collections::HashMap;
use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use support::{Machine, Order, overlay};

const PEERS: [u32; 3] = [1_000, 10_000, 100_000];
const ROUNDS: usize = 5;
const OPERATIONS: u32 = 20_000;

/// Median of several rounds, in nanoseconds an operation.
fn median(mut round: impl FnMut() -> (f64, u32)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (nanoseconds, operations) = round();
            nanoseconds / f64::from(operations)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e9
}

/// The same operation on peers in no order.
fn each(machine: &mut Machine, mut operation: impl FnMut(&mut Machine, u32, u32)) -> f64 {
    let mut order = Order::new();
    let peers = machine.peers;
    median(|| {
        let time = timed(|| {
            for _ in 0..OPERATIONS {
                operation(machine, 1 + order.next(peers), 1 + order.next(peers));
            }
        });
        (time, OPERATIONS)
    })
}

/// Two cache misses and a little more.
fn yardstick(peers: u32) -> f64 {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let mut map: HashMap<IpAddr, usize, _> = HashMap::with_hasher(hasher);
    let mut table = Vec::new();
    for peer in 1..=peers {
        map.insert(overlay(peer).into(), table.len());
        table.push([0u64; 20]);
    }
    let mut order = Order::new();
    median(|| {
        let time = timed(|| {
            for _ in 0..OPERATIONS {
                let address = IpAddr::V4(overlay(1 + order.next(peers)));
                let entry = map.get(&address).and_then(|at| table.get_mut(*at));
                if let Some(field) = entry.and_then(|e| e.first_mut()) {
                    *field += 1;
                }
            }
        });
        black_box(&table);
        (time, OPERATIONS)
    })
}

fn measure(peers: u32) -> Vec<(&'static str, f64)> {
    let mut hub = Machine::hub(peers);
    let mut rows = vec![
        ("yardstick: two look-ups", yardstick(peers)),
        ("refresh", each(&mut hub, |hub, a, _| hub.refresh(a))),
        ("resolution passed on", each(&mut hub, Machine::pass_on)),
        ("indication", each(&mut hub, Machine::indication)),
    ];
    rows.push((
        "route change at the hub",
        each(&mut hub, |hub, a, _| {
            hub.route(a, false);
            hub.route(a, true);
        }),
    ));
    let mut refill = |end: fn(&mut Machine), name, rows: &mut Vec<_>| {
        let time = median(|| {
            while hub.peers < peers {
                hub.first_registration();
            }
            (timed(|| end(&mut hub)), peers)
        });
        rows.push((name, time));
    };
    refill(Machine::clear, "clear, for each entry", &mut rows);
    refill(Machine::expire, "expiry, for each entry", &mut rows);
    rows.push((
        "first registration",
        median(|| {
            hub.clear();
            // Tables are as large as they get; what is measured is the last tenth.
            while hub.peers < peers - peers / 10 {
                hub.first_registration();
            }
            let time = timed(|| (0..peers / 10).for_each(|_| hub.first_registration()));
            (time, peers / 10)
        }),
    ));
    let mut spoke = Machine::spoke(peers);
    rows.push((
        "route change at a spoke",
        each(&mut spoke, |spoke, a, _| {
            spoke.route(a, true);
            spoke.route(a, false);
        }),
    ));
    rows.push((
        "shortcut",
        median(|| {
            spoke.clear_shortcuts();
            while spoke.peers < peers - peers / 10 {
                spoke.first_shortcut();
            }
            let time = timed(|| (0..peers / 10).for_each(|_| spoke.first_shortcut()));
            (time, peers / 10)
        }),
    ));
    rows
}

/// Curves over the number of peers, both axes logarithmic.
fn drawn(rows: &[(&str, Vec<f64>)]) -> Result<String, std::fmt::Error> {
    const COLOURS: [&str; 10] = [
        "#999999", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7b3294", "#1b7837",
        "#000000",
    ];
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 330\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"640\" height=\"330\" fill=\"white\"/>\n\
         <text x=\"20\" y=\"20\">Time of an operation, at 1,000 peers = 1</text>\n",
    );
    let x = |column: u32| 60.0 + 170.0 * f64::from(column);
    let y = |ratio: f64| 280.0 - 60.0 * ratio.max(0.5).log2();
    for ratio in [0.5, 1.0, 2.0, 4.0, 8.0] {
        let at = y(ratio);
        writeln!(
            svg,
            "<line x1=\"60\" x2=\"400\" y1=\"{at:.0}\" y2=\"{at:.0}\" stroke=\"#ddd\"/><text x=\"25\" y=\"{:.0}\">{ratio}</text>",
            at + 4.0
        )?;
    }
    for (column, peers) in (0u32..).zip(["1,000", "10,000", "100,000"]) {
        writeln!(svg, "<text x=\"{:.0}\" y=\"318\" text-anchor=\"middle\">{peers}</text>", x(column))?;
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let last = |i: &usize| rows.get(*i).and_then(|r| r.1.last()).copied().unwrap_or_default();
    order.sort_by(|a, b| last(b).total_cmp(&last(a)));
    for (place, index) in (0u32..).zip(order) {
        let (Some((name, ratios)), Some(colour)) = (rows.get(index), COLOURS.get(index % COLOURS.len()))
        else {
            continue;
        };
        let points: Vec<String> =
            (0u32..).zip(ratios).map(|(c, r)| format!("{:.0},{:.0}", x(c), y(*r))).collect();
        let dash = if index == 0 { " stroke-dasharray=\"6 4\"" } else { "" };
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            points.join(" ")
        )?;
        let at = 60.0 + 22.0 * f64::from(place);
        let ratio = ratios.last().copied().unwrap_or_default();
        writeln!(svg, "<text x=\"415\" y=\"{at:.0}\" fill=\"{colour}\">{ratio:.1}  {name}</text>")?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The word behind an option.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|a| a != name).nth(1)
}

fn main() {
    if let Some(peers) = option("--peers").and_then(|n| n.parse().ok()) {
        measure(peers);
        return;
    }
    let measured: Vec<_> = PEERS.iter().map(|peers| measure(*peers)).collect();
    let Some(first) = measured.first() else { return };
    let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
    for (index, (name, base)) in first.iter().enumerate() {
        let times = measured.iter().filter_map(|m| m.get(index));
        rows.push((name, times.map(|(_, time)| time / base).collect()));
    }
    println!("| operation | 1,000 peers | 10,000 | 100,000 |\n| --- | --- | --- | --- |");
    for (name, ratios) in &rows {
        let cells: Vec<String> = ratios.iter().map(|r| format!("{r:.1}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    if let Some(file) = option("--svg") {
        match drawn(&rows)
            .map_err(|e| e.to_string())
            .and_then(|svg| std::fs::write(&file, svg).map_err(|e| e.to_string()))
        {
            Ok(()) => println!("drawn in {file}"),
            Err(error) => eprintln!("{file}: {error}"),
        }
    }
}
