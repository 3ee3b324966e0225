//! Servers of several processes: reloads that lose nothing, workers that crash, hang, grow old, and the service manager.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use squall::netutil::BindOptions;
use squall::web::metrics;
use squall::{Application, Context, HttpServer, get, url};

use super::LONG;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_reload_changes_generations_and_answers_what_is_in_flight", a_reload_changes_generations),
    ("a_generation_that_fails_changes_nothing", a_generation_that_fails_changes_nothing),
    ("no_request_fails_while_generations_change", no_request_fails_while_generations_change),
    (
        "all_generations_end_when_the_first_process_is_killed",
        all_generations_end_when_the_first_process_is_killed,
    ),
    ("a_generation_that_dies_later_is_started_again", a_generation_that_dies_later_is_started_again),
    ("workers_are_added_and_taken_away", workers_are_added_and_taken_away),
    ("a_stopped_worker_is_replaced", a_stopped_worker_is_replaced),
    ("a_worker_that_hangs_before_it_serves_is_replaced", a_worker_that_hangs_before_it_serves_is_replaced),
    ("workers_retire_after_so_many_requests", workers_retire_after_so_many_requests),
    ("a_worker_that_somebody_ends_is_replaced", a_worker_that_somebody_ends_is_replaced),
    ("a_worker_that_does_not_end_is_killed", a_worker_that_does_not_end_is_killed),
    ("a_second_signal_cuts_what_workers_are_at", a_second_signal_cuts_what_workers_are_at),
    ("sockets_and_wishes_of_the_service_manager", sockets_and_wishes_of_the_service_manager),
];

fn a_reload_changes_generations() {
    let t = Program::start("--processes=2", "one");
    assert_eq!(t.generation(), "one");
    let mut held = t.connect();
    held.send("/hold");
    // It has been accepted by the old generation once something that came later is answered by each of its workers.
    let workers = Program::children_of(t.pid());
    assert_eq!(workers.len(), 2);
    t.seen_by(&workers);
    for (signal, next) in [(Signal::HUP, "two"), (Signal::USR2, "three")] {
        t.configure(next);
        t.signal(signal);
        until(|| t.generation() == next, next);
    }
    t.release();
    let answer = held.answer().unwrap();
    assert!(answer.ends_with("\r\n\r\none") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    // The old workers are gone, and the one process that was started is still the one to talk to.
    until(|| Program::children_of(t.pid()).len() == 1, "only the generation that serves");
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.matches("The new generation serves").count(), 2, "{log}");
    assert!(!log.contains("Cut off"), "{log}");
}

fn a_generation_that_fails_changes_nothing() {
    let t = Program::start("--processes=2", "one");
    let workers = Program::children_of(t.pid());
    t.configure("crash");
    t.signal(Signal::HUP);
    t.logged("The new generation failed, and nothing has changed: it exited with status 3");
    assert_eq!((t.generation().as_str(), Program::children_of(t.pid())), ("one", workers));
    t.configure("two");
    t.signal(Signal::HUP);
    until(|| t.generation() == "two", "the second attempt");
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
}

fn no_request_fails_while_generations_change() {
    let t = Arc::new(Program::start("--processes=2", "0"));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (t, stop, count) = (Arc::clone(&t), Arc::clone(&stop), Arc::clone(&count));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Half of them on connections that are kept for a while.
                    let mut client = t.connect();
                    for request in 0..if number % 2 == 0 { 1 } else { 100 } {
                        client.send("/");
                        match client.answer() {
                            Some(answer) => {
                                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                                count.fetch_add(1, Ordering::Relaxed);
                                if answer.contains("\r\nConnection: close\r\n") {
                                    break;
                                }
                            }
                            // A kept connection may end between two requests, before anything of the answer
                            // (RFC 9112 §9.3.1): the client repeats it. It must not be the first.
                            None => {
                                assert!(request > 0, "a new connection was not served");
                                break;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    for generation in 1..=5 {
        let generation = generation.to_string();
        t.configure(&generation);
        t.signal(if generation == "3" { Signal::USR2 } else { Signal::HUP });
        until(|| t.generation() == generation, &generation);
    }
    let before = count.load(Ordering::Relaxed);
    until(|| count.load(Ordering::Relaxed) > before + 100, "requests after the last");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    t.signal(Signal::TERM);
    let t = Arc::into_inner(t).unwrap();
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
}

fn all_generations_end_when_the_first_process_is_killed() {
    let t = Program::start("--processes=2", "one");
    t.configure("two");
    t.signal(Signal::HUP);
    until(|| t.generation() == "two" && Program::children_of(t.pid()).len() == 1, "the second generation");
    let generation = Program::children_of(t.pid());
    let workers = Program::children_of(*generation.first().unwrap());
    assert_eq!(workers.len(), 2);
    t.signal(Signal::KILL);
    for pid in generation.into_iter().chain(workers) {
        until(|| !is_alive(pid), "all to end");
    }
}

fn a_generation_that_dies_later_is_started_again() {
    let t = Program::start("--processes=2", "one");
    t.configure("two");
    t.signal(Signal::HUP);
    until(|| t.generation() == "two" && Program::children_of(t.pid()).len() == 1, "the second generation");
    let generation = *Program::children_of(t.pid()).first().unwrap();
    t.configure("three");
    kill_process(Pid::from_raw(generation).unwrap(), Signal::KILL).unwrap();
    until(|| t.connect().ask("/").is_some_and(|answer| answer.ends_with("three")), "the next");
    t.signal(Signal::INT);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("The generation that served"), "{log}");
}

fn workers_are_added_and_taken_away() {
    let t = Program::start("--processes=2", "one");
    for (signal, count) in [
        (Signal::TTIN, 3),
        (Signal::TTOU, 2),
        (Signal::TTOU, 1),
        (Signal::TTOU, 1),
        (Signal::WINCH, 0),
        (Signal::TTIN, 1),
    ] {
        t.signal(signal);
        until(|| Program::children_of(t.pid()).len() == count, &format!("{signal:?}: {count}"));
    }
    assert_eq!(t.generation(), "one");
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains("restarting"), "{log}");
}

fn a_stopped_worker_is_replaced() {
    let t = Program::start("--processes=2 --worker-timeout=2s", "one");
    let before = Program::children_of(t.pid());
    // A worker is watched from when it serves.
    t.seen_by(&before);
    let stopped = *before.first().unwrap();
    kill_process(Pid::from_raw(stopped).unwrap(), Signal::STOP).unwrap();
    t.logged("and is killed");
    until(|| Program::children_of(t.pid()).difference(&before).count() == 1, "its successor");
    assert!(!is_alive(stopped));
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("killed by signal 9, restarting"), "{log}");
}

fn a_worker_that_hangs_before_it_serves_is_replaced() {
    let t = Program::start("--processes=2 --worker-timeout=2s", "hang");
    t.logged("has not begun to serve within ");
    let hung: i32 = std::fs::read_to_string(t.folder.path().join("hung")).unwrap().parse().unwrap();
    t.logged("killed by signal 9, restarting");
    assert!(!is_alive(hung));
    until(|| Program::children_of(t.pid()).len() == 2, "its successor");
    t.seen_by(&Program::children_of(t.pid()));
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.matches("is killed").count(), 1, "{log}");
}

fn workers_retire_after_so_many_requests() {
    let t = Program::start("--processes=2 --worker-max-requests=10", "one");
    let before = Program::children_of(t.pid());
    until(
        || {
            assert_eq!(t.generation(), "one");
            Program::children_of(t.pid()).is_disjoint(&before)
        },
        "other workers",
    );
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains(" retires") && !log.contains("restarting"), "{log}");
}

fn a_worker_that_somebody_ends_is_replaced() {
    let t = Program::start("--processes=2", "one");
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let before = Program::children_of(t.pid());
        t.seen_by(&before);
        for &worker in &before {
            kill_process(Pid::from_raw(worker).unwrap(), signal).unwrap();
        }
        let others = || {
            let now = Program::children_of(t.pid());
            now.len() == 2 && now.is_disjoint(&before)
        };
        until(others, "other workers");
        t.seen_by(&Program::children_of(t.pid()));
    }
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.matches(" retires").count(), 6, "{log}");
    assert!(!log.contains("restarting"), "{log}");
}

fn a_worker_that_does_not_end_is_killed() {
    let t = Program::start("--processes=2 --drain-timeout=0s", "one");
    let workers = Program::children_of(t.pid());
    let mut blocked = t.connect();
    blocked.send("/block");
    until(|| t.folder.path().join("blocked").exists(), "a worker to block");
    t.signal(Signal::TERM);
    t.logged("does not end and is killed");
    let (status, log) = t.finish();
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("error: a process did not end as it was asked to"), "{log}");
    assert!(workers.iter().all(|pid| !is_alive(*pid)));
}

fn a_second_signal_cuts_what_workers_are_at() {
    for first in [Signal::TERM, Signal::QUIT] {
        let t = Program::start("--processes=2", "one");
        let workers = Program::children_of(t.pid());
        let mut held = t.connect();
        held.send("/hold");
        t.seen_by(&workers);
        t.signal(first);
        if first == Signal::TERM {
            // Both have heard of it.
            until(|| t.log.0.lock().unwrap().matches("SIGTERM: shutting down").count() == 2, "the drain");
            t.signal(Signal::TERM);
        }
        let (status, log) = t.finish();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains(" s (SIGQUIT): 1 connection with 1 request\n"), "{log}");
        assert!(held.answer().is_none());
    }
}

fn sockets_and_wishes_of_the_service_manager() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    let told = |expected: &str| {
        let mut state = [0; 256];
        loop {
            let length = manager.recv(&mut state).unwrap();
            let state = String::from_utf8_lossy(&state[..length]).into_owned();
            if state != "WATCHDOG=1" {
                assert!(state.starts_with(expected), "{state:?} instead of {expected:?}");
                return;
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A duplicate, which `exec` does not close.
    let socket = rustix::io::dup(&listener).unwrap();
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web WATCHDOG_USEC=1000000 exec \"$0\" 3<&{}",
        socket.as_raw_fd()
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script, std::env::current_exe().unwrap().to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env(NAMED, "web");
    let t = Program::spawn(command, "--processes=2", "one", address.to_string());
    drop((listener, socket));
    told("READY=1");
    assert_eq!(t.generation(), "one");
    t.configure("two");
    t.signal(Signal::HUP);
    told("RELOADING=1\nMONOTONIC_USEC=");
    told("READY=1");
    // Until the old workers have heard that they may go, they answer too.
    until(|| t.generation() == "two", "the second generation");
    let mut state = [0; 256];
    while manager.recv(&mut state).unwrap() != "WATCHDOG=1".len() {}
    t.signal(Signal::TERM);
    told("STOPPING=1");
    let (status, log) = t.finish();
    assert_eq!(status, Some(0), "{log}");
}

pub(super) fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not a zombie either.
pub(super) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// What it is configured with, and where it leaves word.
const FOLDER: &str = "SQUALL_TEST_FOLDER";
const ARGS: &str = "SQUALL_TEST_ARGS";
/// The name of the socket to serve, instead of a port.
const NAMED: &str = "SQUALL_TEST_NAMED";

/// A server with its supervisor.
pub(super) struct Program {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
    log: Arc<(Mutex<String>, Condvar)>,
}

impl Program {
    pub(super) fn start(args: &str, generation: &str) -> Self {
        let command = Command::new(std::env::current_exe().unwrap());
        let mut t = Self::spawn(command, args, generation, String::new());
        let line = t.logged("Serving on ");
        t.address = line.split("Serving on ").nth(1).unwrap().trim().to_owned();
        // The first request waits until a worker is there; then all are.
        until(|| Program::children_of(t.pid()).len() == 2, "the workers");
        assert_eq!(t.generation(), generation);
        t
    }

    fn spawn(command: Command, args: &str, generation: &str, address: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), generation).unwrap();
        let mut command = super::logging(command, "supervised");
        let mut process = command.env(ARGS, args).env(FOLDER, folder.path()).spawn().unwrap();
        let log = Arc::<(Mutex<String>, Condvar)>::default();
        let (stderr, shared) = (process.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                shared.0.lock().unwrap().push_str(&format!("{line}\n"));
                shared.1.notify_all();
            }
        });
        Self { process, address, folder, log }
    }

    pub(super) fn pid(&self) -> i32 {
        Pid::from_child(&self.process).as_raw_pid()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn configure(&self, generation: &str) {
        // In one step: it may be read at any time.
        let path = self.folder.path().join("config");
        std::fs::write(path.with_extension("new"), generation).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn release(&self) {
        std::fs::write(self.folder.path().join("release"), "").unwrap();
    }

    /// Waits for a line of the log with this text.
    pub(super) fn logged(&self, text: &str) -> String {
        let find = |log: &str| log.lines().find(|line| line.contains(text)).map(str::to_owned);
        let log = self.log.0.lock().unwrap();
        let (log, _) = self.log.1.wait_timeout_while(log, LONG, |log| find(log).is_none()).unwrap();
        find(&log).unwrap_or_else(|| panic!("{text:?} is not in\n{log}"))
    }

    pub(super) fn children_of(pid: i32) -> BTreeSet<i32> {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).filter(|pid| is_alive(*pid)).collect()
    }

    /// Asks until each of these processes has answered.
    fn seen_by(&self, workers: &BTreeSet<i32>) {
        let mut seen = BTreeSet::new();
        until(
            || {
                let answer = self.connect().ask("/pid").unwrap();
                seen.insert(answer.rsplit('\n').next().unwrap().parse().unwrap());
                seen == *workers
            },
            "an answer of each worker",
        );
    }

    pub(super) fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Client { stream }
    }

    /// Who answers.
    fn generation(&self) -> String {
        let answer = self.connect().ask("/").expect("an answer");
        answer.rsplit('\n').next().unwrap().to_owned()
    }

    pub(super) fn finish(mut self) -> (Option<i32>, String) {
        let mut status = None;
        until(
            || {
                status = self.process.try_wait().unwrap();
                status.is_some()
            },
            "the end",
        );
        (status.unwrap().code(), self.log.0.lock().unwrap().clone())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log.0.lock().map(|log| log.clone()).unwrap_or_default());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(super) fn ask(&mut self, path: &str) -> Option<String> {
        self.send(path);
        self.answer()
    }

    pub(super) fn send(&mut self, path: &str) {
        // What was not taken is told by the answer.
        let _ = self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }

    /// A whole answer, or none of it.
    fn answer(&mut self) -> Option<String> {
        let mut got = Vec::new();
        loop {
            let text = String::from_utf8(got.clone()).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                if body.len() == length.unwrap().parse::<usize>().unwrap() {
                    return Some(text);
                }
            }
            let mut more = [0; 1024];
            match self.stream.read(&mut more) {
                Ok(length @ 1..) => got.extend_from_slice(&more[..length]),
                end => {
                    assert!(got.is_empty(), "{end:?} after {text:?}");
                    return None;
                }
            }
        }
    }
}

/// The program of these tests.
pub(crate) fn main() {
    squall::log::enable_pretty_logging();
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let generation = std::fs::read_to_string(folder.join("config")).unwrap();
    if generation == "crash" {
        std::process::exit(3);
    }
    let args = std::env::var(ARGS).unwrap();
    let option = |name: &str| {
        let found =
            args.split(' ').find_map(|arg| arg.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='));
        found.map(|text| text.trim_end_matches('s').parse::<u64>().unwrap())
    };
    let server = HttpServer::new(move || make_app(&folder, &generation))
        .processes(option("processes").unwrap() as usize)
        .worker_timeout(option("worker-timeout").map(Duration::from_secs))
        .worker_max_requests(option("worker-max-requests"))
        .drain_timeout(option("drain-timeout").map_or(LONG, Duration::from_secs));
    match std::env::var(NAMED) {
        Ok(name) => {
            // The first generation has it of the service manager, the others by where it listens.
            let named = squall::process::inherited(&name);
            server.bind_listeners(named);
        }
        Err(_) => {
            server.bind_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
        }
    }
    if let Err(error) = server.run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn make_app(folder: &Path, generation: &str) -> Application {
    if generation == "hang"
        && let Ok(mut first) = std::fs::File::create_new(folder.join("hung"))
    {
        write!(first, "{}", std::process::id()).unwrap();
        std::thread::sleep(LONG * 10);
    }
    let (folder, generation) = (folder.to_owned(), generation.to_owned());
    let (shown, block) = (generation.clone(), folder.join("blocked"));
    Application::new([
        url("/metrics", metrics()),
        get("/", async move |ctx: &Context| {
            ctx.write(format!("\n{shown}").trim_start());
            Ok(())
        }),
        get("/pid", async |ctx: &Context| {
            ctx.write(std::process::id().to_string());
            Ok(())
        }),
        get("/hold", async move |ctx: &Context| {
            while !folder.join("release").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ctx.write(&generation);
            Ok(())
        }),
        get("/block", async move |_: &Context| {
            std::fs::write(&block, "").unwrap();
            std::thread::sleep(LONG * 10);
            Ok(())
        }),
    ])
}
