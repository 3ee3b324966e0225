use std::time::Duration;

use http::Version;

use super::slab::{Entry, Key, REQUESTS, Slab};
use super::text::render;
use super::{Counted, Index, LastCounted, Value, add, enable, is_on, request};

#[test]
fn what_is_counted_on_a_thread_is_in_the_text_and_stays_when_it_has_ended() {
    let line =
        r#"squall_http_requests_total{route="/of/\"this\\test",method="PUT",status="201",version="1.0"} "#;
    let count = || {
        let text = render();
        let found = text.lines().find_map(|found| found.strip_prefix(line).map(str::to_owned));
        found.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    // Of a route; what it remembers of one thread's numbers is nothing to another's.
    let mut last = LastCounted::default();
    for served in 1..4 {
        let serve = move || {
            assert!(!is_on());
            add(Value::BytesIn, 1_000_000);
            enable();
            for status in [201, 201, 404, 404, 201] {
                let took = Duration::from_millis(3);
                request(&last, "/of/\"this\\test", "PUT", status, Version::HTTP_10, took);
            }
            last
        };
        last = std::thread::spawn(serve).join().unwrap();
        assert_eq!(count(), 3 * served);
    }
    let bucket =
        r#"squall_http_request_duration_seconds_bucket{route="/of/\"this\\test",method="PUT",le="0.0025"} 0"#;
    let next =
        r#"squall_http_request_duration_seconds_bucket{route="/of/\"this\\test",method="PUT",le="0.005"} 15"#;
    let text = render();
    assert!(text.contains(bucket) && text.contains(next), "{text}");
}

#[test]
fn what_goes_up_and_down_begins_anew() {
    let slab = Slab::private();
    slab.begin();
    slab.add(Value::RequestsInFlight, 3);
    slab.add(Value::BytesOut, 5);
    slab.end();
    assert!(!slab.is_live());
    slab.begin();
    assert_eq!(slab.value(Value::RequestsInFlight as usize), 0);
    assert_eq!(slab.value(Value::BytesOut as usize), 5);
}

#[test]
fn nothing_is_taken_away_that_was_not_added() {
    std::thread::spawn(|| {
        let before = Counted::new(Value::ExecutorJobs);
        enable();
        drop(before);
        let slab = super::SLAB.get().unwrap();
        let within = Counted::new(Value::ExecutorJobs);
        assert_eq!(slab.value(Value::ExecutorJobs as usize), 1);
        drop(within);
        assert_eq!(slab.value(Value::ExecutorJobs as usize), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn label_sets_are_bounded_and_long_ones_cut_between_characters() {
    let slab = Slab::private();
    let mut index = Index::default();
    let mut see = |route: &str, status| {
        let key = Key::request(route, "GET", status, Version::HTTP_11);
        let entry = index.entry(slab, REQUESTS, key);
        slab.observe(entry, Duration::from_secs(20));
    };
    let long = "ü".repeat(100);
    see(&long, 200);
    for status in 1..=2000 {
        see("/many", status);
        see("/many", status);
    }
    let entries: Vec<Entry> = slab.entries(REQUESTS).collect();
    assert_eq!(entries.len(), 1024);
    assert!(entries[0].rest);
    assert_eq!(entries[0].histogram.count(), 2 * (2000 - 1022));
    assert_eq!(entries[1].text, "ü".repeat(56));
    assert!(entries[2..].iter().all(|entry| entry.text == "/many" && entry.histogram.count() == 2));
    assert_eq!(entries.iter().map(|entry| entry.histogram.count()).sum::<u64>(), 4001);
    // Another process that goes on there finds them.
    let again = Index::default().entry(slab, REQUESTS, Key::request("/many", "GET", 7, Version::HTTP_11));
    assert_eq!(slab.find_or_add(REQUESTS, Key::request("/many", "GET", 7, Version::HTTP_11)), Some(again));
}
