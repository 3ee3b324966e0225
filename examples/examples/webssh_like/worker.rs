//! The shells.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use squall::iostream::PipeIoStream;
use squall::process::{Redirect, Subprocess};
use squall::{IoLoop, WebSocket};
use squall_examples::random_name;

const BLOCK: usize = 32 * 1024;

/// The shells, by the address that asked for them, and their names.
pub(crate) struct Workers {
    most: usize,
    patience: Duration,
    of_address: RefCell<HashMap<IpAddr, HashMap<String, Rc<Worker>>>>,
}

impl Workers {
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Self { most, patience, of_address: RefCell::default() }
    }

    pub(crate) fn are_too_many(&self, address: IpAddr) -> bool {
        self.of_address.borrow().get(&address).is_some_and(|workers| workers.len() >= self.most)
    }

    pub(crate) fn start(self: &Rc<Self>, address: IpAddr) -> io::Result<Rc<Worker>> {
        let worker = Rc::new(Worker::start(Rc::downgrade(self), address)?);
        self.of_address.borrow_mut().entry(address).or_default().insert(worker.id.clone(), worker.clone());
        let unclaimed = Rc::downgrade(&worker);
        IoLoop::current().call_later(self.patience, move || {
            if let Some(worker) = unclaimed.upgrade() {
                worker.recycle();
            }
        });
        Ok(worker)
    }

    /// The shell of that name, which nobody has taken yet.
    pub(crate) fn take(&self, address: IpAddr, id: &str) -> Option<Rc<Worker>> {
        let workers = self.of_address.borrow();
        let worker = workers.get(&address)?.get(id)?;
        (!worker.taken.replace(true)).then(|| worker.clone())
    }

    fn forget(&self, address: IpAddr, id: &str) {
        let mut of_address = self.of_address.borrow_mut();
        let Some(workers) = of_address.get_mut(&address) else { return };
        workers.remove(id);
        if workers.is_empty() {
            of_address.remove(&address);
        }
    }
}

/// A shell.
pub(crate) struct Worker {
    pub(crate) id: String,
    taken: Cell<bool>,
    shell: Subprocess,
    stdin: PipeIoStream,
    stdout: PipeIoStream,
    workers: Weak<Workers>,
    address: IpAddr,
}

impl Worker {
    fn start(workers: Weak<Workers>, address: IpAddr) -> io::Result<Self> {
        let mut command = Command::new("sh");
        // A group of its own, so that what it has started ends with it.
        command.process_group(0);
        if let Some(home) = std::env::home_dir() {
            command.current_dir(home);
        }
        let mut shell = Subprocess::new(command)
            .stdin(Subprocess::STREAM)
            .stdout(Subprocess::STREAM)
            .stderr(Redirect::Stdout)
            .start()?;
        let (Some(stdin), Some(stdout)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { id: random_name(), taken: Cell::new(false), shell, stdin, stdout, workers, address })
    }

    pub(crate) fn attach(self: &Rc<Self>, socket: WebSocket) {
        IoLoop::current().spawn_callback(self.clone().pump(socket));
    }

    /// Carries output to the browser, no faster than it takes it.
    async fn pump(self: Rc<Self>, socket: WebSocket) {
        while let Ok(block) = self.stdout.read_bytes_partial(BLOCK).await {
            if socket.write_message(block).await.is_err() {
                return;
            }
        }
        socket.close(1000, "chan closed");
    }

    pub(crate) async fn write(&self, data: String) {
        // If it has ended, `pump` tells.
        let _ = self.stdin.write(data).await;
    }

    fn recycle(&self) {
        if !self.taken.get() {
            self.close();
        }
    }

    pub(crate) fn close(&self) {
        self.stdin.close();
        self.stdout.close();
        let pid = i32::try_from(self.shell.pid()).ok().and_then(Pid::from_raw);
        if let (None, Some(pid)) = (self.shell.returncode(), pid) {
            // One that has just ended needs no signal.
            let _ = kill_process_group(pid, Signal::HUP);
        }
        if let Some(workers) = self.workers.upgrade() {
            workers.forget(self.address, &self.id);
        }
    }
}
