//! What goes out: never more than the client takes, and nobody who may send waits in vain.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use super::{Random, a_frame, begun, get, requests, reset, sent, setting, settings, window_update};
use crate::http2::Reason;
use crate::http2::frame::{
    self, ACK, DATA, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, END_STREAM, GOAWAY, HEAD, HEADERS, Head,
    INITIAL_WINDOW_SIZE, LARGEST_WINDOW, MAX_FRAME_SIZE, PING, RST_STREAM, SETTINGS,
};
use crate::http2::server::{Machine, Settings};

/// Whatever the client does with its windows, it gets no more than they allow, and whoever is woken no more waits for it.
#[test]
fn windows_are_kept_and_nobody_waits_in_vain() {
    let (mut whole, mut bytes) = (0, 0);
    for seed in 1..=100 {
        let mut random = Random::new(seed);
        let send_buffer = random.pick(&[1_024, 65_536, 200_000]);
        let mut talk = Talk::new(Settings { send_buffer, ..settings() }, seed);
        for _ in 0..random.below(600) {
            talk.act(&mut random);
            if random.one_in(3) {
                talk.settle(&mut random);
            }
        }
        talk.finish(&mut random);
        whole += talk.client.whole;
        bytes += talk.client.received;
    }
    assert!(whole > 500 && bytes > 10_000_000, "{whole} {bytes}");
}

/// Where the connection is what they share: its window, or what the kernel takes.
#[test]
fn streams_have_equal_shares() {
    for count in [2, 3, 4, 5, 9] {
        for window in [20_000, 65_535, LARGEST_WINDOW - 1] {
            for kernel in [3_000, 30_000, 500_000] {
                let mut talk = Talk::new(settings(), 1);
                talk.hear(&setting(INITIAL_WINDOW_SIZE, LARGEST_WINDOW));
                if window > DEFAULT_WINDOW {
                    talk.open(0, i64::from(window - DEFAULT_WINDOW));
                }
                (0..count).for_each(|_| talk.ask(600_000));
                let mut random = Random::new(count);
                while talk.client.whole == 0 {
                    talk.run(&mut random);
                    talk.take(kernel);
                    // What it has got it has room for again.
                    let missing = i64::from(window.min(DEFAULT_WINDOW)) - talk.client.window;
                    if missing >= i64::from(window.min(DEFAULT_WINDOW) / 2) {
                        talk.open(0, missing);
                    }
                }
                let least = talk.client.streams.values().map(|stream| stream.received).min();
                // All of them may have ended at once.
                let least = least.unwrap_or(600_000);
                assert!(least >= 400_000, "{count} streams, {window}, {kernel}: {least} of 600,000");
            }
        }
    }
}

/// A turn that somebody cannot use goes to the next.
#[test]
fn who_may_no_longer_send_keeps_nobody_waiting() {
    let mut talk = Talk::new(settings(), 1);
    let mut random = Random::new(1);
    // Four have filled their own windows and the connection's, and wait for both.
    for _ in 0..5 {
        talk.ask(100_000);
    }
    talk.settle(&mut random);
    assert_eq!(talk.client.window, 0);
    // All but the last that asked are made to wait for their own as well.
    talk.hear(&setting(INITIAL_WINDOW_SIZE, 0));
    talk.open(9, 1 << 20);
    talk.settle(&mut random);
    talk.open(0, 16_384);
    talk.settle(&mut random);
    assert_eq!(talk.client.window, 0);
}

struct Talk {
    seed: u64,
    machine: Machine,
    /// Responses that are not over.
    tasks: BTreeMap<u32, usize>,
    woken: Arc<Mutex<VecDeque<u32>>>,
    /// What the kernel has not taken, as the driver keeps it.
    backlog: VecDeque<u8>,
    client: Client,
    next: u32,
}

struct Client {
    seed: u64,
    window: i64,
    initial: i64,
    frame_size: usize,
    /// What it has said in SETTINGS, in force from their ACK on.
    unheard: VecDeque<(u16, u32)>,
    streams: BTreeMap<u32, Stream>,
    /// Responses that have come to their end.
    whole: usize,
    received: usize,
    buffer: Vec<u8>,
}

struct Stream {
    window: i64,
    received: usize,
    length: usize,
}

struct Caller(u32, Arc<Mutex<VecDeque<u32>>>);

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}

impl Talk {
    fn new(settings: Settings, seed: u64) -> Self {
        Self {
            seed,
            machine: begun(settings),
            tasks: BTreeMap::new(),
            woken: Arc::default(),
            backlog: VecDeque::new(),
            client: Client {
                seed,
                window: DEFAULT_WINDOW.into(),
                initial: DEFAULT_WINDOW.into(),
                frame_size: DEFAULT_FRAME_SIZE as usize,
                unheard: VecDeque::new(),
                streams: BTreeMap::new(),
                whole: 0,
                received: 0,
                buffer: Vec::new(),
            },
            next: 1,
        }
    }

    fn act(&mut self, random: &mut Random) {
        let ids: Vec<u32> = self.client.streams.keys().copied().collect();
        let id = if ids.is_empty() { 0 } else { random.pick(&ids) };
        match random.below(16) {
            0..=2 if ids.len() < 8 => {
                let length = random.below(200_000);
                self.ask(length);
            }
            3 => {
                let size = random.pick(&[16_384, 20_000, 1 << 20]);
                self.hear(&setting(MAX_FRAME_SIZE, size));
            }
            4 => {
                let window = random.pick(&[0, 1, 10_000, 65_535, 100_000]);
                // A client that lets a window overflow has only itself to blame.
                if self.client.streams.values().all(|stream| stream.window < 1 << 29) {
                    self.hear(&setting(INITIAL_WINDOW_SIZE, window));
                }
            }
            5 | 6 => {
                let increment = 1 + random.below(50_000) as i64;
                self.open(0, increment);
            }
            7 | 8 if id != 0 => {
                let increment = 1 + random.below(50_000) as i64;
                self.open(id, increment);
            }
            9 if random.one_in(4) && id != 0 => {
                self.client.streams.remove(&id);
                self.hear(&reset(id));
            }
            10 if random.one_in(4) && id != 0 => {
                self.machine.reset(id, Reason::CANCEL);
                self.call();
            }
            11 => self.hear(&a_frame(PING, 0, 0, b"12345678")),
            12 => self.take(random.below(100_000)),
            _ => drop(self.run_one(random)),
        }
    }

    fn ask(&mut self, length: usize) {
        let id = self.next;
        self.next += 2;
        self.client.streams.insert(id, Stream { window: self.client.initial, received: 0, length });
        self.hear(&get(id));
        assert_eq!(requests(&mut self.machine), [id]);
        self.machine.send_head(id, 200, [].into_iter(), false);
        self.tasks.insert(id, length);
        self.woken.lock().unwrap().push_back(id);
    }

    fn open(&mut self, id: u32, increment: i64) {
        let window = match self.client.streams.get_mut(&id) {
            Some(stream) => &mut stream.window,
            None => &mut self.client.window,
        };
        *window += increment;
        self.hear(&window_update(id, increment as u32));
    }

    /// The machine reads this, as soon as it reads anything.
    fn hear(&mut self, bytes: &[u8]) {
        for (head, payload) in super::frames(bytes) {
            if head.kind == SETTINGS {
                let name = u16::from_be_bytes([payload[0], payload[1]]);
                self.client.unheard.push_back((name, frame::number(&payload[2..])));
            }
        }
        let mut taken = self.machine.read(bytes);
        while taken < bytes.len() {
            self.take(usize::MAX);
            taken += self.machine.read(&bytes[taken..]);
        }
        self.call();
    }

    fn call(&mut self) {
        self.machine.take_woken().into_iter().for_each(Waker::wake);
    }

    /// As the driver does after everything; the kernel takes this much.
    fn take(&mut self, kernel: usize) {
        if self.backlog.is_empty() {
            self.backlog.extend(sent(&mut self.machine));
        }
        let taken: Vec<u8> = self.backlog.drain(..kernel.min(self.backlog.len())).collect();
        self.machine.set_backlog(self.backlog.len());
        self.call();
        self.client.listen(&taken);
    }

    fn run(&mut self, random: &mut Random) {
        while self.run_one(random) {}
    }

    /// Has the task go on that was called first.
    fn run_one(&mut self, random: &mut Random) -> bool {
        let Some(id) = self.woken.lock().unwrap().pop_front() else { return false };
        let Some(left) = self.tasks.get_mut(&id) else { return true };
        let waker = Waker::from(Arc::new(Caller(id, Arc::clone(&self.woken))));
        let cx = Context::from_waker(&waker);
        let is_over = loop {
            if *left == 0 {
                self.machine.send_end(id);
                break true;
            }
            let room = match self.machine.poll_room(id, &cx) {
                Poll::Ready(Some(room)) => room.min(*left),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            };
            let data = vec![b'.'; room];
            *left -= room;
            match random.below(3) {
                0 => self.machine.send_slice(id, &data),
                _ => self.machine.send_data(id, Bytes::from(data), false),
            }
        };
        if is_over {
            self.tasks.remove(&id);
            self.machine.let_go(id);
        }
        self.call();
        true
    }

    /// Everybody does what can be done: then nobody waits who may send.
    fn settle(&mut self, random: &mut Random) {
        loop {
            self.run(random);
            if self.backlog.is_empty() && self.machine.outgoing().is_empty() {
                break;
            }
            self.take(1 + random.below(200_000));
        }
        for &id in self.tasks.keys() {
            let room = self.machine.room_of(id);
            assert_eq!(room, Some(0), "seed {}: stream {id} was not called", self.seed);
            let window = self.machine.streams.get(id).unwrap().send_window;
            assert_eq!(window, self.client.streams[&id].window, "seed {}", self.seed);
        }
        assert_eq!(self.machine.send_window, self.client.window, "seed {}", self.seed);
        assert!(self.client.buffer.is_empty() && self.client.unheard.is_empty());
    }

    /// The client takes everything, and all that is left comes.
    fn finish(&mut self, random: &mut Random) {
        self.settle(random);
        // Others may take what is opened for one.
        let mut patience = 1_000;
        while let Some((&id, &left)) = self.tasks.iter().nth(random.below(self.tasks.len())) {
            for id in [0, id] {
                let window = if id == 0 { self.client.window } else { self.client.streams[&id].window };
                if window < left as i64 {
                    self.open(id, left as i64 - window);
                }
            }
            self.settle(random);
            patience -= 1;
            assert!(patience > 0, "seed {}: stream {id} does not come to its end", self.seed);
        }
    }
}

impl Client {
    fn listen(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = Head::read(&self.buffer[at..])
            && self.buffer.len() - at >= HEAD + head.length
        {
            at += HEAD + head.length;
            self.frame(head);
        }
        self.buffer.drain(..at);
    }

    fn frame(&mut self, head: Head) {
        let seed = self.seed;
        assert!(head.length <= self.frame_size, "seed {seed}: {head:?}");
        match head.kind {
            SETTINGS if head.has(ACK) => match self.unheard.pop_front().unwrap() {
                (MAX_FRAME_SIZE, size) => self.frame_size = size as usize,
                (_, window) => {
                    for stream in self.streams.values_mut() {
                        stream.window += i64::from(window) - self.initial;
                    }
                    self.initial = window.into();
                }
            },
            DATA => {
                let length = head.length as i64;
                self.window -= length;
                assert!(self.window >= 0 || length == 0, "seed {seed}: {head:?} is more than all may send");
                self.received += head.length;
                let Some(stream) = self.streams.get_mut(&head.stream) else { return };
                stream.window -= length;
                stream.received += head.length;
                assert!(stream.window >= 0 || length == 0, "seed {seed}: {head:?} is more than it may send");
                if head.has(END_STREAM) {
                    assert_eq!(stream.received, stream.length, "seed {seed}");
                    self.end(head.stream);
                }
            }
            HEADERS if head.has(END_STREAM) => self.end(head.stream),
            RST_STREAM => drop(self.streams.remove(&head.stream)),
            GOAWAY => panic!("seed {seed}"),
            _ => {}
        }
    }

    fn end(&mut self, id: u32) {
        self.whole += 1;
        self.streams.remove(&id);
    }
}
