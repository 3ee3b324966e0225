//! What comes in: the client knows from WINDOW_UPDATE what it may send, and that is what the machine thinks.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use super::{Random, a_frame, get, padded, post, requests, reset, sent_frames, settings};
use crate::http2::Reason;
use crate::http2::frame::{
    self, ACK, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, GOAWAY, HEADERS, LARGEST_WINDOW, PADDED,
    PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::http2::server::{Machine, Piece, Settings};

#[test]
fn both_sides_agree_about_every_window() {
    for seed in 1..=600 {
        let mut random = Random::new(seed);
        let settings = Settings {
            stream_window: random.pick(&[1, 100, 5_000, 65_535, 65_536, 300_000]),
            connection_window: random.pick(&[65_535, 70_000, 200_000, 1 << 20, LARGEST_WINDOW]),
            ..settings()
        };
        let mut talk = Talk::new(settings, seed);
        for _ in 0..random.below(500) {
            talk.act(&mut random);
            talk.listen();
            talk.check();
        }
        talk.end();
    }
}

/// A stream as its two ends have it.
#[derive(Default)]
struct Ends {
    /// How much the client may send, as far as it knows.
    credit: i64,
    has_ended: bool,
    /// What the machine holds of it, by what was sent and released.
    held: usize,
    /// Taken by the application, and not released.
    taken: usize,
    is_wanted: bool,
}

struct Talk {
    seed: u64,
    settings: Settings,
    machine: Machine,
    streams: BTreeMap<u32, Ends>,
    next: u32,
    credit: i64,
    initial: i64,
    /// SETTINGS that the client has not acted on, and whether the machine knows that it has.
    unread: Option<i64>,
    is_acknowledged: bool,
    window: u32,
    /// Sent by the client, and not read.
    under_way: Vec<u8>,
}

impl Talk {
    fn new(settings: Settings, seed: u64) -> Self {
        let mut machine = Machine::new(settings);
        machine.greet();
        Self {
            seed,
            settings,
            machine,
            streams: BTreeMap::new(),
            next: 1,
            credit: DEFAULT_WINDOW.into(),
            initial: DEFAULT_WINDOW.into(),
            unread: None,
            is_acknowledged: false,
            window: settings.stream_window,
            under_way: [PREFACE, &a_frame(SETTINGS, 0, 0, b"")].concat(),
        }
    }

    fn act(&mut self, random: &mut Random) {
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        let id = if ids.is_empty() { 0 } else { random.pick(&ids) };
        let cx = Context::from_waker(Waker::noop());
        match random.below(24) {
            0 | 1 if self.streams.len() < 8 => {
                let id = self.next;
                self.next += 2;
                if random.one_in(8) {
                    self.under_way.extend(get(id));
                    self.streams.insert(id, Ends { has_ended: true, ..Ends::default() });
                } else {
                    self.under_way.extend(post(id));
                    self.streams.insert(id, Ends { credit: self.initial, ..Ends::default() });
                }
            }
            2..=8 => self.send_data(id, random),
            9 => {
                if let Some(ends) = self.streams.get_mut(&id).filter(|ends| !ends.has_ended) {
                    ends.has_ended = true;
                    self.under_way.extend(a_frame(HEADERS, END_HEADERS | END_STREAM, id, b"\0\x01a\x01b"));
                }
            }
            10 => {
                let removed = self.streams.remove(&id);
                self.under_way.extend(removed.into_iter().flat_map(|_| reset(id)));
            }
            11 => self.read_settings(),
            12..=14 => self.give(random),
            // The application's.
            15 | 16 => {
                let most = 1 + random.below(20_000);
                if self.machine.is_known(id)
                    && let Poll::Ready(Piece::Data(data)) = self.machine.poll_piece(id, most, &cx)
                {
                    self.streams.get_mut(&id).unwrap().taken += data.len();
                }
            }
            17 | 18 => {
                if let Some(ends) = self.streams.get_mut(&id) {
                    let bytes = if random.one_in(2) { ends.taken } else { random.below(ends.taken + 1) };
                    ends.taken -= bytes;
                    ends.held -= bytes;
                    self.machine.release(id, bytes);
                }
            }
            19 => {
                self.machine.want(id);
                if self.machine.is_known(id) {
                    self.streams.get_mut(&id).unwrap().is_wanted = true;
                }
            }
            20 => {
                self.window = self.settings.stream_window.saturating_mul(random.pick(&[1, 2, 4]));
                self.window = self.window.min(LARGEST_WINDOW);
                self.machine.set_window(self.window);
            }
            21 if random.one_in(3) && self.machine.is_known(id) => {
                self.machine.reset(id, Reason::CANCEL);
                self.streams.remove(&id);
            }
            22 if random.one_in(3) && self.machine.is_known(id) => {
                self.machine.let_go(id);
                self.streams.remove(&id);
            }
            // An early answer.
            23 if random.one_in(2) => self.machine.send_head(id, 200, [].into_iter(), true),
            _ => {}
        }
    }

    /// As much as there is credit for, or less; the padding counts.
    fn send_data(&mut self, id: u32, random: &mut Random) {
        let Some(ends) = self.streams.get_mut(&id).filter(|ends| !ends.has_ended) else { return };
        let most = ends.credit.min(self.credit).clamp(0, 16_384) as usize;
        let length = if random.one_in(3) { most } else { random.below(most + 1) };
        let end = if random.one_in(12) { END_STREAM } else { 0 };
        let padding = random.below(256.min(length.saturating_sub(1)));
        let is_padded = length > 1 && random.one_in(3);
        let data = if is_padded { length - 1 - padding } else { length };
        if data == 0 && end == 0 {
            // Which is counted, and another test's.
            return;
        }
        ends.credit -= length as i64;
        ends.held += data;
        ends.has_ended = end != 0;
        self.credit -= length as i64;
        self.under_way.extend(if is_padded {
            a_frame(DATA, end | PADDED, id, &padded(&vec![b'x'; data], padding as u8))
        } else {
            a_frame(DATA, end, id, &vec![b'x'; data])
        });
    }

    fn read_settings(&mut self) {
        if let Some(initial) = self.unread.take() {
            for ends in self.streams.values_mut().filter(|ends| !ends.has_ended) {
                ends.credit += initial - self.initial;
            }
            self.initial = initial;
            self.is_acknowledged = true;
            self.under_way.extend(a_frame(SETTINGS, ACK, 0, b""));
        }
    }

    /// Some of what is under way arrives.
    fn give(&mut self, random: &mut Random) {
        let bytes = if random.one_in(2) { self.under_way.len() } else { random.below(self.under_way.len()) };
        let taken = self.machine.read(&self.under_way[..bytes]);
        self.under_way.drain(..taken);
        requests(&mut self.machine);
    }

    fn listen(&mut self) {
        for (head, payload) in sent_frames(&mut self.machine) {
            match head.kind {
                WINDOW_UPDATE => {
                    let increment = i64::from(frame::number(&payload));
                    assert!(increment > 0, "seed {}", self.seed);
                    let credit = match head.stream {
                        0 => &mut self.credit,
                        id => match self.streams.get_mut(&id) {
                            Some(ends) => &mut ends.credit,
                            None => continue,
                        },
                    };
                    *credit += increment;
                    assert!(*credit <= LARGEST_WINDOW.into(), "seed {}: {credit}", self.seed);
                }
                RST_STREAM => drop(self.streams.remove(&head.stream)),
                SETTINGS if !head.has(ACK) => {
                    let value = |chunk: &[u8]| (chunk[1] == 4).then(|| frame::number(&chunk[2..]).into());
                    self.unread = payload.chunks(6).find_map(value);
                }
                GOAWAY => panic!("seed {}: {payload:?}", self.seed),
                _ => {}
            }
        }
    }

    fn check(&mut self) {
        if !self.under_way.is_empty() {
            return;
        }
        let seed = self.seed;
        assert_eq!(self.machine.inflow.credit(), self.credit, "seed {seed}");
        let held: usize = self.streams.values().map(|ends| ends.held).sum();
        assert_eq!(self.machine.inflow.held(), held, "seed {seed}");
        // Never more than it was to be; and more than half of it, where nobody holds it.
        let target = i64::from(self.settings.connection_window);
        let all = self.credit + held as i64;
        assert!(all <= target.max(DEFAULT_WINDOW.into()) && 2 * all > target, "seed {seed}: {all}");
        for (id, ends) in &self.streams {
            let stream = self.machine.streams.get(*id).expect("both know it");
            let Some(body) = &stream.body else { continue };
            assert_eq!(body.inflow.held(), ends.held, "seed {seed}");
            assert_eq!(stream.is_received, ends.has_ended, "seed {seed}");
            let credit = body.inflow.credit();
            assert!(credit <= LARGEST_WINDOW.into());
            if ends.has_ended {
                continue;
            }
            if self.is_acknowledged {
                assert_eq!(credit, ends.credit, "seed {seed}, stream {id}");
                // Who has taken everything gets more.
                assert!(ends.held > 0 || !ends.is_wanted || credit > 0, "seed {seed}, stream {id}");
            } else {
                assert!(credit >= ends.credit, "seed {seed}, stream {id}");
            }
        }
    }

    /// When nobody holds anything the window is there again.
    fn end(&mut self) {
        while !self.under_way.is_empty() {
            let taken = self.machine.read(&self.under_way);
            assert!(taken > 0, "seed {}", self.seed);
            self.under_way.drain(..taken);
            requests(&mut self.machine);
            self.listen();
        }
        self.check();
        for id in std::mem::take(&mut self.streams).into_keys() {
            self.machine.let_go(id);
        }
        self.listen();
        self.check();
        assert!(self.machine.streams.is_empty() && self.machine.streams.open() == 0);
        assert_eq!(self.machine.inflow.held(), 0, "seed {}", self.seed);
    }
}
