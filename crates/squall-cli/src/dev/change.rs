//! What has to be done when a file has changed. Pure, but for reading what cargo has written down.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Nothing,
    /// Pages are loaded anew: the program reads the file whenever it is asked for.
    Reload,
    /// The program reads it when it starts.
    Restart,
    /// It is compiled.
    Rebuild,
}

/// What browsers are given, or pages are made of.
const READ_ANEW: [&str; 24] = [
    "html",
    "htm",
    "j2",
    "jinja",
    "jinja2",
    "txt",
    "md",
    "xml",
    "css",
    "js",
    "mjs",
    "map",
    "svg",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "avif",
    "ico",
    "woff",
    "woff2",
    "webmanifest",
    "wasm",
];

/// Translations and settings.
const READ_AT_START: [&str; 4] = ["csv", "po", "mo", "toml"];

/// What the program was compiled from.
#[derive(Debug, Default)]
pub(super) struct Sources(HashSet<PathBuf>);

impl Sources {
    /// As cargo has written it down beside the program; where it has not, the usual names have to do.
    pub(super) fn of(program: &Path) -> Self {
        let mut path = program.as_os_str().to_owned();
        path.push(".d");
        Self(fs::read_to_string(&path).map(|text| dependencies(&text)).unwrap_or_default())
    }

    pub(super) fn effect(&self, path: &Path) -> Effect {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_cargos =
            matches!(&*name, "Cargo.toml" | "Cargo.lock" | "rust-toolchain" | "rust-toolchain.toml");
        if is_cargos || extension == "rs" || self.0.contains(path) {
            Effect::Rebuild
        } else if READ_AT_START.contains(&&*extension) {
            Effect::Restart
        } else if READ_ANEW.contains(&&*extension) {
            Effect::Reload
        } else {
            Effect::Nothing
        }
    }
}

/// What stands behind the colon of each line, as make reads it: a space in a name has a backslash before it.
fn dependencies(text: &str) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    for line in text.lines() {
        let Some((_, list)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        let mut characters = list.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => name.extend(characters.next()),
                ' ' => {
                    found.insert(PathBuf::from(std::mem::take(&mut name)));
                }
                c => name.push(c),
            }
        }
        found.insert(PathBuf::from(name));
    }
    found.remove(Path::new(""));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects() {
        let sources = Sources(dependencies("/p/target/debug/p: /p/src/main.rs /p/data/a\\ b.html\n"));
        for (path, effect) in [
            ("/p/src/main.rs", Effect::Rebuild),
            ("/p/src/new.rs", Effect::Rebuild),
            ("/p/Cargo.toml", Effect::Rebuild),
            ("/p/data/a b.html", Effect::Rebuild),
            ("/p/data/a.html", Effect::Reload),
            ("/p/static/STYLE.CSS", Effect::Reload),
            ("/p/locale/de_DE.csv", Effect::Restart),
            ("/p/settings.toml", Effect::Restart),
            ("/p/data/p.sqlite3", Effect::Nothing),
            ("/p/state.json", Effect::Nothing),
            ("/p/README", Effect::Nothing),
        ] {
            assert_eq!(sources.effect(Path::new(path)), effect, "{path}");
        }
        assert_eq!(Sources::default().effect(Path::new("/p/src/main.rs")), Effect::Rebuild);
    }
}
