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
            of_scope.message(1, |scope| scope.bytes(1, b"molecule-cp"));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the protocol's own Python package writes of the same span.
    const EXPECTED: &str = "0a9e010a160a140a0c736572766963652e6e616d6512040a0263701283010a0d0a0b6d6f6c656375\
         6c652d637012720a1001010101010101010101010101010101120802020202020202022208030303\
         03030303032a07776562686f6f6b3003390100000000000000412c010000000000004a150a0e7365\
         727665722e6164647265737312030a01684a120a0b7365727665722e706f7274120318bb037a0218\
         02";

    #[test]
    fn a_span_has_the_bytes_that_the_protocols_package_writes() {
        let context = |id| TraceContext {
            trace_id: [1; 16],
            span_id: [id; 8],
            sampled: true,
        };
        let span = Span {
            context: context(2),
            parent: Some(context(3)),
            kind: Kind::Client,
            began: 1,
            ended: 300,
            what: Ended {
                name: "webhook".to_owned(),
                texts: vec![("server.address", "h".to_owned())],
                numbers: vec![("server.port", 443)],
                failed: true,
            },
        };
        let resource = [("service.name".to_owned(), "cp".to_owned())];
        let bytes = export(&resource, &[span]);
        let actual: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(actual, EXPECTED);
    }
}
