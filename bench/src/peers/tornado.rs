//! Tornado itself, where python3 can import it.

use std::process::{Command, Stdio};

use super::Settings;
use crate::Result;

pub(super) fn command(port: u16, _: &Settings) -> Result<Option<Command>> {
    program("hello_tornado.py", port)
}

pub(super) fn websocket(port: u16, settings: &Settings) -> Result<Option<Command>> {
    let mut command = program("websocket_tornado.py", port)?;
    if let Some(command) = &mut command
        && settings.contains_key("deflate")
    {
        command.arg("deflate");
    }
    Ok(command)
}

fn program(file: &str, port: u16) -> Result<Option<Command>> {
    let found = Command::new("python3").args(["-c", "import tornado"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("python3");
    command.arg(format!("{}/peers/{file}", env!("CARGO_MANIFEST_DIR"))).arg(port.to_string());
    Ok(Some(command))
}
