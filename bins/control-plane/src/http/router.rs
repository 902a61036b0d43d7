//! From a path and a method to its endpoint.
//!
//! The framework's own router tries one pattern after the other. Here one tree has all paths, and the time
//! that it takes does not grow with their number.

use std::{future::Future, mem, rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{Payload, ServiceRequest, ServiceResponse, fn_service},
    http::{ConnectionType, Method},
    web::ServiceConfig,
};
use futures_util::future::LocalBoxFuture;
use matchit::Params;

use super::{
    App,
    body::RequestBody,
    connection::{BodyKind, Exchange},
    request::{PathParams, Request, RequestPath, body_kind},
};

/// What responds to the requests of one path and method.
#[derive(Clone)]
pub struct Endpoint(Rc<Respond>);

/// The request is in a box: it is large, and passed on several times.
type Respond = dyn Fn(HttpRequest, Box<Request>) -> LocalBoxFuture<'static, HttpResponse>;

impl Endpoint {
    pub fn new<F>(respond: impl Fn(HttpRequest, Box<Request>) -> F + 'static) -> Self
    where
        F: Future<Output = HttpResponse> + 'static,
    {
        Self(Rc::new(move |http, request| {
            Box::pin(respond(http, request))
        }))
    }

    /// The response to a request.
    pub(super) fn respond(
        &self,
        http: HttpRequest,
        request: Box<Request>,
    ) -> LocalBoxFuture<'static, HttpResponse> {
        (self.0)(http, request)
    }
}

struct Resource {
    pattern: &'static str,
    /// The parameters of the pattern, in their order.
    names: Vec<&'static str>,
    methods: Vec<(Method, Endpoint)>,
    method_not_allowed: Endpoint,
}

impl Resource {
    fn params(&self, found: &Params<'_, '_>, path: &str) -> PathParams {
        let parts = found.iter().map(|(_, part)| {
            let from = part.as_ptr().addr().saturating_sub(path.as_ptr().addr());
            from..from.saturating_add(part.len())
        });
        self.names.iter().copied().zip(parts).collect()
    }
}

fn names(pattern: &'static str) -> Vec<&'static str> {
    let parts = pattern.split('/');
    parts
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

/// All paths of a server. Each worker has a router of its own.
pub struct Router {
    tree: matchit::Router<Resource>,
    /// For unknown paths below the prefix.
    not_found: (&'static str, Endpoint),
    /// For all other unknown paths.
    fallback: Endpoint,
}

impl Router {
    /// A router without paths. `not_found` is for the path that it names and all below it.
    pub fn new(not_found: (&'static str, Endpoint), fallback: Endpoint) -> Self {
        Self {
            tree: matchit::Router::new(),
            not_found,
            fallback,
        }
    }

    /// Adds a path, whose pattern audit events and metrics name. A part in braces fits anything but a slash.
    ///
    /// # Errors
    /// When the path can't be told from another.
    pub fn resource(
        &mut self,
        path: &str,
        pattern: &'static str,
        methods: Vec<(Method, Endpoint)>,
        method_not_allowed: Endpoint,
    ) -> Result<(), matchit::InsertError> {
        let resource = Resource {
            pattern,
            names: names(pattern),
            methods,
            method_not_allowed,
        };
        self.tree.insert(path, resource)
    }

    fn find(&self, method: &Method, path: &str) -> (&Endpoint, RequestPath) {
        // No route and no id needs an escape. Whoever matches paths by their text, such as a proxy, would miss one.
        let found = Some(path).filter(|path| !path.contains('%'));
        let Some(found) = found.and_then(|path| self.tree.at(path).ok()) else {
            let (prefix, not_found) = &self.not_found;
            let below = path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let endpoint = if below { not_found } else { &self.fallback };
            return (endpoint, RequestPath::default());
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
            .map_or(&resource.method_not_allowed, |(_, endpoint)| endpoint);
        let params = resource.params(&found.params, path);
        (endpoint, RequestPath::new(resource.pattern, path, params))
    }

    /// Routes all requests of a worker.
    pub fn serve(self, app: Arc<App>, config: &mut ServiceConfig) {
        let router = Rc::new(self);
        config.default_service(fn_service(move |mut http: ServiceRequest| {
            // The path as it was sent: no route and no id needs an escaped character, and a path that
            // is unescaped first would pass a proxy's rules for prefixes (`/cp/%61dmin`).
            let (endpoint, path) = router.find(http.method(), http.uri().path());
            let endpoint = endpoint.clone();
            // The framework keeps its request until the response, and its map of headers has room for
            // many: seven kilobytes for each call that is held. So they are taken out of it.
            let headers = mem::take(http.headers_mut());
            // Only a connection of a test has none.
            let exchange = http.conn_data::<Rc<Exchange>>().cloned();
            let exchange = exchange.unwrap_or_default();
            let (http, payload) = http.into_parts();
            let kind = body_kind(&payload, &headers);
            exchange.begin(kind);
            let payload = match kind {
                BodyKind::Empty | BodyKind::UntilEnd => Payload::None,
                BodyKind::Length(_) | BodyKind::Chunked => payload,
            };
            let request = Box::new(Request {
                app: Arc::clone(&app),
                id: Request::id_of(&headers, &app),
                method: http.method().clone(),
                uri: http.uri().clone(),
                headers,
                peer: http.peer_addr(),
                path,
                body: RequestBody::new(payload, Rc::clone(&exchange)),
            });
            let responding = endpoint.respond(http.clone(), request);
            async move {
                let mut response = responding.await;
                if exchange.closes_after_response() {
                    let head = response.head_mut();
                    head.set_connection_type(ConnectionType::Close);
                }
                exchange.respond();
                Ok(ServiceResponse::new(http, response))
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Endpoint {
        Endpoint::new(move |_, _| async move { HttpResponse::Ok().body(name) })
    }

    /// The endpoint, the pattern and the id.
    fn find(method: Method, path: &str) -> (&'static str, Option<&'static str>, Option<String>) {
        let ends = [
            "not_found",
            "fallback",
            "get",
            "post",
            "method_not_allowed",
            "below",
        ]
        .map(|n| (n, named(n)));
        let [not_found, fallback, get, post, method_not_allowed, below] =
            ends.clone().map(|end| end.1);
        let mut router = Router::new(("/cp", not_found), fallback);
        let methods = vec![(Method::GET, get), (Method::POST, post)];
        let org = "/cp/orgs/{id}";
        router
            .resource(org, org, methods, method_not_allowed)
            .unwrap();
        let methods = vec![(Method::GET, below)];
        let method_not_allowed = named("x");
        let status = "/cp/orgs/{id}/status";
        router
            .resource(status, status, methods, method_not_allowed)
            .unwrap();
        let (found, route) = router.find(&method, path);
        let name = ends.iter().find(|end| Rc::ptr_eq(&end.1.0, &found.0));
        let id = route.param("id").map(str::to_owned);
        (name.unwrap().0, route.pattern, id)
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
    fn a_path_leads_to_its_method_or_to_method_not_allowed() {
        let org = Some("/cp/orgs/{id}");
        check(Method::GET, "/cp/orgs/a", "get", org, Some("a"));
        check(Method::POST, "/cp/orgs/a", "post", org, Some("a"));
        check(
            Method::PUT,
            "/cp/orgs/a",
            "method_not_allowed",
            org,
            Some("a"),
        );
        let status = Some("/cp/orgs/{id}/status");
        check(Method::GET, "/cp/orgs/a/status", "below", status, Some("a"));
    }

    #[test]
    fn unknown_paths_are_not_found_below_the_prefix_and_for_the_fallback_elsewhere() {
        for path in ["/cp", "/cp/", "/cp/orgs/", "/cp/orgs/a/", "/cp/orgs/a/b/c"] {
            check(Method::GET, path, "not_found", None, None);
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
            check(Method::GET, path, "fallback", None, None);
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
                ["not_found", "fallback"].contains(&name) && pattern.is_none(),
                "{path}"
            );
        }
    }
}
