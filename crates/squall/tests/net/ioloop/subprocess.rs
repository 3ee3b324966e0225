//! `squall::process::Subprocess` and `PipeIoStream`, after `SubprocessTest` of Tornado's `process_test.py` and `TestPipeIOStream`
//! of `iostream_test.py`; the table is in `README.md`.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use squall::ioloop::IoLoop;
use squall::iostream::{PipeIoStream, StreamError};
use squall::process::{CalledProcessError, Redirect, Subprocess};

const LONG: Option<Duration> = Some(Duration::from_secs(20));

fn run<T>(test: impl AsyncFnOnce() -> T) -> T {
    let io_loop = IoLoop::new().unwrap();
    let result = io_loop.run_sync(test(), LONG).unwrap();
    io_loop.close(false);
    result
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_conversation() {
    run(async || {
        let mut child = Subprocess::new(sh("while read line; do echo \"got $line\"; done; echo bye"))
            .stdin(Subprocess::STREAM)
            .stdout(Subprocess::STREAM)
            .start()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert!(child.stderr.is_none());
        for word in ["hello", "world"] {
            stdin.write(format!("{word}\n").as_bytes());
            assert_eq!(stdout.read_until(b"\n", None).await.unwrap(), format!("got {word}\n"));
        }
        assert_eq!(child.returncode(), None);
        stdin.close();
        assert_eq!(stdout.read_until_close().await.unwrap(), "bye\n");
        assert_eq!(child.wait_for_exit().await, Ok(0));
        assert_eq!(child.returncode(), Some(0));
    });
}

#[test]
fn closing_stdin_is_the_end() {
    run(async || {
        // A close callback watches the pipe; the close has to reach the child all the same.
        for watched in [false, true] {
            let mut child = Subprocess::new(Command::new("cat"))
                .stdin(Subprocess::STREAM)
                .stdout(Subprocess::STREAM)
                .start()
                .unwrap();
            let stdin = child.stdin.take().unwrap();
            let called = Rc::new(Cell::new(false));
            if watched {
                let called = called.clone();
                stdin.set_close_callback(move || called.set(true));
                squall::concurrent::sleep(Duration::from_millis(5)).await;
            }
            stdin.close();
            assert_eq!(child.stdout.take().unwrap().read_until_close().await.unwrap(), "");
            assert_eq!(child.wait_for_exit().await, Ok(0));
            assert_eq!(called.get(), watched);
        }
    });
}

#[test]
fn stderr_is_a_stream() {
    run(async || {
        let mut child = Subprocess::new(sh("echo err >&2; echo out"))
            .stdout(Redirect::Null)
            .stderr(Subprocess::STREAM)
            .start()
            .unwrap();
        assert!(child.stdin.is_none() && child.stdout.is_none());
        assert_eq!(child.stderr.take().unwrap().read_until_close().await.unwrap(), "err\n");
        child.wait_for_exit().await.unwrap();
    });
}

#[test]
fn stderr_goes_where_stdout_does() {
    run(async || {
        let script = "echo one; echo two >&2; echo three";
        let mut child =
            Subprocess::new(sh(script)).stdout(Subprocess::STREAM).stderr(Redirect::Stdout).start().unwrap();
        assert!(child.stderr.is_none());
        // Which has an end: none of our descriptors keeps the pipe open.
        assert_eq!(child.stdout.take().unwrap().read_until_close().await.unwrap(), "one\ntwo\nthree\n");
        child.wait_for_exit().await.unwrap();

        let (reader, writer) = std::io::pipe().unwrap();
        let child = Subprocess::new(sh(script)).stdout(writer).stderr(Redirect::Stdout).start().unwrap();
        assert!(child.stdout.is_none());
        let reader = PipeIoStream::new(reader).unwrap();
        assert_eq!(reader.read_until_close().await.unwrap(), "one\ntwo\nthree\n");
        child.wait_for_exit().await.unwrap();

        for stdout in [Redirect::Null, Redirect::Inherit] {
            let child = Subprocess::new(sh("true")).stdout(stdout).stderr(Redirect::Stdout).start().unwrap();
            child.wait_for_exit().await.unwrap();
        }
        for wrong in [
            Subprocess::new(sh("true")).stdin(Redirect::Stdout),
            Subprocess::new(sh("true")).stdout(Redirect::Stdout),
            Subprocess::new(sh("true")).stdout(Redirect::Stdout).stderr(Redirect::Stdout),
        ] {
            assert_eq!(wrong.start().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn output_goes_to_a_descriptor() {
    run(async || {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = Subprocess::new(sh("echo there")).stdout(writer).start().unwrap();
        assert_eq!(PipeIoStream::new(reader).unwrap().read_until_close().await.unwrap(), "there\n");
        child.wait_for_exit().await.unwrap();
    });
}

#[test]
fn exit_callbacks() {
    run(async || {
        let code = Rc::new(Cell::new(None));
        let child = Subprocess::new(sh("exit 3")).start().unwrap();
        let seen = code.clone();
        child.set_exit_callback(move |code| seen.set(Some(code)));
        drop(child); // it is called all the same
        while code.get().is_none() {
            squall::concurrent::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(code.get(), Some(3));
        let child = Subprocess::new(Command::new("true")).start().unwrap();
        child.wait_for_exit().await.unwrap();
        let (called, seen) = (Rc::new(Cell::new(None)), code.clone());
        let flag = called.clone();
        child.set_exit_callback(move |code| {
            seen.set(Some(code));
            flag.set(Some(()));
        });
        assert_eq!(called.get(), None, "by the loop, also when it is too late");
        squall::concurrent::sleep(Duration::from_millis(1)).await;
        assert_eq!((called.get(), code.get()), (Some(()), Some(0)));
    });
}

#[test]
fn exit_statuses() {
    run(async || {
        for (script, code) in [("exit 0", 0), ("exit 1", 1), ("kill -TERM $$", -libc_sigterm())] {
            let child = Subprocess::new(sh(script)).start().unwrap();
            let expected = if code == 0 { Ok(0) } else { Err(code) };
            assert_eq!(
                child.wait_for_exit().await.map_err(|error: CalledProcessError| error.returncode),
                expected
            );
            assert_eq!(child.wait_for_exit_code().await, code, "again, and as a number");
            child.terminate().unwrap(); // does nothing any more
        }
        let died = Subprocess::new(sh("kill -KILL $$")).start().unwrap().wait_for_exit().await.unwrap_err();
        assert_eq!(died.to_string(), "the subprocess died of signal 9");
    });
}

fn libc_sigterm() -> i32 {
    rustix::process::Signal::TERM.as_raw()
}

#[test]
fn signals_reach_it() {
    run(async || {
        for kill in [false, true] {
            let mut child = Subprocess::new(sh("echo ready; exec sleep 1000"))
                .stdout(Subprocess::STREAM)
                .start()
                .unwrap();
            child.stdout.take().unwrap().read_until(b"\n", None).await.unwrap();
            assert!(child.send_signal(0).is_err(), "no signal");
            if kill {
                child.kill().unwrap();
            } else {
                child.terminate().unwrap();
            };
            assert_eq!(child.wait_for_exit_code().await, if kill { -9 } else { -15 });
        }
    });
}

#[test]
fn none_of_our_descriptors_is_in_the_child() {
    run(async || {
        // As a C library would open one: not marked to be closed.
        let (ours, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
        let script = format!(
            "for fd in /proc/self/fd/*; do echo \"${{fd##*/}}\"; done; ls -l /proc/self/fd/{}",
            ours.as_raw_fd()
        );
        let mut child = Subprocess::new(sh(&script))
            .stdin(Redirect::Null)
            .stdout(Subprocess::STREAM)
            .stderr(Redirect::Null)
            .start()
            .unwrap();
        let open = child.stdout.take().unwrap().read_until_close().await.unwrap();
        let open = std::str::from_utf8(&open).unwrap();
        // The shell itself has the folder open that it lists.
        let fds: Vec<u32> = open.lines().filter_map(|line| line.parse().ok()).collect();
        assert!(fds.len() <= 4 && !fds.contains(&(ours.as_raw_fd() as u32)), "{open}");
        assert_ne!(child.wait_for_exit_code().await, 0, "ls finds it not");
    });
}

#[test]
fn a_program_that_is_not_there() {
    run(async || {
        let error = Subprocess::new(Command::new("/nowhere/nothing")).start().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn it_may_be_started_before_the_loop() {
    let io_loop = IoLoop::new().unwrap();
    io_loop.make_current();
    let child = Subprocess::new(sh("exit 2")).start().unwrap();
    assert_eq!(io_loop.run_sync(child.wait_for_exit_code(), LONG).unwrap(), 2);
    io_loop.close(false);
}

mod pipes {
    use super::*;

    fn pipe() -> (PipeIoStream, PipeIoStream) {
        let (reader, writer) = std::io::pipe().unwrap();
        (PipeIoStream::new(reader).unwrap(), PipeIoStream::new(writer).unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        run(async || {
            let (reader, writer) = pipe();
            writer.write(b"hel");
            writer.write(b"lo world");
            assert_eq!(reader.read_until(b" ", None).await.unwrap(), "hello ");
            assert_eq!(reader.read_bytes(3).await.unwrap(), "wor");
            writer.close();
            assert_eq!(reader.read_until_close().await.unwrap(), "ld");
            assert!(reader.is_closed());
        });
    }

    #[test]
    fn a_large_amount() {
        run(async || {
            let (reader, writer) = pipe();
            const BYTES: usize = 3 * 1024 * 1024;
            let data: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
            let sent = data.clone();
            let writing = IoLoop::current().spawn(async move {
                writer.write(&sent).await.unwrap();
                writer.close();
            });
            assert!(reader.read_until_close().await.unwrap() == data[..]);
            writing.await.unwrap();
        });
    }

    #[test]
    fn nobody_reads() {
        run(async || {
            let (reader, writer) = pipe();
            let called = Rc::new(Cell::new(false));
            let flag = called.clone();
            writer.set_close_callback(move || flag.set(true));
            drop(reader);
            while !called.get() {
                squall::concurrent::sleep(Duration::from_millis(1)).await;
            }
            let error = writer.write(b"x").await.unwrap_err();
            assert!(matches!(error, StreamError::Closed(_)), "{error:?}");
        });
    }

    #[test]
    fn a_pipe_is_no_socket() {
        run(async || {
            let (reader, writer) = pipe();
            assert!(
                reader.peer_addr().is_err() && reader.detach().is_err() && writer.shutdown_write().is_err()
            );
            writer.write(b"still").await.unwrap();
            assert_eq!(reader.read_bytes(5).await.unwrap(), "still");
            let file = tempfile::tempfile().unwrap();
            assert!(PipeIoStream::new(file).is_err(), "nothing to wait for");
        });
    }
}
