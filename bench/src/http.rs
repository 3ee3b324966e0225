//! `bench http`: `GET /` over keep-alive connections, each server in turn, round after round.

use std::time::Duration;

use crate::Result;
use crate::answer::{Expected, HELLO};
use crate::load::{Load, Window, request};
use crate::measure::{Spread, micros, print_table};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;

const WARM_UP: Duration = Duration::from_millis(300);

pub fn run(options: &Options) -> Result {
    let names = options.peers.clone().unwrap_or_else(|| NAMES.map(str::to_owned).to_vec());
    compare(options, names, request(options.headers), HELLO, "GET /", "raw")
}

/// The servers that are compared unless others are asked for.
pub const NAMES: [&str; 11] = [
    "raw",
    "raw-again",
    "raw-parse",
    "squall",
    "tokio",
    "hyper",
    "axum",
    "actix-web",
    "ntex",
    "nginx",
    "tornado",
];

/// Sends `request` to each of the servers and prints a table, with the ratio of each to `base`.
pub fn compare(
    options: &Options,
    names: Vec<String>,
    request: &[u8],
    expected: Expected,
    what: &str,
    base: &str,
) -> Result {
    peers::pin(peers::LOAD_CORE)?;
    let (rounds, connections) = (options.rounds.unwrap_or(7), options.connections.unwrap_or(64));
    for &depth in &options.depths {
        let seen = self::rounds(&names, rounds, &format!("depth {depth}"), |server| {
            let (warm_up, window) = (WARM_UP, options.window);
            let load = Load { server, connections, depth, request, expected, warm_up, window };
            load.run(|| cpu_time(server.pid))
        })?;
        println!(
            "\n{what}, {connections} connections, {depth} in flight on each, requests of {} bytes; {rounds} rounds of {} s\n",
            request.len(),
            options.window.as_secs_f64(),
        );
        report(&names, &seen, base, "request");
    }
    Ok(())
}

/// The windows of one round, in the order of the peers; `None` where a peer is not installed.
pub type Round = Vec<Option<Window>>;

/// Runs every server once in each round.
pub fn rounds(
    names: &[String],
    rounds: usize,
    what: &str,
    run: impl Fn(&Server) -> Result<Window>,
) -> Result<Vec<Round>> {
    let mut seen = Vec::new();
    for round in 0..rounds {
        eprintln!("{what}, round {} of {rounds}", round + 1);
        let mut windows: Round = names.iter().map(|_| None).collect();
        for turn in 0..names.len() {
            // Each round starts with another server, so that none always runs when the machine is warm, or just after raw.
            let index = (round + turn) % names.len();
            let spec = &names[index];
            let Some(server) = Server::start(spec)? else {
                eprintln!("SKIPPED: {spec} is not installed");
                continue;
            };
            windows[index] = Some(run(&server).map_err(|error| format!("{spec}: {error}"))?);
        }
        seen.push(windows);
    }
    Ok(seen)
}

/// A table of the windows; `unit` is what was counted in them.
pub fn report(names: &[String], rounds: &[Round], base: &str, unit: &str) {
    let base_index = names.iter().position(|name| name == base);
    let row = |index: usize| {
        let windows: Option<Vec<&Window>> = rounds.iter().map(|round| round[index].as_ref()).collect();
        let Some(windows) = windows else {
            return [names[index].clone()].into_iter().chain((0..8).map(|_| "skipped".to_owned())).collect();
        };
        let median =
            |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(|window| value(window))).median;
        let ratio = base_index.and_then(|base| {
            let ratios: Option<Vec<f64>> = rounds
                .iter()
                .map(|round| Some(cost(round[index].as_ref()?) / cost(round[base].as_ref()?)))
                .collect();
            ratios.map(Spread::of)
        });
        vec![
            shown(&names[index]).to_owned(),
            format!("{:.0}", median(&|window| window.requests as f64 / window.elapsed.as_secs_f64())),
            format!("{:.0}", median(&|window| window.latency.value_at_quantile(0.5) as f64 / 1e3)),
            format!("{:.0}", median(&|window| window.latency.value_at_quantile(0.99) as f64 / 1e3)),
            format!(
                "{:.0} %",
                median(&|window| window.cpu.as_secs_f64() / window.elapsed.as_secs_f64() * 100.0)
            ),
            format!("{:.2}", median(&cost)),
            format!("{:.2}", Spread::of(windows.iter().map(|window| cost(window))).min),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}..{:.2}", ratio.min, ratio.max)),
        ]
    };
    let rows: Vec<_> = (0..names.len()).map(row).collect();
    print_table(
        &[
            "server",
            &format!("{unit}s/s"),
            "p50 µs",
            "p99 µs",
            "core busy",
            &format!("CPU µs/{unit}"),
            "least",
            &format!("ratio to {}", shown(base)),
            "min..max",
        ],
        &rows,
    );
    let others = rounds
        .iter()
        .flatten()
        .flatten()
        .map(|window| window.others.as_secs_f64() / window.elapsed.as_secs_f64());
    let others = Spread::of(others.map(|share| share * 100.0));
    println!(
        "\nOther processes took {:.0} % of one core in the median window, {:.0} % in the worst.{}",
        others.median,
        others.max,
        if others.median > 5.0 { " NOT A QUIET MACHINE: rough numbers." } else { "" },
    );
}

/// A peer's name without the settings that all in the table have.
fn shown(name: &str) -> &str {
    name.split(":upstream=").next().unwrap_or_default().trim_end_matches(":tls=1")
}

/// CPU µs per request.
fn cost(window: &Window) -> f64 {
    micros(window.cpu) / window.requests as f64
}
