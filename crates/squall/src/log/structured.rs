//! Lines for machines: JSON and logfmt.

use std::any::TypeId;
use std::fmt::{self, Write};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::{repeats, without_colors};

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
    json: bool,
}

impl StructuredFormatter {
    /// An object of JSON in each line.
    #[must_use]
    pub fn json() -> Self {
        Self { json: true }
    }

    /// `name=value`, quoted where need be.
    #[must_use]
    pub fn logfmt() -> Self {
        Self { json: false }
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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut spans = String::new();
        let mut of_spans = Map::new();
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
                    of_spans.extend(fields.unwrap_or_default());
                    continue;
                }
                let space = if spans.is_empty() { "" } else { " " };
                write!(spans, "{space}{}", without_colors(&formatted.fields))?;
            }
        }
        let mut line: Vec<(&str, Value)> = vec![
            ("time", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true).into()),
            ("level", metadata.level().as_str().to_lowercase().into()),
            ("target", metadata.target().into()),
            ("message", fields.message.into()),
        ];
        // A field of the event cannot pass for one of these.
        fields.others.retain(|(name, _)| !line.iter().any(|(known, _)| known == name));
        line.extend(fields.others);
        of_spans.retain(|name, _| !line.iter().any(|(known, _)| known == name));
        line.extend(of_spans.iter().map(|(name, value)| (name.as_str(), value.clone())));
        if !spans.is_empty() {
            line.push(("spans", spans.into()));
        }
        if self.json { write_json(&mut writer, line) } else { write_logfmt(&mut writer, line) }
    }
}

/// Has [`StructuredFormatter`] give the fields of spans each its name and its type.
#[derive(Clone, Copy, Debug, Default)]
pub struct StructuredFields;

impl<'writer> FormatFields<'writer> for StructuredFields {
    /// As members of an object.
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut found = Fields::default();
        fields.record(&mut found);
        if !found.message.is_empty() {
            found.others.push(("message", found.message.into()));
        }
        for (index, (name, value)) in found.others.into_iter().enumerate() {
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

fn write_json(writer: &mut Writer<'_>, line: Vec<(&str, Value)>) -> fmt::Result {
    let object: Map<String, Value> = line.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    writeln!(writer, "{}", Value::Object(object))
}

fn write_logfmt(writer: &mut Writer<'_>, line: Vec<(&str, Value)>) -> fmt::Result {
    for (index, (name, value)) in line.into_iter().enumerate() {
        if index > 0 {
            writer.write_char(' ')?;
        }
        match value {
            Value::String(text) if needs_quotes(&text) => write!(writer, "{name}={}", Value::String(text))?,
            Value::String(text) => write!(writer, "{name}={text}")?,
            other => write!(writer, "{name}={other}")?,
        }
    }
    writer.write_char('\n')
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'))
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.others.push((name, text.into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, value.into())),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }
}
