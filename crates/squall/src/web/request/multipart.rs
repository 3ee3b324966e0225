//! Multipart forms of any size, read while they come.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::escape;
use crate::httputil::{
    Arguments, BodyError, MultipartError, MultipartEvent, MultipartParser, ParseMultipartConfig, PartHead,
    clean_argument,
};
use crate::web::arguments::parsed;
use crate::web::body::{arguments_as, missing_file};
use crate::web::context::Context;
use crate::web::error::{Error, HttpError, Result};
use crate::web::upload::{Spool, UploadedFile};

/// Reads a `multipart/form-data` body in a handler that streams it: fields into memory, files to disk.
///
/// It stands in the routing table as a field of the handler, with its limits; each request has a clone, which is a reader
/// with the same limits and nothing read. A file goes to disk when it is larger than
/// [`spool_threshold`](Self::spool_threshold): to one without a name, so that nothing is left behind however the request ends,
/// written on the loop's executor. The next piece is not taken from the socket until the last has been written.
///
/// What is over a limit is answered with 413, what is malformed or not expected with 400, another Content-Type with 415.
///
/// ```
/// use squall::web::MultipartReader;
/// use squall::{Application, Bytes, Context, RequestHandler, Result, handler, url};
///
/// #[derive(Clone)]
/// struct Photos {
///     form: MultipartReader,
/// }
///
/// #[handler(stream_body)]
/// impl RequestHandler for Photos {
///     async fn prepare(&mut self, ctx: &Context) -> Result {
///         self.form.start(ctx)
///     }
///
///     async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
///         self.form.data_received(ctx, chunk).await
///     }
///
///     async fn post(&mut self, ctx: &Context) -> Result {
///         let form = self.form.finish()?;
///         let photo = form.file("photo")?;
///         photo.persist(std::env::temp_dir().join("photo.jpg")).await?;
///         let title = squall::escape::xhtml_escape(&form.argument("title")?).into_owned(); // it goes into HTML
///         ctx.write(format!("{title}, {} bytes", photo.len()));
///         Ok(())
///     }
/// }
///
/// fn make_app() -> Application {
///     let form = MultipartReader::new().max_body_size(1 << 30).accept(["photo", "title"]);
///     Application::new([url("/photos", Photos { form })])
/// }
/// # squall::IoLoop::current().run_sync(async {
/// # let app = squall::testing::serve(make_app());
/// # let body = "--b\r\nContent-Disposition: form-data; name=title\r\n\r\nMe\r\n\
/// #     --b\r\nContent-Disposition: form-data; name=photo; filename=me.jpg\r\n\r\nJPEG\r\n--b--";
/// # let post = || app.post("/photos").header("Content-Type", "multipart/form-data; boundary=b");
/// # post().body(body).await.assert_status(200).assert_text("Me, 4 bytes");
/// # post().body(&body[..100]).await.assert_status(400);
/// # app.post("/photos").body(body).await.assert_status(415);
/// # }, None).unwrap();
/// ```
#[derive(Default)]
pub struct MultipartReader {
    options: Options,
    upload: Option<Box<Upload>>,
}

/// The limits of a reader.
#[derive(Debug, Clone)]
pub(in crate::web) struct Options {
    parser: ParseMultipartConfig,
    max_body_size: Option<u64>,
    max_memory: u64,
    spool_threshold: u64,
    pub(in crate::web) spool_dir: Option<PathBuf>,
    /// The fields that are expected; `None` for any.
    names: Option<Rc<[String]>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parser: ParseMultipartConfig::default(),
            max_body_size: None,
            max_memory: 1024 * 1024,
            spool_threshold: 64 * 1024,
            spool_dir: None,
            names: None,
        }
    }
}

impl MultipartReader {
    /// A reader with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The most bytes of the whole body; [`start`](Self::start) sets it. Default: that of the server.
    #[must_use]
    pub fn max_body_size(mut self, bytes: u64) -> Self {
        self.options.max_body_size = Some(bytes);
        self
    }

    /// The most bytes of one part. Default: no limit but that of the body.
    #[must_use]
    pub fn max_part_size(mut self, bytes: u64) -> Self {
        self.options.parser.max_part_size = bytes;
        self
    }

    /// The most parts. Default: 100.
    #[must_use]
    pub fn max_parts(mut self, parts: usize) -> Self {
        self.options.parser.max_parts = parts;
        self
    }

    /// The most bytes of the header of one part. Default: 10,240.
    #[must_use]
    pub fn max_part_header_size(mut self, bytes: usize) -> Self {
        self.options.parser.max_part_header_size = bytes;
        self
    }

    /// The most bytes of one form that are held in memory. Fields beyond it are refused, files go to disk.
    /// Default: 1 MiB.
    ///
    /// What is about to be written, up to 64 KiB and a piece from the socket, comes on top.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Files of up to so many bytes stay in memory, as far as [`max_memory`](Self::max_memory) goes. Default: 64 KiB.
    #[must_use]
    pub fn spool_threshold(mut self, bytes: u64) -> Self {
        self.options.spool_threshold = bytes;
        self
    }

    /// The folder on whose file system larger files are written. Default: the system's for temporary files.
    ///
    /// On the file system where files are to stay, [`persist`](UploadedFile::persist) need not copy. A file system in
    /// memory (`tmpfs`, as `/tmp` sometimes is) defeats the purpose.
    #[must_use]
    pub fn spool_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.spool_dir = Some(folder.into());
        self
    }

    /// Refuses parts with other names than these. Default: takes all.
    #[must_use]
    pub fn accept<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Begins, in `prepare`: looks at the Content-Type and sets the limit of the body before any of it is read.
    ///
    /// # Errors
    /// 415 when the body is no multipart form, 400 when it has no boundary or is compressed.
    pub fn start(&mut self, ctx: &Context) -> Result {
        let headers = ctx.request().headers();
        if headers.contains("Content-Encoding") {
            return Err(refused(BodyError::ContentEncoding));
        }
        let content_type = headers.get("Content-Type").unwrap_or_default();
        let parser = MultipartParser::new(content_type, &self.options.parser).map_err(malformed_part)?;
        if let Some(bytes) = self.options.max_body_size {
            ctx.set_max_body_size(bytes);
        }
        let (form, part) = (ReceivedForm::default(), Part::None);
        self.upload = Some(Box::new(Upload { parser, form, part, memory: 0 }));
        Ok(())
    }

    /// Takes the next piece of the body; returns when what belongs on disk is there.
    ///
    /// Begins, if [`start`](Self::start) has not been called. Not cancel safe: a call that was dropped has lost its
    /// piece, and the next one fails.
    ///
    /// # Errors
    /// As [`start`](Self::start); 400 and 413 for what is malformed, not expected or over a limit; 500 when it cannot be
    /// written.
    pub async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        if self.upload.is_none() {
            self.start(ctx)?;
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.parser.feed(chunk);
        while let Some(event) = upload.parser.event().map_err(malformed_part)? {
            match event {
                MultipartEvent::Part(head) => upload.begin(head, &self.options)?,
                MultipartEvent::Data(data) => upload.add(data, &self.options).await?,
                MultipartEvent::PartEnd => upload.end(&self.options).await?,
                MultipartEvent::End => {}
            }
        }
        Ok(())
    }

    /// The form, once the body is complete: in the handler's method.
    ///
    /// # Errors
    /// 400 when the form is not complete.
    pub fn finish(&mut self) -> Result<ReceivedForm> {
        let upload = self.upload.take().ok_or_else(|| malformed_part(MultipartError::NoFinalBoundary))?;
        upload.parser.finish().map_err(malformed_part)?;
        Ok(upload.form)
    }
}

impl Clone for MultipartReader {
    /// A reader with the same limits, which has read nothing.
    fn clone(&self) -> Self {
        Self { options: self.options.clone(), upload: None }
    }
}

impl fmt::Debug for MultipartReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipartReader").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A multipart form that has been read. Files that are not [persisted](UploadedFile::persist) are gone when it is dropped.
#[derive(Debug, Default)]
pub struct ReceivedForm {
    fields: Arguments,
    files: Vec<(String, UploadedFile)>,
}

impl ReceivedForm {
    /// The last value of a field that is no file, cleaned as by [`Context::argument`].
    ///
    /// # Errors
    /// 400 when it is missing or not UTF-8.
    pub fn argument(&self, name: &str) -> Result<String> {
        let value = self.argument_opt(name)?;
        value.ok_or_else(|| HttpError::refusal(400, format!("Missing argument {name}")).into())
    }

    /// As [`argument`](Self::argument), `None` when it is missing.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn argument_opt(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.fields.values(name).next_back() else { return Ok(None) };
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(escape::trim(&clean_argument(escape::trim(text).to_owned())).to_owned())),
            Err(_) => Err(HttpError::refusal(400, format!("Invalid unicode in {name}")).into()),
        }
    }

    /// As [`argument`](Self::argument), with a value for when it is missing.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn argument_or(&self, name: &str, default: &str) -> Result<String> {
        Ok(self.argument_opt(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// As [`argument`](Self::argument), parsed.
    ///
    /// # Errors
    /// 400 when it is missing, not UTF-8, or does not parse.
    pub fn argument_as<T: FromStr>(&self, name: &str) -> Result<T> {
        parsed(name, &self.argument(name)?)
    }

    /// The fields that are no files as a value, as [`Context::form`].
    ///
    /// # Errors
    /// 400 when they do not fit.
    pub fn values<T: DeserializeOwned>(&self) -> Result<T> {
        arguments_as(&self.fields)
    }

    /// The fields that are no files, as they were sent.
    pub fn fields(&self) -> &Arguments {
        &self.fields
    }

    /// The file of a field; the first, if it holds several.
    ///
    /// # Errors
    /// 400 when there is none.
    pub fn file(&self, name: &str) -> Result<&UploadedFile> {
        let found = self.files.iter().find(|(field, _)| field == name);
        found.map(|(_, file)| file).ok_or_else(|| missing_file(name))
    }

    /// Every file of a field, in order.
    pub fn files<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a UploadedFile> {
        self.files.iter().filter(move |(n, _)| n == name).map(|(_, file)| file)
    }

    /// Every file with its field's name, in order.
    pub fn into_files(self) -> Vec<(String, UploadedFile)> {
        self.files
    }
}

/// A form that is being read.
struct Upload {
    parser: MultipartParser,
    form: ReceivedForm,
    part: Part,
    /// Bytes of complete parts that are in memory.
    memory: u64,
}

enum Part {
    None,
    Field { name: String, value: Vec<u8> },
    File { name: String, filename: String, content_type: Option<String>, spool: Spool },
}

impl Upload {
    fn begin(&mut self, head: PartHead, options: &Options) -> Result {
        let PartHead { name, filename, content_type } = head;
        if options.names.as_ref().is_some_and(|names| !names.contains(&name)) {
            return Err(
                HttpError::refusal(400, "Invalid body: a part with a name that is not expected").into()
            );
        }
        self.part = match filename {
            None => Part::Field { name, value: Vec::new() },
            Some(filename) => Part::File { name, filename, content_type, spool: Spool::default() },
        };
        Ok(())
    }

    async fn add(&mut self, data: Bytes, options: &Options) -> Result {
        let left = options.max_memory - self.memory;
        match &mut self.part {
            Part::None => {}
            Part::Field { value, .. } if (value.len() + data.len()) as u64 > left => {
                let limit = options.max_memory;
                return Err(
                    HttpError::refusal(413, format!("The fields are larger than {limit} bytes")).into()
                );
            }
            Part::Field { value, .. } => value.extend_from_slice(&data),
            Part::File { spool, .. } => {
                spool.write(data, options.spool_threshold.min(left), options.spool_dir.as_deref()).await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self, options: &Options) -> Result {
        match std::mem::replace(&mut self.part, Part::None) {
            Part::None => {}
            Part::Field { name, value } => {
                self.memory += value.len() as u64;
                self.form.fields.push(name, value);
            }
            Part::File { name, filename, content_type, spool } => {
                let content = spool.finish(options.spool_dir.as_deref()).await?;
                let file = UploadedFile::new(filename, content_type, content);
                self.memory += file.in_memory();
                self.form.files.push((name, file));
            }
        }
        Ok(())
    }
}

fn malformed_part(error: MultipartError) -> Error {
    HttpError::refusal(error.status(), format!("Invalid body: {error}")).caused_by(error).into()
}

fn refused(error: BodyError) -> Error {
    HttpError::refusal(error.status(), format!("Invalid body: {error}")).caused_by(error).into()
}
