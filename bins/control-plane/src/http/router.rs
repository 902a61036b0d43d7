//! From a path and a method to whoever answers there.
//!
//! The framework's own router asks one pattern after the other; here one tree knows all paths, and the
//! time it takes does not grow with their number.

use std::{future::Future, mem, net::SocketAddr, ops::Range, rc::Rc, sync::Arc};

use actix_web::{
    HttpResponse,
    dev::{Payload, ServiceRequest, ServiceResponse, fn_service},
    http::{
        ConnectionType, Method, Uri,
        header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE},
    },
    web::ServiceConfig,
};
use futures_util::future::LocalBoxFuture;
use matchit::Params;
use smallvec::SmallVec;

use super::{
    App,
    body::Incoming,
    connection::{BodyKind, Exchange},
};

/// A request and the place that its path has led to.
pub struct Arrival {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Who sent it; a proxy may stand between.
    pub peer: Option<SocketAddr>,
    pub body: Incoming,
    pub app: Arc<App>,
    pub place: Place,
}

/// Where a request has arrived.
#[derive(Debug, Default)]
pub struct Place {
    /// The pattern of the path; `None` where no pattern fits.
    pub pattern: Option<&'static str>,
    path: Box<str>,
    /// The parts of the path that the pattern gives names.
    params: Named,
}

/// Names of parts of a path, and where these stand; few paths have more than two.
type Named = SmallVec<[(&'static str, Range<usize>); 2]>;

impl Place {
    /// The part of the path that the pattern gives this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        let (_, part) = params.find(|(known, _)| *known == name)?;
        self.path.get(part.clone())
    }
}

/// Whoever answers requests.
#[derive(Clone)]
pub struct Endpoint(Rc<dyn Fn(Arrival) -> LocalBoxFuture<'static, HttpResponse>>);

impl Endpoint {
    /// An endpoint that answers by this function.
    pub fn new<F>(answer: impl Fn(Arrival) -> F + 'static) -> Self
    where
        F: Future<Output = HttpResponse> + 'static,
    {
        Self(Rc::new(move |arrival| Box::pin(answer(arrival))))
    }
}

/// One path: its methods, and who answers all others.
struct Resource {
    pattern: &'static str,
    /// What the pattern's parts in braces are called, in their order.
    names: Vec<&'static str>,
    methods: Vec<(Method, Endpoint)>,
    otherwise: Endpoint,
}

impl Resource {
    /// The parts of a path of this resource that have names, which `found` has in their order.
    fn params(&self, found: &Params<'_, '_>, path: &str) -> Named {
        let parts = found.iter().map(|(_, part)| {
            let from = part.as_ptr().addr().saturating_sub(path.as_ptr().addr());
            from..from.saturating_add(part.len())
        });
        self.names.iter().copied().zip(parts).collect()
    }
}

/// The names in braces of a pattern.
fn names(pattern: &'static str) -> Vec<&'static str> {
    let parts = pattern.split('/');
    parts
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

/// All paths of a server, of one worker.
pub struct Router {
    tree: matchit::Router<Resource>,
    /// Who answers under the prefix where no path fits.
    lost: (&'static str, Endpoint),
    /// Who answers everywhere else.
    outside: Endpoint,
}

impl Router {
    /// A router without paths. `lost` answers for the path that it names and all below it.
    pub fn new(lost: (&'static str, Endpoint), outside: Endpoint) -> Self {
        Self {
            tree: matchit::Router::new(),
            lost,
            outside,
        }
    }

    /// Adds a path, which records know by its pattern. A part in braces fits anything but a slash.
    ///
    /// # Errors
    /// When the path can't be told from another.
    pub fn resource(
        &mut self,
        path: &str,
        pattern: &'static str,
        methods: Vec<(Method, Endpoint)>,
        otherwise: Endpoint,
    ) -> Result<(), matchit::InsertError> {
        let resource = Resource {
            pattern,
            names: names(pattern),
            methods,
            otherwise,
        };
        self.tree.insert(path, resource)
    }

    /// Who answers, and where that is.
    fn find(&self, method: &Method, path: &str) -> (&Endpoint, Place) {
        let Ok(found) = self.tree.at(path) else {
            let (prefix, lost) = &self.lost;
            let below = path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let endpoint = if below { lost } else { &self.outside };
            return (endpoint, Place::default());
        };
        let resource = found.value;
        // HEAD is GET without the body, which the framework leaves out (RFC 9110, section 9.3.2).
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut methods = resource.methods.iter();
        let endpoint = methods
            .find(|(offered, _)| offered == method)
            .map_or(&resource.otherwise, |(_, endpoint)| endpoint);
        let place = Place {
            pattern: Some(resource.pattern),
            path: path.into(),
            params: resource.params(&found.params, path),
        };
        (endpoint, place)
    }

    /// Has the router answer whatever comes.
    pub fn serve(self, app: Arc<App>, config: &mut ServiceConfig) {
        let router = Rc::new(self);
        config.default_service(fn_service(move |mut request: ServiceRequest| {
            // The path as it was sent: no route and no id needs an escaped character, and a path that
            // is unescaped first would pass a proxy's rules for prefixes (`/cp/%61dmin`).
            let (endpoint, place) = router.find(request.method(), request.uri().path());
            let endpoint = endpoint.clone();
            // The framework keeps its request until the answer, and its map of headers has room for
            // many: seven kilobytes that a call which is held would hold. So they are taken out of it.
            let headers = mem::take(request.headers_mut());
            // Only a connection of a test has none.
            let exchange = request.conn_data::<Rc<Exchange>>().cloned();
            let exchange = exchange.unwrap_or_default();
            let (request, payload) = request.into_parts();
            let kind = body_kind(&payload, &headers);
            exchange.begin(kind);
            let payload = match kind {
                BodyKind::Empty | BodyKind::UntilEnd => Payload::None,
                BodyKind::Length(_) | BodyKind::Chunked => payload,
            };
            let answer = (endpoint.0)(Arrival {
                method: request.method().clone(),
                uri: request.uri().clone(),
                headers,
                peer: request.peer_addr(),
                body: Incoming::new(payload, Rc::clone(&exchange)),
                app: Arc::clone(&app),
                place,
            });
            async move {
                let mut response = answer.await;
                if exchange.ends_with_answer() {
                    let head = response.head_mut();
                    head.set_connection_type(ConnectionType::Close);
                }
                exchange.answer();
                Ok(ServiceResponse::new(request, response))
            }
        }));
    }
}

/// How the framework has read where the body ends: a request that says it in two ways does not get here.
fn body_kind(payload: &Payload, headers: &HeaderMap) -> BodyKind {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Endpoint {
        Endpoint::new(move |_| async move { HttpResponse::Ok().body(name) })
    }

    /// Which endpoint it is, and the place.
    fn find(method: Method, path: &str) -> (&'static str, Option<&'static str>, Option<String>) {
        let ends = ["lost", "outside", "get", "post", "otherwise", "below"].map(|n| (n, named(n)));
        let [lost, outside, get, post, otherwise, below] = ends.clone().map(|end| end.1);
        let mut router = Router::new(("/cp", lost), outside);
        let methods = vec![(Method::GET, get), (Method::POST, post)];
        let org = "/cp/orgs/{id}";
        router.resource(org, org, methods, otherwise).unwrap();
        let methods = vec![(Method::GET, below)];
        let otherwise = named("x");
        let status = "/cp/orgs/{id}/status";
        router.resource(status, status, methods, otherwise).unwrap();
        let (found, place) = router.find(&method, path);
        let name = ends.iter().find(|end| Rc::ptr_eq(&end.1.0, &found.0));
        let id = place.param("id").map(str::to_owned);
        (name.unwrap().0, place.pattern, id)
    }

    #[track_caller]
    fn check(method: Method, path: &str, name: &str, pattern: Option<&str>, id: Option<&str>) {
        let found = find(method, path);
        assert_eq!(
            (found.0, found.1, found.2.as_deref()),
            (name, pattern, id),
            "{path}"
        );
    }

    #[test]
    fn a_path_leads_to_its_method_or_to_who_answers_all_others() {
        let org = Some("/cp/orgs/{id}");
        check(Method::GET, "/cp/orgs/a", "get", org, Some("a"));
        check(Method::POST, "/cp/orgs/a", "post", org, Some("a"));
        check(Method::PUT, "/cp/orgs/a", "otherwise", org, Some("a"));
        let status = Some("/cp/orgs/{id}/status");
        check(Method::GET, "/cp/orgs/a/status", "below", status, Some("a"));
    }

    #[test]
    fn what_fits_no_path_is_lost_below_the_prefix_and_outside_elsewhere() {
        for path in ["/cp", "/cp/", "/cp/orgs/", "/cp/orgs/a/", "/cp/orgs/a/b/c"] {
            check(Method::GET, path, "lost", None, None);
        }
        for path in [
            "/",
            "",
            "/cpx",
            "/cpx/orgs/a",
            "//cp/orgs/a",
            "*",
            "/%63p/orgs/a",
        ] {
            check(Method::GET, path, "outside", None, None);
        }
    }

    #[test]
    fn no_escaped_character_leads_to_a_route() {
        for path in [
            "/cp/%6frgs/a",
            "/cp/orgs%2Fa",
            "/cp/orgs/a/%73tatus",
            "/cp%2forgs/a",
        ] {
            let (name, pattern, _) = find(Method::GET, path);
            assert!(
                ["lost", "outside"].contains(&name) && pattern.is_none(),
                "{path}"
            );
        }
    }
}
