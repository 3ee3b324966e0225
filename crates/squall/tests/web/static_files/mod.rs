//! Static files over real sockets: Tornado's `StaticFileTest` and its kin as tables, paths and links that lead out,
//! large files, slow readers, slow disks.

mod hooks;
mod large;
mod paths;
mod semantics;
mod support;
