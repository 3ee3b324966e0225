//! What is told of several processes: numbers that add up, and what holds a loop.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::{Pid, Signal, kill_process};

use super::supervision::{Program, is_alive, until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("the_numbers_of_all_workers_add_up", the_numbers_of_all_workers_add_up),
    ("a_stuck_handler_is_named_before_its_worker_ends", a_stuck_handler_is_named_before_its_worker_ends),
];

const COUNTED: &str = r#"squall_http_requests_total{route="/pid",method="GET",status="200",version="1.1"}"#;

fn the_numbers_of_all_workers_add_up() {
    let t = Program::start("--processes=2", "one");
    let mut asked = 0.0;
    let mut ask_all = |workers: &BTreeSet<i32>| {
        let mut seen = BTreeSet::new();
        until(
            || {
                let mut client = t.connect();
                for _ in 0..100 {
                    let answer = client.ask("/pid").unwrap();
                    seen.insert(answer.rsplit('\n').next().unwrap().parse().unwrap());
                    asked += 1.0;
                }
                seen == *workers
            },
            "an answer of each worker",
        );
        asked
    };
    let number = |name: &str| scrape(&t).get(name).copied().unwrap_or_default();
    let workers = Program::children_of(t.pid());
    let asked = ask_all(&workers);
    // Whichever of them answers.
    for _ in 0..20 {
        assert_eq!(number(COUNTED), asked);
    }
    assert_eq!(number("squall_processes"), 2.0);
    assert_eq!(number("squall_process_restarts_total"), 0.0);

    let mut held = t.connect();
    held.send("/hold");
    until(|| number("squall_http_requests_in_flight") == 2.0, "the request that is held and this one");

    // Counters go on where those of a worker that has died ended, what it was at is no more.
    for worker in &workers {
        kill_process(Pid::from_raw(*worker).unwrap(), Signal::KILL).unwrap();
        until(|| !is_alive(*worker), "its end");
        assert!(number(COUNTED) >= asked);
    }
    until(|| Program::children_of(t.pid()).len() == 2, "their successors");
    until(|| number("squall_processes") == 2.0, "both to serve");
    assert_eq!(number("squall_http_requests_in_flight"), 1.0);
    assert_eq!(number(COUNTED), asked);
    assert_eq!(number("squall_process_restarts_total"), 2.0);
    let asked = ask_all(&Program::children_of(t.pid()));
    assert_eq!(number(COUNTED), asked);
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
}

fn a_stuck_handler_is_named_before_its_worker_ends() {
    let t = Program::start("--processes=2 --worker-timeout=2", "one");
    let mut blocked = t.connect();
    blocked.send("/block");
    t.logged("The loop has been held for ");
    t.logged(" by the handler of /block, which ");
    t.logged("has not answered for ");
    t.logged("killed by signal 9, restarting");
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
}

/// All samples, by their names with their labels; the text is what Prometheus takes.
fn scrape(t: &Program) -> BTreeMap<String, f64> {
    let answer = t.connect().ask("/metrics").unwrap();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    parse(text).unwrap_or_else(|problem| panic!("{problem} in\n{text}"))
}

/// The text format 0.0.4, as far as a server writes it.
fn parse(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut below = 0.0;
    if !text.ends_with('\n') {
        return Err("no line end at the end".into());
    }
    for line in text.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line:?}"));
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = comment.split_once(' ') else { return wrong("no kind") };
            if !is_name(name) || !["counter", "gauge", "histogram"].contains(&kind) {
                return wrong("name or kind");
            }
            if kinds.insert(name.into(), kind.into()).is_some() {
                return wrong("a second type");
            }
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let Some((key, number)) = line.rsplit_once(' ') else { return wrong("no number") };
        let Ok(number) = number.parse::<f64>() else { return wrong("no number") };
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let Some(labels) = labels.strip_suffix('}') else { return wrong("labels without end") };
        if !is_name(name) || !labels_are_sound(labels) {
            return wrong("name or labels");
        }
        let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| {
            let whole = name.strip_suffix(end)?;
            (kinds.get(whole)? == "histogram").then_some((whole, end))
        });
        match of_histogram {
            None if !kinds.contains_key(name) => return wrong("no type"),
            Some((_, "_bucket")) => {
                if number < below {
                    return wrong("buckets that do not grow");
                }
                below = if labels.ends_with("le=\"+Inf\"") { 0.0 } else { number };
            }
            Some((whole, "_count")) => {
                let comma = if labels.is_empty() { "" } else { "," };
                let last = format!("{whole}_bucket{{{labels}{comma}le=\"+Inf\"}}");
                if samples.get(&last) != Some(&number) {
                    return wrong("another count than the last bucket");
                }
            }
            _ => {}
        }
        if samples.insert(key.to_owned(), number).is_some() {
            return wrong("twice");
        }
    }
    Ok(samples)
}

/// `name="value",…`, where values are escaped.
fn labels_are_sound(mut rest: &str) -> bool {
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once("=\"") else { return false };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return false;
        }
        let mut escaped = false;
        let Some(end) = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        }) else {
            return false;
        };
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.is_empty(),
        }
    }
    true
}
