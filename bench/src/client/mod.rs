//! `bench client`: keep-alive GETs of each client in turn from the raw server, round after round.
//!
//! The client is a process of its own, which reads its own CPU clock around the window. It runs on the generator's core and
//! the server on its own, as for the other commands.

mod hyper;
mod raw;
mod reqwest;
mod squall;

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::answer::HELLO;
use crate::measure::{Spread, machine_cpu_time, micros, print_table};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;

const WARM_UP: Duration = Duration::from_millis(300);

/// In the order of the table; the others are compared with the first.
const CLIENTS: [&str; 6] = ["raw", "raw-again", "squall", "hyper-util", "reqwest", "tornado"];

pub fn run(options: &Options) -> Result {
    peers::pin(peers::LOAD_CORE)?;
    let rounds = options.rounds.unwrap_or(7);
    for concurrency in [options.connections.unwrap_or(64), 1] {
        let seen = measure(rounds, concurrency, options.window)?;
        println!(
            "\nGET / from the raw server, {concurrency} at a time; {rounds} rounds of {} s\n",
            options.window.as_secs_f64()
        );
        report(&seen);
    }
    Ok(())
}

/// What a client says of its window, and what the machine did meanwhile.
struct Window {
    requests: f64,
    elapsed: Duration,
    cpu: Duration,
    others: Duration,
}

impl Window {
    /// CPU µs per request.
    fn cost(&self) -> f64 {
        micros(self.cpu) / self.requests
    }
}

type Round = Vec<Option<Window>>;

fn measure(rounds: usize, concurrency: usize, window: Duration) -> Result<Vec<Round>> {
    let mut seen = Vec::new();
    for round in 0..rounds {
        eprintln!("{concurrency} at a time, round {} of {rounds}", round + 1);
        let mut windows: Round = CLIENTS.iter().map(|_| None).collect();
        for turn in 0..CLIENTS.len() {
            let index = (round + turn) % CLIENTS.len();
            windows[index] = fetch(CLIENTS[index], concurrency, window)?;
        }
        seen.push(windows);
    }
    Ok(seen)
}

/// Runs one client against a fresh server; `None` when it is not installed.
fn fetch(client: &str, concurrency: usize, window: Duration) -> Result<Option<Window>> {
    let Some(mut command) = command(client)? else {
        eprintln!("SKIPPED: {client} is not installed");
        return Ok(None);
    };
    let server = Server::start("raw")?.ok_or("the raw server is always there")?;
    command.arg(format!("http://{}/", server.address)).arg(concurrency.to_string());
    command.args([WARM_UP, window].map(|time| time.as_secs_f64().to_string()));
    let (machine, serving) = (machine_cpu_time()?, cpu_time(server.pid)?);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.wait_with_output()?;
    let others = (machine_cpu_time()? - machine).saturating_sub(cpu_time(server.pid)? - serving);
    if !output.status.success() {
        return Err(format!("{client} failed").into());
    }
    let said = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = said.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let [requests, elapsed, cpu, whole_cpu] = numbers[..] else {
        return Err(format!("{client} says {said:?}").into());
    };
    Ok(Some(Window {
        requests: requests as f64,
        elapsed: Duration::from_nanos(elapsed),
        cpu: Duration::from_nanos(cpu),
        others: others.saturating_sub(Duration::from_nanos(whole_cpu)),
    }))
}

fn command(client: &str) -> Result<Option<Command>> {
    if client != "tornado" {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fetch", client]);
        return Ok(Some(command));
    }
    let found = Command::new("python3").args(["-c", "import tornado"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/fetch_tornado.py"));
    Ok(Some(command))
}

/// `bench fetch <client> <url> <at a time> <warm-up> <window>`: the client's process.
pub fn fetch_here(mut args: impl Iterator<Item = String>) -> Result {
    let mut next = || args.next().ok_or("fetch <client> <url> <at a time> <warm-up, s> <window, s>");
    let (client, url, concurrency) = (next()?, next()?, next()?.parse()?);
    let meter = Rc::new(Meter::new(
        Duration::try_from_secs_f64(next()?.parse()?)?,
        Duration::try_from_secs_f64(next()?.parse()?)?,
    ));
    match client.trim_end_matches("-again") {
        "raw" => raw::fetch(&url, concurrency, &meter)?,
        "squall" => squall::fetch(&url, concurrency, &meter)?,
        "hyper-util" => hyper::fetch(&url, concurrency, &meter)?,
        "reqwest" => reqwest::fetch(&url, concurrency, &meter)?,
        _ => return Err(format!("no client {client:?}").into()),
    }
    let (requests, elapsed, cpu) = meter.measured.get().ok_or("the window has not ended")?;
    println!(
        "{requests} {} {} {}",
        elapsed.as_nanos(),
        cpu.as_nanos(),
        cpu_time(std::process::id())?.as_nanos()
    );
    Ok(())
}

/// Counts responses and reads the clocks at the start and the end of the window.
struct Meter {
    window: Duration,
    /// When the window starts, then when it ends.
    next: Cell<Instant>,
    count: Cell<u64>,
    since: Cell<Option<(Instant, Duration)>>,
    measured: Cell<Option<(u64, Duration, Duration)>>,
}

impl Meter {
    fn new(warm_up: Duration, window: Duration) -> Self {
        Self {
            window,
            next: Cell::new(Instant::now() + warm_up),
            count: Cell::new(0),
            since: Cell::new(None),
            measured: Cell::new(None),
        }
    }

    /// Counts a response and says whether to go on. It has to be what the server sends.
    fn seen(&self, status: u16, body: &[u8]) -> bool {
        assert!(status == 200 && body == HELLO.0, "{status}: {body:?}");
        self.count.set(self.count.get() + 1);
        let now = Instant::now();
        if now < self.next.get() {
            return true;
        }
        let cpu = cpu_time(std::process::id()).expect("the own clock can be read");
        match self.since.get() {
            None => {
                self.count.set(0);
                self.since.set(Some((now, cpu)));
                self.next.set(now + self.window);
                true
            }
            Some((start, before)) => {
                if self.measured.get().is_none() {
                    self.measured.set(Some((self.count.get(), now - start, cpu - before)));
                }
                false
            }
        }
    }
}

/// A runtime for the clients that leave the choice to the user: one thread, as squall's.
fn runtime() -> Result<(tokio::runtime::Runtime, tokio::task::LocalSet)> {
    Ok((tokio::runtime::Builder::new_current_thread().enable_all().build()?, tokio::task::LocalSet::new()))
}

fn report(rounds: &[Round]) {
    let row = |index: usize| {
        let windows: Option<Vec<&Window>> = rounds.iter().map(|round| round[index].as_ref()).collect();
        let Some(windows) = windows else {
            return [CLIENTS[index].to_owned()]
                .into_iter()
                .chain((0..5).map(|_| "skipped".to_owned()))
                .collect();
        };
        let of = |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(|window| value(window)));
        let costs = of(&Window::cost);
        let ratios =
            rounds.iter().filter_map(|round| Some(round[index].as_ref()?.cost() / round[0].as_ref()?.cost()));
        let ratio = Spread::of(ratios);
        vec![
            CLIENTS[index].to_owned(),
            format!("{:.0}", of(&|window| window.requests / window.elapsed.as_secs_f64()).median),
            format!("{:.2}", costs.median),
            format!("{:.2}", costs.min),
            format!("{:.2}", ratio.median),
            format!("{:.2}..{:.2}", ratio.min, ratio.max),
        ]
    };
    let rows: Vec<_> = (0..CLIENTS.len()).map(row).collect();
    print_table(&["client", "requests/s", "CPU µs/request", "least", "ratio to raw", "min..max"], &rows);
    let windows = rounds.iter().flatten().flatten();
    let others =
        Spread::of(windows.map(|w| w.others.as_secs_f64() / (w.elapsed + WARM_UP).as_secs_f64() * 100.0));
    println!(
        "\nOther processes took {:.0} % of one core in the median window, {:.0} % in the worst.{}",
        others.median,
        others.max,
        if others.median > 5.0 { " NOT A QUIET MACHINE: rough numbers." } else { "" },
    );
}
