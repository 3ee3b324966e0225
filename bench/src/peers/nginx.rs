//! nginx, where it is installed: one worker, no access log.

use std::fs;
use std::process::{Command, Stdio};

use super::Settings;
use crate::{Result, static_files, tls};

pub(super) fn command(port: u16, settings: &Settings) -> Result<Option<Command>> {
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let directory = std::env::temp_dir().join(format!("squall-bench-nginx-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration(port, &directory.to_string_lossy(), settings))?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).arg("-e").arg("stderr");
    Ok(Some(command))
}

fn configuration(port: u16, directory: &str, settings: &Settings) -> String {
    let (port, tls) = if settings.contains_key("tls") {
        let files = [tls::certfile(), tls::keyfile()].map(|file| file.display().to_string());
        let [certificate, key] = files;
        (
            format!("{port} ssl"),
            format!(
                "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
            ),
        )
    } else {
        (port.to_string(), String::new())
    };
    let port = if settings.contains_key("http2") { format!("{port} http2") } else { port };
    let location = if settings.contains_key("upstream") {
        // What squall's proxy sets, set here too.
        r#"location / {
            proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Real-Ip $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Via "1.1 nginx"; add_header Via "1.1 nginx";
        }"#
        .to_owned()
    } else if settings.contains_key("files") {
        let cache = if settings.contains_key("cache") { "open_file_cache max=100;" } else { "" };
        format!("location / {{ root {}; sendfile on; {cache} }}", static_files::folder().display())
    } else {
        format!(
            r#"location / {{ default_type text/html; return 200 "Hello world!"; }}
        location /json {{ default_type application/json; return 200 '{}'; }}"#,
            tls::JSON
        )
    };
    let upstream = settings.get("upstream").map_or_else(String::new, |port| {
        format!(
            "upstream upstream {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 1000000000; }}"
        )
    });
    format!(
        r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {tls}
        {location}
    }}
}}
"#
    )
}
