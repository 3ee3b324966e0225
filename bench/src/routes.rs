//! `bench routes`: how the cost of finding a path's route grows with the number of routes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use regex::Regex;
use squall::routing::{PathPattern, PathTable};

use crate::measure::{Spread, print_table};

const COUNTS: [usize; 3] = [10, 100, 1_000];
const WINDOW: Duration = Duration::from_millis(200);
const ROUNDS: usize = 5;

pub fn run() {
    let row = |name: &str, costs: [f64; 3]| {
        let cells = costs.map(|cost| format!("{cost:.0}"));
        [name.to_owned()].into_iter().chain(cells).chain([format!("{:.2}", costs[2] / costs[0])]).collect()
    };
    let rows: Vec<Vec<String>> = vec![
        row("squall, regexes", COUNTS.map(|count| measure(count, squall_table(count)))),
        row("matchit (axum's router)", COUNTS.map(|count| measure(count, matchit_table(count)))),
        row(
            "one regex after the other (Tornado's way)",
            COUNTS.map(|count| measure(count, regex_list(count))),
        ),
    ];
    println!("\nns to find the route of a path and its one argument; median of {ROUNDS} rounds\n");
    print_table(&["table", "10 routes", "100 routes", "1,000 routes", "1,000 : 10"], &rows);
}

/// Paths of routes spread evenly over the table, all of them valid.
fn paths(count: usize) -> Vec<String> {
    (0..10).map(|index| format!("/section{}/item/{}", index * count / 10, 41 + index)).collect()
}

/// Median ns of one call of `find`, which returns the length of the argument.
fn measure(count: usize, find: impl Fn(&str) -> Option<usize>) -> f64 {
    let paths = paths(count);
    for path in &paths {
        assert_eq!(find(path), Some(2), "{path}");
    }
    let round = || {
        let since = Instant::now();
        let mut calls = 0_u32;
        while since.elapsed() < WINDOW {
            for path in &paths {
                black_box(find(black_box(path)));
            }
            calls += 10;
        }
        since.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    Spread::of((0..ROUNDS).map(|_| round())).median
}

fn squall_table(count: usize) -> impl Fn(&str) -> Option<usize> {
    let pattern =
        |index| PathPattern::new(&format!("/section{index}/item/([0-9]+)")).expect("the pattern is valid");
    let table = PathTable::new((0..count).map(pattern).collect());
    move |path| {
        let row = table.first_match(path)?;
        table.patterns()[row].captures(path)?.range(0).map(|range| range.len())
    }
}

fn matchit_table(count: usize) -> impl Fn(&str) -> Option<usize> {
    let mut table = matchit::Router::new();
    for index in 0..count {
        table.insert(format!("/section{index}/item/{{id}}"), index).expect("the patterns differ");
    }
    move |path| table.at(path).ok()?.params.get("id").map(str::len)
}

fn regex_list(count: usize) -> impl Fn(&str) -> Option<usize> {
    let pattern =
        |index| Regex::new(&format!("^/section{index}/item/([0-9]+)$")).expect("the pattern is valid");
    let list: Vec<Regex> = (0..count).map(pattern).collect();
    move |path| list.iter().find_map(|regex| regex.captures(path)).map(|found| found[1].len())
}
