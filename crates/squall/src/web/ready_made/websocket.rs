//! What WebSockets need of an application and of a request.

use std::time::Duration;

use crate::http1::head_writer;
use crate::iostream::IoStream;
use crate::web::application::{Application, Core};
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};
use crate::web::response::Phase;
use crate::web::transforms::add_vary;
pub(in crate::web) use crate::websocket::{WebSocketOptions, WebSockets};

/// With the feature `websocket`, a default one.
impl Application {
    /// Limits, pings and the queue of all WebSockets, which [`WebSocketHandler::options`] can change for one. Default:
    /// [`WebSocketOptions::new`].
    ///
    /// [`WebSocketHandler::options`]: crate::websocket::WebSocketHandler::options
    #[must_use]
    pub fn websocket_options(mut self, options: WebSocketOptions) -> Self {
        self.settings.websocket = options;
        self
    }

    /// Pings every WebSocket so often; zero for never, which is the default.
    #[must_use]
    pub fn websocket_ping_interval(self, interval: Duration) -> Self {
        let options = self.settings.websocket.ping_interval(interval);
        self.websocket_options(options)
    }

    /// How long a pong may take; zero for as long as it likes. Default: the interval.
    #[must_use]
    pub fn websocket_ping_timeout(self, timeout: Duration) -> Self {
        let options = self.settings.websocket.ping_timeout(timeout);
        self.websocket_options(options)
    }

    /// Most bytes of a message that comes in through a WebSocket. Default: 10,485,760.
    #[must_use]
    pub fn websocket_max_message_size(self, bytes: usize) -> Self {
        let options = self.settings.websocket.max_message_size(bytes);
        self.websocket_options(options)
    }
}

impl Context {
    /// Answers 101 with the headers set so far (over HTTP/2 200), and takes the connection out of HTTP, or the stream of it.
    pub(crate) fn switch_protocols(&self) -> Result<IoStream> {
        if self.headers_sent() {
            let message = "Cannot upgrade after headers have been written";
            return Err(HttpError::new(500).log_message(message).into());
        }
        {
            let mut response = self.response.borrow_mut();
            response.headers.remove("Content-Type");
            if let Some(cookies) = self.rare_if_any().and_then(|rare| rare.cookies.get()) {
                cookies.write_to(&mut response.headers)?;
            }
            // As with every response that a proxy may keep; Tornado's 101 has it too.
            if self.core().settings().transforms.compresses() {
                add_vary(&mut response.headers, "Accept-Encoding")?;
            }
        }
        let tunnel = self.request().connection().tunnel(&self.response.borrow().headers);
        if let Some(stream) = tunnel {
            let stream = stream?;
            self.response.borrow_mut().phase = Phase::Finished;
            return Ok(stream);
        }
        let mut head = Vec::with_capacity(256);
        head_writer::status_line(&mut head, 101, "Switching Protocols");
        {
            let mut response = self.response.borrow_mut();
            response.set_status(101, None);
            head_writer::fields(&mut head, &response.headers);
        }
        head_writer::end(&mut head);
        // Who has no connection to give says so here, before anything is sent.
        let stream = self.detach()?;
        // An error closes the stream; whoever reads it is told there.
        drop(stream.write_bytes(head.into()));
        Ok(stream)
    }

    /// The application's WebSockets.
    pub(crate) fn websockets(&self) -> &WebSockets {
        self.core().websockets()
    }
}

impl Core {
    fn websockets(&self) -> &WebSockets {
        &self.websockets
    }
}
