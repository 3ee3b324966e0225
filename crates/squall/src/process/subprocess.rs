//! Running programs, with streams for their pipes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::task::{Poll, Waker};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::ioloop::IoLoop;
use crate::iostream::PipeIoStream;
use crate::log;
use crate::netutil::{spawn, within};
use crate::stack_context::Captured;
use crate::sys;

/// A program that was started, and whose pipes are streams of the loop.
///
/// ```
/// use std::process::Command;
/// use squall::process::Subprocess;
///
/// # squall::IoLoop::current().run_sync(async {
/// let mut cat = Subprocess::new(Command::new("cat"))
///     .stdin(Subprocess::STREAM)
///     .stdout(Subprocess::STREAM)
///     .start()?;
/// let (stdin, stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
/// stdin.write(b"meow");
/// assert_eq!(stdout.read_bytes(4).await?, "meow");
/// stdin.close();
/// assert_eq!(cat.wait_for_exit().await?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }, None).unwrap().unwrap();
/// ```
///
/// The program finds none of this process's descriptors but its standard input, output and error. It goes on when this is
/// dropped; the loop takes its exit status then, so that no zombie is left.
pub struct Subprocess {
    /// What it reads, if that is [`STREAM`](Self::STREAM). It sees the end when the stream is closed.
    pub stdin: Option<PipeIoStream>,
    /// What it writes, if that is [`STREAM`](Self::STREAM).
    pub stdout: Option<PipeIoStream>,
    /// Its error output, if that is [`STREAM`](Self::STREAM).
    pub stderr: Option<PipeIoStream>,
    pid: u32,
    exit: Rc<Exit>,
}

/// How a [`Subprocess`] is to be started.
#[must_use = "it does nothing until it is started"]
pub struct SubprocessOptions {
    command: Command,
    stdin: Redirect,
    stdout: Redirect,
    stderr: Redirect,
}

/// Where one of a program's three standard streams leads.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Redirect {
    /// Where this process's own leads.
    #[default]
    Inherit,
    /// To nowhere: nothing to read, and what is written is gone.
    Null,
    /// To a [`PipeIoStream`] of this process: [`Subprocess::STREAM`].
    Stream,
    /// To this file or pipe.
    Descriptor(OwnedFd),
    /// Where the standard output leads (`subprocess.STDOUT`): for the error output only. The two arrive in the order in
    /// which they are written.
    #[doc(alias = "STDOUT")]
    Stdout,
}

impl<T: Into<OwnedFd>> From<T> for Redirect {
    fn from(descriptor: T) -> Self {
        Redirect::Descriptor(descriptor.into())
    }
}

impl Redirect {
    fn into_stdio(self) -> io::Result<Stdio> {
        Ok(match self {
            Redirect::Inherit => Stdio::inherit(),
            Redirect::Null => Stdio::null(),
            Redirect::Stream => Stdio::piped(),
            Redirect::Descriptor(descriptor) => Stdio::from(descriptor),
            Redirect::Stdout => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "only stderr can lead where stdout does",
                ));
            }
        })
    }

    /// Two that lead to the same place as this one, and what is read there if that is a stream.
    fn into_both(self) -> io::Result<(Stdio, Stdio, Option<OwnedFd>)> {
        let (shared, reader) = match self {
            Redirect::Inherit => (io::stdout().as_fd().try_clone_to_owned()?, None),
            Redirect::Descriptor(descriptor) => (descriptor, None),
            Redirect::Stream => {
                let (reader, writer) = io::pipe()?;
                (writer.into(), Some(reader.into()))
            }
            Redirect::Null | Redirect::Stdout => return Ok((self.into_stdio()?, Stdio::null(), None)),
        };
        Ok((shared.try_clone()?.into(), shared.into(), reader))
    }
}

impl SubprocessOptions {
    /// What the program reads (default: what this one does).
    pub fn stdin(mut self, redirect: impl Into<Redirect>) -> Self {
        self.stdin = redirect.into();
        self
    }

    /// Where its output goes (default: where this one's does).
    pub fn stdout(mut self, redirect: impl Into<Redirect>) -> Self {
        self.stdout = redirect.into();
        self
    }

    /// Where its error output goes (default: where this one's does).
    pub fn stderr(mut self, redirect: impl Into<Redirect>) -> Self {
        self.stderr = redirect.into();
        self
    }

    /// Starts the program. The redirections of `command` itself are replaced by those that were set here.
    ///
    /// # Errors
    /// When there is no such program, or it may not be executed, or the process has no descriptors left for the pipes.
    pub fn start(self) -> io::Result<Subprocess> {
        let (stdout, stderr, both) = match self.stderr {
            Redirect::Stdout => self.stdout.into_both()?,
            stderr => (self.stdout.into_stdio()?, stderr.into_stdio()?, None),
        };
        let mut command = self.command;
        command.stdin(self.stdin.into_stdio()?).stdout(stdout).stderr(stderr);
        sys::close_descriptors_on_exec(&mut command);
        Subprocess::initialize()?;
        // It takes the command along, and so our ends of the pipes.
        let mut child = within(|| tokio::process::Command::from(command).spawn())?;
        let pid = child.id().unwrap_or_default();
        let stdin = child.stdin.take().map(|pipe| PipeIoStream::new(pipe.into_owned_fd()?)).transpose()?;
        let stdout = match child.stdout.take() {
            Some(pipe) => Some(pipe.into_owned_fd()?),
            None => both,
        };
        let stdout = stdout.map(PipeIoStream::new).transpose()?;
        let stderr = child.stderr.take().map(|pipe| PipeIoStream::new(pipe.into_owned_fd()?)).transpose()?;
        let exit = Rc::new(Exit::default());
        spawn(Rc::clone(&exit).watch(child));
        Ok(Subprocess { stdin, stdout, stderr, pid, exit })
    }
}

impl fmt::Debug for SubprocessOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubprocessOptions").field("command", &self.command).finish_non_exhaustive()
    }
}

impl Subprocess {
    /// A stream of the program leads to a stream of the loop.
    pub const STREAM: Redirect = Redirect::Stream;

    /// A program to be [started](SubprocessOptions::start): its arguments, environment and directory are `command`'s.
    #[allow(
        clippy::new_ret_no_self,
        reason = "it is where Tornado's constructor stands; its keywords are methods"
    )]
    pub fn new(command: Command) -> SubprocessOptions {
        SubprocessOptions {
            command,
            stdin: Redirect::Inherit,
            stdout: Redirect::Inherit,
            stderr: Redirect::Inherit,
        }
    }

    /// Has the system keep the exit status of children, even if this process was started with SIGCHLD ignored.
    /// [`start`](SubprocessOptions::start) does it; nothing else is to be prepared here.
    ///
    /// # Errors
    /// What `sigaction` reports.
    pub fn initialize() -> io::Result<()> {
        sys::keep_dead_children()
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended: its exit status, or the negative number of the signal that killed it. `None` while it runs.
    #[must_use]
    pub fn returncode(&self) -> Option<i32> {
        self.exit.code.get()
    }

    /// Has the loop call `callback` once the program has ended, with its [`returncode`](Self::returncode).
    ///
    /// It replaces an earlier one, and runs in the [contexts](crate::stack_context) that are present now. It is
    /// called also when this is dropped before.
    pub fn set_exit_callback(&self, callback: impl FnOnce(i32) + 'static) {
        let contexts = Captured::now();
        self.exit.callback.replace(Some((contexts, Box::new(callback))));
        if self.exit.code.get().is_some() {
            self.exit.call_back();
        }
    }

    /// Waits until the program has ended. Cancel safe; any number of tasks may wait.
    ///
    /// # Errors
    /// [`CalledProcessError`] if its [`returncode`](Self::returncode) is not 0.
    pub async fn wait_for_exit(&self) -> Result<i32, CalledProcessError> {
        match self.wait_for_exit_code().await {
            0 => Ok(0),
            returncode => Err(CalledProcessError { returncode }),
        }
    }

    /// Waits until the program has ended, and gives its [`returncode`](Self::returncode) whatever it is
    /// (`wait_for_exit(raise_error=False)`). Cancel safe.
    #[doc(alias = "raise_error")]
    pub async fn wait_for_exit_code(&self) -> i32 {
        std::future::poll_fn(|cx| {
            if let Some(code) = self.exit.code.get() {
                return Poll::Ready(code);
            }
            let mut waiting = self.exit.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Sends SIGTERM; does nothing if the program has ended.
    ///
    /// # Errors
    /// When the system refuses: the program runs as another user.
    pub fn terminate(&self) -> io::Result<()> {
        self.send(Signal::TERM)
    }

    /// Sends SIGKILL; does nothing if the program has ended.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    /// Sends the signal of this number, such as `libc::SIGHUP`; does nothing if the program has ended.
    ///
    /// # Errors
    /// When there is no such signal, and as [`terminate`](Self::terminate).
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        self.send(Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        // Its number is its own until its status was taken, which is when the code is set.
        match i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            Some(pid) if self.exit.code.get().is_none() => Ok(kill_process(pid, signal)?),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Subprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subprocess")
            .field("pid", &self.pid)
            .field("returncode", &self.returncode())
            .finish_non_exhaustive()
    }
}

/// The end of a program, and who is to be told.
#[derive(Default)]
struct Exit {
    code: Cell<Option<i32>>,
    callback: RefCell<Option<(Captured, ExitCallback)>>,
    waiting: RefCell<Vec<Waker>>,
}

type ExitCallback = Box<dyn FnOnce(i32)>;

impl Exit {
    async fn watch(self: Rc<Self>, mut child: Child) {
        let code = match child.wait().await {
            Ok(status) => returncode(status),
            Err(error) => {
                // Somebody else has taken its status.
                tracing::error!(target: log::GENERAL, "Cannot learn how a subprocess ended: {error}");
                UNKNOWN
            }
        };
        self.code.set(Some(code));
        self.waiting.take().into_iter().for_each(Waker::wake);
        self.call_back();
    }

    fn call_back(&self) {
        let (Some(code), Some((contexts, callback))) = (self.code.get(), self.callback.take()) else {
            return;
        };
        contexts.adopt(|| IoLoop::current().add_callback(move || callback(code)));
    }
}

/// A status that was lost counts as a failure: shells' "cannot execute".
const UNKNOWN: i32 = 126;

fn returncode(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(UNKNOWN)
}

/// A program has ended with another status than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalledProcessError {
    /// Its exit status, or the negative number of the signal that killed it.
    pub returncode: i32,
}

impl fmt::Display for CalledProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.returncode < 0 {
            write!(f, "the subprocess died of signal {}", -self.returncode)
        } else {
            write!(f, "the subprocess exited with status {}", self.returncode)
        }
    }
}

impl std::error::Error for CalledProcessError {}
