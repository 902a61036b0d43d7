//! The document: paths from the server's table of routes, components from the types.

use serde_json::{Value, json};
use utoipa::openapi::{
    Components, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, PathsBuilder, Required,
    Response, ResponseBuilder, ServerBuilder,
    content::ContentBuilder,
    extensions::Extensions,
    path::{Operation, OperationBuilder, Parameter, PathItem},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::Ref,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    tag::TagBuilder,
};

use super::{
    Body, Described, Header, Method, Params, Success, Tag, Who, errors, messages,
    parameters::{idempotency_key, path},
    samples, scope_allows,
};
use crate::{
    ErrorCode, Problem,
    list::PageQuery,
    wire::{self, WireType as _},
};
use ids::{DeliveryId, EndpointId, EventId, KeyId, OrgId, PartnerId, TrustRuleId};
use scopes::Scope;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// The OpenAPI document of these operations, as clients reach them under `public_url`, which has no slash
/// at its end.
#[must_use]
pub fn document(calls: &[Described], public_url: &str) -> OpenApi {
    let mut paths = PathsBuilder::new();
    for call in calls {
        let item = PathItem::new(http_method(call.method), operation(call, public_url));
        paths = paths.path(call.path, item);
    }
    let mut license = License::new(env!("CARGO_PKG_LICENSE"));
    license.identifier = Some(license.name.clone());
    let info = InfoBuilder::new()
        .title("Molecule AI partner control plane")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(introduction()))
        .license(Some(license));
    let tags = Tag::ALL.iter().map(|tag| {
        TagBuilder::new()
            .name(tag.name())
            .description(Some(tag.description()))
            .build()
    });
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url(public_url).build()]))
        .tags(Some(tags))
        .paths(paths)
        .webhooks(Some(messages::webhooks()))
        .components(Some(components(calls, public_url)))
        .build()
}

fn introduction() -> String {
    let scopes = Scope::ALL
        .iter()
        .map(|scope| format!("- `{scope}`: {}\n", scope_allows(*scope)))
        .collect::<String>();
    format!(
        "Create and manage orgs by API, with scoped, rate-limited and revocable keys.\n\nEvery request \
         has one key in the header `Authorization: Bearer …`. Admin keys belong to the operator. Partner \
         keys are created with admin keys, and have scopes:\n\n{scopes}\nEvery partner key can also read \
         `/cp/whoami`, list the keys of its partner, and read, rotate and revoke itself.\n\nErrors are problem \
         documents (RFC 9457): `code` identifies the error, and `detail` says what to do next. Every \
         response to a known key names its audit event and what remains of its rate limits. Any POST \
         can be repeated safely with an `Idempotency-Key`.\n\nLater versions may add fields to responses, \
         and words to the fields marked with `x-extensible-enum`: a client must go on when it meets one \
         that it does not know. Times are UTC with six digits of fraction."
    )
}

const fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn components(calls: &[Described], public_url: &str) -> Components {
    let mut schemas = wire::Components::new();
    Problem::schema(&mut schemas);
    for call in calls {
        if let Some(body) = call.operation.body {
            // What has a name adds itself.
            (body.schema)(&mut schemas);
        }
        for response in call.operation.responses {
            if let Some(content) = response.content {
                (content.schema)(&mut schemas);
            }
        }
    }
    messages::schemas(&mut schemas);
    let mut components = Components::new();
    components.schemas.extend(schemas);
    for header in Header::ALL {
        let name = header.name().to_owned();
        components.headers.insert(name, header.header().into());
    }
    for call in calls {
        for (status, codes) in errors::codes(call) {
            for &code in &codes {
                let example = errors::named_example(public_url, code);
                components.examples.insert(code.to_string(), example.into());
            }
            let name = errors::response_name(call.who, &codes);
            let response = errors::response(call.who, status, &codes);
            components.responses.insert(name, response.into());
        }
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An admin key (`mol_ak_…`) or a partner key (`mol_pk_…`, or with a prefix of the operator's own), in the \
             header `Authorization` and nowhere else.",
        ))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components
}

fn operation(call: &Described, public_url: &str) -> Operation {
    let described = call.operation;
    let mut operation = OperationBuilder::new()
        .operation_id(Some(described.id))
        .tag(described.tag.name())
        .summary(Some(described.summary))
        .description(Some(description(call)))
        .request_body(described.body.map(|body| request_body(call.method, body)))
        .extensions(Some(extensions(call, public_url)));
    for parameter in parameters(call) {
        operation = operation.parameter(parameter);
    }
    if call.who != Who::Anyone {
        operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
    } else {
        operation = operation.securities(Some([]));
    }
    for success in described.responses {
        operation = operation.response(success.status.to_string(), response(call, success));
    }
    for (status, codes) in errors::codes(call) {
        // What has an error of another form says so itself.
        if described.responses.iter().any(|it| it.status == status) {
            continue;
        }
        let name = errors::response_name(call.who, &codes);
        operation = operation.response(status.to_string(), Ref::from_response_name(name));
    }
    operation.build()
}

fn description(call: &Described) -> String {
    let who = match call.who {
        Who::Anyone if call.action.is_some() => {
            "Needs no credential: send no `Authorization`.".to_owned()
        }
        Who::Anyone => "Needs no credential, and leaves no audit event.".to_owned(),
        Who::Admin => "For admin keys.".to_owned(),
        Who::Any => "For admin keys and partner keys, whatever their scopes.".to_owned(),
        Who::Partner([scope]) => format!("For partner keys with the scope `{scope}`."),
        Who::Partner(_) => format!(
            "For partner keys with one of the scopes {}.",
            call.who.phrase()
        ),
    };
    if call.operation.detail.is_empty() {
        who
    } else {
        format!("{}\n\n{who}", call.operation.detail)
    }
}

fn extensions(call: &Described, public_url: &str) -> Extensions {
    let scopes = match call.who {
        Who::Partner(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
        Who::Anyone | Who::Admin | Who::Any => Vec::new(),
    };
    let credential = match call.who {
        Who::Anyone => Value::Null,
        Who::Admin => json!("admin"),
        Who::Partner(_) => json!("partner_key"),
        Who::Any => json!("any"),
    };
    Extensions::from_iter([
        ("x-required-scopes", json!(scopes)),
        ("x-credential", credential),
        ("x-audit-action", json!(call.action)),
        (
            "x-codeSamples",
            samples::of(call, &parameters(call), public_url),
        ),
    ])
}

fn parameters(call: &Described) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    if call.path.contains("{id}") {
        parameters.push(if call.path.contains("/partners/") {
            path::<PartnerId>("id", "The id of the partner.")
        } else if call.path.contains("/partner-keys/") {
            path::<KeyId>("id", "The id of the key.")
        } else if call.path.contains("/webhook-endpoints/") {
            path::<EndpointId>("id", "The id of the endpoint.")
        } else if call.path.contains("/trust-rules/") {
            path::<TrustRuleId>("id", "The id of the rule.")
        } else if call.path.contains("/audit-events/") {
            path::<EventId>("id", "The id of the event.")
        } else {
            path::<OrgId>("id", "The id of the org.")
        });
    }
    if call.path.contains("{delivery}") {
        parameters.push(path::<DeliveryId>("delivery", "The id of the delivery."));
    }
    if call.path.contains("{code}") {
        parameters.push(path::<ErrorCode>("code", "The error code."));
    }
    let by_admin = matches!(call.who, Who::Admin | Who::Any);
    let page = call
        .operation
        .is_list()
        .then_some(Params::of::<PageQuery>());
    for query in call.operation.query.iter().copied().chain(page) {
        parameters.extend(query.parameters(by_admin));
    }
    if call.method == Method::Post && call.who != Who::Anyone {
        parameters.push(idempotency_key());
    }
    parameters
}

fn request_body(method: Method, body: Body) -> RequestBody {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name((body.name)())))
        .example(Some((body.example)()))
        .build();
    let required = if body.required {
        Required::True
    } else {
        Required::False
    };
    let builder = RequestBodyBuilder::new().required(Some(required)).content(
        if body.is_form {
            "application/x-www-form-urlencoded"
        } else {
            "application/json"
        },
        content,
    );
    if method == Method::Patch {
        // A second type with the same schema makes generators declare the body twice.
        builder
            .description(Some(
                "A merge patch (RFC 7396), which may also be sent as `application/merge-patch+json`.",
            ))
            .build()
    } else {
        builder.build()
    }
}

fn response(call: &Described, success: &Success) -> Response {
    let mut response = ResponseBuilder::new().description(success.description);
    if let Some(content) = success.content {
        let body = ContentBuilder::new()
            .schema(Some((content.schema)(&mut wire::Components::new())))
            .example(success.example_value())
            .build();
        response = response.content(content.media_type, body);
    }
    let mut headers = vec![Header::RequestId];
    if call.who != Who::Anyone {
        headers.extend([
            Header::AuditEventId,
            Header::RateLimitPolicy,
            Header::RateLimit,
        ]);
        headers.extend(Header::of_older_secrets(call.who));
    }
    if call.method == Method::Post && call.who != Who::Anyone {
        headers.push(Header::IdempotencyReplayed);
    }
    headers.extend(success.headers);
    for header in headers {
        response = response.header_ref(header.name(), header.reference());
    }
    response.build()
}
