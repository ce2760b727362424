//! Processes over one Redis leave it in peace while there is nothing to do, and see what the others do.

use std::time::{Duration, Instant};

use hookbox_tests::{
    fleet::Worker,
    redis::{Options, RedisServer},
    server::Server,
    sink::Sink,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::scene::{Scene, fleet};

/// How long processes are listened to.
const SPAN: Duration = Duration::from_secs(10);

/// What workers still have to do after a delivery is over as soon as a second is quiet.
fn comes_to_rest(redis: &RedisServer) {
    let quiet = |commands: Vec<String>| commands.len() < 3;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !quiet(redis.commands_during(Duration::from_secs(1))) {
        assert!(Instant::now() < deadline, "they do not come to rest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_sends_fewer_than_two_commands_a_second() {
    let scene = Scene::start(Options::default()).await;
    // The API process has nothing to do either, but it is not the one that is measured.
    let Scene {
        redis,
        api,
        sink,
        mut worker,
        ..
    } = scene;
    drop(api);
    block_in_place(|| {
        comes_to_rest(&redis);
        let commands = redis.commands_during(SPAN);
        println!("{} commands in {SPAN:?}", commands.len());
        for command in &commands {
            println!("{command:.120}");
        }
        let most = 2 * usize::try_from(SPAN.as_secs()).unwrap();
        assert!(commands.len() < most, "{} commands", commands.len());
    });
    assert!(worker.is_alive());
    drop(sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_wakes_an_idle_worker_at_once() {
    let mut scene = Scene::start(Options::default()).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        block_in_place(|| comes_to_rest(&scene.redis));
        let begin = Instant::now();
        scene.flows().await;
        slowest = slowest.max(begin.elapsed());
    }
    println!("an idle worker delivered within {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// What a worker remembers of a tenant may be older than a delivery for a webhook that was made since.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_what_is_sent_in_the_very_moment_after_it_was_made() {
    let mut scene = Scene::start(Options::default()).await;
    for n in 0..5 {
        scene.flows().await;
        let hook = json!({"name": n.to_string(), "payload_url": scene.sink.url()});
        scene.api.webhook(hook).await;
        scene.flows().await;
    }
    let queue = scene.api.get("/v1/queue").await;
    assert_eq!(queue["failed"], 0, "{queue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_everywhere_within_a_second() {
    let redis = RedisServer::start(Options::default());
    let fleet = fleet(redis.url());
    let (here, there) = (fleet.api().await, fleet.api().await);
    let _worker = fleet.worker();
    let (old, new) = (Sink::start().await, Sink::start().await);
    let webhook = json!({"payload_url": old.url(), "body_template": "1"});
    let hook = here.webhook(webhook).await;
    let event = json!({"event": "created", "object_type": "a.b", "data": {}});
    there.send(&event).await;
    old.wait_for(1).await;

    // Both have looked at the configuration, and so has the worker.
    let path = format!("/v1/webhooks/{hook}");
    let change = json!({"payload_url": new.url()});
    let (status, answer) = here.request(Method::PATCH, &path, Some(&change)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let changed = Instant::now();
    while there.get(&path).await["payload_url"] != change["payload_url"] {
        assert!(
            changed.elapsed() < Duration::from_secs(1),
            "the API is late"
        );
    }
    tokio::time::sleep_until((changed + Duration::from_secs(1)).into()).await;
    for _ in 0..10 {
        there.send(&event).await;
    }
    new.wait_for(10).await;
    assert_eq!(old.arrived(), 1, "something went to the old address");

    // A rule is as much in force: without one, nothing follows from an event.
    let rules = there.get("/v1/event-rules").await;
    let rule = rules["results"][0]["id"].as_str().unwrap();
    let rule = format!("/v1/event-rules/{rule}");
    let (status, answer) = here.request(Method::DELETE, &rule, None).await;
    assert!(status.is_success(), "{answer}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = there.post("/v1/events", &event).await;
    assert_eq!(answer["events"][0]["deliveries"], json!([]));

    // And a key that is taken away opens nothing anywhere, soon after: it is remembered for a second.
    let made = here
        .post("/v1/keys", &json!({"name": "k", "scope": "admin"}))
        .await;
    let key = made["key"].as_str().unwrap();
    let status_with = async |server: &Server| {
        let url = format!("{}/v1/webhooks", server.url);
        let request = reqwest::Client::new().get(url).bearer_auth(key);
        request.send().await.unwrap().status()
    };
    assert_eq!(status_with(&there).await, StatusCode::OK);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let (status, answer) = here.request(Method::DELETE, &path, None).await;
    assert!(status.is_success(), "{answer}");
    let removed = Instant::now();
    while status_with(&there).await != StatusCode::UNAUTHORIZED {
        assert!(
            removed.elapsed() < Duration::from_secs(2),
            "the key still works"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("a removed key was refused after {:?}", removed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workers_are_listed_until_they_say_farewell() {
    let redis = RedisServer::start(Options::default());
    let fleet = fleet(redis.url());
    let api = fleet.api().await;
    let mut workers: Vec<Worker> = (0..3).map(|_| fleet.worker()).collect();
    let pids = |answer: &Value| {
        let mut pids: Vec<u64> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|worker| worker["pid"].as_u64().unwrap())
            .collect();
        pids.sort_unstable();
        pids
    };
    let of = |workers: &[Worker]| {
        let mut pids: Vec<u64> = workers.iter().map(|w| w.pid().into()).collect();
        pids.sort_unstable();
        pids
    };
    let all = of(&workers);
    api.wait_until("/v1/workers", |answer| pids(answer) == all)
        .await;
    let status = block_in_place(|| workers.pop().unwrap().terminate());
    assert!(status.success(), "{status}");
    let left = of(&workers);
    api.wait_until("/v1/workers", |answer| pids(answer) == left)
        .await;
}

/// The list is a few seconds old at most: how much each has under way is in it, and a worker that was killed soon not.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_workers_follows_what_they_do_and_their_deaths() {
    let redis = RedisServer::start(Options::default());
    let fleet = fleet(redis.url());
    let (api, sink) = (fleet.api().await, Sink::start().await);
    sink.admit(0);
    let mut workers = vec![fleet.worker(), fleet.worker()];
    api.webhook(json!({"payload_url": sink.url(), "body_template": "1"}))
        .await;
    let event = json!({"event": "created", "object_type": "a.b", "data": {}});
    for _ in 0..8 {
        api.send(&event).await;
    }
    sink.wait_for(8).await;
    let under_way = |answer: &Value| {
        let workers = answer["results"].as_array().unwrap().iter();
        workers
            .map(|w| w["in_flight"].as_u64().unwrap())
            .sum::<u64>()
    };
    let soon = async |what: &str, done: &dyn Fn(&Value) -> bool| {
        // A few times as long as it may take, and far less than a minute.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(&api.get("/v1/workers").await) {
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("eight are under way", &|list| under_way(list) == 8).await;
    sink.admit(usize::MAX);
    soon("none is", &|list| under_way(list) == 0).await;
    let mut killed = workers.pop().unwrap();
    let pid = killed.pid();
    block_in_place(|| killed.kill());
    let lists = |list: &Value, pid: u32| {
        let mut workers = list["results"].as_array().unwrap().iter();
        workers.any(|w| w["pid"] == pid)
    };
    let other = workers[0].pid();
    soon("it is gone", &|list| {
        !lists(list, pid) && lists(list, other)
    })
    .await;
}
