//! `/v1/plugins`: the transformers that a webhook can name.

use serde::Serialize;
use utoipa::ToSchema;

use super::{List, Paging, auth::Reader, extract::Params, page_of, problem::Answer};
use crate::engine::BUILT_IN;

/// A transformer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginView {
    /// What a webhook's `plugin` says; `name@version` there means this version and no other.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Whether it comes with hookbox.
    built_in: bool,
}

/// All transformers.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", params(Paging),
    responses((status = 200, description = "A page of them.", body = List<PluginView>)))]
pub(super) async fn list_plugins(
    _: Reader,
    Params(paging): Params<Paging>,
) -> Answer<axum::Json<List<PluginView>>> {
    let built_in = PluginView {
        name: BUILT_IN,
        version: env!("CARGO_PKG_VERSION"),
        built_in: true,
    };
    let page = page_of(vec![built_in], |plugin| plugin.name, &paging)?;
    Ok(List::of(page, |plugin| plugin))
}
