//! Tornado itself, where python3 can import it.

use std::process::{Command, Stdio};

use crate::Result;

pub(super) fn command(port: u16, _: &super::Settings) -> Result<Option<Command>> {
    let found = Command::new("python3").args(["-c", "import tornado"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/hello_tornado.py")).arg(port.to_string());
    Ok(Some(command))
}
