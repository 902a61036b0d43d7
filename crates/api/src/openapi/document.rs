//! The document put together: paths from the server's table, components from the types.

use serde_json::{Value, json};
use utoipa::openapi::{
    Components, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, PathsBuilder, Required,
    Response, ResponseBuilder, ServerBuilder,
    content::ContentBuilder,
    extensions::Extensions,
    path::{self, OperationBuilder, Parameter},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::Ref,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    tag::TagBuilder,
};

use super::{
    Body, Described, Header, Method, Shape, Success, Tag, Who, answers, examples, forms, glossary,
    parameters, refusals, scope_allows,
};
use crate::ErrorCode;
use ids::{DeliveryId, EndpointId, KeyId, OrgId, PartnerId};
use scopes::Scope;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// The OpenAPI document of these calls, as clients reach them under `public_url`, which has no slash
/// at its end.
#[must_use]
pub fn document(calls: &[Described], public_url: &str) -> OpenApi {
    let mut paths = PathsBuilder::new();
    for call in calls {
        let item = path::PathItem::new(http_method(call.method), operation(call));
        paths = paths.path(call.path, item);
    }
    let info = InfoBuilder::new()
        .title("Molecule AI partner control plane")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(introduction()))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    let tags = Tag::ALL.iter().map(|tag| {
        TagBuilder::new()
            .name(tag.name())
            .description(Some(tag.about()))
            .build()
    });
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url(public_url).build()]))
        .tags(Some(tags))
        .paths(paths)
        .components(Some(components(calls, public_url)))
        .build()
}

fn introduction() -> String {
    let scopes = Scope::ALL
        .iter()
        .map(|scope| format!("- `{scope}`: {}\n", scope_allows(*scope)))
        .collect::<String>();
    format!(
        "Create and manage orgs by API, with scoped, rate-limited and revocable keys.\n\nEvery call \
         brings one key in the header `Authorization: Bearer …`. Admin keys are the operator's; \
         partner keys are made by them and hold scopes:\n\n{scopes}\nWhatever its scopes, a partner \
         key can ask what it is, list its partner's keys, and read and revoke itself.\n\nErrors are \
         problem documents (RFC 9457); `code` tells them apart, `detail` says what to do next. Every \
         answer to a known key names its audit event and what is left of its limits. Any POST can be \
         repeated safely with an `Idempotency-Key`."
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
    let mut components = answers::schemas();
    for body in Body::ALL {
        let schema = body.schema().into();
        components.schemas.insert(body.name().to_owned(), schema);
    }
    glossary::explain(&mut components.schemas);
    for header in Header::ALL {
        let name = header.name().to_owned();
        components.headers.insert(name, header.header().into());
    }
    for (name, example) in refusals::examples(public_url) {
        components.examples.insert(name.to_owned(), example.into());
    }
    for call in calls {
        for (status, codes) in refusals::codes(call) {
            let name = refusals::response_name(call.who, &codes);
            let response = refusals::response(call.who, status, &codes);
            components.responses.insert(name, response.into());
        }
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An admin key (`mol_ak_…`) or a partner key (`mol_pk_…`), in the header `Authorization` \
             and nowhere else.",
        ))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components
}

fn operation(call: &Described) -> path::Operation {
    let told = call.operation;
    let mut operation = OperationBuilder::new()
        .operation_id(Some(told.id))
        .tag(told.tag.name())
        .summary(Some(told.summary))
        .description(Some(description(call)))
        .request_body(told.body.map(|body| request_body(call.method, body)))
        .extensions(Some(extensions(call)));
    for parameter in parameters(call) {
        operation = operation.parameter(parameter);
    }
    if call.who != Who::Anyone {
        operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
    } else {
        operation = operation.securities(Some([]));
    }
    for answer in told.answers {
        operation = operation.response(answer.status.to_string(), response(call, answer));
    }
    for (status, codes) in refusals::codes(call) {
        let name = refusals::response_name(call.who, &codes);
        operation = operation.response(status.to_string(), Ref::from_response_name(name));
    }
    operation.build()
}

fn description(call: &Described) -> String {
    let who = match call.who {
        Who::Anyone => "Anyone can ask; no event is left.".to_owned(),
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

fn extensions(call: &Described) -> Extensions {
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
    ])
}

fn parameters(call: &Described) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    if call.path.contains("{id}") {
        let (form, says) = if call.path.contains("/partners/") {
            (forms::id::<PartnerId>(), "The partner's id.")
        } else if call.path.contains("/partner-keys/") {
            (forms::id::<KeyId>(), "The key's id.")
        } else if call.path.contains("/webhook-endpoints/") {
            (forms::id::<EndpointId>(), "The endpoint's id.")
        } else {
            (forms::id::<OrgId>(), "The org's id.")
        };
        parameters.push(parameters::path("id", form, says));
    }
    if call.path.contains("{delivery}") {
        let form = forms::id::<DeliveryId>();
        parameters.push(parameters::path("delivery", form, "The delivery's id."));
    }
    if call.path.contains("{code}") {
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
        parameters.push(parameters::path(
            "code",
            forms::one_of(codes),
            "The code of a problem document.",
        ));
    }
    parameters.extend(call.operation.query.iter().map(|query| query.parameter()));
    if call.method == Method::Post && call.who != Who::Anyone {
        parameters.push(parameters::idempotency_key());
    }
    parameters
}

fn request_body(method: Method, body: Body) -> RequestBody {
    let content = || {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(body.name())))
            .example(Some(body.example()))
            .build()
    };
    let required = if body.is_required() {
        Required::True
    } else {
        Required::False
    };
    let builder = RequestBodyBuilder::new()
        .required(Some(required))
        .content("application/json", content());
    if method == Method::Patch {
        builder
            .content("application/merge-patch+json", content())
            .build()
    } else {
        builder.build()
    }
}

fn response(call: &Described, answer: &Success) -> Response {
    let mut response = ResponseBuilder::new().description(answer.says);
    let example = match (answer.shape, answer.status) {
        (Shape::Org, 201) => Some(examples::new_org()),
        (Shape::Org, 202) => Some(examples::going_org()),
        (Shape::DeletedOrgs, 202) => Some(examples::deleted_orgs()),
        (shape, _) => examples::example(shape),
    };
    if let Some((kind, content)) = answer.shape.content(example) {
        response = response.content(kind, content);
    }
    let mut headers = vec![Header::RequestId];
    if call.who != Who::Anyone {
        headers.extend([
            Header::AuditEventId,
            Header::RateLimitPolicy,
            Header::RateLimit,
        ]);
    }
    if call.method == Method::Post {
        headers.push(Header::IdempotencyReplayed);
    }
    headers.extend(answer.headers);
    for header in headers {
        response = response.header_ref(header.name(), header.reference());
    }
    response.build()
}

#[cfg(test)]
mod tests;
