//! What the workshop has to show, for requests and pages that wait for it.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use squall::web::{ReverseProxy, proxy};
use tokio::sync::watch;

use super::page;

/// How things stand.
#[derive(Clone)]
pub(super) enum State {
    /// Something is being built or started: requests wait.
    Working,
    Serving(Upstream),
    /// There is nothing to serve, for a reason.
    Stopped(Rc<Trouble>),
    /// Nothing will be served any more.
    Ended,
}

/// What people are to be told instead of a page.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) title: String,
    pub(super) text: String,
}

/// The ways to a program.
#[derive(Clone)]
pub(super) struct Upstream {
    /// For what a browser shows in a window: with the script that reloads it.
    pub(super) pages: ReverseProxy,
    pub(super) rest: ReverseProxy,
}

#[derive(Clone)]
pub(super) struct View {
    pub(super) state: State,
    /// Pages of another version are out of date. It is the same in no two sessions.
    pub(super) version: u64,
}

/// Where the workshop says how things stand, and others read it.
pub(super) struct Board(watch::Sender<View>);

impl Board {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let version = u64::try_from(now.as_millis()).unwrap_or_default();
        Self(watch::Sender::new(View { state: State::Working, version }))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<View> {
        self.0.subscribe()
    }

    pub(super) fn version(&self) -> u64 {
        self.0.borrow().version
    }

    /// Requests wait from now on.
    pub(super) fn work(&self) {
        self.0.send_modify(|view| view.state = State::Working);
    }

    /// As it was before the work: nothing has changed.
    pub(super) fn resume(&self, upstream: Upstream) {
        self.0.send_modify(|view| view.state = State::Serving(upstream));
    }

    /// Pages are to be loaded anew.
    pub(super) fn renew(&self) {
        self.0.send_modify(|view| view.version += 1);
    }

    pub(super) fn serve(&self, upstream: Upstream) {
        self.show(State::Serving(upstream));
    }

    pub(super) fn stop(&self, title: impl Into<String>, text: impl Into<String>) {
        self.show(State::Stopped(Rc::new(Trouble { title: title.into(), text: text.into() })));
    }

    pub(super) fn end(&self) {
        self.0.send_modify(|view| view.state = State::Ended);
    }

    fn show(&self, state: State) {
        self.0.send_modify(|view| {
            view.state = state;
            view.version += 1;
        });
    }
}

impl Upstream {
    /// The ways to a program on this port.
    pub(super) fn new(port: u16, board: &Rc<Board>) -> Self {
        let way = || proxy(format!("http://127.0.0.1:{port}")).response_timeout(None);
        let board = Rc::downgrade(board);
        // The version of when the request came: what is changed after that may not be on the page.
        let script = move || page::script(board.upgrade().map_or(0, |board| board.version())).into();
        Self { pages: way().append_html(script), rest: way() }
    }
}
