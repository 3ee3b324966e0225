//! Tornado's line format.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};

use chrono::{DateTime, Local};
use rustix::time::{ClockId, clock_gettime};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::{ACCESS, GENERAL, REQUEST};

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
    pub fn timer<T: FormatTime>(self, timer: T) -> LogFormatter<T> {
        LogFormatter { timer }
    }
}

/// The local time as Tornado logs it: `261121 01:27:48`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write_local_time(w, unix_second())
    }
}

/// `261121 01:27:48`
fn write_local_time(out: &mut impl Write, second: i64) -> fmt::Result {
    thread_local! {
        /// A second and its text: most lines are of the same second as the one before, and the text is dear.
        static LAST: Cell<(i64, [u8; 15])> = const { Cell::new((i64::MAX, [0; 15])) };
    }
    let (last, text) = LAST.get();
    if last == second
        && let Ok(text) = std::str::from_utf8(&text)
    {
        return out.write_str(text);
    }
    let moment = DateTime::from_timestamp(second, 0).unwrap_or_default().with_timezone(&Local);
    let text = moment.format("%y%m%d %H:%M:%S").to_string();
    if let Ok(bytes) = text.as_bytes().try_into() {
        LAST.set((second, bytes));
    }
    out.write_str(&text)
}

/// The second since 1970. The kernel's coarse clock, where there is one, is some milliseconds late and takes a fifth of the
/// time.
fn unix_second() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::RealtimeCoarse;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Realtime;
    clock_gettime(CLOCK).tv_sec
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
        let mut line = String::with_capacity(128);
        begin(&mut line, writer.has_ansi_escapes(), event.metadata(), |out| {
            self.timer.format_time(&mut Writer::new(out))
        })?;
        let mut begun = Line::new(&mut line, event.metadata());
        begun.say(event);
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                begun.add_span(span.metadata(), &[" ", &without_colors(&fields.fields)]);
            }
        }
        begun.end();
        writer.write_str(&line)
    }
}

/// Appends what stands in brackets.
fn begin(
    out: &mut String,
    colored: bool,
    metadata: &Metadata<'_>,
    time: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    let level = metadata.level();
    if colored {
        out.push_str(color(level));
    }
    out.push_str(letter(level));
    time(out)?;
    out.push(' ');
    let path = metadata.module_path().unwrap_or_else(|| metadata.target());
    let segment = path.rfind(':').map_or(0, |colon| colon + 1);
    out.push_str(&path[segment..]);
    if let Some(line) = metadata.line() {
        out.push(':');
        out.push_str(itoa::Buffer::new().format(line));
    }
    out.push_str(if colored { "]\x1b[0m " } else { "] " });
    Ok(())
}

/// What stood in brackets in the line before: most begin alike.
#[derive(Default)]
struct Beginning {
    second: i64,
    metadata: Option<&'static Metadata<'static>>,
    colored: bool,
    text: String,
}

impl Beginning {
    fn is(&self, second: i64, metadata: &'static Metadata<'static>, colored: bool) -> bool {
        self.second == second
            && self.colored == colored
            && self.metadata.is_some_and(|known| std::ptr::eq(known, metadata))
    }
}

/// A line in the making.
pub(super) struct Line<'a> {
    out: &'a mut String,
    metadata: &'a Metadata<'a>,
    /// Where the message begins: from there on it is looked at what is not printable.
    start: usize,
}

impl<'a> Line<'a> {
    /// Goes on behind what stands in brackets.
    fn new(out: &'a mut String, metadata: &'a Metadata<'a>) -> Self {
        let start = out.len();
        Self { out, metadata, start }
    }

    /// Begins with the local time.
    pub(super) fn now(out: &'a mut String, colored: bool, metadata: &'static Metadata<'static>) -> Self {
        thread_local! {
            static LAST: RefCell<Beginning> = RefCell::default();
        }
        let second = unix_second();
        // Otherwise the thread is ending.
        let _ = LAST.try_with(|last| {
            let last = &mut *last.borrow_mut();
            if !last.is(second, metadata, colored) {
                *last = Beginning { second, metadata: Some(metadata), colored, text: String::new() };
                // A `String` takes all.
                let _ = begin(&mut last.text, colored, metadata, |out| write_local_time(out, second));
            }
            out.push_str(&last.text);
        });
        Self::new(out, metadata)
    }

    /// The message of the event, and its fields.
    pub(super) fn say(&mut self, event: &Event<'_>) {
        // The line of a request says in words what its fields say.
        let only_text = self.metadata.target() == ACCESS;
        let mut message = Message { text: self.out, fields: String::new(), only_text };
        event.record(&mut message);
        let Message { fields, .. } = message;
        self.out.push_str(&fields);
    }

    /// The fields of a span around it, such as the name of the request.
    pub(super) fn add_span(&mut self, span: &Metadata<'_>, fields: &[&str]) {
        if !repeats(self.metadata, span) {
            self.out.extend(fields.iter().copied());
        }
    }

    pub(super) fn end(self) {
        if !is_plain(&self.out.as_bytes()[self.start..]) {
            let text = self.out.split_off(self.start);
            escape(self.out, &text);
        }
        self.out.push('\n');
    }
}

/// Whether the span is that of the request of whose line this is: all that it says stands there.
pub(super) fn repeats(event: &Metadata<'_>, span: &Metadata<'_>) -> bool {
    event.target() == ACCESS && span.name() == "request" && matches!(span.target(), REQUEST | GENERAL)
}

/// The fields of a span as `tracing-subscriber` keeps them, coloured if the writer has colours: those would be escaped.
pub(super) fn without_colors(fields: &str) -> Cow<'_, str> {
    let Some((first, rest)) = fields.split_once("\x1b[") else { return fields.into() };
    let plain = rest.split("\x1b[").map(|part| part.split_once('m').map_or("", |(_, text)| text));
    std::iter::once(first).chain(plain).collect::<String>().into()
}

/// Writes the message of an event where it belongs and gathers its other fields, which come after it.
struct Message<'a> {
    text: &'a mut String,
    fields: String,
    only_text: bool,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing fails only if the value's own Debug does; then it is cut short.
            "message" => _ = write!(self.text, "{value:?}"),
            // That which stands nowhere in the words.
            name if self.only_text && name != "request_id" => {}
            _ => Fields(&mut self.fields).record_debug(field, value),
        }
    }
}

/// Fields as ` name=value`.
pub(super) struct Fields<'a>(pub(super) &'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // As above.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

/// What a span says, for the lines inside of it.
#[derive(Default)]
pub(super) struct OfSpan(pub(super) String);

/// Appends text with its continuation lines indented and what is not printable escaped.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            c if is_printable(c) => out.push(c),
            other => out.extend(other.escape_default()),
        }
    }
}

/// Whether all is printable ASCII, as in nearly every line: then nothing is to be escaped. Of tabs and in other doubts it says
/// no.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    // The highest bit of a byte shows what is beyond ASCII, below a space, or DEL. A carry can only add doubts.
    let is_plain =
        |word: u64| (word | word.wrapping_sub(EACH * 0x20) | word.wrapping_add(EACH)) & (EACH * 0x80) == 0;
    let (blocks, rest) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    blocks.iter().chain([&last]).all(|block| is_plain(u64::from_ne_bytes(*block)))
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

/// The bracket and the first letter of Python's name for the level.
fn letter(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "[E ",
        Level::WARN => "[W ",
        Level::INFO => "[I ",
        Level::DEBUG => "[D ",
        Level::TRACE => "[T ",
    }
}

/// The ANSI colour that Tornado gives the level.
fn color(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[34m",
    }
}
