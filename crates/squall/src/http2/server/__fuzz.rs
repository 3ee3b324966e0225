//! What the fuzz target in `fuzz/` calls, of the machine alone. Not a public interface.
//!
//! Any bytes whatever are a conversation. However they are cut they lead to the same; what is sent are whole frames, within the
//! client's window; and when every stream was let go of nothing is held. The first byte says how the rest is read: as it is,
//! behind the preface, or as frames whose lengths are right. What the application does is read from the end of it.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Event, Machine, Piece, Settings};
use crate::http2::Reason;
use crate::http2::frame::{DEFAULT_FRAME_SIZE, HEAD, Head, PREFACE};

/// Behind it the client has said its settings, and read the server's.
const GREETING: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

/// What must come of every conversation.
///
/// # Panics
/// When it does not.
pub fn machine(data: &[u8]) {
    let [how, data @ ..] = data else { return };
    let bytes = match how % 4 {
        0 => data.to_vec(),
        1 => [PREFACE, GREETING, data].concat(),
        _ => [PREFACE, GREETING, &framed(data)].concat(),
    };
    // Once in the middle, at any place, and at the end.
    let looks = [bytes.len() * usize::from(how >> 2) / 64, bytes.len()];
    let whole = hold(&bytes, looks, data, usize::MAX);
    assert!(hold(&bytes, looks, data, 5) == whole, "what comes of it depends on how it was cut");
}

/// Frames of five bytes of head each (type, flags, two of the stream, length) with the right length before them.
pub(crate) fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let [kind, flags, high, low, length, rest @ ..] = data {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        frames.extend([0, 0, payload.len() as u8, kind % 12, *flags, 0, 0, high & 1, *low]);
        frames.extend_from_slice(payload);
        data = rest;
    }
    frames
}

/// What was sent, how many requests were begun, and the fault.
type Told = (Vec<u8>, usize, Option<Reason>);

fn hold(bytes: &[u8], looks: [usize; 2], acts: &[u8], piece: usize) -> Told {
    let mut machine = Machine::new(Settings {
        max_concurrent_streams: 10,
        stream_window: 1_000,
        connection_window: 100_000,
        max_frame_size: 16_384,
        max_header_size: 4_096,
        max_header_count: 20,
        send_buffer: 10_000,
    });
    machine.greet();
    let mut application = Application {
        acts: acts.iter().rev().copied().chain([0]).cycle(),
        open: Vec::new(),
        begun: 0,
        sent: Vec::new(),
    };
    let (mut given, mut taken) = (0, 0);
    for look in looks {
        while given < look {
            given = look.min(given.saturating_add(piece));
            taken += machine.read(&bytes[taken..given]);
        }
        loop {
            application.look(&mut machine);
            let more = machine.read(&bytes[taken..given]);
            taken += more;
            if more == 0 {
                break;
            }
        }
    }
    let is_whole = machine.fault().is_some() || bytes.len() - taken < HEAD + 16_384;
    assert!(is_whole, "it stops without a reason");
    for id in std::mem::take(&mut application.open) {
        machine.let_go(id);
    }
    application.send(&mut machine);
    assert!(machine.streams.is_empty() && machine.streams.open() == 0, "a stream is left");
    assert_eq!(machine.inflow.held(), 0, "something is held that nobody has");
    assert!(machine.send_window >= 0, "more was sent than the client takes");
    check(&application.sent);
    (application.sent, application.begun, machine.fault())
}

/// Whole frames, and none larger than every client takes: no more is sent at once.
fn check(mut sent: &[u8]) {
    while !sent.is_empty() {
        let head = Head::read(sent).expect("the head of a frame");
        assert!(head.length <= DEFAULT_FRAME_SIZE as usize, "{head:?}");
        sent = &sent[HEAD + head.length..];
    }
}

struct Application<A> {
    acts: A,
    open: Vec<u32>,
    begun: usize,
    sent: Vec<u8>,
}

impl<A: Iterator<Item = u8>> Application<A> {
    fn look(&mut self, machine: &mut Machine) {
        while let Some(event) = machine.next_event() {
            if let Event::Request { id, mut request, .. } = event {
                assert!(!request.head_mut().method.as_str().is_empty());
                assert!(self.open.iter().all(|&other| other < id), "a request that was begun before");
                self.open.push(id);
                self.begun += 1;
            }
        }
        for id in self.open.clone() {
            self.act(machine, id);
        }
        self.open.retain(|&id| machine.is_known(id));
        self.send(machine);
    }

    fn act(&mut self, machine: &mut Machine, id: u32) {
        let cx = Context::from_waker(Waker::noop());
        let act = self.acts.next().unwrap_or_default();
        match act % 10 {
            0 => machine.want(id),
            1 | 2 => {
                while let Poll::Ready(Piece::Data(data)) = machine.poll_piece(id, 100, &cx) {
                    assert!(data.len() <= 100);
                    machine.release(id, data.len());
                }
            }
            3 => drop(machine.poll_piece(id, act.into(), &cx)),
            4 => machine.send_head(id, 200, [(&b"Server"[..], &b"squall"[..])].into_iter(), act > 200),
            5 | 6 => {
                if let Poll::Ready(Some(room)) = machine.poll_room(id, &cx) {
                    let length = room.min(40 * usize::from(act));
                    machine.send_data(id, Bytes::from(vec![b'.'; length]), act > 200);
                }
            }
            7 => machine.send_end(id),
            8 if act > 150 => machine.reset(id, Reason::CANCEL),
            9 if act > 150 => machine.let_go(id),
            _ => machine.set_window(1_000 * u32::from(act)),
        }
    }

    fn send(&mut self, machine: &mut Machine) {
        machine.outgoing().drain_behind(0, |piece| self.sent.extend_from_slice(&piece));
        machine.set_backlog(0);
        machine.take_woken().into_iter().for_each(Waker::wake);
    }
}
