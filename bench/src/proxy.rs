//! `bench proxy`: `GET /` through a reverse proxy to the raw server, over connections that are kept on both sides.

use crate::answer::HELLO;
use crate::load::request;
use crate::options::Options;
use crate::peers::{self, Server};
use crate::{Result, http};

/// In the order of the table; the others are compared with the first.
const PEERS: [&str; 2] = ["nginx", "squall"];

pub fn run(options: &Options) -> Result {
    // Beside the load generator: the second core is the proxy's own.
    let Some(upstream) = Server::start_on(peers::LOAD_CORE, "raw")? else {
        return Err("the raw server does not start".into());
    };
    let port = upstream.address.port();
    let names: Vec<String> = PEERS.iter().map(|peer| format!("{peer}:upstream={port}")).collect();
    let base = names[0].clone();
    let options = Options { depths: vec![1], ..options.clone() };
    http::compare(&options, names, request(options.headers), HELLO, "GET / through a proxy", &base)
}
