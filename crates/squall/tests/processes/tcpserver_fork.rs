//! `TcpServer` in several processes, after the `TestMultiprocess` of Tornado's `tcpserver_test.py`.
//!
//! Forking needs a process without threads, which a test of libtest does not have: this binary has a `main` of its own,
//! and starts itself anew for each test, with the role to play in the environment.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamError};
use squall::netutil::{Address, BindOptions, bind_sockets};
use squall::process::{fork_processes, task_id};
use squall::tcpserver::{StartError, StreamHandler, TcpServer};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("three_processes_after_bind_and_start", || each_of_three_processes_reports("tcpserver bind_start")),
    ("three_processes_after_add_sockets", || each_of_three_processes_reports("tcpserver add_sockets")),
    ("three_processes_share_a_port", || each_of_three_processes_reports("tcpserver reuse_port")),
    ("connections_are_served_by_the_children", connections_are_served_by_the_children),
];

/// What the re-started binary does.
pub(crate) fn main(role: &str) {
    match role {
        "tcpserver bind_start" => bind_start(),
        "tcpserver add_sockets" => add_sockets(),
        "tcpserver reuse_port" => reuse_port(),
        "tcpserver serve" => serve(),
        role => panic!("unknown role {role}"),
    }
}

fn each_of_three_processes_reports(role: &str) {
    let output = start(role).wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["task 0", "task 1", "task 2"], "{role}");
    assert!(output.status.success(), "{role}: {:?}", output.status);
}

fn connections_are_served_by_the_children() {
    let mut parent = Killed(start("tcpserver serve"));
    let mut line = String::new();
    BufReader::new(parent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer == "task 0" || answer == "task 1", "{answer:?}");
    }
}

fn start(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(super::ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Children end with their parent.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bind_start() {
    let server = new_server();
    server.bind(0, &localhost()).unwrap();
    server.start(3).unwrap();
    assert!(matches!(server.start(3), Err(StartError::AlreadyStarted)));
    report_and_exit();
}

fn add_sockets() {
    let sockets = bind_sockets(0, &localhost()).unwrap();
    fork_processes(Some(3), None).unwrap();
    new_server().add_sockets(sockets);
    report_and_exit();
}

fn reuse_port() {
    let options = localhost().reuse_port(true);
    let holder = bind_sockets(0, &options).unwrap();
    let port = holder[0].local_addr().unwrap().port().unwrap();
    fork_processes(Some(3), None).unwrap();
    new_server().listen_on(port, &options).unwrap();
    report_and_exit();
}

fn serve() {
    let server = new_server();
    server.bind(0, &localhost()).unwrap();
    println!("{}", server.local_addrs()[0]);
    server.start(2).unwrap();
    IoLoop::current().start().unwrap();
}

fn new_server() -> TcpServer<impl StreamHandler> {
    TcpServer::new(async |stream: IoStream, _: Address| -> Result<(), StreamError> {
        stream.write(task_line()).await
    })
}

fn localhost() -> BindOptions {
    BindOptions::new().address("127.0.0.1")
}

fn task_line() -> String {
    task_id().map_or_else(|| "no task".to_string(), |id| format!("task {id}"))
}

fn report_and_exit() -> ! {
    IoLoop::current().run_sync(async {}, None).unwrap();
    // One system call, so that the lines of the processes are not mixed.
    io::stdout().write_all(format!("{}\n", task_line()).as_bytes()).unwrap();
    std::process::exit(0);
}
