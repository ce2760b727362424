//! What happens to Redis does not happen to hookbox: its processes live, events that cannot be kept are
//! refused with 503 and `Retry-After`, and when it is over everything goes on by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hookbox_tests::{
    process::hookbox,
    redis::{Cluster, Fsync, Options, RedisServer, User},
    server::Starting,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::block_in_place;

use super::{
    scene::{LEASE, Reply, Scene, fleet},
    tenants::keys_of_tenants,
};

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_restarted() {
    let mut scene = Scene::start(Options {
        aof: Some(Fsync::Always),
        ..Options::default()
    })
    .await;
    // Some wait while it is away.
    scene.sink.admit(0);
    let mut waiting = Vec::new();
    for n in 0..50 {
        match scene.post(n).await {
            Reply::Accepted(deliveries) => waiting.extend(deliveries),
            reply => panic!("{reply:?}"),
        }
    }
    scene.redis.kill();
    scene.refuses().await;
    scene.sink.admit(usize::MAX);
    block_in_place(|| scene.redis.start_again());
    scene.flows().await;
    let soon = Instant::now() + Duration::from_secs(30);
    scene.arrives(&waiting, soon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_one_line_in_the_log_however_many_calls_fail() {
    let mut redis = RedisServer::start(Options {
        aof: Some(Fsync::Always),
        ..Options::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut command = hookbox();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()])
        .stderr(std::fs::File::create(&path).unwrap());
    let server = block_in_place(|| Starting::new(&mut command).ready());
    let status = async || server.request(Method::GET, "/v1/webhooks", None).await.0;
    redis.kill();
    for _ in 0..20 {
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    }
    block_in_place(|| redis.start_again());
    let deadline = Instant::now() + Duration::from_secs(30);
    while status().await != StatusCode::OK {
        assert!(Instant::now() < deadline, "Redis is not reached again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = std::fs::read_to_string(&path).unwrap();
    let failures = log.lines().filter(|line| line.contains(" ERROR "));
    let failures: Vec<&str> = failures.collect();
    assert_eq!(failures.len(), 1, "{log}");
    assert!(failures[0].contains("further failures"), "{log}");
    assert!(!log.contains("cannot give"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_paused_and_what_was_refused_meanwhile_is_not_done_later() {
    let mut scene = Scene::start(Options::default()).await;
    let before = scene.deliveries().await;
    scene.redis.pause();
    for _ in 0..3 {
        scene.refuses().await;
    }
    scene.redis.resume();
    scene.flows().await;
    // One has been made since; those that were refused have left nothing behind.
    assert_eq!(scene.deliveries().await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_paused_for_longer_than_a_lease() {
    let mut scene = Scene::start(Options::default()).await;
    scene.sink.admit(0);
    let (before, mut under_way) = (scene.sink.arrived(), Vec::new());
    for n in 0..10 {
        match scene.post(n).await {
            Reply::Accepted(deliveries) => under_way.extend(deliveries),
            reply => panic!("{reply:?}"),
        }
    }
    scene.sink.wait_for(before + under_way.len()).await;
    scene.redis.pause();
    // They are delivered, and nobody takes the worker's word for it.
    scene.sink.admit(usize::MAX);
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    scene.refuses().await;
    scene.redis.resume();
    scene.flows().await;
    let all = scene.deliveries().await;
    scene
        .api
        .wait_until("/v1/queue", |queue| queue["finished"] == all)
        .await;
    let counts = scene.sink.counts();
    assert!(under_way.iter().all(|id| counts[id] <= 2), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_out_of_memory_and_workers_make_room_meanwhile() {
    let mut scene = Scene::start(Options::default()).await;
    scene.sink.admit(0);
    for n in 0..100 {
        let reply = scene.post(n).await;
        assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    }
    let before = scene.deliveries().await;
    scene.redis.cli(&["config", "set", "maxmemory", "1mb"]);
    scene.refuses().await;
    scene.sink.admit(usize::MAX);
    scene
        .api
        .wait_until("/v1/queue", |queue| queue["finished"] == before)
        .await;
    scene.refuses().await;
    scene.redis.cli(&["config", "set", "maxmemory", "0"]);
    scene.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_becomes_a_read_only_replica_and_a_master_again() {
    let mut scene = Scene::start(Options::default()).await;
    let port = scene.redis.port();
    let _other = block_in_place(|| {
        let other = RedisServer::start(Options {
            replica_of: Some(port),
            ..Options::default()
        });
        other.wait_for_master();
        // They change places: what the first one copies is what it had.
        other.cli(&["replicaof", "no", "one"]);
        let other_port = other.port().to_string();
        scene.redis.cli(&["replicaof", "127.0.0.1", &other_port]);
        scene.redis.wait_for_master();
        other
    });
    scene.refuses().await;
    scene.redis.cli(&["replicaof", "no", "one"]);
    scene.flows().await;
}

fn user(rules: &str) -> User {
    User {
        name: "app".to_owned(),
        password: "first".to_owned(),
        rules: rules.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_changed_while_running() {
    let redis = RedisServer::start(Options {
        users: vec![user("~* &* +@all")],
        ..Options::default()
    });
    let fleet = fleet(redis.url_as("app", "first"));
    let mut scene = Scene::start_on(redis, &fleet).await;
    scene
        .redis
        .cli(&["acl", "setuser", "app", "resetpass", ">second"]);
    scene.redis.cli(&["client", "kill", "user", "app"]);
    scene.refuses().await;
    scene
        .redis
        .cli(&["acl", "setuser", "app", "resetpass", ">first"]);
    scene.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_taken_away_while_running() {
    let redis = RedisServer::start(Options {
        users: vec![user("~* &* +@all")],
        ..Options::default()
    });
    let fleet = fleet(redis.url_as("app", "first"));
    let mut scene = Scene::start_on(redis, &fleet).await;
    scene.redis.cli(&["acl", "setuser", "app", "-@all"]);
    scene.refuses().await;
    scene.redis.cli(&["acl", "setuser", "app", "+@all"]);
    scene.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_at_the_start_is_waited_out() {
    let redis = RedisServer::start(Options {
        users: vec![user("~* &* +@all")],
        ..Options::default()
    });
    let fleet = fleet(redis.url_as("app", "second"));
    let (mut api, mut worker) = (fleet.api_starting(), fleet.worker());
    let refused = || redis.cli(&["info", "errorstats"]);
    let refusals = |text: &str| {
        let (_, count) = text.split_once("errorstat_WRONGPASS:count=")?;
        count.lines().next()?.trim().parse::<u32>().ok()
    };
    // Both have tried, one of them more than once.
    block_in_place(|| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while refusals(&refused()).is_none_or(|count| count < 3) {
            assert!(Instant::now() < deadline, "they do not try again");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(api.is_alive() && worker.is_alive());
    redis.cli(&["acl", "setuser", "app", ">second"]);
    let api = block_in_place(|| api.ready());
    api.wait_ready().await;
    Scene::of(redis, api, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_not_there_yet_at_the_start() {
    let mut redis = RedisServer::start(Options::default());
    redis.kill();
    let fleet = fleet(redis.url());
    let (mut api, mut worker) = (fleet.api_starting(), fleet.worker());
    // Nothing outside tells when they have tried; that they have ended would be seen below.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(api.is_alive() && worker.is_alive());
    block_in_place(|| redis.start_again());
    let api = block_in_place(|| api.ready());
    api.wait_ready().await;
    Scene::of(redis, api, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_emptied() {
    let mut scene = Scene::start(Options::default()).await;
    // One is under way: its lease is gone too, and its worker must get over that.
    scene.sink.admit(0);
    let before = scene.sink.arrived();
    assert!(matches!(scene.post(7).await, Reply::Accepted(_)));
    scene.sink.wait_for(before + 1).await;
    scene.redis.cli(&["flushall"]);
    scene.redis.cli(&["script", "flush"]);
    scene.sink.admit(usize::MAX);

    // The operator's key works; there is nothing else.
    let webhooks = scene.api.get("/v1/webhooks").await;
    assert_eq!(webhooks["results"], json!([]));
    assert_eq!(scene.deliveries().await, 0);
    scene.configure().await;
    scene.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_by_an_authority_of_ones_own() {
    let redis = RedisServer::start(Options {
        tls: true,
        password: Some("open-sesame".to_owned()),
        ..Options::default()
    });
    let trusting = fleet(redis.url()).with("redis.ca_file", redis.ca_file().display());
    let mut scene = Scene::start_on(redis, &trusting).await;
    scene.redis.kill();
    scene.refuses().await;
    // It keeps nothing, so it comes back empty.
    block_in_place(|| scene.redis.start_again());
    scene.api.wait_ready().await;
    scene.configure().await;
    scene.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let tls = Options {
        tls: true,
        ..Options::default()
    };
    let (redis, other) = (RedisServer::start(tls.clone()), RedisServer::start(tls));
    let doubting = fleet(redis.url()).with("redis.ca_file", other.ca_file().display());
    let mut api = doubting.api_starting();
    block_in_place(|| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !redis.log().contains("tlsv1 alert") {
            assert!(Instant::now() < deadline, "{}", redis.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(api.is_alive());
    assert_eq!(redis.cli(&["dbsize"]), "0");
}

/// It neither answers nor refuses connections, as when its machine or network is gone. Senders do not stop for
/// that, and must not keep each other from finding the new master.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_hangs_and_is_left_behind_under_load() {
    let cluster = block_in_place(|| Cluster::start(3, 1, &Options::default()));
    let keys = keys_of_tenants(&cluster.url(), 8, 12).await;
    let api = fleet(cluster.url()).api().await;
    let accepted: Arc<Vec<AtomicUsize>> =
        Arc::new(keys.iter().map(|_| AtomicUsize::new(0)).collect());
    let client = reqwest::Client::new();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..3 * keys.len() {
        let tenant = sender % keys.len();
        let request = client
            .post(format!("{}/v1/events", api.url))
            .bearer_auth(&keys[tenant])
            .json(&json!({"event": "created", "data": {}}));
        let accepted = Arc::clone(&accepted);
        senders.spawn(async move {
            loop {
                let answer = request.try_clone().unwrap().send().await.unwrap();
                if answer.status() == StatusCode::ACCEPTED {
                    accepted[tenant].fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
    }
    let more_of_all = async |within: Duration| {
        let counts = || accepted.iter().map(|n| n.load(Ordering::Relaxed));
        let (before, begun) = (counts().collect::<Vec<_>>(), Instant::now());
        while !counts().zip(&before).all(|(now, before)| now > before + 3) {
            assert!(
                begun.elapsed() < within,
                "some tenants are still refused: {before:?}, then {:?}",
                counts().collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    };
    more_of_all(Duration::from_secs(30)).await;
    cluster.nodes[0].pause();
    block_in_place(|| cluster.nodes[3].wait_until_master());
    let took = more_of_all(Duration::from_secs(30)).await;
    println!("all tenants were served again {took:?} after the replica took over");
    cluster.nodes[0].resume();
}
