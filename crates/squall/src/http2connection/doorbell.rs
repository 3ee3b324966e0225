//! Wakes the task of a connection, but not while it is at work: what a handler writes wakes whoever drives the machine,
//! which is the task that runs the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

pub(super) struct Doorbell {
    task: Waker,
    state: AtomicU8,
}

/// Nobody is at work; whoever rings wakes the task.
const ASLEEP: u8 = 0;
/// The task is at work and will look at everything before it sleeps.
const AT_WORK: u8 = 1;
/// There is something that it has not looked at.
const RUNG: u8 = 2;

impl Doorbell {
    pub(super) fn new(task: &Waker) -> Arc<Self> {
        Arc::new(Self { task: task.clone(), state: AtomicU8::new(ASLEEP) })
    }

    pub(super) fn is_of(&self, task: &Waker) -> bool {
        self.task.will_wake(task)
    }

    /// Everything is looked at from here on, so that whoever rang before is heard.
    pub(super) fn begin(&self) {
        self.state.store(AT_WORK, Ordering::SeqCst);
    }

    /// The task sleeps from here on, unless it has been rung for since it began: then it is woken at once.
    pub(super) fn sleep(&self) {
        let slept = self.state.compare_exchange(AT_WORK, ASLEEP, Ordering::SeqCst, Ordering::SeqCst);
        if slept.is_err() {
            self.task.wake_by_ref();
        }
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP {
            self.task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn nobody_is_woken_at_work_and_no_call_is_lost() {
        let count = Arc::new(Count::default());
        let bell = Doorbell::new(&Waker::from(Arc::clone(&count)));
        let waker = Waker::from(Arc::clone(&bell));
        let woken = || count.0.load(Ordering::SeqCst);
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(woken(), 1, "asleep, and then awake already");
        bell.begin();
        waker.wake_by_ref();
        assert_eq!(woken(), 1, "at work");
        // It looks once more, at what it was rung for.
        bell.begin();
        bell.sleep();
        assert_eq!(woken(), 1, "it has looked");
        bell.begin();
        waker.wake_by_ref();
        bell.sleep();
        assert_eq!(woken(), 2, "it has not looked");
        bell.begin();
        bell.sleep();
        waker.wake();
        assert_eq!(woken(), 3, "asleep again");
    }
}
