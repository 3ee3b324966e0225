//! Lines for machines: JSON and logfmt.

use std::any::TypeId;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use serde_json::{Map, Number, Value};
use smallvec::SmallVec;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::pretty::{repeats, without_colors};

/// One event in a line that a machine reads: `time` (UTC, RFC 3339), `level`, `target`, `message`, then the event's fields, and
/// `spans` with those of the spans around it.
///
/// The line of a request has `status`, `method`, `path` (with the query), `duration_ms`, `peer`, `version` and `route`, and
/// `request_id` where it has one. With [`StructuredFields`] the fields of spans stand by themselves instead of in `spans`, so
/// what else is logged while a request is served has `method`, `path`, `peer`, `version`, `route` and `request_id` too.
///
/// ```
/// use squall::log::{StructuredFields, StructuredFormatter};
///
/// tracing_subscriber::fmt().fmt_fields(StructuredFields).event_format(StructuredFormatter::json()).init();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StructuredFormatter {
    syntax: Syntax,
}

/// How names and values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Logfmt,
}

impl StructuredFormatter {
    /// An object of JSON in each line.
    #[must_use]
    pub fn json() -> Self {
        Self { syntax: Syntax::Json }
    }

    /// `name=value`, quoted where need be.
    #[must_use]
    pub fn logfmt() -> Self {
        Self { syntax: Syntax::Logfmt }
    }
}

impl<S, N> FormatEvent<S, N> for StructuredFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut out = String::with_capacity(256);
        let mut line = Line::begin(&mut out, self.syntax, metadata);
        line.say(event);
        let mut texts = String::new();
        let mut values = Map::new();
        let are_structured = TypeId::of::<N>() == TypeId::of::<StructuredFields>();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if !repeats(metadata, span.metadata())
                && let Some(formatted) = span.extensions().get::<FormattedFields<N>>()
                && !formatted.is_empty()
            {
                if are_structured {
                    // What is recorded twice counts as it was the last time, and an inner span before one around it.
                    let fields =
                        serde_json::from_str::<Map<String, Value>>(&format!("{{{}}}", formatted.fields));
                    values.extend(fields.unwrap_or_default());
                    continue;
                }
                let space = if texts.is_empty() { "" } else { " " };
                write!(texts, "{space}{}", without_colors(&formatted.fields))?;
            }
        }
        for (name, value) in &values {
            line.add_value(name, value);
        }
        if !texts.is_empty() {
            line.add_value("spans", &texts.into());
        }
        line.end();
        writer.write_str(&out)
    }
}

/// Has [`StructuredFormatter`] give the fields of spans each its name and its type.
#[derive(Clone, Copy, Debug, Default)]
pub struct StructuredFields;

impl<'writer> FormatFields<'writer> for StructuredFields {
    /// As members of an object.
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut said = OfSpan::new(Syntax::Json);
        fields.record(&mut said);
        for (index, (name, value)) in said.fields().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(writer, "{comma}{}:{value}", Value::from(name))?;
        }
        Ok(())
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

/// A line in the making.
pub(super) struct Line<'a> {
    out: &'a mut String,
    syntax: Syntax,
    metadata: &'a Metadata<'a>,
    /// There is a field.
    begun: bool,
    /// Those of the event's fields, which no span says again.
    names: SmallVec<[&'static str; 16]>,
}

impl<'a> Line<'a> {
    /// What stands in every line, but for the message.
    pub(super) fn begin(out: &'a mut String, syntax: Syntax, metadata: &'a Metadata<'a>) -> Self {
        let mut line = Self { out, syntax, metadata, begun: false, names: SmallVec::new() };
        if syntax == Syntax::Json {
            line.out.push('{');
        }
        line.begin_field("time");
        line.add_time();
        line.begin_field("level");
        line.add_text(level_name(metadata.level()));
        line.begin_field("target");
        line.add_text(metadata.target());
        line
    }

    /// The message of an event, and its fields.
    pub(super) fn say(&mut self, event: &Event<'_>) {
        if event.metadata().fields().field("message").is_none() {
            self.begin_field("message");
            self.add_text("");
        }
        event.record(self);
    }

    /// The fields of a span around it.
    pub(super) fn add_span(&mut self, span: &Metadata<'_>, said: &OfSpan) {
        if repeats(self.metadata, span) {
            return;
        }
        for (name, value) in said.fields() {
            if !self.has(name) {
                self.begin_field(name);
                self.names.push(name);
                self.out.push_str(value);
            }
        }
    }

    pub(super) fn end(self) {
        self.out.push_str(if self.syntax == Syntax::Json { "}\n" } else { "\n" });
    }

    /// Whether a field of the event, or of a span further in, is called so.
    fn has(&self, name: &str) -> bool {
        is_ours(name) || name == "message" || self.names.contains(&name)
    }

    fn begin_field(&mut self, name: &str) {
        let separator = if self.syntax == Syntax::Json { ',' } else { ' ' };
        if self.begun {
            self.out.push(separator);
        }
        self.begun = true;
        match self.syntax {
            Syntax::Json => {
                self.add_text(name);
                self.out.push(':');
            }
            Syntax::Logfmt => {
                self.out.push_str(name);
                self.out.push('=');
            }
        }
    }

    /// A field whose name is not the program's, and known to come once.
    fn add_value(&mut self, name: &str, value: &Value) {
        if self.has(name) {
            return;
        }
        self.begin_field(name);
        match value {
            Value::String(text) => self.add_text(text),
            other => _ = write!(self.out, "{other}"),
        }
    }

    fn add_text(&mut self, text: &str) {
        self.syntax.text(self.out, |out| out.push_str(text));
    }

    fn add_time(&mut self) {
        thread_local! {
            /// A second, since 1970, and its text: most lines are of the same second as the one before, and the text is dear.
            static LAST: Cell<(u64, [u8; 19])> = const { Cell::new((u64::MAX, [0; 19])) };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (last, mut text) = LAST.get();
        if last != now.as_secs() {
            let shown = DateTime::<Utc>::from(UNIX_EPOCH + now).format("%Y-%m-%dT%H:%M:%S").to_string();
            if let Ok(bytes) = shown.as_bytes().try_into() {
                LAST.set((now.as_secs(), bytes));
                text = bytes;
            }
        }
        let millis = now.subsec_millis() as u16;
        let [hundreds, tens, ones] =
            [millis / 100, millis / 10 % 10, millis % 10].map(|digit| digit as u8 + b'0');
        let rest = [b'.', hundreds, tens, ones, b'Z'];
        self.syntax.text(self.out, |out| {
            for part in [&text[..], &rest] {
                out.push_str(std::str::from_utf8(part).unwrap_or_default());
            }
        });
    }
}

impl Values for Line<'_> {
    fn value(&mut self, field: &Field, write: impl FnOnce(&mut String, Syntax)) {
        let name = field.name();
        if !is_ours(name) {
            self.begin_field(name);
            self.names.push(name);
            write(self.out, self.syntax);
        }
    }
}

/// What a span says, for the lines inside of it.
pub(super) struct OfSpan {
    syntax: Syntax,
    /// The values, as they stand in a line.
    text: String,
    places: Vec<(&'static str, Range<usize>)>,
}

impl OfSpan {
    pub(super) fn new(syntax: Syntax) -> Self {
        // Room for those of a request.
        Self { syntax, text: String::with_capacity(160), places: Vec::with_capacity(8) }
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.places.iter().map(|(name, place)| (*name, &self.text[place.clone()]))
    }
}

impl Values for OfSpan {
    fn value(&mut self, field: &Field, write: impl FnOnce(&mut String, Syntax)) {
        let start = self.text.len();
        write(&mut self.text, self.syntax);
        let place = start..self.text.len();
        match self.places.iter_mut().find(|(name, _)| *name == field.name()) {
            // The last one counts.
            Some((_, former)) => *former = place,
            None => self.places.push((field.name(), place)),
        }
    }
}

/// Who takes fields with their values.
trait Values {
    fn value(&mut self, field: &Field, write: impl FnOnce(&mut String, Syntax));
}

macro_rules! visit_values {
    ($($taker:ty),*) => {$(
        impl Visit for $taker {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                // Writing fails only if the value's own Debug does; then it is cut short.
                self.value(field, |out, syntax| syntax.text(out, |out| _ = write!(out, "{value:?}")));
            }

            fn record_str(&mut self, field: &Field, value: &str) {
                self.value(field, |out, syntax| syntax.text(out, |out| out.push_str(value)));
            }

            fn record_f64(&mut self, field: &Field, value: f64) {
                self.value(field, |out, _| match Number::from_f64(value) {
                    Some(number) => _ = write!(out, "{number}"),
                    None => out.push_str("null"),
                });
            }

            fn record_i64(&mut self, field: &Field, value: i64) {
                self.value(field, |out, _| out.push_str(itoa::Buffer::new().format(value)));
            }

            fn record_u64(&mut self, field: &Field, value: u64) {
                self.value(field, |out, _| out.push_str(itoa::Buffer::new().format(value)));
            }

            fn record_bool(&mut self, field: &Field, value: bool) {
                self.value(field, |out, _| out.push_str(if value { "true" } else { "false" }));
            }
        }
    )*};
}

visit_values!(Line<'_>, OfSpan);

impl Syntax {
    /// Appends the text that `write` appends, quoted where need be.
    fn text(self, out: &mut String, write: impl FnOnce(&mut String)) {
        match self {
            Self::Json => {
                out.push('"');
                let start = out.len();
                write(out);
                if !stands_in_json(&out.as_bytes()[start..]) {
                    let text = out.split_off(start);
                    out.pop();
                    push_quoted(out, text);
                } else {
                    out.push('"');
                }
            }
            Self::Logfmt => {
                let start = out.len();
                write(out);
                if needs_quotes(&out[start..]) {
                    let text = out.split_off(start);
                    push_quoted(out, text);
                }
            }
        }
    }
}

/// What every line has; no field of an event or a span can pass for one of these.
fn is_ours(name: &str) -> bool {
    matches!(name, "time" | "level" | "target")
}

/// Whether nothing of it is to be escaped in a string of JSON: quotes, backslashes, control characters. Eight bytes at once.
fn stands_in_json(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    // The highest bit of a byte that is less than `limit`, and perhaps of those after it.
    let below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word;
    let stands = |word: u64| {
        let quote = below(word ^ (EACH * u64::from(b'"')), 1);
        let backslash = below(word ^ (EACH * u64::from(b'\\')), 1);
        (below(word, b' ') | quote | backslash) & (EACH * 0x80) == 0
    };
    let (blocks, rest) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    blocks.iter().chain([&last]).all(|block| stands(u64::from_ne_bytes(*block)))
}

fn push_quoted(out: &mut String, text: String) {
    // A `String` takes all.
    let _ = write!(out, "{}", Value::String(text));
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'))
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
