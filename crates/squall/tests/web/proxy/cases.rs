//! The table, run against squall: what comes out is compared byte for byte.

use super::script::{Client, NO_END, Setup, octets, text};
use super::table::{Down, Row, rows};

#[squall::test(timeout = 120)]
async fn every_row() {
    let mut failures = String::new();
    let rows = rows();
    let count = rows.len();
    assert!(count >= 150, "{count} rows");
    for row in rows {
        let setup = Setup::new(row.replies.clone()).await;
        let mut client = setup.connect().await;
        let got = talk(&mut client, &row).await;
        if let Err(problem) = row.check(&setup, &got) {
            failures += &format!("--- {}: {problem}\n", row.name);
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    println!("squall: {count} of {count} rows");
}

/// Sends what the row says, and gives what comes back until the end.
pub(crate) async fn talk(client: &mut Client, row: &Row) -> Vec<u8> {
    let Some((head, body)) = row.send.split_once("<100>") else {
        client.send(&row.send).await;
        return client.rest().await;
    };
    client.send(head).await;
    let mut got = octets(&client.until("||").await);
    client.send(body).await;
    got.extend(client.rest().await);
    got
}

impl Row {
    fn check(&self, setup: &Setup, got: &[u8]) -> Result<(), String> {
        let upstream = setup.upstream();
        let up: Vec<_> = self.up.iter().map(|up| shown(up, &upstream)).collect();
        let came = setup.script.requests();
        if came != up {
            return Err(format!("up\n  {}\nrather than\n  {}", came.join("\n  "), up.join("\n  ")));
        }
        let got = text(got);
        match &self.down {
            Down::Bytes(down) | Down::BrokenOff(down) => {
                let down = shown(down, &upstream);
                if got != down {
                    return Err(format!("down\n  {got}\nrather than\n  {down}"));
                }
            }
            Down::Status(status) => {
                let last = after_interim(&got);
                let own = format!("HTTP/1.1 {status} ");
                if !last.starts_with(&own) || last.matches("HTTP/1.").count() != 1 || last.ends_with(NO_END) {
                    return Err(format!("down\n  {got}\nrather than {own}"));
                }
            }
        }
        Ok(())
    }
}

/// What stands behind the interim responses.
fn after_interim(got: &str) -> &str {
    let mut rest = got;
    while rest.starts_with("HTTP/1.1 1")
        && let Some((_, behind)) = rest.split_once("||")
    {
        rest = behind;
    }
    rest
}

/// Puts in what the row abbreviates.
pub(crate) fn shown(row: &str, upstream: &str) -> String {
    let host = row.split("|Host: ").nth(1).and_then(|rest| rest.split('|').next()).unwrap_or_default();
    let fields = |chain: &str, host: Option<&str>, via: &str| {
        let host = host.map_or_else(String::new, |host| format!("X-Forwarded-Host: {host}|"));
        format!("X-Forwarded-For: {chain}|X-Forwarded-Proto: http|{host}X-Real-Ip: 127.0.0.1|Via: {via}|")
    };
    let (ip, via) = ("127.0.0.1", "1.1 squall");
    let mut text = row
        .replace("{v}", "Via: 1.1 squall|Date: <date>|")
        .replace("{server}", concat!("squall/", env!("CARGO_PKG_VERSION")))
        .replace("{upstream}", upstream)
        .replace("{f 1.0}", &fields(ip, Some(host), "1.0 squall"))
        .replace("{f no host}", &fields(ip, None, "1.0 squall"))
        .replace(&format!("{{f {host}}}"), &fields(ip, Some(host), via));
    for (start, chain) in [("{for ", true), ("{via ", false)] {
        if let Some((before, rest)) = text.split_once(start) {
            let (value, after) = rest.split_once("}{f}").unwrap();
            let own = match chain {
                true => fields(&format!("{value}, {ip}"), Some(host), via),
                false => fields(ip, Some(host), &format!("{value}, {via}")),
            };
            text = format!("{before}{own}{after}");
        }
    }
    text.replace("{f}", &fields(ip, Some(host), via))
}
