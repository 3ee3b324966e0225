//! What needs a process of its own: forking, after Tornado's `process_test.py`; signals, and the start anew; tests that
//! count the memory or the descriptors of a process.
//!
//! libtest runs tests on threads, where nothing can be forked; so this binary has a `main` of its own. It runs the
//! tests one by one, and each starts the binary anew to run nothing but [`supervisor`] on the main thread. Its children connect to a socket of the test, say who they are, and do what
//! they are told there; a child whose connection ends exits, so that none outlives its test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counting;
mod drain;
mod httpclient_faults;
mod options;
mod server;
mod soak;
mod supervision;
mod tcpserver_fork;
mod upload_memory;
mod websocket_slow;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use squall::ioloop::IoLoop;
use squall::process::{fork_processes, task_id};

/// As `#[squall::test]`, which needs libtest.
pub(crate) fn run<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    IoLoop::current().run_sync(test, Some(limit)).unwrap()
}

const LONG: Duration = Duration::from_secs(20);

/// What the re-started binary is to do; without it, it runs the tests.
const ROLE: &str = "SQUALL_TEST_ROLE";
const SOCKET: &str = "SQUALL_TEST_SOCKET";

/// Every test of this file.
const TESTS: &[(&str, fn())] = &[
    ("children_are_restarted_with_the_same_id", children_are_restarted_with_the_same_id),
    (
        "the_parent_gives_up_after_too_many_restarts_and_ends_the_others",
        the_parent_gives_up_after_too_many_restarts_and_ends_the_others,
    ),
    ("sigterm_is_passed_on_and_nothing_is_restarted", sigterm_is_passed_on_and_nothing_is_restarted),
    (
        "sigint_is_passed_on_and_a_child_that_fails_at_its_end_shows_in_the_status",
        sigint_is_passed_on_and_a_child_that_fails_at_its_end_shows_in_the_status,
    ),
    ("children_end_when_the_parent_is_killed", children_end_when_the_parent_is_killed),
    ("no_number_means_one_process_per_core", no_number_means_one_process_per_core),
    ("each_child_has_a_loop_of_its_own", each_child_has_a_loop_of_its_own),
    ("forking_is_refused_when_a_loop_exists", forking_is_refused_when_a_loop_exists),
    ("forking_is_refused_when_there_are_threads", forking_is_refused_when_there_are_threads),
    ("a_child_cannot_fork_again", a_child_cannot_fork_again),
];

/// A subset of libtest's command line: words that select tests by a part of their name, and `--list`.
fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return match role.split(' ').next() {
            Some("listen" | "tls" | "run") => drain::server(&role),
            Some("options") => options::main(),
            Some("supervised") => supervision::main(),
            Some("soak") => soak::serve(),
            Some("upload_memory") => upload_memory::serve(),
            Some("tcpserver") => tcpserver_fork::main(&role),
            _ => supervisor(&role),
        };
    }
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let all = [
        TESTS,
        counting::TESTS,
        drain::TESTS,
        options::TESTS,
        supervision::TESTS,
        tcpserver_fork::TESTS,
        httpclient_faults::TESTS,
        websocket_slow::TESTS,
        upload_memory::TESTS,
        soak::TESTS,
    ];
    let selected = all.concat().into_iter().filter(|(name, _)| wanted(name));
    if flags.iter().any(|flag| flag == "--list") {
        return selected.for_each(|(name, _)| println!("{name}: test"));
    }
    let mut failed = Vec::new();
    for (name, test) in selected {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

fn children_are_restarted_with_the_same_id() {
    let t = Test::start("fork 3 5");
    let mut children = t.children(3);
    assert_eq!(children.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);

    let former = children.remove(&1).unwrap();
    former.order("exit 2");
    let next = t.child();
    assert_eq!(next.id, 1);
    assert_ne!(next.pid, former.pid);

    let killed = children.remove(&0).unwrap();
    killed.order("kill");
    let restarted = t.child();
    assert_eq!(restarted.id, 0);

    for child in children.values().chain([&next, &restarted]) {
        child.order("exit 0");
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("Starting 3 processes"), "{log}");
    assert!(log.contains(&format!("child 1 (pid {}) exited with status 2, restarting", former.pid)), "{log}");
    assert!(log.contains(&format!("child 0 (pid {}) killed by signal 9, restarting", killed.pid)), "{log}");
    assert!(log.contains(&format!("child 0 (pid {}) exited normally", restarted.pid)), "{log}");
}

fn the_parent_gives_up_after_too_many_restarts_and_ends_the_others() {
    let t = Test::start("fork 2 1");
    let mut children = t.children(2);
    children.remove(&0).unwrap().order("exit 3");
    let again = t.child();
    again.order("exit 3");
    children.remove(&1).unwrap().expect_end();
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("error: Too many child restarts, giving up"), "{log}");
}

fn sigterm_is_passed_on_and_nothing_is_restarted() {
    let t = Test::start("fork 2 5");
    let children = t.children(2);
    t.signal(Signal::TERM);
    for child in children.into_values() {
        child.expect_end();
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("killed by signal 15\n"), "{log}");
    assert!(!log.contains("restarting"), "{log}");
}

fn sigint_is_passed_on_and_a_child_that_fails_at_its_end_shows_in_the_status() {
    let t = Test::start("fork 2 5");
    let mut children = t.children(2);
    let graceful = children.remove(&1).unwrap();
    graceful.order("on-sigint-exit 4");
    graceful.expect_answer("ready");
    t.signal(Signal::INT);
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("exited with status 4\n"), "{log}");
}

fn children_end_when_the_parent_is_killed() {
    let t = Test::start("fork 2 5");
    let children = t.children(2);
    t.signal(Signal::KILL);
    for child in children.into_values() {
        child.expect_end();
    }
    let (status, _) = t.finish();
    assert_eq!(status.signal(), Some(9));
}

fn no_number_means_one_process_per_core() {
    let t = Test::start("fork 0 5");
    let children = t.children(squall::process::cpu_count());
    for child in children.values() {
        child.order("exit 0");
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
}

fn each_child_has_a_loop_of_its_own() {
    let t = Test::start("fork 2 5");
    for child in t.children(2).values() {
        child.order("loop");
        child.expect_answer("initialized false, then true; ran in child");
        child.order("exit 0");
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
}

fn forking_is_refused_when_a_loop_exists() {
    let (status, log) = Test::start("loop-then-fork").finish();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains(
            "error: Cannot run in multiple processes: IOLoop instance has already been initialized. \
             You cannot call IOLoop.instance() before calling start_processes()\n"
        ),
        "{log}"
    );
}

fn forking_is_refused_when_there_are_threads() {
    let (status, log) = Test::start("thread-then-fork").finish();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("error: Cannot run in multiple processes: this process has 2 threads"), "{log}");
}

fn a_child_cannot_fork_again() {
    let t = Test::start("fork 1 5");
    let children = t.children(1);
    children[&0].order("fork");
    children[&0].expect_answer("Cannot run in multiple processes: this is child 0 of fork_processes");
    children[&0].order("exit 0");
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// A supervisor and the socket on which its children report. Dropping it ends them all.
struct Test {
    supervisor: Child,
    /// Reads along: who logs into a full pipe stands still.
    log: Option<JoinHandle<String>>,
    listener: UnixListener,
    path: PathBuf,
}

/// What this program is to be run by, in a role, with nothing of it but its log.
fn logging(mut command: Command, role: &str) -> Command {
    command.env(ROLE, role).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Test {
    fn start(role: &str) -> Test {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("squall-process-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let program = Command::new(std::env::current_exe().unwrap());
        let mut supervisor = logging(program, role).env(SOCKET, &path).spawn().unwrap();
        let mut stderr = supervisor.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        });
        Test { supervisor, log: Some(log), listener, path }
    }

    /// The next child that reports.
    fn child(&self) -> Reported {
        Reported::greet(self.accept())
    }

    fn accept(&self) -> BufReader<UnixStream> {
        let deadline = Instant::now() + LONG;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(LONG)).unwrap();
                    return BufReader::new(stream);
                }
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
            assert!(Instant::now() < deadline, "no child reported");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn children(&self, count: usize) -> BTreeMap<usize, Reported> {
        (0..count).map(|_| self.child()).map(|child| (child.id, child)).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.supervisor), signal).unwrap();
    }

    /// Waits for the supervisor to end by itself; its status and what it logged.
    fn finish(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the supervisor did not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        (status, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A child that has said who it is.
struct Reported {
    id: usize,
    pid: u32,
    stream: BufReader<UnixStream>,
}

impl Reported {
    fn greet(mut stream: BufReader<UnixStream>) -> Self {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let (id, pid) = line.trim().split_once(' ').unwrap();
        Reported { id: id.parse().unwrap(), pid: pid.parse().unwrap(), stream }
    }

    fn order(&self, order: &str) {
        writeln!(self.stream.get_ref(), "{order}").unwrap();
    }

    fn expect_answer(&self, expected: &str) {
        let mut line = String::new();
        BufReader::new(self.stream.get_ref()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    /// The child's process is gone, which closes its connection.
    fn expect_end(mut self) {
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0);
    }
}

/// The process that the tests above start.
fn supervisor(role: &str) {
    squall::log::enable_pretty_logging();
    let mut words = role.split(' ');
    let forked = match words.next() {
        Some("fork") => {
            let mut number = || words.next().unwrap().parse().ok();
            fork_processes(number(), number())
        }
        Some("loop-then-fork") => {
            let _io_loop = IoLoop::current();
            fork_processes(Some(1), None)
        }
        Some("thread-then-fork") => {
            std::thread::spawn(|| std::thread::sleep(LONG));
            fork_processes(Some(1), None)
        }
        role => panic!("unknown role {role:?}"),
    };
    match forked {
        Ok(id) => child(id),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

/// Does what the test says, until told to exit or the test is over.
fn child(id: usize) -> ! {
    let stream = UnixStream::connect(std::env::var(SOCKET).unwrap()).unwrap();
    writeln!(&stream, "{} {}", task_id().unwrap(), std::process::id()).unwrap();
    for order in BufReader::new(stream.try_clone().unwrap()).lines() {
        let Ok(order) = order else { break };
        let (verb, number) = order.split_once(' ').unwrap_or((&order, "0"));
        match verb {
            "exit" => std::process::exit(number.parse().unwrap()),
            "kill" => kill_process(rustix::process::getpid(), Signal::KILL).unwrap(),
            "on-sigint-exit" => wait_for_sigint(&stream, number.parse().unwrap()),
            "fork" => writeln!(&stream, "{}", fork_processes(Some(1), None).unwrap_err()).unwrap(),
            "loop" => {
                let before = IoLoop::initialized();
                let ran = IoLoop::current().run_sync(async { "ran in child" }, Some(LONG)).unwrap();
                writeln!(&stream, "initialized {before}, then {}; {ran}", IoLoop::initialized()).unwrap();
            }
            verb => panic!("child {id}: unknown order {verb}"),
        }
    }
    std::process::exit(0)
}

fn wait_for_sigint(stream: &UnixStream, status: i32) -> ! {
    let wait = async {
        let mut interrupted = std::pin::pin!(squall::ioloop::shutdown_signal());
        std::future::poll_fn(|cx| {
            assert!(interrupted.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        writeln!(&*stream, "ready").unwrap();
        interrupted.await;
    };
    IoLoop::current().run_sync(wait, Some(LONG)).unwrap();
    std::process::exit(status)
}
