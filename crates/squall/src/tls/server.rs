//! TLS on the connections of a server.

use std::rc::Rc;

use super::{SslError, SslOptions, TlsAcceptor};
use crate::iostream::IoStream;
use crate::netutil::Address;
use crate::tcpserver::{BoxError, Preamble, Prepared, StreamHandler, TcpServer};

impl<H: StreamHandler> TcpServer<H> {
    /// Speaks TLS with clients (Tornado's `TCPServer(ssl_options=…)`). The handler gets a connection when the handshake
    /// is done; one that fails is a line in the log. Set it before [`bind`](Self::bind) and [`listen`](Self::listen).
    ///
    /// # Errors
    /// As [`TlsAcceptor::new`].
    pub fn ssl_options(&self, options: SslOptions) -> Result<(), SslError> {
        self.set_preamble(Rc::new(TlsAcceptor::new(options)?));
        Ok(())
    }
}

impl Preamble for TlsAcceptor {
    fn start(&self) {
        self.start_watching();
    }

    fn run(self: Rc<Self>, stream: IoStream, address: Address) -> Prepared {
        Box::pin(async move {
            let stream = self.accept_logged(stream, &address).await?;
            Some((stream, address))
        })
    }

    fn reload(&self) -> Result<(), BoxError> {
        Ok(TlsAcceptor::reload(self)?)
    }
}
