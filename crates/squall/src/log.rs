//! Logging: Tornado's three loggers as `tracing` targets, and its line format.
//!
//! squall only emits `tracing` events; what becomes of them is the application's choice.
//! [`enable_pretty_logging`] makes the usual one.

mod batch;
mod file;
mod layer;
mod pretty;
mod structured;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use layer::LineLayer;
use structured::Syntax;

pub use file::reopen;
pub use pretty::{LocalTime, LogFormatter};
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

impl LogFormat {
    /// That of a line for machines.
    fn syntax(self) -> Option<Syntax> {
        match self {
            Self::Pretty => None,
            Self::Json => Some(Syntax::Json),
            Self::Logfmt => Some(Syntax::Logfmt),
        }
    }
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
    let lines = LineLayer::new(settings.format, in_color, sink.clone());
    let installed = tracing_subscriber::registry().with(filter).with(lines).try_init();
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

/// Milliseconds, to the microsecond: more digits are noise.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// Says why the process ends: where it was started, and in a log that is elsewhere.
pub(crate) fn say_fatal(error: &dyn std::fmt::Display) {
    eprintln!("error: {error}");
    say_fatal_elsewhere(&error);
}

/// Says it in a log that is elsewhere.
pub(crate) fn say_fatal_elsewhere(error: &impl std::fmt::Display) {
    if SINK.get().is_some_and(|sink| !sink.has_stderr()) {
        tracing::error!(target: GENERAL, "The program ends: {error}");
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

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::FormatTime;

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
            .event_format(LogFormatter::new().timer(timer))
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

    /// What the layer of [`enable`] writes, without the time.
    fn by_layer(format: LogFormat, emit: impl FnOnce()) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let settings = LogSettings { format, file_prefix: Some(path.clone()), ..LogSettings::default() };
        let lines = LineLayer::new(format, false, file::Sink::open(&settings).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), emit);
        without_times(&std::fs::read_to_string(path).unwrap())
    }

    /// The time is behind `"time":`, `time=` or the letter of a level.
    fn without_times(text: &str) -> Vec<String> {
        let time = regex::Regex::new("[0-9T:.-]{23}Z|[0-9]{6} [0-9:]{8}").unwrap();
        text.lines().map(|line| time.replace(line, "then").into_owned()).collect()
    }

    /// Spans in spans, what is recorded later, what must not pass for something else, and lines of requests.
    fn emit_in_spans() {
        let outer = tracing::info_span!("outer", name = "a b", count = 1, late = tracing::field::Empty);
        let _outer = outer.enter();
        tracing::warn!(ok = true, small = -5, half = 0.5, none = f64::NAN, "from {}", "outer");
        outer.record("late", 7_u64);
        outer.record("late", 8_u64);
        let inner = tracing::info_span!("request", target = "forged", count = 2);
        let _inner = inner.enter();
        tracing::error!(name = "its own", "one\ntwo \u{1b}[31m \u{202e}");
        tracing::info!(only = ?Some("fields"));
        let request = tracing::error_span!(target: GENERAL, "request", request_id = "id-1");
        let _request = request.enter();
        tracing::info!(target: ACCESS, request_id = "id-1", status = 200, "200 GET /");
        tracing::debug!("looking");
    }

    #[test]
    fn the_layer_writes_what_the_formatters_write() {
        let text = logged(false, emit_in_spans).replace("261121 12:00:00", "then");
        assert_eq!(by_layer(LogFormat::Pretty, emit_in_spans), text.lines().collect::<Vec<_>>());

        let buffer = Buffer::default();
        let lines = tracing_subscriber::fmt()
            .fmt_fields(StructuredFields)
            .event_format(StructuredFormatter::json())
            .with_max_level(Level::TRACE)
            .with_writer(buffer.clone());
        tracing::subscriber::with_default(lines.finish(), emit_in_spans);
        let parsed = |lines: Vec<String>| -> Vec<serde_json::Value> {
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert_eq!(parsed(by_layer(LogFormat::Json, emit_in_spans)), parsed(without_times(&text)));
    }

    /// Lines are looked at several bytes at a time: whatever stands where, it is escaped.
    #[test]
    fn what_is_escaped_is_found_wherever_it_stands() {
        for odd in "\0\t\n\u{1f} !\"[\\]~\u{7f}\u{80}\u{a0}".chars() {
            for place in 0..20 {
                let text = format!("{}{odd}{}", "a".repeat(place), "~".repeat(19 - place));
                let emit = || tracing::info!("{text}");
                let pretty = by_layer(LogFormat::Pretty, emit).join("\n");
                let expected = match odd {
                    '\n' => text.replace('\n', "\n    "),
                    '\t' | ' '..='~' => text.clone(),
                    _ => text.replace(odd, &odd.escape_default().to_string()),
                };
                assert!(pretty.ends_with(&format!("] {expected}")), "{text:?}: {pretty:?}");
                let json: serde_json::Value =
                    serde_json::from_str(&by_layer(LogFormat::Json, emit).join("\n")).unwrap();
                assert_eq!(json["message"], text);
            }
        }
    }

    #[test]
    fn machines_are_told_what_spans_say() {
        let start = "target=squall::log::tests message=";
        assert_eq!(
            by_layer(LogFormat::Logfmt, emit_in_spans),
            [
                &format!(
                    "time=then level=warn {start}\"from outer\" ok=true small=-5 half=0.5 none=null name=\"a b\" count=1"
                ),
                &format!(
                    "time=then level=error {start}\"one\\ntwo \\u001b[31m \u{202e}\" name=\"its own\" count=2 late=8"
                ),
                &format!(
                    "time=then level=info {start}\"\" only=\"Some(\\\"fields\\\")\" count=2 name=\"a b\" late=8"
                ),
                "time=then level=info target=squall::access message=\"200 GET /\" request_id=id-1 status=200 count=2 \
                 name=\"a b\" late=8",
                &format!("time=then level=debug {start}looking request_id=id-1 count=2 name=\"a b\" late=8"),
            ]
        );
    }

    #[test]
    fn enabling_twice_is_harmless() {
        enable_pretty_logging();
        enable_pretty_logging();
    }
}
