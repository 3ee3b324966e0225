//! Seeing that files have changed.
//!
//! As squall's `autoreload` does, by looking: that works on every file system, also on those that a container or a network
//! shares, however an editor writes its files, and for a project it costs less than a thousandth of a core. A change is told
//! when two looks have found the same, so that what is being written is not.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use squall::IoLoop;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::cargo::Project;

/// How often it is looked; where a look takes long, so that it takes a twentieth of the time.
const INTERVAL: Duration = Duration::from_millis(100);
const SHARE: u32 = 20;

/// More levels than this are no project's.
const DEPTH: usize = 32;

/// The files that matter.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    roots: Vec<PathBuf>,
    /// What is in a root of its own, such as a workspace's Cargo.toml.
    files: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
}

/// The files and what tells their contents apart.
type Snapshot = HashMap<PathBuf, Stamp>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Tree {
    /// The folders of all packages on this machine, and the workspace's own files.
    pub(super) fn of(project: &Project, ignored: impl Iterator<Item = String>) -> Self {
        let mut folders: Vec<&Path> = project.folders().collect();
        folders.sort_unstable();
        let mut roots: Vec<PathBuf> = Vec::new();
        for folder in folders {
            if !roots.iter().any(|root| folder.starts_with(root)) {
                roots.push(folder.to_owned());
            }
        }
        let files = ["Cargo.toml", "Cargo.lock"].map(|name| project.workspace_root.join(name));
        let here = std::env::current_dir().unwrap_or_default();
        let ignored = ignored.map(|path| here.join(path)).chain([project.target_directory.clone()]);
        Self { roots, files: files.into(), ignored: ignored.collect() }
    }

    fn look(&self) -> Snapshot {
        let mut found = Snapshot::new();
        for file in &self.files {
            if let Some(stamp) = Stamp::of(file) {
                found.insert(file.clone(), stamp);
            }
        }
        let mut folders: Vec<(PathBuf, usize)> = self.roots.iter().map(|root| (root.clone(), 0)).collect();
        while let Some((folder, depth)) = folders.pop() {
            // It may be gone by now.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if is_of_no_account(&entry.file_name()) || self.ignored.contains(&path) {
                    continue;
                }
                // A link to a folder is not followed: it may lead back.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if depth < DEPTH && !path.join("CACHEDIR.TAG").exists() {
                        folders.push((path, depth + 1));
                    }
                } else if let Some(stamp) = Stamp::of(&path) {
                    found.insert(path, stamp);
                }
            }
        }
        found
    }
}

impl Stamp {
    /// None for what is no file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { inode: metadata.ino(), length: metadata.len(), modified })
    }
}

/// Hidden files, editors' temporary ones, and folders that tools fill.
fn is_of_no_account(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_temporary = name.ends_with('~')
        || name.starts_with('#')
        || [".tmp", ".temp", ".swp", ".swx", ".bak", ".orig", ".part"].iter().any(|end| name.ends_with(end))
        || name.contains("___jb_")
        // Vim's, to see whether it may write.
        || name == "4913";
    is_temporary || name.starts_with('.') || matches!(&*name, "target" | "node_modules" | "__pycache__")
}

/// The paths that are in one only, or not the same in both.
fn differences(old: &Snapshot, new: &Snapshot) -> Vec<PathBuf> {
    let changed = new.iter().filter(|(path, stamp)| old.get(*path) != Some(*stamp)).map(|(path, _)| path);
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    let mut paths: Vec<PathBuf> = changed.chain(gone).cloned().collect();
    paths.sort_unstable();
    paths
}

/// Watches from now on, that is: what changes after this has returned is told.
pub(super) async fn start(tree: Tree, changes: UnboundedSender<Vec<PathBuf>>) -> JoinHandle<()> {
    let tree = Arc::new(tree);
    let known = look(&tree).await.0;
    IoLoop::current().spawn(watch(tree, known, changes))
}

async fn watch(tree: Arc<Tree>, mut known: Rc<Snapshot>, changes: UnboundedSender<Vec<PathBuf>>) {
    let mut last = Rc::clone(&known);
    let mut pause = INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        let (now, took) = look(&tree).await;
        pause = INTERVAL.max(took * SHARE);
        if *now == *last && *now != *known {
            let paths = differences(&known, &now);
            known = Rc::clone(&now);
            if changes.send(paths).is_err() {
                return;
            }
        }
        last = now;
    }
}

/// On a thread, since it waits for disks.
async fn look(tree: &Arc<Tree>) -> (Rc<Snapshot>, Duration) {
    let tree = Arc::clone(tree);
    let started = Instant::now();
    let found = IoLoop::current().run_in_executor(None, move || tree.look()).await;
    (Rc::new(found.unwrap_or_default()), started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_no_account() {
        for name in [
            ".git",
            ".main.rs.swp",
            "main.rs~",
            "#main.rs#",
            ".#main.rs",
            "4913",
            "a.tmp",
            "target",
            "x___jb_tmp___",
        ] {
            assert!(is_of_no_account(OsStr::new(name)), "{name}");
        }
        for name in ["main.rs", "style.css", "targets", "a.template", "Cargo.toml"] {
            assert!(!is_of_no_account(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_tree_is_what_people_write() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for path in
            ["src/main.rs", "target/debug/x", "uploads/a.png", "cache/CACHEDIR.TAG", "cache/b", "src/a.rs~"]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("src/back")).unwrap();
        let tree = Tree { roots: vec![root.clone()], files: Vec::new(), ignored: vec![root.join("uploads")] };
        let before = tree.look();
        assert_eq!(before.keys().collect::<Vec<_>>(), [&root.join("src/main.rs")]);

        fs::write(root.join("src/main.rs"), "fn main() {}").unwrap();
        fs::write(root.join("src/new.rs"), "").unwrap();
        let after = tree.look();
        assert_eq!(differences(&before, &after), [root.join("src/main.rs"), root.join("src/new.rs")]);
        fs::remove_file(root.join("src/new.rs")).unwrap();
        assert_eq!(differences(&after, &tree.look()), [root.join("src/new.rs")]);
        assert!(differences(&after, &after).is_empty());
    }
}
