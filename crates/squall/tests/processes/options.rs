//! Options of a program: what it prints, how it ends, and what a server makes of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use squall::netutil::BindOptions;
use squall::{Application, Context, HttpServer, get, options};

use super::ROLE;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("help_is_printed_and_the_status_is_0", help_is_printed_and_the_status_is_0),
    ("what_is_wrong_ends_the_program_with_status_1", what_is_wrong_ends_the_program_with_status_1),
    ("run_follows_the_options", run_follows_the_options),
    ("a_program_for_this_machine_only_stays_so", a_program_for_this_machine_only_stays_so),
    ("logging_is_left_alone_where_it_is_asked_for", logging_is_left_alone_where_it_is_asked_for),
    ("the_log_goes_to_a_file", the_log_goes_to_a_file),
    ("a_request_is_an_object_in_a_json_log", a_request_is_an_object_in_a_json_log),
    ("a_log_that_nobody_reads_stops_nobody", a_log_that_nobody_reads_stops_nobody),
    ("a_log_elsewhere_says_why_the_program_ends", a_log_elsewhere_says_why_the_program_ends),
    ("one_process_answers_what_is_for_a_supervisor", one_process_answers_what_is_for_a_supervisor),
];

/// The program listens on 127.0.0.1 by itself, as its `default` or having it `bound`.
const ADDRESS: &str = "SQUALL_TEST_ADDRESS";

/// The program is to log this and to end.
const SAY: &str = "SQUALL_TEST_SAY";

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).env(ROLE, "options").env_remove("RUST_LOG").env_remove("T_GREETING");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program(args).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn help_is_printed_and_the_status_is_0() {
    let (status, help) = run(&["--help"]);
    assert_eq!(status, Some(0), "{help}");
    assert!(help.starts_with("Usage: ") && help.contains(" [OPTIONS]\n"), "{help}");
    let from = help.find("Options:").unwrap();
    assert_eq!(&help[from..], include_str!("help.txt"), "{}", &help[from..]);
}

fn what_is_wrong_ends_the_program_with_status_1() {
    let (status, printed) = run(&["--nothing"]);
    assert_eq!(status, Some(1));
    assert!(printed.starts_with("Usage: "), "{printed}");
    assert!(printed.ends_with("error: Unrecognized command line option: 'nothing'\n"), "{printed}");
    for (args, expected) in [
        (&["--port=x"][..], "error: Option 'port' is required to be an integer ('x' given)\n"),
        (&["--port"], "error: Option 'port' requires a value\n"),
        (
            &["--log-rotate-mode=moon"],
            "error: Option 'log-rotate-mode' is required to be one of size, time ('moon' given)\n",
        ),
        (
            &["--logging=loud"],
            "error: Option 'logging' is required to be one of debug, info, warning, error, none ('loud' given)\n",
        ),
        (
            &["--log-file-prefix=/no/a.log"],
            "error: /no/a.log: the log file cannot be opened: No such file or directory (os error 2)\n",
        ),
        (
            &["--certfile=a.pem"],
            if cfg!(feature = "tls") {
                "error: ssl_options: certfile a.pem: No such file or directory (os error 2)\n"
            } else {
                "error: this program cannot serve TLS: --certfile and --keyfile are of no use\n"
            },
        ),
        (
            &["--certfile=a.pem,b.pem", "--keyfile=a.key", "--ca-certs=c.pem"],
            if cfg!(feature = "tls") {
                "error: ssl_options: ca_certs c.pem: No such file or directory (os error 2)\n"
            } else {
                "error: this program cannot serve TLS: --certfile and --keyfile are of no use\n"
            },
        ),
        (
            &["--ca-certs=c.pem"],
            if cfg!(feature = "tls") {
                "error: --ca-certs needs --certfile\n"
            } else {
                "error: this program cannot serve TLS: --certfile and --keyfile are of no use\n"
            },
        ),
    ] {
        assert_eq!(run(args), (Some(1), expected.to_owned()), "{args:?}");
    }
}

/// Where the program listens is its own affair, unless an address is given.
fn a_program_for_this_machine_only_stays_so() {
    for (own, args, expected) in [
        ("default", &["--port=0"][..], "127.0.0.1:"),
        ("bound", &["--port=0"], "127.0.0.1:"),
        ("bound", &[], "127.0.0.1:"),
        ("default", &["--port=0", "--address=127.0.0.2"], "127.0.0.2:"),
        ("bound", &["--port=0", "--address=127.0.0.2"], "127.0.0.2:"),
        ("bound", &["--address=127.0.0.2"], "127.0.0.2:"),
    ] {
        let server = Server::start(program(&[args, &["--processes=1"]].concat()).env(ADDRESS, own));
        assert!(server.address.starts_with(expected), "{own}, {args:?}: {}", server.address);
        ask(TcpStream::connect(&server.address).unwrap());
        let log = server.end();
        let line = log.lines().find(|line| line.contains("Serving on")).unwrap();
        assert!(!line.contains(", "), "{own}, {args:?}: {line}");
    }
}

fn run_follows_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let args = ["--port=0", "--address=127.0.0.1", "--processes=1", "--greeting=Hej"];
    let server = Server::start(program(&args).env("T_GREETING", "less"));
    assert!(ask(TcpStream::connect(&server.address).unwrap()).ends_with("Hej"));
    server.end();

    let unix = format!("--unix-socket={}", socket.display());
    let server = Server::start(program(&[&unix, "--processes=2"]).env("T_GREETING", "from outside"));
    assert!(ask(UnixStream::connect(&socket).unwrap()).ends_with("from outside"));
    let log = server.end();
    assert!(log.contains("Starting 2 processes"), "{log}");
}

fn logging_is_left_alone_where_it_is_asked_for() {
    for (environment, args, is_logged) in [
        (None, &[][..], true),
        (None, &["--logging=none"], false),
        (None, &["--logging=None"], false),
        (Some("none"), &[], false),
        // The command line wins.
        (Some("none"), &["--logging=info"], true),
        (None, &["--logging=warning"], false),
    ] {
        let mut program = program(args);
        program.env(SAY, "hello");
        if let Some(environment) = environment {
            program.env("T_LOGGING", environment);
        }
        let output = program.output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert_eq!(printed.contains("] hello"), is_logged, "{environment:?} {args:?}: {printed}");
    }
}

fn the_log_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    let prefix = format!("--log-file-prefix={}", log.display());
    let args = ["--port=0", "--address=127.0.0.1", "--processes=1", "--log-to-stderr", &prefix];
    let server = Server::start(&mut program(&args));
    ask(TcpStream::connect(&server.address).unwrap());
    let printed = server.end();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("] 200 GET / (127.0.0.1) "), "{text}");
    assert_eq!(text, printed);
}

fn a_request_is_an_object_in_a_json_log() {
    let args = ["--port=0", "--address=127.0.0.1", "--processes=2", "--log-format=json"];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    let prefix = format!("--log-file-prefix={}", log.display());
    // Where it listens stands in both.
    let server = Server::start(&mut program(&[&args[..], &[&prefix, "--log-to-stderr"]].concat()));
    ask(TcpStream::connect(&server.address).unwrap());
    server.end();
    let text = std::fs::read_to_string(&log).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = objects.into_iter().find(|object| object["target"] == "squall::access").unwrap();
    for (name, value) in [
        ("method", "GET"),
        ("path", "/"),
        ("peer", "127.0.0.1"),
        ("version", "HTTP/1.1"),
        ("route", "/"),
        ("level", "info"),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert!(
        line["duration_ms"].is_f64() && line["message"].as_str().unwrap().starts_with("200 GET / "),
        "{line}"
    );
}

fn a_log_that_nobody_reads_stops_nobody() {
    let args = ["--port=0", "--address=127.0.0.1", "--processes=1", "--log-format=json"];
    let server = Server::start(&mut program(&args));
    // Many times what the pipe and the server hold.
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(b"GET /shout HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let log = server.end();
    let said = log.lines().find(|line| line.contains("Lines of the log were dropped here"));
    let said: serde_json::Value = serde_json::from_str(said.expect("it says so")).unwrap();
    assert!(said["level"] == "error" && said["lines"].as_u64() > Some(0), "{said}");
}

fn a_log_elsewhere_says_why_the_program_ends() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    let prefix = format!("--log-file-prefix={}", log.display());
    let (status, printed) = run(&["--address=127.0.0.1", &format!("--port={port}"), &prefix]);
    assert_eq!(status, Some(1), "{printed}");
    assert!(printed.contains("error: ") && printed.contains("in use"), "{printed}");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("The program ends: ") && text.contains("in use"), "{text}");
}

fn one_process_answers_what_is_for_a_supervisor() {
    let mut server = Server::start(&mut program(&["--port=0", "--address=127.0.0.1", "--processes=1"]));
    let pid = rustix::process::Pid::from_child(&server.process);
    for (signal, name) in [
        (rustix::process::Signal::HUP, "SIGHUP: "),
        (rustix::process::Signal::USR2, "SIGUSR2: "),
        (rustix::process::Signal::TTIN, "SIGTTIN: "),
        (rustix::process::Signal::TTOU, "SIGTTOU: "),
    ] {
        rustix::process::kill_process(pid, signal).unwrap();
        let before = server.log.len();
        while !server.log[before..].contains(name) {
            assert!(server.stderr.read_line(&mut server.log).unwrap() > 0, "{}", server.log);
        }
        ask(TcpStream::connect(&server.address).unwrap());
    }
    server.end();
}

/// The program, once it serves.
struct Server {
    process: Child,
    address: String,
    log: String,
    stderr: BufReader<ChildStderr>,
}

impl Server {
    #[allow(clippy::zombie_processes, reason = "`end` waits for it")]
    fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut log = String::new();
        loop {
            let before = log.len();
            assert!(stderr.read_line(&mut log).unwrap() > 0, "{log}");
            if let Some((_, address)) = log[before..].split_once("Serving on ") {
                // Up to what a JSON line goes on with.
                let address = address.trim().split(['"', ' ']).next().unwrap().to_owned();
                return Self { process, address, log, stderr };
            }
        }
    }

    /// Ends it, and gives all that it logged.
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.stderr.read_to_string(&mut self.log).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0), "{}", self.log);
        std::mem::take(&mut self.log)
    }
}

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}

/// The program of these tests.
pub(crate) fn main() {
    if let Err(error) = serve() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn serve() -> squall::Result {
    let greeting =
        options::define("greeting", "Hello".to_owned()).help("what visitors are told").group("Example");
    options::define("password", "hunter2".to_owned()).help("of the database").group("Example").secret();
    let address = std::env::var(ADDRESS).unwrap_or_default();
    if address == "default" {
        options::define("address", "127.0.0.1".to_owned());
    }
    options::parse_environment("T_")?;
    options::parse_command_line()?;
    if let Ok(text) = std::env::var(SAY) {
        tracing::info!("{text}");
        return Ok(());
    }
    let server = HttpServer::new(move || {
        let greeting = greeting.get();
        let hello = get("/", async move |ctx: &Context| {
            ctx.write(&greeting);
            Ok(())
        });
        let shout = get("/shout", async |_: &Context| {
            tracing::warn!("{}", "x".repeat(100_000));
            Ok(())
        });
        Application::new([hello, shout])
    });
    if address == "bound" {
        server.bind_on(0, &BindOptions::new().address("127.0.0.1"))?;
    }
    server.run()
}
