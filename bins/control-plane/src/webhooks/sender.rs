//! One message over HTTP/1.1, and its response.

use std::{error::Error as _, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use ids::{PartnerId, TypedId as _, Ulid};
use tokio::{task::JoinSet, time::timeout};
use tokio_rustls::{TlsConnector, rustls::RootCertStore};
use webhooks::{
    AddressPolicy, EndpointUrl, ID_HEADER, OutgoingMessage, SIGNATURE_HEADER, SendOutcome, Sender,
    TIMESTAMP_HEADER,
};

use super::{
    connect::{connect, public_roots, tls},
    lookups::Lookups,
};
use crate::traces::{Ended, Span, TRACEPARENT, Tracer};

/// What is read of the answer to a webhook: enough for the excerpt in any script.
const EXCERPT: BodyLimits = BodyLimits {
    bytes: 2048,
    within: Duration::from_secs(2),
};
/// In bytes.
const MAX_HEAD: usize = 16 * 1024;
const AGENT: &str = concat!("molecule-cp/", env!("CARGO_PKG_VERSION"), " (webhooks)");

/// How much of a response's body is read.
#[derive(Clone, Copy)]
pub struct BodyLimits {
    pub bytes: usize,
    /// For the body, once the status is known.
    pub within: Duration,
}

/// A response.
pub struct Received {
    pub status_code: u16,
    /// The body, up to the limit.
    pub body: Vec<u8>,
    /// Whether the body came to its end, or to the limit.
    pub is_whole: bool,
}

impl Received {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub struct HttpSender {
    reach: AddressPolicy,
    tls: TlsConnector,
    lookups: Lookups,
    tracer: Tracer,
    /// The name of the spans of messages.
    name: &'static str,
}

impl HttpSender {
    /// A sender that trusts the public certificate authorities.
    pub fn new(reach: AddressPolicy) -> anyhow::Result<Self> {
        Self::trusting(reach, public_roots())
    }

    /// A sender that trusts these certificate authorities.
    pub fn trusting(reach: AddressPolicy, roots: RootCertStore) -> anyhow::Result<Self> {
        let tls = tls(roots)?;
        Ok(Self {
            reach,
            tls,
            lookups: Lookups::default(),
            tracer: Tracer::default(),
            name: "message",
        })
    }

    /// The same sender; its messages are spans of this name.
    pub fn traced(self, tracer: &Tracer, name: &'static str) -> Self {
        Self {
            tracer: tracer.clone(),
            name,
            ..self
        }
    }

    /// Sends one message and reads the response. An error says why there is none, in words for the partner.
    pub async fn exchange(
        &self,
        posting: &OutgoingMessage,
        limits: BodyLimits,
    ) -> Result<Received, String> {
        // The settings may have changed since the endpoint was created.
        let url = EndpointUrl::new(posting.url.as_str(), self.reach)
            .map_err(|error| format!("the URL {error}"))?;
        let mut request = request(posting).ok_or("the message can't be sent")?;
        let span = self.tracer.client();
        if let Some(traceparent) = span.as_ref().map(Span::traceparent)
            && let Ok(value) = traceparent.parse()
        {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        let answer = self
            .receive((posting.partner_id, &url), request, limits)
            .await;
        if let Some(span) = span {
            let status = answer.as_ref().ok().map(|received| received.status_code);
            span.end(|| self.ended(&url, status));
        }
        answer
    }

    /// By OpenTelemetry's conventions for HTTP clients; the path may be a secret of the receiver's.
    fn ended(&self, url: &EndpointUrl, status: Option<u16>) -> Ended {
        let host = url.parts().host_str().unwrap_or_default().to_owned();
        let port = url.parts().port_or_known_default().map(u64::from);
        let status = status.map(u64::from);
        let numbers = [("server.port", port), ("http.response.status_code", status)];
        Ended {
            name: self.name.to_owned(),
            texts: vec![
                ("http.request.method", "POST".to_owned()),
                ("server.address", host),
            ],
            numbers: numbers
                .into_iter()
                .filter_map(|(name, number)| Some((name, number?)))
                .collect(),
            failed: status.is_none_or(|status| status >= 400),
        }
    }

    /// Sends a request to a URL on a connection of its own; the status and the beginning of the body.
    pub async fn ask(
        &self,
        to: (PartnerId, &EndpointUrl),
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, String), String> {
        let received = self.receive(to, request, EXCERPT).await?;
        Ok((received.status_code, received.text()))
    }

    /// Asks for a document, of which up to `limits` is read. There are no redirects. An error says why there is none.
    pub async fn get(
        &self,
        partner: PartnerId,
        url: &str,
        limits: BodyLimits,
    ) -> Result<Received, String> {
        let url = EndpointUrl::new(url, self.reach).map_err(|error| format!("the URL {error}"))?;
        self.document((partner, &url), limits).await
    }

    /// The same for a document of the operator's choice.
    pub async fn fetch(&self, url: &EndpointUrl, limits: BodyLimits) -> Result<Received, String> {
        let nobody = PartnerId::from_ulid(Ulid::default());
        self.document((nobody, url), limits).await
    }

    async fn document(
        &self,
        to: (PartnerId, &EndpointUrl),
        limits: BodyLimits,
    ) -> Result<Received, String> {
        let request = Request::get("/")
            .header(ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|_| "the document can't be asked for")?;
        self.receive(to, request, limits).await
    }

    async fn receive(
        &self,
        (partner, url): (PartnerId, &EndpointUrl),
        mut request: Request<Full<Bytes>>,
        limits: BodyLimits,
    ) -> Result<Received, String> {
        address(&mut request, url).ok_or("the URL can't be asked for")?;
        let to = (partner, url);
        let stream = connect(to, self.reach, (&self.lookups, &self.tls)).await?;
        let (mut send, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Drives the connection, which ends with the message.
        let mut background = JoinSet::new();
        background.spawn(connection);
        let response = send.send_request(request).await.map_err(broken)?;
        let status_code = response.status().as_u16();
        let (body, is_whole) = beginning(response, limits).await;
        Ok(Received {
            status_code,
            body,
            is_whole,
        })
    }
}

impl Sender for HttpSender {
    async fn send(&self, posting: OutgoingMessage) -> SendOutcome {
        match self.exchange(&posting, EXCERPT).await {
            // A truncated body is fine: the status alone decides.
            Ok(received) => SendOutcome::Response {
                status_code: received.status_code,
                body: received.text(),
            },
            Err(why) => SendOutcome::NoResponse(why),
        }
    }
}

/// For the partner.
#[expect(clippy::needless_pass_by_value, reason = "what errors are mapped with")]
fn broken(error: hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("the connection broke: {error}: {cause}"),
        None => format!("the connection broke: {error}"),
    }
}

/// Names the host and the path of a URL in a request.
fn address(request: &mut Request<Full<Bytes>>, url: &EndpointUrl) -> Option<()> {
    let parts = url.parts();
    let host = parts.host_str()?;
    let host = match parts.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = match parts.query() {
        Some(query) => format!("{}?{query}", parts.path()),
        None => parts.path().to_owned(),
    };
    *request.uri_mut() = path.parse().ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, host.parse().ok()?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    Some(())
}

fn request(posting: &OutgoingMessage) -> Option<Request<Full<Bytes>>> {
    Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header(ID_HEADER, &posting.id)
        .header(TIMESTAMP_HEADER, &posting.timestamp)
        .header(SIGNATURE_HEADER, &posting.signature)
        .body(Full::from(posting.body.clone()))
        .ok()
}

/// The beginning of the body, as far as it comes in time, and whether that is all that was wanted.
async fn beginning(response: Response<Incoming>, limits: BodyLimits) -> (Vec<u8>, bool) {
    let mut body = response.into_body();
    let mut read = Vec::new();
    let reading = async {
        while read.len() < limits.bytes {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        read.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        true
    };
    let is_whole = timeout(limits.within, reading).await.unwrap_or(false);
    read.truncate(limits.bytes);
    (read, is_whole)
}

#[cfg(test)]
mod tests;
