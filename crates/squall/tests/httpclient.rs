//! The HTTP client against squall's own server, and against a server that plays a script byte by byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::duplicate_mod, reason = "what is done in the clear is done again over TLS")]

#[path = "httpclient/bad_servers.rs"]
mod bad_servers;
#[path = "httpclient/connections.rs"]
mod connections;
#[path = "httpclient/cookie_rows.rs"]
mod cookie_rows;
#[path = "httpclient/cookies.rs"]
mod cookies;
#[cfg(feature = "tls")]
#[path = "httpclient/over_tls.rs"]
mod over_tls;
#[path = "httpclient/proxies.rs"]
mod proxies;
#[path = "httpclient/requests.rs"]
mod requests;
#[path = "httpclient/script.rs"]
mod script;
#[cfg(feature = "tls")]
#[path = "httpclient/tls.rs"]
mod tls;
#[path = "httpclient/tornado_common.rs"]
mod tornado_common;
#[path = "httpclient/tornado_simple.rs"]
mod tornado_simple;
#[path = "httpclient/wire.rs"]
mod wire;

/// `httpclient/README.md` says which of Tornado's tests is done by which of these.
#[test]
fn the_table_names_tests_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/httpclient");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut named = 0;
    for cell in table.split('`').filter(|cell| cell.contains("::")) {
        let (module, test) = cell.split_once("::").unwrap();
        let file = match module {
            "common" | "simple" => format!("tornado_{module}.rs"),
            _ => format!("{module}.rs"),
        };
        // What is only text, such as the name of a variant, has no file here.
        let Ok(source) = std::fs::read_to_string(folder.join(&file)) else { continue };
        assert!(source.contains(&format!("fn {test}()")), "{file} has no test {test}");
        named += 1;
    }
    assert!(named > 100, "{named}");
}
