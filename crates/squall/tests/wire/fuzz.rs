//! The fuzz targets without a fuzzer: seeds from `fuzz/seeds`, mutated at random. No coverage guides it, and any
//! toolchain runs it. `scripts/ci-fuzz.sh` lets it run for a while where cargo-fuzz is missing.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("template", squall::template::__fuzz::template),
    ("frames", squall::websocket::__fuzz::frames),
    ("deflate", squall::websocket::__fuzz::deflate),
    ("handshake", squall::websocket::__fuzz::handshake),
    ("proxy_protocol", squall::netutil::__fuzz_proxy_protocol),
    ("request_head", squall::http1connection::__fuzz::request_head),
    ("response_head", squall::http1connection::__fuzz::response_head),
    ("chunked", squall::http1connection::__fuzz::chunked),
    ("gzip_body", squall::http1connection::__fuzz::gzip_body),
    #[cfg(feature = "http2")]
    ("http2_frames", squall::httpserver::__fuzz_http2_frames),
    #[cfg(feature = "http2")]
    ("http2_machine", squall::httpserver::__fuzz_http2_machine),
    #[cfg(feature = "http2")]
    ("hpack", squall::httpserver::__fuzz_hpack),
    ("multipart", squall::httputil::__fuzz::multipart),
    ("cookies", squall::httputil::__fuzz::cookies),
    ("set_cookie", squall::httpclient::__fuzz_set_cookie),
    ("ranges", squall::httputil::__fuzz::ranges),
];

/// The longest input.
const MOST: usize = 4_000;

#[test]
fn targets_withstand_some_mutations_of_their_seeds() {
    for target in TARGETS {
        run(target, Duration::from_millis(300), 1);
    }
}

/// `SQUALL_FUZZ` is `target=seconds target=seconds ..`.
#[test]
#[ignore = "takes minutes: scripts/ci-fuzz.sh"]
fn targets_withstand_mutations_of_their_seeds() {
    let wanted = std::env::var("SQUALL_FUZZ").unwrap_or_else(|_| panic!("SQUALL_FUZZ is not set"));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    for (name, seconds) in wanted.split_whitespace().map(|entry| entry.split_once('=').unwrap()) {
        let target = TARGETS.iter().find(|(known, _)| *known == name);
        let target = target.unwrap_or_else(|| panic!("{name} is no target of tests/wire/fuzz.rs"));
        let count = run(target, Duration::from_secs(seconds.parse().unwrap()), seed);
        println!("ok: {name}, {count} inputs in {seconds} s, seed {seed}");
    }
}

#[test]
fn every_fuzz_target_is_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for name in names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()) {
        let is_of_http2 = name.starts_with("http2_") || name == "hpack";
        let is_left_out = is_of_http2 && !cfg!(feature = "http2");
        let is_here = is_left_out || TARGETS.iter().any(|(known, _)| *known == name);
        assert!(is_here, "{name} is missing in tests/wire/fuzz.rs");
    }
}

fn run(&(name, target): &(&str, Target), time: Duration, seed: u64) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.into_iter().map(|path| fs::read(path).unwrap()).collect();
    let mut random = Random(seed);
    let (until, mut count) = (Instant::now() + time, 0);
    while Instant::now() < until {
        let input = if count < seeds.len() { seeds[count].clone() } else { mutate(&seeds, &mut random) };
        let since = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "{name} panics on {}", input.escape_ascii());
        assert!(since.elapsed() < Duration::from_secs(10), "{name} is slow on {}", input.escape_ascii());
        count += 1;
    }
    count
}

/// One to eight changes of a seed: other bytes, pieces taken out, doubled, or put in from any seed.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut out = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let other = &seeds[random.below(seeds.len())];
        let piece = random.piece(other.len(), 40);
        let at = random.below(out.len() + 1);
        let own = random.piece(out.len(), 40);
        match random.below(6) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 if at < out.len() => out[at] = random.next() as u8,
            2 => drop(out.drain(own)),
            3 => {
                let copy = out[own].to_vec();
                out.splice(at..at, copy);
            }
            4 => drop(out.splice(at..at, other[piece].iter().copied())),
            _ => drop(out.splice(own, other[piece].iter().copied())),
        }
    }
    out.truncate(MOST);
    out
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    fn piece(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(most.min(length - start) + 1)
    }
}
