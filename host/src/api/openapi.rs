//! The API's description, made from the handlers.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    OpenApi,
    openapi::{
        Ref, RefOr, ResponseBuilder,
        content::ContentBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{problem::ProblemBody, routes};

/// The parts of the description that belong to no handler: title, keys and the shape of errors.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "hookbox",
        description = "Webhooks whose logic may be written by untrusted people. Errors are application/problem+json (RFC 9457), each kind with a `type` that does not change.",
    ),
    security(("api_key" = [])),
    components(schemas(ProblemBody)),
    tags(
        (name = "events", description = "Events: changes, as received."),
        (name = "webhooks", description = "Webhooks: the requests to send and their receivers."),
        (name = "event rules", description = "Event rules: the webhooks that events run."),
        (name = "deliveries", description = "Deliveries and their attempts."),
        (name = "keys and secrets", description = "API keys, and secrets that templates can place but not read."),
        (name = "plugins", description = "Transformers."),
        (name = "operations", description = "State, usage and health."),
    ),
)]
struct FrontMatter;

pub(super) fn front_matter() -> utoipa::openapi::OpenApi {
    FrontMatter::openapi()
}

/// The whole description, OpenAPI 3.1. What `GET /openapi.json` answers and `hookbox openapi` prints.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, which begins with `hb_`."))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("api_key", SecurityScheme::Http(scheme));
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let problem = ResponseBuilder::new()
                .description("A problem.")
                .content(
                    "application/problem+json",
                    ContentBuilder::new()
                        .schema(Some(Ref::from_schema_name("ProblemBody")))
                        .build(),
                )
                .build();
            operation
                .responses
                .responses
                .insert("default".to_owned(), RefOr::T(problem));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
pub(super) async fn openapi_json() -> Response {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| document().to_pretty_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
