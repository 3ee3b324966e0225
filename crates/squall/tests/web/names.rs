//! Each path in `guide/names.md` exists: items by a list of imports made from it, methods by the sources.
//!
//! `UPDATE_NAMES=1 cargo test -p squall --test web names` writes the list anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[rustfmt::skip] // as it is made
#[path = "names_used.rs"]
mod used;

#[test]
fn each_name_in_the_guide_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("../../guide/names.md")).unwrap();
    let paths: BTreeSet<&str> =
        guide.split('`').skip(1).step_by(2).filter(|code| code.starts_with("squall::")).collect();
    assert!(paths.len() > 250, "{}", paths.len());
    let mut sources = Vec::new();
    collect(&root.join("src"), &mut sources);
    let mut problems = Vec::new();
    let mut items = BTreeSet::new();
    for path in paths {
        match method(path) {
            Some((item, of, name)) => {
                items.insert(item);
                if !sources.iter().any(|source| defines(source, of, name)) {
                    problems.push(format!("{path}: no `fn {name}` in a file with an impl of {of}"));
                }
            }
            None => drop(items.insert(path.to_owned())),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    let list = imports(&items);
    let file = root.join("tests/web/names_used.rs");
    if std::env::var_os("UPDATE_NAMES").is_some() {
        fs::write(&file, &list).unwrap();
    }
    assert!(fs::read_to_string(file).unwrap() == list, "run this test with UPDATE_NAMES=1");
}

/// `squall::a::Type::method` as the item, the type and the method.
fn method(path: &str) -> Option<(String, &str, &str)> {
    let (item, name) = path.rsplit_once("::")?;
    let (_, of) = item.rsplit_once("::")?;
    of.starts_with(char::is_uppercase).then(|| (item.to_owned(), of, name))
}

/// Whether a method of this name, public or of a trait, is in a file that has to do with the type.
fn defines(source: &str, of: &str, name: &str) -> bool {
    let about = ["impl ", "trait ", "> ", "type "].iter().any(|before| {
        source.split(&format!("{before}{of}")).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    let is = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    // Those that a macro makes have their name in front of a method's (`get "GET"`).
    about
        && (source.split(&format!("fn {name}")).skip(1).any(is)
            || source.split(&format!(" {name} ")).count() > 1)
}

fn imports(items: &BTreeSet<String>) -> String {
    let mut list = String::from(
        "//! Made from guide/names.md by names.rs.\n#![allow(unused_imports, reason = \"that they compile is the test\")]\n\n",
    );
    for (number, item) in items.iter().enumerate() {
        let feature = [
            ("squall::auth::", "auth"),
            ("squall::tls::", "tls"),
            ("squall::web::AppService", "tower"),
            ("squall::web::FallbackHandler", "tower"),
        ];
        if let Some((_, feature)) = feature.iter().find(|(start, _)| item.starts_with(start)) {
            let _ = writeln!(list, "#[cfg(feature = \"{feature}\")]");
        }
        let _ = writeln!(list, "use {item} as n{number};");
    }
    list
}

fn collect(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
}
