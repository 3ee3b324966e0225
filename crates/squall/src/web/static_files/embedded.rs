//! Files that are compiled into the program.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;

use super::file::StaticFile;
use super::hashes::{tag_of, version_of};
use super::{StaticFiles, Version};
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};

/// Files in memory, by their paths: a table of `include_bytes!`.
///
/// ```
/// use squall::{Application, web::{Embedded, StaticFileHandler}};
///
/// const FILES: &[(&str, &[u8])] = &[
///     ("robots.txt", b"User-agent: *\n"),
///     // ("app.js", include_bytes!("../static/app.js")),
/// ];
/// let app = Application::new([]).static_handler(StaticFileHandler::with(Embedded::new(FILES)));
/// # squall::IoLoop::current().run_sync(async {
/// # let app = squall::testing::serve(app);
/// # app.get("/static/robots.txt").await.assert_text("User-agent: *\n");
/// # }, None).unwrap();
/// ```
#[derive(Clone)]
pub struct Embedded {
    files: Rc<HashMap<&'static str, File>>,
    modified: Option<SystemTime>,
}

struct File {
    content: &'static [u8],
    tag: Rc<str>,
}

impl Embedded {
    /// These files. Their hashes are made here.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a (&'static str, &'static [u8])>) -> Self {
        let files = files.into_iter();
        let files = files.map(|&(path, content)| (path, File { content, tag: tag_of(content) })).collect();
        Self { files: Rc::new(files), modified: None }
    }

    /// What Last-Modified says of all of them. Default: nothing; entity tags do.
    #[must_use]
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time);
        self
    }
}

impl StaticFiles for Embedded {
    async fn open(&self, _ctx: &Context, path: &str) -> Result<StaticFile> {
        let (&name, file) = self.files.get_key_value(path).ok_or_else(|| HttpError::new(404))?;
        let found = StaticFile::from_bytes(Bytes::from_static(file.content)).named(name);
        let found = found.hashed(Some(Rc::clone(&file.tag)));
        Ok(match self.modified {
            Some(time) => found.modified(time),
            None => found,
        })
    }

    fn version(&self, path: &str) -> Result<Version> {
        Ok(self.files.get(path).map(|file| version_of(&file.tag).into()))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}
