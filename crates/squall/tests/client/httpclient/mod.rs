//! The HTTP client against squall's own server, and against a server that plays a script byte by byte.

mod bad_servers;
mod connections;
mod cookie_rows;
mod cookies;
#[cfg(feature = "tls")]
mod over_tls;
mod proxies;
mod requests;
mod script;
#[cfg(feature = "tls")]
mod tls;
mod tornado_common;
mod tornado_simple;
mod wire;

/// `httpclient/README.md` says which of Tornado's tests is done by which of these.
#[test]
fn the_table_names_tests_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/httpclient");
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
