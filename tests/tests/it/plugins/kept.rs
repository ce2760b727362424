//! What uploads leave in the store: what a plugin names, and nothing else.

use std::path::Path;

use hookbox::model::TenantId;
use hookbox_tests::api::Api;

use super::says;
use crate::contract::components::{bytes, digest};

/// Components in the store, whole or not.
fn components(folder: &Path) -> u32 {
    let conn = rusqlite::Connection::open(folder.join("hookbox.db")).unwrap();
    let count = "SELECT count(*) FROM components";
    conn.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_and_is_not_compiled_for_it() {
    let api = Api::start().await;
    for query in ["name=neverseen&hold=true", "name=neverseen&canary=5"] {
        let refused = api.upload(query, says("https://example.com/", "x")).await;
        refused.problem(422, "validation-failed");
        // What is no component at all would be refused as such if it were looked at.
        let refused = api.upload(query, b"no component".to_vec()).await;
        refused.problem(422, "validation-failed");
    }
    assert_eq!(components(api.folder()), 0);
}

#[tokio::test]
async fn a_component_that_was_uploaded_again_goes_with_its_plugin() {
    let api = Api::start().await;
    let wasm = says("https://example.com/", "again");
    api.upload("name=a", wasm.clone()).await.expect(201);
    api.upload("name=a", wasm.clone()).await.expect(200);
    api.upload("name=a&hold=true", wasm).await.expect(200);
    assert_eq!(components(api.folder()), 1);
    api.delete("/v1/plugins/a").await.expect(204);
    assert_eq!(components(api.folder()), 0);
}

#[tokio::test]
async fn what_no_plugin_names_counts_against_the_limit_of_bytes() {
    let wasm = says("https://example.com/", "counted");
    let most = wasm.len() as u64 + 1000;
    let api = Api::start_with(|config| config.limits.plugin_bytes = most).await;
    // As an upload leaves it whose process was killed before the plugin was stored.
    let (t, left) = (TenantId::default_tenant(), bytes(1001, 1));
    let sha256 = digest(&left);
    api.backend
        .put_component(&t, &sha256, &left, None)
        .await
        .unwrap();
    let refused = api.upload("name=a", wasm.clone()).await;
    let text = refused.problem(409, "limit-reached");
    assert!(
        text.contains("limits.plugin_bytes") && text.contains("1001 bytes"),
        "{text}"
    );
    assert_eq!(components(api.folder()), 1);
    api.backend.release_component(&t, &sha256).await.unwrap();
    api.upload("name=a", wasm).await.expect(201);
}

/// The limit is on what is left: the version that goes makes room for the one that comes.
#[tokio::test]
async fn the_bytes_of_an_old_version_that_goes_are_there_for_the_new_one() {
    let version = |n: u32| says("https://example.com/", &format!("version {n}"));
    let most = 2 * version(0).len() as u64 + 100;
    let api = Api::start_with(|config| {
        config.limits.plugin_bytes = most;
        config.limits.plugin_versions_kept = 0;
    })
    .await;
    for n in 0..4 {
        let answer = api.upload("name=a", version(n)).await.expect(201);
        let gone = answer["pruned"].as_array().map_or(0, Vec::len);
        assert_eq!(gone, usize::from(n > 1), "{answer:#}");
        assert!(components(api.folder()) <= 2);
    }
    let hold = api.upload("name=a&hold=true", version(9)).await;
    let text = hold.problem(409, "limit-reached");
    assert!(
        text.contains("`hookbox plugin prune NAME --keep 0`"),
        "{text}"
    );
}
