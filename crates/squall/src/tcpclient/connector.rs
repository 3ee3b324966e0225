//! Happy Eyeballs (RFC 6555) as Tornado's `_Connector` does it: which address is tried when. Pure: it is told what
//! happened and says what to do.
//!
//! The addresses are parted by family. The family of the first address begins; the other joins in parallel when the
//! first attempt fails or the head start is over. Then each family tries its addresses one after the other, one attempt
//! at a time, until one succeeds or both queues are exhausted.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Start to connect to this address.
    Connect(SocketAddr),
    /// Nothing until the next event.
    Wait,
    /// Every address has failed.
    Fail,
}

/// The queue of a family.
#[derive(Debug)]
struct Queue {
    waiting: VecDeque<SocketAddr>,
    started: bool,
}

#[derive(Debug)]
pub(super) struct Connector {
    primary: Queue,
    secondary: Queue,
    in_flight: usize,
}

impl Connector {
    /// The state machine and its first action.
    pub(super) fn new(addresses: &[SocketAddr]) -> (Self, Action) {
        let first = addresses.first().map(SocketAddr::is_ipv4);
        let (primary, secondary) = addresses.iter().partition(|address| Some(address.is_ipv4()) == first);
        let mut connector = Self {
            primary: Queue { waiting: primary, started: true },
            secondary: Queue { waiting: secondary, started: false },
            in_flight: 0,
        };
        let action = connector.next_of(true);
        (connector, action)
    }

    /// Whether the second family still waits for the end of the first one's head start.
    pub(super) fn awaits_head_start(&self) -> bool {
        !self.secondary.started
    }

    /// The head start is over.
    pub(super) fn head_start_over(&mut self) -> Action {
        self.start_secondary()
    }

    /// The attempt at `address` has failed. There may be two actions: the next address of its family, and the first of
    /// the other.
    pub(super) fn failed(&mut self, address: SocketAddr, is_primary: bool) -> [Action; 2] {
        debug_assert!(self.in_flight > 0, "an attempt at {address} that was not started");
        self.in_flight -= 1;
        let own = self.next_of(is_primary);
        let other = if self.awaits_head_start() { self.start_secondary() } else { Action::Wait };
        [own, other]
    }

    fn start_secondary(&mut self) -> Action {
        if std::mem::replace(&mut self.secondary.started, true) {
            return Action::Wait;
        }
        self.next_of(false)
    }

    fn next_of(&mut self, is_primary: bool) -> Action {
        let queue = if is_primary { &mut self.primary } else { &mut self.secondary };
        match queue.waiting.pop_front() {
            Some(address) => {
                self.in_flight += 1;
                Action::Connect(address)
            }
            None if self.in_flight == 0
                && self.primary.waiting.is_empty()
                && self.secondary.waiting.is_empty() =>
            {
                Action::Fail
            }
            None => Action::Wait,
        }
    }
}

/// Tornado's `ConnectorTest`, script by script: a and b are of the first family, c and d of the second.
#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: char) -> SocketAddr {
        match name {
            'a' | 'b' => format!("[::1]:{}", u32::from(name)),
            _ => format!("127.0.0.1:{}", u32::from(name)),
        }
        .parse()
        .unwrap()
    }

    fn name(address: SocketAddr) -> char {
        char::from(u8::try_from(address.port()).unwrap())
    }

    /// Plays a script: `-a` the attempt at a fails, `t` the head start is over. Returns what is in flight after each
    /// step, `!` when all has failed.
    fn play(addresses: &str, script: &str) -> Vec<String> {
        let addresses: Vec<SocketAddr> = addresses.chars().map(address).collect();
        let (mut connector, first) = Connector::new(&addresses);
        let mut in_flight = Vec::new();
        let mut failed = false;
        let mut seen = Vec::new();
        let mut act = |actions: &[Action], in_flight: &mut Vec<char>| {
            for action in actions {
                match action {
                    Action::Connect(address) => in_flight.push(name(*address)),
                    Action::Wait => {}
                    Action::Fail => failed = true,
                }
            }
            in_flight.sort_unstable();
            let text: String = in_flight.iter().collect();
            seen.push(if failed { format!("{text}!") } else { text });
        };
        act(&[first], &mut in_flight);
        for step in script.split_whitespace() {
            match step.strip_prefix('-').and_then(|name| name.chars().next()) {
                Some(letter) => {
                    in_flight.retain(|&other| other != letter);
                    let address = address(letter);
                    let actions = connector.failed(address, address.is_ipv6() == addresses[0].is_ipv6());
                    act(&actions, &mut in_flight);
                }
                None => {
                    let action = connector.head_start_over();
                    act(&[action], &mut in_flight);
                }
            }
        }
        seen
    }

    #[test]
    fn scripts() {
        for (addresses, script, expected) in [
            ("a", "", &["a"][..]),
            ("abcd", "", &["a"]),
            ("a", "-a", &["a", "!"]),
            ("ab", "-a", &["a", "b"]),
            ("ab", "-a -b", &["a", "b", "!"]),
            // With one family the end of the head start changes nothing.
            ("ab", "t -a", &["a", "a", "b"]),
            ("abcd", "-a -b", &["a", "bc", "c"]),
            ("abcd", "t", &["a", "ac"]),
            ("abcd", "t -c", &["a", "ac", "ad"]),
            ("abcd", "t -a -c -d -b", &["a", "ac", "bc", "bd", "b", "!"]),
            ("abcd", "-a -c -d -b", &["a", "bc", "bd", "b", "!"]),
            ("abcd", "t t", &["a", "ac", "ac"]),
            ("ac", "-a -c", &["a", "c", "!"]),
            ("ac", "t -a -c", &["a", "ac", "c", "!"]),
            ("ca", "-c -a", &["c", "a", "!"]),
        ] {
            assert_eq!(play(addresses, script), expected, "{addresses}: {script}");
        }
    }

    #[test]
    fn no_address_is_a_failure() {
        assert_eq!(play("", ""), ["!"]);
    }
}
