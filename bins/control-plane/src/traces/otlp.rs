//! Spans in the bytes of OTLP: protobuf, by hand. The numbers of fields are those of
//! `opentelemetry/proto/trace/v1/trace.proto`, version 1.

use super::{Ended, context::TraceContext};

/// What a span stands for, by its number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
}

/// A span that has ended. Times are nanoseconds since 1970.
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<TraceContext>,
    pub kind: Kind,
    pub began: u64,
    pub ended: u64,
    pub what: Ended,
}

/// The body of an export: the spans of this process, which these attributes describe.
pub fn export(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |attributes| {
            for (name, value) in resource {
                attributes.text_attribute(1, name, value);
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.bytes(1, b"molecule-cp");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                of_scope.message(2, |message| write(span, message));
            }
        });
    });
    request.0
}

fn write(span: &Span, message: &mut Message) {
    message.bytes(1, &span.context.trace_id);
    message.bytes(2, &span.context.span_id);
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.span_id);
    }
    message.bytes(5, span.what.name.as_bytes());
    message.number(
        6,
        match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
    );
    message.fixed(7, span.began);
    message.fixed(8, span.ended);
    for (name, value) in &span.what.texts {
        message.text_attribute(9, name, value);
    }
    for (name, value) in &span.what.numbers {
        message.attribute(9, name, |any| any.number(3, *value));
    }
    if span.what.failed {
        const ERROR: u64 = 2;
        message.message(15, |status| status.number(3, ERROR));
    }
}

/// A message of protobuf: its fields, one after the other.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn attribute(&mut self, field: u64, name: &str, value: impl FnOnce(&mut Self)) {
        self.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, value);
        });
    }

    fn text_attribute(&mut self, field: u64, name: &str, value: &str) {
        self.attribute(field, name, |any| any.bytes(1, value.as_bytes()));
    }
}
