//! Reading the header of the PROXY protocol from a connection.

use std::fmt;
use std::time::Duration;

use crate::iostream::IoStream;
use crate::log;
use crate::netutil::{Address, MAX_V2, Network, Progress, parse_proxy_header};

/// How long the header may take: as long as the TLS handshake that may follow.
const TIME: Duration = Duration::from_secs(10);

/// The client's address by the header: the proxy's own where it says nothing. `None` when the connection is to be
/// closed. What follows the header stays in the socket.
pub(super) async fn read(stream: &IoStream, proxy: Address, proxies: &[Network]) -> Option<Address> {
    let refuse = |why: &dyn fmt::Display| {
        tracing::info!(target: log::GENERAL, "PROXY header from {proxy} refused: {why}");
        None
    };
    // A Unix socket's peer is a process of this machine that may open it.
    if let Some(ip) = proxy.ip()
        && !proxies.iter().any(|network| network.contains(ip))
    {
        return refuse(&"it is none of the proxies");
    }
    match tokio::time::timeout(TIME, read_header(stream)).await {
        Err(_) => refuse(&"it takes too long"),
        Ok(Err(why)) => refuse(&*why),
        Ok(Ok(source)) => Some(source.map_or(proxy, Address::from)),
    }
}

async fn read_header(stream: &IoStream) -> Result<Option<std::net::SocketAddr>, Box<dyn std::error::Error>> {
    let (mut header, mut filled) = (vec![0; 128], 0);
    loop {
        let missing = match parse_proxy_header(&header[..filled])? {
            Progress::Done(source) => return Ok(source),
            Progress::More(missing) => missing,
        };
        debug_assert!(filled + missing <= MAX_V2);
        header.resize(header.len().max(filled + missing), 0);
        // Not a byte more: what follows may be a TLS handshake.
        filled += stream.read_into(&mut header[filled..filled + missing], false).await?;
    }
}
