//! Programs that are started again: this test program, run once more with `--ignored`, is the one that is watched.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use squall::testing::bind_unused_port;
use squall::{Application, HttpServer, IoLoop, autoreload};

/// The program under test. Says who it is, and what happens.
#[test]
#[ignore = "run by the other tests"]
fn watched_program() {
    let Ok(mode) = std::env::var("SQUALL_AUTORELOAD_MODE") else { return };
    println!("\nstarted {}", std::process::id());
    autoreload::watch(std::env::var_os("SQUALL_AUTORELOAD_FILE").unwrap());
    autoreload::add_reload_hook(|| println!("first hook"));
    autoreload::add_reload_hook(|| panic!("on purpose"));
    autoreload::add_reload_hook(|| println!("last hook"));
    if mode == "wait" {
        autoreload::wait();
        return;
    }
    let (listener, _) = bind_unused_port();
    let io_loop = IoLoop::current();
    io_loop.add_callback(move || {
        let mode = mode.clone();
        let server = HttpServer::new(move || match mode.as_str() {
            "debug" => Application::new([]).debug(true),
            "debug, but" => Application::new([]).debug(true).autoreload(false),
            "autoreload" => Application::new([]).autoreload(true),
            _ => Application::new([]),
        });
        server.add_sockets([listener.into()]).unwrap();
        println!("ready");
    });
    io_loop.start().unwrap();
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(executable: &Path, mode: &str, file: &Path) -> Self {
        let mut child = Command::new(executable)
            // A program of tests reads its arguments as text.
            .arg0("program")
            .args(["--exact", "autoreload::watched_program", "--ignored", "--nocapture", "--test-threads=1"])
            .env("SQUALL_AUTORELOAD_MODE", mode)
            .env("SQUALL_AUTORELOAD_FILE", file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line that starts so; the lines before it that tell something come first.
    fn until(&mut self, start: &str) -> Vec<String> {
        let mut told = Vec::new();
        for line in &mut self.lines {
            let line = line.unwrap();
            let done = line.starts_with(start);
            if done || line.ends_with("hook") {
                told.push(line);
            }
            if done {
                return told;
            }
        }
        panic!("the program ended before {start:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_executable() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
fn a_watched_file_starts_the_program_again() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, ready) in [("debug", "ready"), ("autoreload", "ready"), ("wait", "started")] {
        let file = folder.path().join(mode);
        std::fs::write(&file, "old").unwrap();
        let mut program = Program::start(&own_executable(), mode, &file);
        let started = program.until("started").pop().unwrap();
        if ready == "ready" {
            program.until(ready);
        } else {
            // It is watched before it sleeps, but only just.
            std::thread::sleep(Duration::from_millis(200));
        }
        // Written in two steps: a change is taken when the file rests.
        std::fs::write(&file, "half of").unwrap();
        std::fs::write(&file, "the new content").unwrap();
        // The same process; a hook that panics stops neither the next one nor the start.
        assert_eq!(program.until("started"), ["first hook", "last hook", &started], "{mode}");
    }
}

#[test]
fn a_new_executable_is_started() {
    // Linux says of a path whose file was replaced that it was deleted; it need be neither UTF-8 nor free of those words.
    for name in [&b"program"[..], b"pro\xffgram", b"program (deleted)"] {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join(OsStr::from_bytes(name));
        std::fs::copy(own_executable(), &executable).unwrap();
        let mut program = Program::start(&executable, "debug", &folder.path().join("nothing"));
        let started = program.until("started").pop().unwrap();
        program.until("ready");
        // As a linker does it: another file of that name.
        let new = folder.path().join("new");
        std::fs::copy(own_executable(), &new).unwrap();
        std::fs::remove_file(&executable).unwrap();
        std::fs::rename(&new, &executable).unwrap();
        assert_eq!(program.until("started").last(), Some(&started), "{executable:?}");
    }
}

#[test]
fn nothing_is_watched_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["off", "debug, but"] {
        let file = folder.path().join("file");
        std::fs::write(&file, "old").unwrap();
        let mut program = Program::start(&own_executable(), mode, &file);
        program.until("ready");
        std::fs::write(&file, "the new content").unwrap();
        // Three times what a start takes that is asked for.
        std::thread::sleep(autoreload::CHECK_TIME * 6);
        assert!(program.child.try_wait().unwrap().is_none());
        program.child.kill().unwrap();
        let rest: Vec<String> = program.lines.by_ref().map_while(Result::ok).collect();
        assert!(!rest.iter().any(|line| line.contains("started") || line.contains("hook")), "{rest:?}");
    }
}
