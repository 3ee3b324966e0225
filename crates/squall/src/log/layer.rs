//! What [`enable`](super::enable) installs: lines go from the event's fields to the [`Sink`] by way of one buffer.
//!
//! `tracing_subscriber::fmt` does the same for any formatter and any writer, piece by piece through both; for the line of a
//! request that was 6,500 instructions.

use std::cell::Cell;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::file::Sink;
use super::{LogFormat, pretty, structured};

pub(super) struct LineLayer {
    format: LogFormat,
    colored: bool,
    sink: Sink,
}

impl LineLayer {
    pub(super) fn new(format: LogFormat, colored: bool, sink: Sink) -> Self {
        Self { format, colored: colored && format == LogFormat::Pretty, sink }
    }

    fn write<S>(&self, out: &mut String, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let spans = context.event_scope(event).into_iter();
        if let Some(syntax) = self.format.syntax() {
            let mut line = structured::Line::begin(out, syntax, metadata);
            line.say(event);
            // What an inner one says counts.
            for span in spans.flatten() {
                if let Some(said) = span.extensions().get::<structured::OfSpan>() {
                    line.add_span(span.metadata(), said);
                }
            }
            line.end();
        } else {
            let mut line = pretty::Line::now(out, self.colored, metadata);
            line.say(event);
            for span in spans.flat_map(Scope::from_root) {
                if let Some(said) = span.extensions().get::<pretty::OfSpan>() {
                    line.add_span(span.metadata(), &[&said.0]);
                }
            }
            line.end();
        }
    }

    /// Keeps what a span says, in the shape in which the lines inside of it say so.
    fn keep<S>(&self, id: &Id, values: &Record<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        match self.format.syntax() {
            Some(syntax) => {
                if extensions.get_mut::<structured::OfSpan>().is_none() {
                    extensions.insert(structured::OfSpan::new(syntax));
                }
                if let Some(said) = extensions.get_mut::<structured::OfSpan>() {
                    values.record(said);
                }
            }
            None => {
                if extensions.get_mut::<pretty::OfSpan>().is_none() {
                    extensions.insert(pretty::OfSpan::default());
                }
                if let Some(said) = extensions.get_mut::<pretty::OfSpan>() {
                    said.add(values);
                }
            }
        }
    }
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.keep(id, &Record::new(attributes.values()), &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.keep(id, values, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        thread_local! {
            /// Memory of the line before. Taken out, since the `Debug` of a value may log too.
            static LINE: Cell<String> = const { Cell::new(String::new()) };
        }
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        self.write(&mut line, event, &context);
        self.sink.write(line.as_bytes());
        if line.capacity() <= LARGEST_KEPT {
            line.clear();
            let _ = LINE.try_with(|kept| kept.set(line));
        }
    }
}

/// A longer line gives its memory back.
const LARGEST_KEPT: usize = 16 * 1024;
