//! The tables of Tornado's tests name tests and files that there are. Those of `client/httpclient`, `net/tls` and `options` are
//! looked at by tests beside them.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_tables_name_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (table, least) in [
        ("net/ioloop/README.md", 35),
        ("web/httputil.md", 12),
        ("web/auth.md", 10),
        ("processes/README.md", 15),
    ] {
        let path = root.join("tests").join(table);
        let text = fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        // Tests at the bottom of a file of the library, too.
        let mut sources = String::new();
        for folder in [folder, &root.join("src")] {
            collect(folder, &mut sources);
        }
        let (mut wrong, mut named) = (Vec::new(), 0);
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let ours = line.split('|').nth(2).unwrap_or_default();
            for name in ours.split('`').skip(1).step_by(2).filter(|name| !["src", "rows"].contains(name)) {
                named += 1;
                let exists = if name.contains('/') || name.ends_with(".rs") {
                    folder.join(name).exists() || root.join("src/httputil").join(name).exists()
                } else {
                    let last = name.rsplit("::").next().unwrap();
                    ["fn", "mod"].iter().any(|item| {
                        let item = format!("{item} {last}");
                        sources.split(&item).skip(1).any(|rest| rest.starts_with(['(', ' ', ';']))
                    })
                };
                if !exists {
                    wrong.push(name);
                }
            }
        }
        assert!(wrong.is_empty(), "{table}: there is no {wrong:?}");
        assert!(named >= least, "{table}: {named}");
    }
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
