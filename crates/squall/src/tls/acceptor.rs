//! Handshakes with clients, bounded in time and number, with settings that can be exchanged.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::Notify;

use super::SslError;
use super::clear_text;
use super::config::Settings;
use super::options::SslOptions;
use super::tickets::TicketSecret;
use super::watch::{Stamp, watch};
use crate::ioloop::IoLoop;
use crate::iostream::IoStream;
use crate::log;
use crate::netutil::{Address, spawn};

/// Makes TLS connections of those that clients have opened.
///
/// Servers have one inside ([`HttpServer::ssl_options`](crate::HttpServer::ssl_options)); this is for streams that come
/// from elsewhere. A handle: clones share everything.
#[derive(Clone)]
pub struct TlsAcceptor(Rc<Shared>);

pub(super) struct Shared {
    pub(super) options: Arc<SslOptions>,
    settings: RefCell<Arc<Settings>>,
    /// The state of the files that was last loaded, or found wanting.
    stamp: RefCell<Stamp>,
    tickets: Arc<TicketSecret>,
    crowd: Rc<Crowd>,
    watching: Cell<bool>,
}

impl TlsAcceptor {
    /// Reads the files and checks everything. The keys of session tickets are drawn here: do this before forking, so
    /// that all processes have the same.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else than it should, or does not fit another; when a certificate has
    /// expired; when an option has no effect or no meaning.
    pub fn new(options: SslOptions) -> Result<Self, SslError> {
        let tickets = TicketSecret::generate().map_err(|error| {
            SslError::new("session_tickets", None, format_args!("no random bytes: {error}"))
        })?;
        // Before the files are read: what changes meanwhile is noticed.
        let stamp = Stamp::take(&options);
        let settings = Settings::load(&options, &tickets)?;
        Ok(Self(Rc::new(Shared {
            crowd: Crowd::new(options.max_handshakes),
            options: Arc::new(options),
            settings: RefCell::new(Arc::new(settings)),
            stamp: RefCell::new(stamp),
            tickets,
            watching: Cell::new(false),
        })))
    }

    /// Makes the handshake, as server, on a stream from which nothing has been read, and gives the stream over TLS.
    ///
    /// Not cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// `TimedOut` after the [handshake's time](SslOptions::handshake_timeout), and when too many others are under way;
    /// `InvalidData` when the client does not speak TLS, or not as is wanted, with a [`rustls::Error`] inside;
    /// `UnexpectedEof` when it has closed; else that of the socket. The connection is closed then; the client has been
    /// told why, where it can be.
    pub async fn accept(&self, stream: IoStream) -> io::Result<IoStream> {
        let place = self.0.crowd.enter();
        tokio::select! {
            biased;
            () = place.given_up() => Err(timed_out("given up for newer ones")),
            result = self.shake_hands(&stream) => result,
            () = tokio::time::sleep(self.0.options.handshake_timeout) => Err(timed_out("it takes too long")),
        }
    }

    async fn shake_hands(&self, stream: &IoStream) -> io::Result<IoStream> {
        let settings = Arc::clone(&self.0.settings.borrow());
        let answer = self.0.options.clear_text_answer;
        let look = move |first: &[u8]| clear_text::look(first, answer);
        let stream = stream.start_tls_after(Arc::clone(&settings.server).into(), look).await?;
        if let Some(info) = stream.tls_info()
            && info.resumed
            && let Err(error) = settings.check_again(&info.peer_certificates)
        {
            stream.abort();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(stream)
    }

    /// [`accept`](Self::accept) for a server: what goes wrong is a line in the log, and nobody else's business.
    pub(crate) async fn accept_logged(&self, stream: IoStream, address: &Address) -> Option<IoStream> {
        match self.accept(stream).await {
            Ok(stream) => Some(stream),
            // At this level although it may be a mistake in the settings: anybody can do it, as often as they like.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::TimedOut) => {
                tracing::info!(target: log::GENERAL, "TLS handshake with {address} failed: {error}");
                None
            }
            // The client has left, as port scanners and health checks do.
            Err(error) => {
                tracing::info!(target: log::GENERAL, "No TLS handshake with {address}: {error}");
                None
            }
        }
    }

    /// Reads the files again, and takes what they hold for all handshakes from now on: all of it, or nothing.
    /// Connections go on. This is done [by itself](SslOptions::reload) when they change; call it on SIGHUP.
    ///
    /// # Errors
    /// As [`new`](Self::new). The former certificates stay.
    pub fn reload(&self) -> Result<(), SslError> {
        self.0.stamp.replace(Stamp::take(&self.0.options));
        self.0.take(Settings::load(&self.0.options, &self.0.tickets))
    }

    /// Looks after the files from now on, once in each process that serves.
    pub(crate) fn start_watching(&self) {
        let wanted = self.0.options.reload && self.0.stamp().is_of_files();
        if !wanted || self.0.watching.replace(true) {
            return;
        }
        // A process that is started again comes with what its parent has read long ago.
        if self.0.stamp() != Stamp::take(&self.0.options)
            && let Err(error) = self.reload()
        {
            log_kept(&error);
        }
        spawn(watch(Rc::downgrade(&self.0)));
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp.borrow().clone()
    }

    /// Reads the files again, on a thread: they may be on a slow disk.
    pub(super) async fn reload(&self) {
        self.stamp.replace(Stamp::take(&self.options));
        let (options, tickets) = (Arc::clone(&self.options), Arc::clone(&self.tickets));
        let load = move || Settings::load(&options, &tickets);
        match IoLoop::current().run_in_executor(None, load).await {
            Ok(loaded) => match self.take(loaded) {
                Ok(()) => {
                    tracing::info!(target: log::GENERAL, "New certificates are in use");
                }
                Err(error) => log_kept(&error),
            },
            Err(error) => {
                tracing::error!(target: log::GENERAL, "Cannot read the certificates again: {error}");
            }
        }
    }

    fn take(&self, loaded: Result<Settings, SslError>) -> Result<(), SslError> {
        self.settings.replace(Arc::new(loaded?));
        Ok(())
    }
}

fn log_kept(error: &SslError) {
    tracing::error!(target: log::GENERAL, "The former certificates stay in use: {error}");
}

fn timed_out(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// The handshakes under way, the oldest first. (A queue for those beyond the limit would let a thousand stalled ones keep
/// everybody waiting.)
struct Crowd {
    places: RefCell<VecDeque<Weak<Seat>>>,
    /// How many are under way, those apart that have been given up.
    count: Cell<usize>,
    most: usize,
}

#[derive(Default)]
struct Seat {
    given_up: Cell<bool>,
    notify: Notify,
}

impl Crowd {
    fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { places: RefCell::default(), count: Cell::new(0), most })
    }

    fn enter(self: &Rc<Self>) -> Place {
        let seat = Rc::new(Seat::default());
        let mut places = self.places.borrow_mut();
        while self.count.get() >= self.most
            && let Some(oldest) = places.pop_front()
        {
            if let Some(oldest) = oldest.upgrade() {
                oldest.given_up.set(true);
                oldest.notify.notify_one();
                self.count.set(self.count.get() - 1);
            }
        }
        // Those that are done stand between the others; they are swept out before they outnumber them.
        if places.len() >= 2 * self.most {
            places.retain(|seat| seat.strong_count() > 0);
        }
        places.push_back(Rc::downgrade(&seat));
        self.count.set(self.count.get() + 1);
        Place { seat, crowd: Rc::clone(self) }
    }
}

struct Place {
    seat: Rc<Seat>,
    crowd: Rc<Crowd>,
}

impl Place {
    async fn given_up(&self) {
        self.seat.notify.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.seat.given_up.get() {
            self.crowd.count.set(self.crowd.count.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_given_up(place: &Place) -> bool {
        pin!(place.given_up()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_oldest_makes_room() {
        let crowd = Crowd::new(2);
        let (first, second) = (crowd.enter(), crowd.enter());
        let third = crowd.enter();
        assert!(is_given_up(&first) && !is_given_up(&second) && !is_given_up(&third));
        drop((first, second));
        let fourth = crowd.enter();
        assert!(!is_given_up(&third) && !is_given_up(&fourth));
        // One goes for each that comes, also before those that went have noticed.
        let later: Vec<Place> = (0..4).map(|_| crowd.enter()).collect();
        let given_up: Vec<bool> = [&third, &fourth].into_iter().chain(&later).map(is_given_up).collect();
        assert_eq!(given_up, [true, true, true, true, false, false]);
    }

    #[test]
    fn those_that_are_done_take_no_memory() {
        let crowd = Crowd::new(8);
        for _ in 0..1000 {
            drop(crowd.enter());
        }
        assert!(crowd.places.borrow().len() <= 17 && crowd.count.get() == 0, "{}", crowd.count.get());
    }
}
