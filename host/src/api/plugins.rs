//! `/v1/plugins`: the transformers that a webhook can name.

use serde::Serialize;
use utoipa::ToSchema;

use super::{List, auth::Reader};
use crate::{engine::BUILT_IN, queue::Page};

/// A transformer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginView {
    /// What a webhook's `plugin` says.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Whether it comes with hookbox.
    built_in: bool,
}

/// All transformers.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins",
    responses((status = 200, description = "All of them.", body = List<PluginView>)))]
pub(super) async fn list_plugins(_: Reader) -> axum::Json<List<PluginView>> {
    let built_in = PluginView {
        name: BUILT_IN,
        version: env!("CARGO_PKG_VERSION"),
        built_in: true,
    };
    List::of(
        Page {
            results: vec![built_in],
            next: None,
        },
        |plugin| plugin,
    )
}
