//! Logging: Tornado's three loggers as `tracing` targets, and its line format.
//!
//! squall only emits `tracing` events; what becomes of them is the application's choice.
//! [`enable_pretty_logging`] makes the usual one.

mod batch;
mod file;
mod structured;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;

pub use file::reopen;
pub use structured::{StructuredFields, StructuredFormatter};

/// The target of the one line per request (Tornado's `tornado.access`).
pub const ACCESS: &str = "squall::access";

/// The target of errors raised by application code (Tornado's `tornado.application`).
pub const APPLICATION: &str = "squall::application";

/// The target of the span of a request. Its fields are those of the line of the request: `request_id` (where there is one,
/// [`web::request_id`](crate::web::request_id)), `method`, `path`, `peer`, `version`, `route`, and at the end `status` and
/// `duration_ms`. It is opened only where a subscriber wants it.
pub const REQUEST: &str = "squall::request";

/// The target of everything else: protocol errors, warnings of squall itself (Tornado's `tornado.general`).
pub const GENERAL: &str = "squall::general";

/// Writes events to standard error as Tornado writes them, coloured on a terminal.
///
/// The environment variable `RUST_LOG` selects what is written (`debug`, `warn,squall::access=info`); the default
/// is `info`. Nothing happens when the process has a `tracing` subscriber already.
pub fn enable_pretty_logging() {
    // No file can fail to be opened.
    let _ = enable(LogSettings::default());
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Threshold {
    /// Everything but traces.
    Debug,
    /// The default.
    #[default]
    Info,
    /// What somebody should look at.
    Warning,
    /// What went wrong.
    Error,
    /// Logging is left alone.
    None,
}

/// By what log files are rotated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RotateMode {
    /// Their size.
    #[default]
    Size,
    /// Midnight.
    Time,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As [`LogFormatter`] has it: Tornado's.
    #[default]
    Pretty,
    /// As [`StructuredFormatter::json`] has it.
    Json,
    /// As [`StructuredFormatter::logfmt`] has it.
    Logfmt,
}

/// What [`enable`] is told (Tornado's logging options).
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// What is logged, unless `RUST_LOG` says otherwise. Default: [`Threshold::Info`].
    pub threshold: Threshold,
    /// How a line looks. Default: Tornado's.
    pub format: LogFormat,
    /// A file to append to. Processes may share it. Default: none.
    pub file_prefix: Option<PathBuf>,
    /// When the file has so many bytes it is rotated, a second later at most; 0 for never. Default: 100,000,000.
    pub max_size: u64,
    /// So many rotated files are kept. Default: 10.
    pub num_backups: usize,
    /// By what the file is rotated. Default: its size.
    pub rotate_mode: RotateMode,
    /// Whether to write to standard error. Default: if there is no file.
    pub to_stderr: Option<bool>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            threshold: Threshold::Info,
            format: LogFormat::Pretty,
            file_prefix: None,
            max_size: 100_000_000,
            num_backups: 10,
            rotate_mode: RotateMode::Size,
            to_stderr: None,
        }
    }
}

/// Writes events as Tornado writes them, in colour on a terminal.
///
/// Nothing happens with [`Threshold::None`], or when the process has a `tracing` subscriber already.
///
/// # Errors
/// When the file cannot be opened.
pub fn enable(settings: LogSettings) -> io::Result<()> {
    let level = match settings.threshold {
        Threshold::Debug => LevelFilter::DEBUG,
        Threshold::Info => LevelFilter::INFO,
        Threshold::Warning => LevelFilter::WARN,
        Threshold::Error => LevelFilter::ERROR,
        Threshold::None => return Ok(()),
    };
    let mut filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    // Tornado's line is short, and a span has a price; who wants it can say so.
    let is_asked_for = std::env::var("RUST_LOG").is_ok_and(|wanted| wanted.contains(REQUEST));
    if settings.format == LogFormat::Pretty
        && !is_asked_for
        && let Ok(off) = format!("{REQUEST}=off").parse()
    {
        filter = filter.add_directive(off);
    }
    let sink = file::Sink::open(&settings)?;
    let in_color = settings.file_prefix.is_none() && shows_colors();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(in_color && settings.format == LogFormat::Pretty)
        .with_writer(sink.clone());
    let installed = match settings.format {
        LogFormat::Pretty => lines.event_format(LogFormatter::new()).finish().try_init(),
        LogFormat::Json => {
            let lines = lines.fmt_fields(StructuredFields).event_format(StructuredFormatter::json());
            lines.finish().try_init()
        }
        LogFormat::Logfmt => {
            let lines = lines.fmt_fields(StructuredFields).event_format(StructuredFormatter::logfmt());
            lines.finish().try_init()
        }
    };
    // The one error is that a subscriber is installed; it was chosen first, so it stays.
    if installed.is_ok() {
        let _ = SINK.set(sink);
    }
    Ok(())
}

/// Where [`enable`] has the process log to.
static SINK: OnceLock<file::Sink> = OnceLock::new();

/// How long the end of a process may wait for those who read its log.
const PATIENCE: Duration = Duration::from_secs(1);

/// From now on a thread writes the log. To be called in a process that serves, and so does not fork any more.
pub(crate) fn write_in_background() {
    if let Some(sink) = SINK.get() {
        sink.write_in_background();
    }
}

/// Writes what waits to be written, if somebody takes it, and from now on each line at once.
pub(crate) fn write_at_once() {
    if let Some(sink) = SINK.get() {
        sink.write_at_once(PATIENCE);
    }
}

/// Whether colours are understood where standard error goes: a terminal, or a program such as `squall dev` that hands them on
/// to one and says so as is customary.
fn shows_colors() -> bool {
    io::stderr().is_terminal()
        || std::env::var("CLICOLOR_FORCE").is_ok_and(|forced| !matches!(&*forced, "" | "0"))
}

/// Has warnings and errors written to standard error if the program has installed nothing for them, as Python does: an
/// error is never silent. `in_test` writes them where libtest captures them.
pub(crate) fn enable_fallback(in_test: bool) {
    if tracing::dispatcher::has_been_set() {
        return;
    }
    let fallback = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(!in_test && shows_colors())
        .event_format(LogFormatter::new());
    // Somebody else may have been faster.
    let _ = if in_test {
        fallback.with_test_writer().finish().try_init()
    } else {
        fallback.with_writer(io::stderr).finish().try_init()
    };
}

/// Tornado's line format: `[I 261121 01:27:48 web:2345] 200 GET / (::1) 0.51ms`.
///
/// In brackets, and in colour if the writer has colours: the level's first letter, the local time, the last segment
/// of the module's path, the line. Fields of the event follow its message as ` name=value`, then those of the spans around
/// it. Further lines of a message are indented by four spaces, and what is not printable is escaped (control characters,
/// other line separators, marks of direction, what has no width), so that no text that came over the network looks like a
/// line of its own, steers the terminal or shows in another order than it has.
///
/// ```
/// use squall::log::LogFormatter;
///
/// tracing_subscriber::fmt().event_format(LogFormatter::new()).init();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LogFormatter<T = LocalTime> {
    timer: T,
}

impl LogFormatter {
    /// The format with the local time.
    #[must_use]
    pub fn new() -> Self {
        LogFormatter { timer: LocalTime }
    }

    /// The format with the time of another clock or in another shape.
    #[must_use]
    pub fn with_timer<T: FormatTime>(self, timer: T) -> LogFormatter<T> {
        LogFormatter { timer }
    }
}

/// `261121 01:27:48`
type Stamp = [u8; 15];

/// The local time as Tornado logs it: `261121 01:27:48`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        thread_local! {
            /// A second, since 1970, and its text: most lines are of the same second as the one before, and the text is dear.
            static LAST: Cell<(u64, Stamp)> = const { Cell::new((u64::MAX, [0; 15])) };
        }
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (last, text) = LAST.get();
        if last == second
            && let Ok(text) = std::str::from_utf8(&text)
        {
            return w.write_str(text);
        }
        let text = chrono::DateTime::<chrono::Local>::from(now).format("%y%m%d %H:%M:%S").to_string();
        if let Ok(bytes) = text.as_bytes().try_into() {
            LAST.set((second, bytes));
        }
        w.write_str(&text)
    }
}

impl<S, N, T> FormatEvent<S, N> for LogFormatter<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let colored = writer.has_ansi_escapes();
        if colored {
            write!(writer, "\x1b[3{}m", color(metadata.level()))?;
        }
        write!(writer, "[{} ", letter(metadata.level()))?;
        self.timer.format_time(&mut writer)?;
        let path = metadata.module_path().unwrap_or_else(|| metadata.target());
        write!(writer, " {}", path.rsplit("::").next().unwrap_or(path))?;
        if let Some(line) = metadata.line() {
            write!(writer, ":{line}")?;
        }
        writer.write_str(if colored { "]\x1b[0m" } else { "]" })?;

        writer.write_char(' ')?;
        let mut safe = Escaped { writer: &mut writer };
        // The line of a request says in words what its fields say.
        let only_text = metadata.target() == ACCESS;
        let mut message = Message { text: &mut safe, fields: String::new(), only_text };
        event.record(&mut message);
        let Message { fields, .. } = message;
        safe.write_str(&fields)?;
        // Those of the spans around it, such as the name of the request.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if !repeats(metadata, span.metadata())
                && let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(safe, " {}", without_colors(&fields.fields))?;
            }
        }
        writer.write_char('\n')
    }
}

/// Whether the span is that of the request of whose line this is: all that it says stands there.
fn repeats(event: &Metadata<'_>, span: &Metadata<'_>) -> bool {
    event.target() == ACCESS && span.name() == "request" && matches!(span.target(), REQUEST | GENERAL)
}

/// The fields of a span as `tracing-subscriber` keeps them, coloured if the writer has colours: those would be escaped.
fn without_colors(fields: &str) -> Cow<'_, str> {
    let Some((first, rest)) = fields.split_once("\x1b[") else { return fields.into() };
    let plain = rest.split("\x1b[").map(|part| part.split_once('m').map_or("", |(_, text)| text));
    std::iter::once(first).chain(plain).collect::<String>().into()
}

/// Writes the message of an event where it belongs and gathers its other fields, which come after it.
struct Message<'a, 'b, 'w> {
    text: &'a mut Escaped<'b, 'w>,
    fields: String,
    only_text: bool,
}

impl Visit for Message<'_, '_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing fails only if the value's own Debug does; then it is cut short.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            // That which stands nowhere in the words.
            name if self.only_text && name != "request_id" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Indents continuation lines and escapes what is not printable.
struct Escaped<'a, 'w> {
    writer: &'a mut Writer<'w>,
}

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every line is of these alone, and bytes are looked at faster than characters.
        if text.bytes().all(is_printable_ascii) {
            return self.writer.write_str(text);
        }
        let mut rest = text;
        while let Some(at) = rest.find(|c| !is_printable(c)) {
            let (plain, tail) = rest.split_at(at);
            self.writer.write_str(plain)?;
            let mut chars = tail.chars();
            match chars.next() {
                Some('\n') => self.writer.write_str("\n    ")?,
                Some(other) => write!(self.writer, "{}", other.escape_default())?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.writer.write_str(rest)
    }
}

/// Tabs do no harm.
fn is_printable_ascii(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// Whether a character shows itself and does nothing else.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return is_printable_ascii(c as u8);
    }
    // The standard library's answer (Python's `isprintable`): `Debug` escapes what is a control, a format, a separator,
    // private or not assigned, and at the beginning of a text what joins the character before it, which is fine here.
    let (mut first, mut buffer) = (true, [0; 8]);
    buffer[0] = b'x';
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let Ok(text) = std::str::from_utf8(&buffer[..length]) else { return false };
    text.escape_debug().all(|shown| shown == c || std::mem::take(&mut first))
}

/// The first letter of Python's name for the level.
fn letter(level: &Level) -> char {
    match *level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        Level::INFO => 'I',
        Level::DEBUG => 'D',
        Level::TRACE => 'T',
    }
}

/// The ANSI colour that Tornado gives the level.
fn color(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 3,
        Level::INFO => 2,
        Level::DEBUG | Level::TRACE => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(data)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Buffer {
        type Writer = Buffer;

        fn make_writer(&'a self) -> Buffer {
            self.clone()
        }
    }

    fn noon(w: &mut Writer<'_>) -> fmt::Result {
        w.write_str("261121 12:00:00")
    }

    /// What `emit` logs, at a fixed time.
    fn logged(ansi: bool, emit: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let timer: fn(&mut Writer<'_>) -> fmt::Result = noon;
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(ansi)
            .event_format(LogFormatter::new().with_timer(timer))
            .with_max_level(Level::TRACE)
            .with_writer(buffer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, emit);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_level_time_module_and_line() {
        let text = logged(false, || tracing::info!(target: ACCESS, "200 GET / (::1) {}ms", 0.51));
        assert_eq!(text, format!("[I 261121 12:00:00 tests:{}] 200 GET / (::1) 0.51ms\n", line!() - 1));
    }

    #[test]
    fn each_level_has_its_letter_and_color() {
        let text = logged(true, || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
        });
        let line = line!() - 6;
        let expected: String = [('E', 1, 'e'), ('W', 3, 'w'), ('I', 2, 'i'), ('D', 4, 'd'), ('T', 4, 't')]
            .iter()
            .zip(line..)
            .map(|((letter, color, text), line)| {
                format!("\x1b[3{color}m[{letter} 261121 12:00:00 tests:{line}]\x1b[0m {text}\n")
            })
            .collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn fields_follow_the_message() {
        let text = logged(false, || tracing::warn!(fd = 7, peer = "::1", "odd"));
        assert!(text.ends_with("] odd fd=7 peer=\"::1\"\n"), "{text}");
    }

    #[test]
    fn further_lines_are_indented_and_control_characters_escaped() {
        let text = logged(false, || tracing::info!("one\ntwo\r\n[I forged] \x1b[31mred\tü"));
        assert!(text.ends_with("] one\n    two\\r\n    [I forged] \\u{1b}[31mred\tü\n"), "{text}");
    }

    #[test]
    fn what_is_not_printable_is_escaped() {
        for (text, shown) in [
            ("one\u{2028}two\u{2029}three\u{85}", "one\\u{2028}two\\u{2029}three\\u{85}"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("\u{2066}a\u{2069}\u{200f}\u{61c}", "\\u{2066}a\\u{2069}\\u{200f}\\u{61c}"),
            ("a\u{200b}b\u{feff}\u{ad}\u{2060}", "a\\u{200b}b\\u{feff}\\u{ad}\\u{2060}"),
            ("\u{e000}\u{fff9}\u{e0041}\u{a0}\u{3000}", "\\u{e000}\\u{fff9}\\u{e0041}\\u{a0}\\u{3000}"),
            (
                "caf\u{e9} e\u{301} \u{5d0} \u{65e5}\u{672c} \u{1f600} '\"\\",
                "caf\u{e9} e\u{301} \u{5d0} \u{65e5}\u{672c} \u{1f600} '\"\\",
            ),
        ] {
            let logged = logged(false, || tracing::info!("<{text}>"));
            assert!(logged.ends_with(&format!("] <{shown}>\n")), "{logged:?}");
        }
    }

    #[test]
    fn the_local_time_is_written_in_digits() {
        let mut text = String::new();
        LocalTime.format_time(&mut Writer::new(&mut text)).unwrap();
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "999999 99:99:99");
    }

    fn structured(formatter: StructuredFormatter, emit: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let lines =
            tracing_subscriber::fmt().with_ansi(false).event_format(formatter).with_writer(buffer.clone());
        tracing::subscriber::with_default(lines.finish(), emit);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Text and fields as a request and a stranger may have them.
    fn emit() {
        let span = tracing::info_span!("request", request_id = "a b");
        let _entered = span.enter();
        tracing::warn!(target: ACCESS, status = 404_u64, path = "/x?\n\"", slow = true, level = "forged", "two\nlines \u{1b}");
    }

    #[test]
    fn json_is_one_object_in_a_line() {
        let text = structured(StructuredFormatter::json(), emit);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let time = object.remove("time").unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).is_ok(), "{time}");
        let expected = serde_json::json!({
            "level": "warn", "target": ACCESS, "message": "two\nlines \u{1b}", "status": 404, "path": "/x?\n\"",
            "slow": true, "spans": "request_id=\"a b\"",
        });
        assert_eq!(serde_json::Value::Object(object), expected);
    }

    #[test]
    fn logfmt_quotes_what_would_be_taken_for_more() {
        let text = structured(StructuredFormatter::logfmt(), emit);
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "level=warn target=squall::access message=\"two\\nlines \\u001b\" status=404 path=\"/x?\\n\\\"\" slow=true \
             spans=\"request_id=\\\"a b\\\"\"\n"
        );
    }

    #[test]
    fn enabling_twice_is_harmless() {
        enable_pretty_logging();
        enable_pretty_logging();
    }
}
