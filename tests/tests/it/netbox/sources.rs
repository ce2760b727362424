//! Where the importer reads from: a NetBox that misbehaves, tokens that may not see all, exported files.

use std::time::Duration;

use hookbox_tests::netbox::{Fault, NetBox, Version, rule, webhook};
use serde_json::json;

use super::Session;

async fn netbox() -> NetBox {
    let hook = webhook(Version::V4_6, 1, "hook");
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    NetBox::start(vec![hook], vec![rule]).await
}

#[tokio::test]
async fn a_netbox_that_misbehaves_ends_the_import_with_the_reason() {
    let session = Session::start();
    for (fault, why) in [
        (Fault::Html(500), "NetBox answered 500"),
        (
            Fault::Refuse(404, "No such thing"),
            "give the URL under which",
        ),
        (
            Fault::Refuse(401, "Token expired"),
            "does not accept the token: Token expired",
        ),
        (Fault::Refuse(429, "Throttled"), "429: Throttled"),
        (Fault::Html(200), "is not JSON"),
        (Fault::Loop, "do not end"),
        (
            Fault::Next("http://127.0.0.2:9/api/extras/webhooks/?offset=2".to_owned()),
            "the token is not sent there",
        ),
        (
            Fault::Next("https://netbox.example.com/api/x/".to_owned()),
            "X-Forwarded-Proto",
        ),
        (
            Fault::Next("file:///etc/passwd".to_owned()),
            "the token is not sent there",
        ),
        (Fault::Huge(80 * 1024 * 1024), "more than 67108864 bytes"),
        (Fault::Deep(100_000), "is not JSON"),
        (
            Fault::Redirect("http://127.0.0.2:9/login/".to_owned()),
            "redirects are not followed",
        ),
        (
            Fault::Slow(Duration::from_secs(600)),
            "did not answer in time",
        ),
    ] {
        let netbox = netbox().await;
        let shown = format!("{fault:?}").chars().take(80).collect::<String>();
        netbox.fail("webhooks", fault);
        let ended = session
            .import(&["--url", &netbox.url, "--yes", "--timeout", "2"])
            .await;
        ended.expect(1);
        assert!(ended.err.contains(why), "{shown}: {}", ended.err);
        assert_eq!(ended.err.trim().lines().count(), 1, "{}", ended.err);
    }
    assert_eq!(session.count("webhooks").await, 0);
}

#[tokio::test]
async fn a_busy_netbox_is_asked_again() {
    let session = Session::start();
    let netbox = netbox().await;
    netbox.fail("event-rules", Fault::Busy(2));
    session.import_from(&netbox).await.expect(0);
    assert_eq!(session.count("event-rules").await, 1);
}

#[tokio::test]
async fn a_token_that_may_see_only_webhooks_brings_those_and_says_so() {
    let session = Session::start();
    let netbox = netbox().await;
    let denied = "You do not have permission to perform this action.";
    netbox.fail("event-rules", Fault::Refuse(403, denied));
    let ended = session.import_from(&netbox).await;
    assert!(
        ended
            .expect(1)
            .contains("Not read: the event rules cannot be read: NetBox answered 403"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("extras.view_eventrule"));
    assert_eq!(session.count("webhooks").await, 1);

    // The other way round, rules have nothing to run.
    let session = Session::start();
    let netbox = self::netbox().await;
    netbox.fail("webhooks", Fault::Refuse(403, denied));
    let ended = session.import_from(&netbox).await;
    assert!(
        ended.expect(1).contains("the token may not see it"),
        "{}",
        ended.out
    );
    netbox.fail("event-rules", Fault::Refuse(403, denied));
    let ended = session.import_from(&netbox).await;
    ended.expect(1);
    assert!(
        ended.err.contains("event rules cannot be read"),
        "{}",
        ended.err
    );
    assert_eq!(session.count("event-rules").await, 0);
}

#[tokio::test]
async fn an_unreachable_netbox_and_wrong_usage_are_told_apart() {
    let session = Session::start();
    let ended = session
        .import(&["--url", "http://127.0.0.1:1", "--yes"])
        .await;
    ended.expect(1);
    assert!(
        ended.err.contains("cannot read from NetBox"),
        "{}",
        ended.err
    );
    for arguments in [
        vec![],
        vec!["--url", "ftp://netbox.example.com"],
        vec!["--url", "http://user:pw@netbox.example.com"],
        vec!["file.json", "--url", "http://netbox.example.com"],
        vec!["file.json", "--check", "e.json", "--yes"],
    ] {
        let ended = session.import(&arguments).await;
        ended.expect(2);
        assert!(!ended.err.contains("pw"), "{}", ended.err);
    }
    let ended = session
        .import_with_token("a b", &["--url", "http://127.0.0.1:1"])
        .await;
    ended.expect(2);
}

#[tokio::test]
async fn exported_files_come_over_like_the_api() {
    let session = Session::start();
    let hook = webhook(Version::V4_6, 1, "hook");
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    let list = session.file("webhooks.json", &json!([hook]));
    let page = session.file(
        "rules.json",
        &json!({"count": 1, "next": null, "previous": null, "results": [rule]}),
    );
    session.import(&[&list, &page, "--yes"]).await.expect(0);
    assert_eq!(
        session.stored("event-rules", "rule").await["external_id"],
        2
    );
    let both = session.file(
        "both.json",
        &json!({"webhooks": [hook], "event_rules": [rule]}),
    );
    let again = session.import(&[&both, "--yes"]).await;
    assert!(again.expect(0).contains("2 as they are"), "{}", again.out);

    let deep = session.folder.path().join("deep.json");
    std::fs::write(&deep, "[".repeat(100_000)).unwrap();
    let missing = session.folder.path().join("missing.json");
    let other = session.file("other.json", &json!([{"id": 1, "name": "a site"}]));
    for (file, why) in [
        (deep.to_str().unwrap(), "not valid JSON"),
        (missing.to_str().unwrap(), "cannot read"),
        (&other, "neither a webhook"),
    ] {
        let ended = session.import(&[file, "--yes"]).await;
        ended.expect(1);
        assert!(ended.err.contains(why), "{}", ended.err);
    }
}
