//! nghttpd of nghttp2, where it is installed: one thread, files only.

use std::fs;
use std::process::{Command, Stdio};

use super::Settings;
use crate::{Result, static_files, tls};

pub(super) fn command(port: u16, settings: &Settings) -> Result<Option<Command>> {
    let found = Command::new("nghttpd").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let folder = static_files::folder();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("json"), tls::JSON)?;
    fs::write(folder.join("index.html"), "Hello world!")?;
    let mut command = Command::new("nghttpd");
    command.args(["--address=127.0.0.1", "--workers=1"]).arg("--htdocs").arg(folder);
    if settings.contains_key("tls") {
        command.arg(port.to_string()).arg(tls::keyfile()).arg(tls::certfile());
    } else {
        command.args(["--no-tls", &port.to_string()]);
    }
    Ok(Some(command))
}
