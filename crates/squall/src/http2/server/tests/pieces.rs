//! However a conversation is cut into pieces, it is the same; and none makes the machine panic.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{GET, POST, Random, a_frame, padded, sent, setting, settings, window_update};
use crate::http2::Reason;
use crate::http2::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, INITIAL_WINDOW_SIZE,
    PADDED, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
};
use crate::http2::server::{Event, Machine, Piece};

#[test]
fn a_conversation_is_the_same_however_it_is_cut() {
    let (mut faults, mut requests, mut answers) = (0, 0, 0);
    for seed in 1..=4_000 {
        let mut random = Random::new(seed);
        let bytes = conversation(&mut random);
        // Where the application looks at it, and the output goes out.
        let mut looks: Vec<usize> = (0..random.below(4)).map(|_| random.below(bytes.len() + 1)).collect();
        looks.push(bytes.len());
        looks.sort_unstable();
        let whole = hold(seed, &bytes, &looks, |_| usize::MAX);
        assert_eq!(hold(seed, &bytes, &looks, |_| 1), whole, "seed {seed}, byte by byte");
        assert_eq!(hold(seed, &bytes, &looks, |random| 1 + random.below(50)), whole, "seed {seed}");
        faults += usize::from(whole.fault.is_some());
        requests += whole.events.len();
        answers += whole.sent.len();
    }
    // That most of it means something.
    assert!(
        (400..3_600).contains(&faults) && requests > 8_000 && answers > 500_000,
        "{faults} {requests} {answers}"
    );
}

#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<String>,
    sent: Vec<u8>,
    fault: Option<Reason>,
}

fn hold(seed: u64, bytes: &[u8], looks: &[usize], mut length: impl FnMut(&mut Random) -> usize) -> Told {
    let mut machine = Machine::new(settings());
    machine.greet();
    let mut told = Told { events: Vec::new(), sent: Vec::new(), fault: None };
    let (mut cuts, mut acts) = (Random::new(seed), Random::new(seed));
    let mut application = Application::default();
    let (mut given, mut taken) = (0, 0);
    for &look in looks {
        while given < look {
            given = look.min(given.saturating_add(length(&mut cuts)));
            taken += machine.read(&bytes[taken..given]);
        }
        loop {
            application.look(&mut machine, &mut acts, &mut told);
            let more = machine.read(&bytes[taken..given]);
            taken += more;
            if more == 0 {
                break;
            }
        }
    }
    told.fault = machine.fault();
    assert!(machine.fault().is_some() || bytes.len() - taken < 9 + 16_384, "stops without a reason");
    told
}

#[derive(Default)]
struct Application {
    open: Vec<u32>,
}

impl Application {
    fn look(&mut self, machine: &mut Machine, random: &mut Random, told: &mut Told) {
        while let Some(event) = machine.next_event() {
            told.events.push(match event {
                Event::Malformed(what) => what.to_owned(),
                Event::Request { id, mut request, asked } => {
                    self.open.push(id);
                    format!("{id} {asked:?} {:?}", request.head_mut())
                }
            });
        }
        let cx = Context::from_waker(Waker::noop());
        for id in self.open.clone() {
            match random.below(8) {
                0 => machine.want(id),
                1 | 2 => {
                    while let Poll::Ready(Piece::Data(data)) = machine.poll_piece(id, 100, &cx) {
                        told.events.push(format!("{id} {data:?}"));
                        machine.release(id, data.len());
                    }
                }
                3 => machine.send_head(id, 200, [(&b"Server"[..], &b"squall"[..])].into_iter(), false),
                4 => {
                    if let Poll::Ready(Some(room)) = machine.poll_room(id, &cx) {
                        let length = room.min(random.below(4_000));
                        machine.send_data(id, Bytes::from(vec![b'.'; length]), random.one_in(3));
                    }
                }
                5 => machine.send_end(id),
                6 if random.one_in(3) => machine.reset(id, Reason::CANCEL),
                7 if random.one_in(3) => machine.let_go(id),
                _ => {}
            }
        }
        self.open.retain(|&id| machine.is_known(id));
        told.sent.extend(sent(machine));
    }
}

/// Frames as clients send them, of which some are then changed.
fn conversation(random: &mut Random) -> Vec<u8> {
    let mut out = [PREFACE, &a_frame(SETTINGS, 0, 0, b"")].concat();
    let (mut next, mut open) = (1, vec![0]);
    for _ in 0..random.below(50) {
        let any = (1 + 2 * random.below(next as usize / 2 + 1) as u32).min(next);
        // Mostly one on which something may come.
        let place = random.below(open.len());
        let known = if random.one_in(40) || open[place] == 0 { any } else { open[place] };
        let end = if random.one_in(4) { END_STREAM } else { 0 };
        out.extend(match random.below(25) {
            0..=6 => {
                if end == 0 {
                    open.push(next);
                }
                next += 2;
                head(random, next - 2, end)
            }
            7..=11 if open[place] == 0 => a_frame(PING, 0, 0, b"12345678"),
            7..=11 => {
                let length = random.below(200);
                let data = random.bytes(length);
                if end != 0 {
                    open.swap_remove(place);
                    open.push(0);
                }
                match random.below(3) {
                    0 => a_frame(DATA, end | PADDED, known, &padded(&data, length as u8)),
                    _ => a_frame(DATA, end, known, &data),
                }
            }
            12 if open[place] != 0 => {
                let id = std::mem::take(&mut open[place]);
                a_frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())
            }
            13 | 14 => window_update(random.pick(&[0, known]), 1 + random.below(100_000) as u32),
            15 => setting(INITIAL_WINDOW_SIZE, random.below(100_000) as u32),
            16 => setting(random.pick(&[1, 3, 6, 7]), random.pick(&[0, 1, 16_384, 100_000])),
            17 => a_frame(SETTINGS, ACK, 0, b""),
            18 => a_frame(PRIORITY, 0, known, b"\0\0\0\0\x10"),
            19 => a_frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0text"),
            20 => a_frame(random.below(240) as u8 + 10, 0xff, known, &[1; 20]),
            21 if open[place] != 0 => {
                let id = std::mem::take(&mut open[place]);
                a_frame(HEADERS, END_HEADERS | END_STREAM, id, b"\0\x01a\x01b")
            }
            22 if random.one_in(10) => a_frame(PING, ACK, 0, b"farewell"),
            23 if random.one_in(10) => {
                setting(random.below(10) as u16, random.pick(&[0, 1, 16_384, 1 << 31]))
            }
            _ => a_frame(PING, 0, 0, b"12345678"),
        });
    }
    // Half of them stay as they are.
    for _ in 0..random.below(6).saturating_sub(3) {
        let at = random.below(out.len());
        match random.below(4) {
            0 => out[at] ^= 1 << random.below(8),
            1 => out[at] = random.next() as u8,
            2 => drop(out.remove(at)),
            _ => out.truncate(at.max(40)),
        }
    }
    out
}

fn head(random: &mut Random, stream: u32, flags: u8) -> Vec<u8> {
    let mut fields = random.pick(&[GET, POST]).to_vec();
    for _ in 0..random.below(4) {
        let field: &[u8] = random.pick(&[
            &b"\x40\x04name\x05value"[..],
            b"\x60\x03a=b",
            b"\x0f\x0d\x0210",
            b"\x00\x02te\x08trailers",
            b"\xbe",
            b"\x00\x01A\x01b",
        ]);
        fields.extend_from_slice(field);
    }
    match random.below(5) {
        0 => a_frame(HEADERS, flags | END_HEADERS | PADDED, stream, &padded(&fields, 7)),
        1 => {
            let fields = [b"\0\0\0\0\x10", &fields[..]].concat();
            a_frame(HEADERS, flags | END_HEADERS | HAS_PRIORITY, stream, &fields)
        }
        2 => {
            let (first, rest) = fields.split_at(random.below(fields.len()));
            let mut out = a_frame(HEADERS, flags, stream, first);
            out.extend(a_frame(CONTINUATION, 0, stream, b""));
            out.extend(a_frame(CONTINUATION, END_HEADERS, stream, rest));
            out
        }
        _ => a_frame(HEADERS, flags | END_HEADERS, stream, &fields),
    }
}
