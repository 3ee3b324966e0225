//! TLS on real sockets: servers and streams, certificates from files, and what goes wrong. `README.md` beside this says
//! which of Tornado's tests each row stands for.

mod clients;
mod handshakes;
mod hostile;
mod https;
mod options;
mod proxy_protocol;
mod reload;
mod streams;
pub(crate) mod support;
mod tcpclient;

/// `README.md` names no test that does not exist.
#[test]
fn the_table_names_tests_that_exist() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/net");
    let table = std::fs::read_to_string(tests.join("tls/README.md")).unwrap();
    let (mut source, mut named) = (String::new(), 0);
    for cell in table
        .lines()
        .flat_map(|line| line.rsplit(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
    {
        let name = match cell.split_once(".rs") {
            Some((file, rest)) => {
                let path = tests.join(format!("{file}.rs"));
                let path = if path.exists() { path } else { tests.join(format!("../../{file}.rs")) };
                source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{cell}: {error}"));
                rest.trim_start_matches(':').rsplit("::").next().unwrap()
            }
            None => cell,
        };
        let is_name = !name.starts_with("test_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_name && name.contains('_') && !["start_tls", "proxy_protocol"].contains(&name) {
            let found = source.contains(&format!("fn {name}(")) || source.contains(&format!("mod {name} "));
            assert!(found, "{cell}: no such test");
            named += 1;
        }
    }
    assert!(named > 25, "{named}");
}
