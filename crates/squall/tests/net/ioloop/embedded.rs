//! A host that owns the thread: a small loop of its own, which runs squall's by turns.

use super::*;

use squall::ioloop::Turn;
use squall::{Application, Context, get};

/// What the host does between two turns: nothing that waits.
fn turn_until(io_loop: &IoLoop, done: &Cell<bool>) -> Vec<Turn> {
    let mut turns = Vec::new();
    while !done.get() {
        let turn = io_loop.turn(Some(LONG)).unwrap();
        assert_ne!(turn, Turn::TimedOut, "nothing of the host's has run within {LONG:?}");
        turns.push(turn);
    }
    turns
}

fn flag() -> (Rc<Cell<bool>>, Rc<Cell<bool>>) {
    let flag = Rc::new(Cell::new(false));
    (Rc::clone(&flag), flag)
}

fn request(port: u16) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Requests are served although the host does nothing but turn; what it waits for is the end of its clients.
#[test]
fn a_host_serves_requests_by_turns() {
    let t = Fixture::new();
    let former = IoLoop::current_opt();
    t.io_loop.make_current();
    let page = async |ctx: &Context| {
        // It waits, as a handler may.
        tokio::time::sleep(Duration::from_millis(1)).await;
        ctx.write("by turns");
        Ok(())
    };
    let server = Application::new([get("/", page)]).listen(0).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (host, done) = flag();
    let left = Rc::new(Cell::new(3));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (answers, handle) = (Arc::clone(&answers), t.io_loop.handle());
            std::thread::spawn(move || {
                answers.lock().unwrap().push(request(port));
                handle.add_callback(|| LEFT.with(|left| left.get().unwrap()()));
            })
        })
        .collect();
    LEFT.with(|slot| {
        let count = Box::new(move || {
            left.set(left.get() - 1);
            done.set(left.get() == 0);
        });
        assert!(slot.set(count as Box<dyn Fn()>).is_ok());
    });
    let turns = turn_until(&t.io_loop, &host);
    assert!(!turns.is_empty() && turns.len() <= 3, "{turns:?}");
    clients.into_iter().for_each(|client| client.join().unwrap());
    let answers = answers.lock().unwrap();
    assert!(
        answers.len() == 3 && answers.iter().all(|answer| answer.ends_with("\r\n\r\nby turns")),
        "{answers:?}"
    );
    server.stop();
    if let Some(former) = former {
        former.make_current();
    }
}

thread_local! {
    static LEFT: std::cell::OnceCell<Box<dyn Fn()>> = const { std::cell::OnceCell::new() };
}

#[test]
fn timers_end_a_turn_one_by_one() {
    let t = Fixture::new();
    let fired = log();
    for millis in [1, 30, 60] {
        let fired = fired.clone();
        t.io_loop.call_later(Duration::from_millis(millis), move || fired.borrow_mut().push(millis));
    }
    let mut turns = 0;
    while fired.borrow().len() < 3 {
        let before = fired.borrow().len();
        assert_eq!(t.io_loop.turn(None).unwrap(), Turn::Ran);
        assert!(fired.borrow().len() > before, "it came back, but nothing has run");
        turns += 1;
    }
    assert!((1..=3).contains(&turns));
    assert_eq!(*fired.borrow(), [1, 30, 60]);
}

#[test]
fn a_foreign_descriptor_takes_part() {
    let t = Fixture::new();
    let (mut far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = Rc::new(near);
    let seen = log();
    let events = seen.clone();
    t.io_loop
        .add_handler(Rc::clone(&near), move |_, found| events.borrow_mut().push(found), Events::READ)
        .unwrap();
    assert_eq!(t.io_loop.turn(Some(Duration::ZERO)).unwrap(), Turn::TimedOut);
    far.write_all(b"xy").unwrap();
    // The host reads after the turn, not in the handler; until it has read all, each turn tells it.
    for left in [2, 1] {
        assert_eq!(t.io_loop.turn(Some(LONG)).unwrap(), Turn::Ran);
        assert!(seen.borrow().contains(&Events::READ), "{left}");
        (&*near).read_exact(&mut [0]).unwrap();
    }
    seen.borrow_mut().clear();
    // The last call may have been on its way.
    while t.io_loop.turn(Some(Duration::ZERO)).unwrap() == Turn::Ran {}
    seen.borrow_mut().clear();
    drop(far);
    assert_eq!(t.io_loop.turn(Some(LONG)).unwrap(), Turn::Ran);
    assert!(seen.borrow()[0].intersects(Events::READ | Events::ERROR));
    t.io_loop.remove_handler(&*near);
}

/// A host that has a poll loop already gives its whole set to squall, as one descriptor.
#[cfg(target_os = "linux")]
#[test]
fn a_hosts_own_set_takes_part() {
    use rustix::event::{Timespec, epoll};
    let t = Fixture::new();
    let set = Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
    let pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
    for (at, (_, near)) in pairs.iter().enumerate() {
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&set, near, data, epoll::EventFlags::IN).unwrap();
    }
    let handled = log();
    let noted = handled.clone();
    let (members, own) = (Rc::clone(&set), pairs);
    let nears: Vec<UnixStream> = own.iter().map(|(_, near)| near.try_clone().unwrap()).collect();
    let poll_without_waiting = move |_: &Rc<OwnedFd>, _| {
        let mut events = Vec::with_capacity(8);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&members, rustix::buffer::spare_capacity(&mut events), Some(&now)).unwrap();
        for event in &events {
            let data = event.data;
            let at = data.u64() as usize;
            (&nears[at]).read_exact(&mut [0]).unwrap();
            noted.borrow_mut().push(at);
        }
    };
    t.io_loop.add_handler(Rc::clone(&set), poll_without_waiting, Events::READ).unwrap();
    for at in [1, 0, 1] {
        (&own[at].0).write_all(b"x").unwrap();
        while handled.borrow().last() != Some(&at) {
            assert_eq!(t.io_loop.turn(Some(LONG)).unwrap(), Turn::Ran);
        }
    }
    assert_eq!(*handled.borrow(), [1, 0, 1]);
    t.io_loop.remove_handler(&*set);
}

#[test]
fn a_turn_is_over_in_time_and_when_stopped() {
    let t = Fixture::new();
    assert_eq!(t.io_loop.turn(Some(Duration::ZERO)).unwrap(), Turn::TimedOut);
    assert_eq!(t.io_loop.turn(Some(Duration::from_millis(1))).unwrap(), Turn::TimedOut);
    t.io_loop.stop();
    assert_eq!(t.io_loop.turn(None).unwrap(), Turn::Stopped);
    assert_eq!(t.io_loop.turn(Some(Duration::ZERO)).unwrap(), Turn::TimedOut);
    t.io_loop.add_callback(t.stopper());
    assert_eq!(t.io_loop.turn(None).unwrap(), Turn::Stopped);
    let (ran, flag) = flag();
    t.io_loop.add_callback(move || flag.set(true));
    assert!(!ran.get(), "nothing runs between two turns");
    assert_eq!(t.io_loop.turn(None).unwrap(), Turn::Ran);
    assert!(ran.get());
}

/// Futures are the loop's own business, until one says otherwise by a callback. They go on turn by turn.
#[test]
fn futures_go_on_by_turns() {
    let t = Fixture::new();
    let steps = Rc::new(Cell::new(0));
    let count = Rc::clone(&steps);
    let future = async move {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            count.set(count.get() + 1);
        }
    };
    let (told, tell) = flag();
    t.io_loop.add_future(t.io_loop.spawn(future), move |_| tell.set(true));
    assert_eq!(t.io_loop.turn(Some(Duration::ZERO)).unwrap(), Turn::TimedOut);
    assert!((1..100).contains(&steps.get()), "{}", steps.get());
    assert_eq!(turn_until(&t.io_loop, &told), [Turn::Ran]);
    assert_eq!(steps.get(), 100);
}

#[test]
fn a_turn_needs_a_loop_that_stands_still() {
    let t = Fixture::new();
    let (inner, other) = (t.io_loop.clone(), IoLoop::new().unwrap());
    let errors = log();
    let noted = errors.clone();
    t.io_loop.add_callback(move || {
        noted.borrow_mut().extend([inner.turn(None).unwrap_err(), other.turn(None).unwrap_err()]);
        other.close(false);
        noted.borrow_mut().extend(other.turn(None).err());
    });
    assert_eq!(t.io_loop.turn(Some(LONG)).unwrap(), Turn::Ran);
    let expected = [StartError::AlreadyRunning, StartError::AnotherRunning, StartError::Closed];
    assert_eq!(*errors.borrow(), expected);
}

/// A panic of the host's code ends the turn as well, and is reported.
#[test]
fn a_panic_is_reported_and_ends_the_turn() {
    let t = Fixture::new();
    let panics = t.panics();
    t.io_loop.add_callback(|| panic!("of the host"));
    assert_eq!(t.io_loop.turn(None).unwrap(), Turn::Ran);
    assert!(panics.borrow()[0].contains("of the host"), "{panics:?}");
}

#[test]
fn hooks_tell_when_the_loop_sleeps() {
    let told = log();
    let (at_park, at_unpark) = (told.clone(), told.clone());
    let io_loop = IoLoop::with_hooks(
        move || {
            let first = at_park.borrow().is_empty();
            at_park.borrow_mut().push("park");
            if first {
                let told = at_park.clone();
                // What a hook makes ready is done before anything is waited for.
                IoLoop::current().add_callback(move || told.borrow_mut().push("ready"));
            }
        },
        move || at_unpark.borrow_mut().push("unpark"),
    )
    .unwrap();
    assert_eq!(io_loop.turn(None).unwrap(), Turn::Ran);
    assert_eq!(told.borrow()[..3], ["park", "unpark", "ready"]);
    told.borrow_mut().truncate(3);
    assert_eq!(io_loop.turn(Some(Duration::from_millis(1))).unwrap(), Turn::TimedOut);
    let pairs = told.borrow()[3..].to_vec();
    assert!(!pairs.is_empty() && pairs.chunks(2).all(|pair| *pair == ["park", "unpark"]), "{pairs:?}");
    // A look at the system without waiting is not told, nor what another loop does.
    told.borrow_mut().clear();
    let other = IoLoop::new().unwrap();
    assert_eq!(other.turn(Some(Duration::from_millis(1))).unwrap(), Turn::TimedOut);
    assert!(told.borrow().is_empty());
    other.close(false);
    io_loop.close(false);
}
