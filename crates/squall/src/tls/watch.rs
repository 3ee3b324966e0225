//! Noticing that the files of a server's options have changed.

use std::os::unix::fs::MetadataExt;
use std::rc::Weak;
use std::time::Duration;

use super::acceptor::Shared;
use super::options::{Pem, SslOptions};

/// How often the files are looked at. Once they are the same for so long they are taken: certificate and key are
/// written one after the other.
const INTERVAL: Duration = Duration::from_millis(250);

/// What tells one state of the files from another: device and inode (a new file in the place of the old, also behind
/// a symbolic link), length, and when its content and its inode were changed. A file that is not there has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<FileState>>);

type FileState = (u64, u64, u64, [i64; 4]);

impl Stamp {
    pub(super) fn take(options: &SslOptions) -> Self {
        let files = options.identities.iter().flat_map(|(certificate, key)| [certificate, key]);
        let paths = files.chain(&options.ca_certs).filter_map(Pem::path);
        let stamp = |path| {
            let found = std::fs::metadata(path).ok()?;
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            Some((found.dev(), found.ino(), found.len(), times))
        };
        Self(paths.map(stamp).collect())
    }

    pub(super) fn is_of_files(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Looks at the files until the server is gone.
pub(super) async fn watch(server: Weak<Shared>) {
    let mut last = match server.upgrade() {
        Some(server) => server.stamp(),
        None => return,
    };
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(server) = server.upgrade() else { return };
        let now = Stamp::take(&server.options);
        if now == last && now != server.stamp() {
            server.reload().await;
        }
        last = now;
    }
}
