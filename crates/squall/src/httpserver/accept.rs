//! What is done with each connection that is accepted.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::ServerError;
use super::options::Config;
use super::proxy_headers::ProxyHeaders;
use super::running::Running;
use crate::httputil::HttpServerConnectionDelegate;
use crate::iostream::IoStream;
use crate::netutil::Address;
use crate::tcpserver::{BoxError, StreamHandler};

pub(super) type Factory = Box<dyn Fn() -> Result<Rc<dyn HttpServerConnectionDelegate>, ServerError>>;

/// What the TCP server calls with each connection.
pub(super) struct HttpService {
    pub(super) config: RefCell<Config>,
    pub(super) factory: Factory,
    /// Made when the server starts: in a child, if it forks.
    pub(super) running: OnceCell<Running>,
}

impl HttpService {
    pub(super) fn check_options(&self) -> Result<(), ServerError> {
        let mistake = self.config.borrow().mistake.clone();
        mistake.map_or(Ok(()), |mistake| Err(mistake()))
    }

    /// False when it was ready before.
    pub(super) fn prepare(&self) -> Result<bool, ServerError> {
        if self.running.get().is_some() {
            return Ok(false);
        }
        self.check_options()?;
        let mut delegate = (self.factory)()?;
        let config = self.config.borrow();
        if config.xheaders {
            delegate = Rc::new(ProxyHeaders { inner: delegate, trusted: config.trusted_downstream.clone() });
        }
        let _ = self.running.set(Running::new(delegate, &config));
        Ok(true)
    }
}

impl StreamHandler for HttpService {
    fn connection_made(handler: &Rc<Self>, stream: IoStream, address: Address) {
        if let Some(running) = handler.running.get() {
            running.serve(stream, &address);
        }
    }

    async fn handle_stream(&self, _stream: IoStream, _address: Address) -> Result<(), BoxError> {
        Ok(())
    }
}
