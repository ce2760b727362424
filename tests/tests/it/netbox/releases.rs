//! What real releases of NetBox sent (`tests/data/netbox-wire`), through a real hookbox: each event goes in as that
//! release posts it, and what comes out is what the release itself sent for the same webhooks and rules.

use std::{collections::BTreeMap, fs, path::PathBuf};

use hookbox::{
    config::Config,
    ingest::parse_event,
    model::{EventRule, EventRuleSpec, RuleId, TenantId, Timestamp},
    rules::{ConditionLimits, RuleSet},
};
use hookbox_tests::{server::KEY, sink::Sink};
use serde_json::{Value, json};

use super::{Session, file, import, python};

const RELEASES: [&str; 3] = ["3.7.8", "4.3.7", "4.6.8"];

fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/netbox-wire");
    fs::read_to_string(path.join(name)).unwrap()
}

/// One request, as NetBox or as hookbox sent it: what a receiver can tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    method: String,
    target: String,
    /// Those that the webhook decides, by name.
    headers: BTreeMap<String, String>,
    body: String,
}

const COMPARED: [&str; 4] = ["content-type", "x-hook-signature", "x-id", "x-user"];

fn recorded(release: &str) -> Vec<Sent> {
    data(&format!("{release}.jsonl"))
        .lines()
        .map(|line| {
            let request: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let headers = request["h"].as_array().unwrap().iter();
            Sent {
                method: text(&request["m"]),
                target: text(&request["p"]),
                headers: headers
                    .map(|pair| (text(&pair[0]).to_ascii_lowercase(), text(&pair[1])))
                    .filter(|(name, _)| COMPARED.contains(&name.as_str()))
                    .collect(),
                body: text(&request["b"]),
            }
        })
        .collect()
}

/// The events, and all that has to be sent for them. NetBox takes the time anew for each rule, and hookbox has the one
/// of its feed.
fn expected(release: &str) -> (Vec<String>, Vec<Sent>) {
    let (feed, mut named): (Vec<_>, Vec<_>) = recorded(release)
        .into_iter()
        .partition(|sent| sent.target == "/default");
    assert_eq!(feed.len(), named.len());
    for sent in &mut named {
        let event = feed
            .iter()
            .map(|sent| serde_json::from_str::<Value>(&sent.body).unwrap())
            .find(|event| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                sent.headers["x-id"] == text(&event["request_id"])
                    && sent
                        .target
                        .ends_with(&format!("/{}", text(&event["event"])))
                    && sent
                        .body
                        .contains(&format!("|data.url={}|", text(&event["data"]["url"])))
            })
            .expect("the same change");
        let (before, rest) = sent.body.split_once("timestamp=").unwrap();
        let (_, after) = rest.split_once('|').unwrap();
        let timestamp = event["timestamp"].as_str().unwrap();
        sent.body = format!("{before}timestamp={timestamp}|{after}");
    }
    let events = feed.iter().map(|sent| sent.body.clone()).collect();
    let mut all = [feed, named].concat();
    all.sort();
    (events, all)
}

/// The release's webhooks and rules as its REST API answers them, with another receiver.
fn configuration(release: &str, receiver: &str) -> (Value, Value) {
    let webhooks = data(&format!("{release}-webhooks.json"));
    let webhooks = webhooks.replace(&format!("http://127.0.0.1:7399/{release}"), receiver);
    let rules = data(&format!("{release}-event-rules.json"));
    (
        serde_json::from_str(&webhooks).unwrap(),
        serde_json::from_str(&rules).unwrap(),
    )
}

#[tokio::test]
async fn what_each_release_sent_goes_on_as_it_came_to_the_byte() {
    for release in RELEASES {
        let session = Session::start();
        let sink = Sink::start().await;
        let (webhooks, rules) = configuration(release, &format!("http://{}", sink.addr));
        let webhooks = session.file("webhooks.json", &webhooks);
        let rules = session.file("rules.json", &rules);
        let ended = session.import(&[&webhooks, &rules, "--yes"]).await;
        assert!(ended.expect(0).contains("0 not carried over"), "{ended:#?}");

        let (events, expected) = expected(release);
        let http = reqwest::Client::new();
        for event in &events {
            let answer = http
                .post(format!("{}/v1/events", session.server.url))
                .bearer_auth(KEY)
                .header("content-type", "application/json")
                .body(event.clone())
                .send()
                .await
                .unwrap();
            let answer: Value = answer.json().await.unwrap();
            let deliveries = answer["events"][0]["deliveries"].as_array();
            assert_eq!(
                deliveries.map(Vec::len),
                Some(2),
                "{release}: {answer} {event}"
            );
        }
        sink.wait_for(expected.len()).await;
        let received = sink.received();
        let mut sent: Vec<_> = received
            .iter()
            .map(|request| Sent {
                method: request.method.to_string(),
                target: request.target.clone(),
                headers: COMPARED
                    .iter()
                    .map(|name| ((*name).to_owned(), request.header(name).to_owned()))
                    .filter(|(_, value)| !value.is_empty())
                    .collect(),
                body: String::from_utf8(request.body.to_vec()).unwrap(),
            })
            .collect();
        sent.sort();
        let wrong: Vec<_> = expected.iter().filter(|one| !sent.contains(one)).collect();
        assert!(
            wrong.is_empty(),
            "{release}: {} are missing: {:#?}",
            wrong.len(),
            &wrong[..1]
        );
        assert_eq!(sent, expected, "{release}");
    }
}

#[tokio::test]
async fn the_comparison_takes_the_objects_and_events_of_each_release() {
    for release in RELEASES {
        let folder = tempfile::tempdir().unwrap();
        let (webhooks, rules) = configuration(release, "https://receiver.example.com");
        let mut arguments = vec![
            file(folder.path(), "webhooks.json", &webhooks),
            file(folder.path(), "rules.json", &rules),
            "--python".to_owned(),
            python::interpreter().to_str().unwrap().to_owned(),
            "--check".to_owned(),
        ];
        let (events, _) = expected(release);
        let some = events.iter().step_by(4);
        let names = some.clone().count();
        for (n, event) in some.enumerate() {
            let path = folder.path().join(format!("event-{n}.json"));
            fs::write(&path, event).unwrap();
            arguments.push(path.to_str().unwrap().to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = import("http://127.0.0.1:1", "", &arguments).await;
        let out = ended.expect(0);
        let all = format!("{} compared, 0 differ\n", names * 2);
        assert!(out.ends_with(&all), "{release}: {out}");
    }
}

/// Read from the sources of eight releases.
#[test]
fn every_model_of_netboxs_is_recognised_by_its_url_and_by_its_name_alone() {
    let (tenant, limits) = (TenantId::default_tenant(), Config::defaults().ingest);
    let object_type = |event: Value| {
        let parsed = parse_event(&tenant, event.to_string().as_bytes(), &limits).unwrap();
        let context: Value = serde_json::from_str(parsed.event.context()).unwrap();
        assert_eq!(context, event, "nothing is added");
        parsed.event.object_type().to_owned()
    };
    let mut count = 0;
    for line in include_str!("../../../data/netbox/models.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let [app, path, model, ..] = words.as_slice() else {
            panic!("{line}")
        };
        let event = |data: Value| {
            json!({"event": "updated", "timestamp": "2026-03-06T15:11:23.503186+00:00", "model": model,
                "username": "admin", "request_id": "17af32f0", "data": data})
        };
        let expected = format!("{app}.{model}");
        for data in [
            json!({"id": 4, "url": format!("/api/{app}/{path}/4/")}),
            json!({"id": 4, "url": format!("https://netbox.example.com/base/api/{app}/{path}/4/")}),
            json!({"id": 4}),
            json!(null),
        ] {
            assert_eq!(object_type(event(data)), expected);
        }
        count += 1;
    }
    assert_eq!(count, 120);
}

#[test]
fn the_model_of_a_plugin_belongs_to_the_app_that_the_rules_name() {
    let rule = |n: u32, object_types: &[&str]| EventRule {
        id: RuleId::from(format!("rul_{n}")),
        external_id: None,
        spec: EventRuleSpec {
            name: format!("rule {n}"),
            object_types: object_types.iter().map(|t| (*t).to_owned()).collect(),
            event_types: vec!["*".to_owned()],
            ..EventRuleSpec::default()
        },
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    };
    let config = Config::defaults();
    let rules = [
        rule(1, &["netbox_bgp.bgpsession", "dcim.site"]),
        rule(2, &["netbox_acls.accesslist"]),
        rule(3, &["netbox_dns.record", "dnsmgr.record"]),
    ];
    let rules = RuleSet::compile(&rules, &[], ConditionLimits::from(&config.limits));
    let recognised = |base_url: &str, model: &str| {
        let event = json!({"event": "created", "model": model,
            "data": {"url": format!("/api/plugins/{base_url}/things/4/")}});
        let event = event.to_string();
        let parsed = parse_event(
            &TenantId::default_tenant(),
            event.as_bytes(),
            &config.ingest,
        );
        rules
            .recognize(parsed.unwrap().event)
            .object_type()
            .to_owned()
    };
    for (base_url, model, expected) in [
        ("bgp", "bgpsession", "netbox_bgp.bgpsession"),
        ("access-lists", "accesslist", "netbox_acls.accesslist"),
        ("netbox-dns", "record", "netbox_dns.record"),
        ("other", "record", "other.record"),
        // A model of the same name as one of NetBox's own is not that.
        ("bgp", "site", "bgp.site"),
    ] {
        assert_eq!(recognised(base_url, model), expected, "{base_url} {model}");
    }
}
