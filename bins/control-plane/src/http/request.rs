//! A request as the router hands it over, before anything is known of its caller.

use std::{net::SocketAddr, ops::Range, rc::Rc, sync::Arc};

use actix_web::{
    dev::Payload,
    http::{
        Method, Uri,
        header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE},
    },
};
use ids::{RequestId, TypedId};
use service::ClientAddress;
use smallvec::SmallVec;

use super::{
    App, address::client_address, body::RequestBody, connection::BodyKind, headers::request_id,
    pacing::Source,
};

pub struct Request {
    pub app: Arc<App>,
    /// The client's own id, or ours.
    pub id: Arc<str>,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Who sent it; a proxy may be in between.
    pub peer: Option<SocketAddr>,
    pub path: RequestPath,
    pub body: RequestBody,
}

impl Request {
    pub fn id_of(headers: &HeaderMap, app: &App) -> Arc<str> {
        request_id(headers).unwrap_or_else(|| app.service.env().id::<RequestId>().text().into())
    }

    /// Where it comes from.
    pub fn client(&self) -> ClientAddress {
        client_address(self.peer, &self.headers, &self.app.trusted_proxies)
    }

    /// Its address, for answers that need no credential.
    pub fn address_source(&self) -> Source {
        self.app.pacing.address(self.client().limited_by())
    }

    /// Its address, for public paths.
    pub fn public_source(&self) -> Source {
        self.app.pacing.public(self.client().limited_by())
    }

    /// Reads the body and throws it away, so that the client sees the response, then waits until the source may have
    /// one. Frees the headers first: they keep the buffer that they were read into.
    pub async fn discard(self, source: Source) {
        drop(self.headers);
        let exchange = Rc::clone(self.body.exchange());
        self.body.drain(&self.app.pacing, source).await;
        exchange.give_way(self.app.pacing.wait(source, 0)).await;
    }
}

/// A path and its parameters.
#[derive(Debug, Default)]
pub struct RequestPath {
    /// `None` where no pattern fits.
    pub pattern: Option<&'static str>,
    path: Box<str>,
    params: PathParams,
}

/// Names of parameters, and where in the path they are. Few paths have more than two.
pub type PathParams = SmallVec<[(&'static str, Range<usize>); 2]>;

impl RequestPath {
    pub fn new(pattern: &'static str, path: &str, params: PathParams) -> Self {
        Self {
            pattern: Some(pattern),
            path: path.into(),
            params,
        }
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        let (_, part) = params.find(|(known, _)| *known == name)?;
        self.path.get(part.clone())
    }

    /// A parameter that is an id.
    pub fn id<I: TypedId>(&self, name: &str) -> Option<I> {
        self.param(name)?.parse().ok()
    }
}

/// How the framework has read where the body ends: a request that says it in two ways does not get here.
pub fn body_kind(payload: &Payload, headers: &HeaderMap) -> BodyKind {
    if let Payload::None = payload {
        return BodyKind::Empty;
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return BodyKind::Chunked;
    }
    // It takes everything behind such a head for something other than HTTP.
    let upgrades = headers.get_all(UPGRADE).any(|value| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"websocket")
    });
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match length {
        Some(length) if !upgrades => BodyKind::Length(length),
        _ => BodyKind::UntilEnd,
    }
}
