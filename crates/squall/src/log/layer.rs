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
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    /// Keeps what a span says, in the shape in which the lines inside of it say so.
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(syntax) = self.format.syntax() {
            let mut said = structured::OfSpan::new(syntax);
            attributes.record(&mut said);
            span.extensions_mut().insert(said);
        } else {
            let mut said = pretty::OfSpan::default();
            attributes.record(&mut pretty::Fields(&mut said.0));
            span.extensions_mut().insert(said);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(said) = extensions.get_mut::<structured::OfSpan>() {
            values.record(said);
        } else if let Some(said) = extensions.get_mut::<pretty::OfSpan>() {
            values.record(&mut pretty::Fields(&mut said.0));
        }
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
