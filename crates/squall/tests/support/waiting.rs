//! Waiting, but not for ever.
#![allow(dead_code, reason = "each program uses its part")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

/// A test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// What this comes to, in time.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Lets others work until it is so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let all = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("what is to become so", all).await;
}

/// What handlers and sockets have seen, and word of all that is added.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Rc<RefCell<Vec<String>>>,
    pub(crate) added: Rc<Notify>,
}

impl Seen {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
        self.added.notify_one();
    }

    pub(crate) async fn wait_for(&self, line: &str) {
        let found = async {
            while !self.lines.borrow().iter().any(|seen| seen == line) {
                self.added.notified().await;
            }
        };
        within(line, found).await;
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.lines.take()
    }
}
