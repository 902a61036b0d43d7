//! One message over HTTP/1.1, and its response.

use std::{error::Error as _, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use ids::PartnerId;
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

/// In bytes: enough for the excerpt in any script.
const MAX_BODY: usize = 2048;
/// For the body, once the status is known.
const BODY_WITHIN: Duration = Duration::from_secs(2);
/// In bytes.
const MAX_HEAD: usize = 16 * 1024;
const AGENT: &str = concat!("molecule-cp/", env!("CARGO_PKG_VERSION"), " (webhooks)");

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

    async fn exchange(&self, posting: &OutgoingMessage) -> Result<SendOutcome, String> {
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
        let answer = self.ask((posting.partner_id, &url), request).await;
        if let Some(span) = span {
            let status = answer.as_ref().ok().map(|(status, _)| *status);
            span.end(|| self.ended(&url, status));
        }
        let (status_code, body) = answer?;
        Ok(SendOutcome::Response { status_code, body })
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
        (partner, url): (PartnerId, &EndpointUrl),
        mut request: Request<Full<Bytes>>,
    ) -> Result<(u16, String), String> {
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
        Ok((status_code, beginning(response).await))
    }
}

impl Sender for HttpSender {
    async fn send(&self, posting: OutgoingMessage) -> SendOutcome {
        let outcome = self.exchange(&posting).await;
        outcome.unwrap_or_else(SendOutcome::NoResponse)
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

/// The beginning of the body, as far as it comes in time.
async fn beginning(response: Response<Incoming>) -> String {
    let mut body = response.into_body();
    let mut read = Vec::new();
    let reading = async {
        while read.len() < MAX_BODY
            && let Some(Ok(frame)) = body.frame().await
        {
            if let Ok(data) = frame.into_data() {
                read.extend_from_slice(&data);
            }
        }
    };
    // A truncated body is fine: the status alone decides.
    let _ = timeout(BODY_WITHIN, reading).await;
    read.truncate(MAX_BODY);
    String::from_utf8_lossy(&read).into_owned()
}

#[cfg(test)]
mod tests;
