//! The tasks, and the worker that runs them, which a real dashboard hears of from a broker.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;
use squall::locks;
use squall::queues::Queue;
use squall::websocket::{Broadcaster, Membership};
use squall::{HttpError, Message, OrStatus, Result, WebSocket};

/// So many are kept.
const KEPT: usize = 1000;
const ROOM: &str = "tasks";

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    Pending,
    Started,
    Success,
    Failure,
    Revoked,
}

impl State {
    pub(crate) const ALL: [Self; 5] =
        [Self::Pending, Self::Started, Self::Success, Self::Failure, Self::Revoked];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What tasks there can be.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    #[serde(rename = "tasks.echo")]
    Echo,
    #[serde(rename = "tasks.join")]
    Join,
    #[serde(rename = "tasks.sleep")]
    Sleep,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Echo, Self::Join, Self::Sleep];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Clone, Serialize)]
pub(crate) struct Task {
    pub(crate) uuid: String,
    pub(crate) name: Kind,
    pub(crate) state: State,
    args: Vec<Value>,
    result: Value,
    #[serde(skip)]
    revoked: Rc<locks::Event>,
}

impl Task {
    fn is_done(&self) -> bool {
        !matches!(self.state, State::Pending | State::Started)
    }

    async fn run(&self) -> std::result::Result<Value, String> {
        match self.name {
            Kind::Echo => Ok(Value::from(&self.args[..])),
            Kind::Join => self.join(),
            Kind::Sleep => self.sleep().await,
        }
    }

    fn join(&self) -> std::result::Result<Value, String> {
        let texts: Option<Vec<_>> = self.args.iter().map(Value::as_str).collect();
        Ok(texts.ok_or("join takes strings")?.join(", ").into())
    }

    /// Waits for so many seconds, or until it is revoked.
    async fn sleep(&self) -> std::result::Result<Value, String> {
        let seconds = match &self.args[..] {
            [seconds] => seconds.as_u64().filter(|seconds| *seconds <= 3600),
            _ => None,
        };
        let limit = Duration::from_secs(seconds.ok_or("sleep takes a number of seconds")?);
        let _ = self.revoked.wait_timeout(limit).await;
        Ok(Value::Null)
    }
}

pub(crate) struct Tasks {
    /// The oldest first.
    tasks: RefCell<Vec<Task>>,
    last: Cell<u64>,
    queue: Queue<Task>,
    listeners: Broadcaster,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tasks: RefCell::default(),
            last: Cell::new(0),
            queue: Queue::new(KEPT),
            listeners: Broadcaster::new(),
        }
    }

    pub(crate) fn newest(&self, limit: usize, offset: usize, state: &str) -> Vec<Task> {
        let tasks = self.tasks.borrow();
        let wanted = tasks.iter().rev().filter(|task| state.is_empty() || task.state.to_string() == state);
        wanted.skip(offset).take(limit).cloned().collect()
    }

    pub(crate) fn find(&self, uuid: &str) -> Result<Task> {
        self.tasks.borrow().iter().find(|task| task.uuid == uuid).cloned().or_status(404)
    }

    pub(crate) fn counts(&self) -> Counts {
        let tasks = self.tasks.borrow();
        let count = |state| tasks.iter().filter(|task| task.state == state).count();
        Counts(State::ALL.map(|state| (state, count(state))))
    }

    pub(crate) fn apply(&self, name: Kind, args: Vec<Value>) -> Result<Task> {
        if self.tasks.borrow().len() >= KEPT {
            self.forget_one()?;
        }
        let uuid = format!("t{}", self.last.get() + 1);
        let task =
            Task { uuid, name, state: State::Pending, args, result: Value::Null, revoked: Rc::default() };
        self.queue.put_nowait(task.clone()).or_status(503)?;
        self.last.set(self.last.get() + 1);
        self.tasks.borrow_mut().push(task.clone());
        self.tell(&task)?;
        Ok(task)
    }

    fn forget_one(&self) -> Result {
        let mut tasks = self.tasks.borrow_mut();
        let oldest = tasks.iter().position(Task::is_done).or_status(503)?;
        tasks.remove(oldest);
        Ok(())
    }

    pub(crate) fn revoke(&self, uuid: &str) -> Result {
        let task = self.find(uuid)?;
        if task.is_done() {
            return Err(HttpError::new(409).into());
        }
        task.revoked.set();
        self.change(uuid, State::Revoked, Value::Null)
    }

    fn change(&self, uuid: &str, state: State, result: Value) -> Result {
        let mut tasks = self.tasks.borrow_mut();
        // One that is not done is not forgotten.
        let Some(task) = tasks.iter_mut().find(|task| task.uuid == uuid) else { return Ok(()) };
        (task.state, task.result) = (state, result);
        let task = task.clone();
        drop(tasks);
        self.tell(&task)
    }

    fn tell(&self, task: &Task) -> Result {
        self.listeners.broadcast(ROOM, Message::json(&self.event(Some(task)))?);
        Ok(())
    }

    pub(crate) fn event<'a>(&self, task: Option<&'a Task>) -> Event<'a> {
        Event { counts: self.counts(), task }
    }

    pub(crate) fn listen(&self, ws: &WebSocket) -> Membership {
        self.listeners.join(ROOM, ws)
    }

    pub(crate) async fn work(self: Rc<Self>) {
        loop {
            let task = self.queue.get().await;
            if let Err(error) = self.run(task).await {
                tracing::error!("{error}");
            }
        }
    }

    async fn run(&self, task: Task) -> Result {
        if task.revoked.is_set() {
            return Ok(());
        }
        self.change(&task.uuid, State::Started, Value::Null)?;
        let (state, result) = match task.run().await {
            Ok(result) => (State::Success, result),
            Err(error) => (State::Failure, error.into()),
        };
        if task.revoked.is_set() { Ok(()) } else { self.change(&task.uuid, state, result) }
    }
}

#[derive(Serialize)]
pub(crate) struct Event<'a> {
    counts: Counts,
    task: Option<&'a Task>,
}

/// How many tasks are in each state.
pub(crate) struct Counts(pub(crate) [(State, usize); 5]);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}
