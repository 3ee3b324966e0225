//! Options of the program, from its command line, the environment and files (Tornado's `tornado.options`).
//!
//! ```
//! use std::time::Duration;
//! use squall::options;
//!
//! # fn main() -> Result<(), options::OptionError> {
//! let greeting = options::define("greeting", "Hello".to_owned()).help("what visitors are told");
//! options::define("refresh", Duration::from_secs(30)).help("how long news are kept").group("News");
//! options::define_opt::<String>("database-url").help("where the stories are").secret();
//! options::define_multiple("shards", vec![0_u32]).help("which shards to serve").metavar("N,N:M");
//!
//! # let parser = options::OptionParser::new();
//! # let parse = |args: &[&str]| options::parse_command_line_from(args.iter().copied(), true);
//! # parse(&["main", "--greeting=Hej", "--refresh=1m30s", "--shards=1,4:6"])?;
//! // options::parse_command_line()?;      ./main --greeting=Hej --refresh=1m30s --shards=1,4:6
//! assert_eq!(greeting.get(), "Hej");
//! assert_eq!(options::get::<Duration>("refresh"), Duration::from_secs(90));
//! assert_eq!(options::get::<Vec<u32>>("shards"), [1, 4, 5, 6]);
//! assert_eq!(options::get_opt::<String>("database-url"), None);
//! # Ok(())
//! # }
//! ```
//!
//! # Sources
//!
//! A value of the [command line](parse_command_line) beats one of the [environment](parse_environment), that one of a
//! [file](parse_config_file), and all the default, in whatever order they are read. Among equals the last one wins. (In
//! Tornado it is the order of the calls alone.)
//!
//! # What every program has
//!
//! These are defined already. [`HttpServer::run`](crate::HttpServer::run) and the log follow them, once they are given in
//! one of the sources:
//!
//! | option | what | default |
//! |---|---|---|
//! | `--port`, `--address`, `--unix-socket` | where to listen, instead of what was bound | `8888`, all interfaces, none |
//! | `--processes` | how many processes serve, 0 for one per core | 0 |
//! | `--certfile`, `--keyfile` | the certificate to serve with, and its key; several, with commas, are each for the names in it | none |
//! | `--ca-certs` | the authorities of one of which clients must have a certificate | none: they need none |
//! | `--h2c` | serve HTTP/2 in clear text too, to clients that know | off |
//! | `--drain-timeout` | how long connections may go on at the end | `30s` |
//! | `--debug` | one process, error pages that tell all, restart when it is built anew | off; on under `squall dev` |
//! | `--logging` | least severe level that is logged: debug, info, warning, error or none | `info` |
//! | `--log-format` | how a line looks: pretty (Tornado's), json or logfmt | `pretty` |
//! | `--log-file-prefix` | a file to log to, followed by a number or date when it is rotated | none |
//! | `--log-rotate-mode` | size (of 100 MB, `--log-file-max-size`; 10 are kept, `--log-file-num-backups`) or time (at midnight) | `size` |
//! | `--log-to-stderr` | whether to log to standard error; by default if there is no file | |
//!
//! An application that defines an option of one of these names replaces it, and `run` takes the value from there.
//!
//! # Under the `squall` command
//!
//! `squall dev` and `squall routes` (crate `squall-cli`) hand a program a listening socket as a service manager does
//! (sd_listen_fds(3)), under the name `squall-dev`. The program need not know. The first port that it binds is that socket,
//! whatever its number; it serves in one process, with `--debug` on unless that is switched off; it is not started anew by
//! [`autoreload`](crate::autoreload); and it ends with the command, however that ends. If `SQUALL_ROUTES` names a
//! file besides, the first application that is to be served writes its
//! [table of routes](crate::Application::route_table) into it as JSON, and the program ends with status 0.

mod builtin;
mod config;
pub(crate) mod development;
mod error;
mod help;
mod parser;
#[cfg(feature = "templates")]
mod plain;
mod python;
mod value;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

pub use error::OptionError;
pub use parser::{Defined, DefinedOpt, Mock, OptionParser};
pub use value::OptionValue;

pub(crate) use builtin::{Builtins, TlsFiles, given};
#[cfg(feature = "templates")]
pub(crate) use plain::Plain;

static OPTIONS: LazyLock<OptionParser> = LazyLock::new(|| {
    let options = OptionParser::new();
    builtin::define(&options);
    options
});

/// The options of the program, as one value; the functions of this module are its methods.
pub fn global() -> &'static OptionParser {
    &OPTIONS
}

/// See [`OptionParser::define`].
#[track_caller]
pub fn define<T: OptionValue>(name: &str, default: T) -> Defined<'static, T> {
    OPTIONS.define(name, default)
}

/// See [`OptionParser::define_opt`].
#[track_caller]
pub fn define_opt<T: OptionValue>(name: &str) -> DefinedOpt<'static, T> {
    OPTIONS.define_opt(name)
}

/// See [`OptionParser::define_multiple`].
#[track_caller]
pub fn define_multiple<T: OptionValue>(name: &str, default: Vec<T>) -> Defined<'static, Vec<T>> {
    OPTIONS.define_multiple(name, default)
}

/// Takes options from the program's arguments, up to the first that is none, and returns the rest.
///
/// `--help` prints what there is and ends the program with status 0. See [`OptionParser::parse_command_line_from`].
///
/// # Errors
/// For an unknown option, after the help was printed, and for a value that its option cannot have.
pub fn parse_command_line() -> Result<Vec<String>, OptionError> {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    OPTIONS.parse_command_line_from(arguments, true)
}

/// See [`OptionParser::parse_command_line_from`].
///
/// # Errors
/// As there.
pub fn parse_command_line_from(
    arguments: impl IntoIterator<Item = impl Into<String>>,
    is_final: bool,
) -> Result<Vec<String>, OptionError> {
    OPTIONS.parse_command_line_from(arguments, is_final)
}

/// See [`OptionParser::parse_config_file`].
///
/// # Errors
/// As there.
pub fn parse_config_file(path: impl AsRef<Path>, is_final: bool) -> Result<(), OptionError> {
    OPTIONS.parse_config_file(path, is_final)
}

/// See [`OptionParser::parse_environment`].
///
/// # Errors
/// As there.
pub fn parse_environment(prefix: &str) -> Result<(), OptionError> {
    OPTIONS.parse_environment(prefix)
}

/// See [`OptionParser::get`].
///
/// # Panics
/// As there.
#[track_caller]
pub fn get<T: Clone + 'static>(name: &str) -> T {
    OPTIONS.get(name)
}

/// See [`OptionParser::get_opt`].
///
/// # Panics
/// As there.
#[track_caller]
pub fn get_opt<T: Clone + 'static>(name: &str) -> Option<T> {
    OPTIONS.get_opt(name)
}

/// See [`OptionParser::set`].
///
/// # Errors
/// As there.
pub fn set<T: Clone + Send + Sync + 'static>(name: &str, value: T) -> Result<(), OptionError> {
    OPTIONS.set(name, value)
}

/// See [`OptionParser::as_map`].
pub fn as_map() -> BTreeMap<String, String> {
    OPTIONS.as_map()
}

/// See [`OptionParser::group_map`].
pub fn group_map(group: &str) -> BTreeMap<String, String> {
    OPTIONS.group_map(group)
}

/// See [`OptionParser::print_help`].
///
/// # Errors
/// As there.
pub fn print_help(out: &mut dyn io::Write) -> io::Result<()> {
    OPTIONS.print_help(out)
}

/// See [`OptionParser::add_parse_callback`].
pub fn add_parse_callback(callback: impl Fn() + Send + Sync + 'static) {
    OPTIONS.add_parse_callback(callback);
}

/// See [`OptionParser::mock`].
///
/// # Errors
/// As there.
#[doc(alias = "mockable")]
pub fn mock<T: Clone + Send + Sync + 'static>(name: &str, value: T) -> Result<Mock<'static>, OptionError> {
    OPTIONS.mock(name, value)
}
