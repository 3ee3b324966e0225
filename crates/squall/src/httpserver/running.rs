//! A server that has started: its connections, whichever version they speak.

#[cfg(feature = "http2")]
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::Config;
use crate::http1connection::{self, ConnectionTask};
#[cfg(feature = "http2")]
use crate::http2connection;
use crate::httputil::{HttpServerConnectionDelegate, RequestContext, Scheme, Shutdown};
use crate::iostream::IoStream;
use crate::netutil::{Address, spawn_here};

#[derive(Clone)]
pub(super) struct Running {
    /// What requests are said to have come by; `None` for what the connection is.
    protocol: Option<Scheme>,
    http1: Rc<http1connection::Server>,
    #[cfg(feature = "http2")]
    http2: Option<Rc<http2connection::Server>>,
    /// HTTP/2 in clear text.
    #[cfg(feature = "http2")]
    h2c: Rc<Cell<bool>>,
    #[cfg(feature = "http2")]
    is_clear: bool,
}

impl Running {
    pub(super) fn new(delegate: Rc<dyn HttpServerConnectionDelegate>, config: &Config) -> Self {
        let limits = config.limits.clone();
        let set = http1connection::ConnectionSet::of_server();
        let timeouts = [
            limits.header_timeout,
            limits.body_timeout,
            limits.body_stall_timeout,
            limits.idle_connection_timeout,
            limits.write_timeout,
        ];
        for timeout in timeouts.into_iter().flatten() {
            set.allow_for(timeout);
        }
        #[cfg(all(feature = "http2", feature = "tls"))]
        let is_clear = config.ssl_options.is_none();
        #[cfg(all(feature = "http2", not(feature = "tls")))]
        let is_clear = true;
        Self {
            protocol: config.protocol,
            #[cfg(feature = "http2")]
            http2: config.http2.clone().map(|options| {
                Rc::new(http2connection::Server {
                    delegate: Rc::clone(&delegate),
                    limits: limits.clone(),
                    options,
                    set: http2connection::ConnectionSet::of_server(),
                })
            }),
            #[cfg(feature = "http2")]
            h2c: Rc::clone(&config.h2c),
            #[cfg(feature = "http2")]
            is_clear,
            http1: Rc::new(http1connection::Server {
                delegate,
                limits,
                no_keep_alive: config.no_keep_alive,
                set,
            }),
        }
    }

    /// Serves a connection in a task of its own.
    pub(super) fn serve(&self, stream: IoStream, address: &Address) {
        // Responses leave in whole batches, so there is nothing to wait for; not an inet socket is fine too.
        let _ = stream.set_nodelay(true);
        let scheme = if stream.is_tls() { Scheme::Https } else { Scheme::Http };
        let context = RequestContext {
            remote_ip: address.ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            remote_port: address.port(),
            protocol: self.protocol.unwrap_or(scheme),
        };
        #[cfg(feature = "http2")]
        if let Some(http2) = &self.http2 {
            #[cfg(feature = "tls")]
            if stream.has_chosen(b"h2") {
                spawn_here(http2connection::serve(stream, Rc::clone(http2), context));
                return;
            }
            if self.is_clear && self.h2c.get() {
                spawn_here(self.clone().serve_either(Rc::clone(http2), stream, context));
                return;
            }
        }
        spawn_here(ConnectionTask::new(stream, Rc::clone(&self.http1), context));
    }

    /// Waits for what the client says first (RFC 9113 §3.3).
    #[cfg(feature = "http2")]
    async fn serve_either(
        self,
        http2: Rc<http2connection::Server>,
        stream: IoStream,
        context: RequestContext,
    ) {
        // In a box: it is soon over.
        match Box::pin(http2connection::Preface::listen(&stream, &http2, context)).await {
            http2connection::Preface::Http2 => http2connection::serve(stream, http2, context).await,
            http2connection::Preface::Nothing => {
                stream.close();
                http2.delegate.on_close();
            }
            http2connection::Preface::Other => ConnectionTask::new(stream, self.http1, context).await,
        }
    }

    pub(super) fn on_shutdown(&self, shutdown: &Shutdown) {
        self.http1.delegate.on_shutdown(shutdown);
    }

    /// No connection is kept after the response that it is at, or the next one.
    pub(super) fn announce_end(&self) {
        self.http1.set.announce_end();
        #[cfg(feature = "http2")]
        self.each_http2(|http2| http2.set.announce_end());
    }

    /// Lets every connection end after what it is at.
    pub(super) fn drain(&self) {
        self.http1.set.drain();
        #[cfg(feature = "http2")]
        self.each_http2(|http2| http2.set.drain());
    }

    /// Ends every connection now. Says how many there were, and how many requests they were at.
    pub(super) fn cut_all(&self) -> (usize, usize) {
        let (connections, requests) = self.http1.set.cut_all();
        #[cfg(feature = "http2")]
        if let Some(http2) = &self.http2 {
            let (more, more_requests) = http2.set.cut_all();
            return (connections + more, requests + more_requests);
        }
        (connections, requests)
    }

    /// Closes every connection, whatever it is doing.
    pub(super) fn close_all(&self) {
        self.http1.set.close_all();
        #[cfg(feature = "http2")]
        self.each_http2(|http2| {
            http2.set.cut_all();
        });
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        #[cfg(feature = "http2")]
        let more = self.http2.as_ref().map_or(0, |http2| http2.set.len());
        #[cfg(not(feature = "http2"))]
        let more = 0;
        self.http1.set.len() + more
    }

    /// How many requests there have been.
    pub(super) fn served(&self) -> u64 {
        #[cfg(feature = "http2")]
        let more = self.http2.as_ref().map_or(0, |http2| http2.set.served());
        #[cfg(not(feature = "http2"))]
        let more = 0;
        self.http1.set.served() + more
    }

    #[cfg(feature = "http2")]
    fn each_http2(&self, act: impl FnOnce(&http2connection::Server)) {
        if let Some(http2) = &self.http2 {
            act(http2);
        }
    }
}
