//! Session tickets that all processes of a server understand.
//!
//! The parent draws a secret before it forks. From then on every process makes the next key out of the last one when
//! its time is over, by the clock that they share, and forgets the one before the last: what was recorded 12 hours ago
//! cannot be read with what is in memory today. (The parent of forked processes does not serve, and so does not move on;
//! a process that it starts again does at once.)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;
use sha2::Sha256;

/// How long tickets are made with one key. They are taken for as long again.
const ROTATION: Duration = Duration::from_secs(6 * 3600);

/// The bytes by which a ticket says what key it was made with.
const NAME_LENGTH: usize = 16;

/// A ticket's length in bytes is told by 16 bits.
const MAX_TICKET: usize = 65_535;

type Key = [u8; 32];

/// Where the keys come from.
pub(super) struct TicketSecret(Mutex<Keys>);

struct Keys {
    /// The number of the period that `current` is for.
    period: u64,
    current: Key,
    previous: Option<Key>,
    /// What was made of them last.
    sealing: Option<Arc<Sealing>>,
}

/// What tickets are sealed with in one period, under one set of rules. It goes with the period: what could open older
/// tickets is not kept.
struct Sealing {
    rules: Key,
    current: SealingKey,
    previous: Option<SealingKey>,
}

/// The name of a key and the key.
type SealingKey = ([u8; NAME_LENGTH], LessSafeKey);

impl TicketSecret {
    pub(super) fn generate() -> Result<Arc<Self>, getrandom::Error> {
        let mut current = [0; 32];
        getrandom::fill(&mut current)?;
        let keys = Keys { period: period_now(), current, previous: None, sealing: None };
        Ok(Arc::new(Self(Mutex::new(keys))))
    }

    /// The keys of this period and the last, for these rules. Kept while nothing changes: to make them costs more than a
    /// ticket.
    fn sealing(&self, period: u64, rules: &Key) -> Option<Arc<Sealing>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while keys.period < period {
            let next = derive(&keys.current, b"squall: the next ticket key", &[]);
            keys.previous = Some(std::mem::replace(&mut keys.current, next));
            keys.period += 1;
            keys.sealing = None;
        }
        if let Some(sealing) = keys.sealing.as_ref().filter(|sealing| sealing.rules == *rules) {
            return Some(Arc::clone(sealing));
        }
        let current = sealing_key(&keys.current, rules)?;
        let previous = keys.previous.as_ref().and_then(|key| sealing_key(key, rules));
        let sealing = Arc::new(Sealing { rules: *rules, current, previous });
        keys.sealing = Some(Arc::clone(&sealing));
        Some(sealing)
    }
}

/// What rustls asks for tickets.
pub(super) struct Ticketer {
    secret: Arc<TicketSecret>,
    /// What stands for the rules about client certificates: under others the keys are others, so that no session goes
    /// on past checks that it did not pass.
    rules: Key,
}

impl Ticketer {
    pub(super) fn new(secret: Arc<TicketSecret>, rules: [u8; 32]) -> Self {
        Self { secret, rules }
    }

    fn seal(&self, period: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let sealing = self.secret.sealing(period, &self.rules)?;
        let (name, key) = &sealing.current;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut ticket =
            Vec::with_capacity(NAME_LENGTH + NONCE_LEN + plain.len() + CHACHA20_POLY1305.tag_len());
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = &mut ticket[NAME_LENGTH + NONCE_LEN..];
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(*name), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        (ticket.len() <= MAX_TICKET).then_some(ticket)
    }

    fn open(&self, period: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME_LENGTH)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.secret.sealing(period, &self.rules)?;
        // The name is no secret: it was sent in the clear.
        let mut known = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten();
        let (own_name, key) = known.find(|(own_name, _)| name == own_name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let length = key.open_in_place(nonce, Aad::from(*own_name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        ROTATION.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(period_now(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(period_now(), ticket)
    }
}

impl std::fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticketer")
    }
}

/// The number of the period that it is.
fn period_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / ROTATION.as_secs()
}

fn sealing_key(secret: &Key, rules: &Key) -> Option<SealingKey> {
    let name = derive(secret, b"squall: the name of a ticket key", rules);
    let key = derive(secret, b"squall: a ticket key", rules);
    let name = name[..NAME_LENGTH].try_into().ok()?;
    Some((name, LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?)))
}

fn derive(secret: &Key, purpose: &[u8], context: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac.update(context);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer(rules: u8) -> (Ticketer, u64) {
        let secret = TicketSecret::generate().unwrap();
        let period = secret.0.lock().unwrap().period;
        (Ticketer::new(secret, [rules; 32]), period)
    }

    #[test]
    fn a_ticket_is_taken_for_the_period_after_its_own_and_no_longer() {
        let (ticketer, now) = ticketer(0);
        let ticket = ticketer.seal(now, b"session").unwrap();
        for later in [0, 1] {
            assert_eq!(ticketer.open(now + later, &ticket).as_deref(), Some(&b"session"[..]), "{later}");
        }
        assert_eq!(ticketer.open(now + 2, &ticket), None);
        // Neither when the clock goes back: the key is gone.
        assert_eq!(ticketer.open(now, &ticket), None);
    }

    #[test]
    fn processes_that_move_on_at_other_times_agree() {
        let (here, now) = ticketer(0);
        let copy = {
            let keys = here.secret.0.lock().unwrap();
            Keys { period: keys.period, current: keys.current, previous: keys.previous, sealing: None }
        };
        let there = Ticketer::new(Arc::new(TicketSecret(Mutex::new(copy))), [0; 32]);
        for step in 1..4 {
            let _ = here.seal(now + step, b"").unwrap();
        }
        let ticket = here.seal(now + 4, b"session").unwrap();
        assert_eq!(there.open(now + 5, &ticket).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn other_rules_about_client_certificates_have_other_keys() {
        let (ticketer, now) = ticketer(0);
        let ticket = ticketer.seal(now, b"session").unwrap();
        let changed = Ticketer::new(Arc::clone(&ticketer.secret), [1; 32]);
        assert_eq!(changed.open(now, &ticket), None);
        assert_eq!(ticketer.open(now, &ticket).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn no_other_bytes_are_a_ticket() {
        let (ticketer, now) = ticketer(0);
        let ticket = ticketer.seal(now, b"session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(ticketer.open(now, &ticket[..length]), None, "{length} bytes");
        }
        for place in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[place] ^= 1;
            assert_eq!(ticketer.open(now, &forged), None, "byte {place}");
        }
        assert_eq!(ticketer.open(now, &vec![0; MAX_TICKET + 1]), None);
        assert_eq!(ticketer.seal(now, &vec![0; MAX_TICKET]), None);
    }
}
