//! The servers that the other tests stand on.

use hookbox_tests::redis::{Cluster, Fsync, Options, RedisServer, Sentinels, User};

#[test]
fn a_server_starts_empty_and_forgets_all_when_killed() {
    let mut redis = RedisServer::start(Options::default());
    redis.cli(&["set", "k", "v"]);
    assert_eq!(redis.cli(&["get", "k"]), "v");
    redis.kill();
    assert!(redis.ask(&["ping"]).is_err());
    redis.start_again();
    assert_eq!(redis.cli(&["dbsize"]), "0");
}

#[test]
fn an_append_only_file_outlives_the_process() {
    let mut redis = RedisServer::start(Options {
        aof: Some(Fsync::Always),
        ..Options::default()
    });
    redis.cli(&["set", "k", "v"]);
    redis.kill();
    redis.start_again();
    assert_eq!(redis.cli(&["get", "k"]), "v");
}

#[test]
fn memory_passwords_and_users_are_as_asked() {
    let redis = RedisServer::start(Options {
        maxmemory: Some(5_000_000),
        password: Some("open-sesame".to_owned()),
        users: vec![User {
            name: "reader".to_owned(),
            password: "r".to_owned(),
            rules: "~* +get +auth".to_owned(),
        }],
        ..Options::default()
    });
    assert_eq!(redis.info("memory")["maxmemory"], "5000000");
    assert_eq!(redis.info("memory")["maxmemory_policy"], "noeviction");
    let as_user = |args: &[&str]| {
        let output = redis
            .redis_cli()
            .env_remove("REDISCLI_AUTH")
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(as_user(&["get", "k"]).starts_with("NOAUTH"));
    let reader = ["--no-auth-warning", "--user", "reader", "--pass", "r"];
    assert_eq!(as_user(&[&reader[..], &["get", "k"]].concat()).trim(), "");
    assert!(as_user(&[&reader[..], &["set", "k", "v"]].concat()).starts_with("NOPERM"));
}

#[test]
fn tls_is_by_an_authority_of_its_own() {
    let redis = RedisServer::start(Options {
        tls: true,
        ..Options::default()
    });
    assert_eq!(redis.cli(&["ping"]), "PONG");
    assert!(redis.url().starts_with("rediss://127.0.0.1:"));
    assert!(redis.ca_file().exists());
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let redis = RedisServer::start(Options::default());
    redis.pause();
    let waiting = redis
        .redis_cli()
        .arg("ping")
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut waiting = waiting.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none(), "it answered");
    redis.resume();
    assert!(waiting.wait().unwrap().success());
}

#[test]
fn a_cluster_serves_all_slots_and_replaces_a_lost_master() {
    let mut cluster = Cluster::start(3, 1, &Options::default());
    let first = &cluster.nodes[0];
    let key = first
        .redis_cli()
        .args(["-c", "set", "k", "v"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&key.stdout).trim(), "OK");
    cluster.nodes[0].kill();
    cluster.nodes[3].wait_until_master();
    cluster.nodes[0].start_again();
    cluster.wait_until_sound();
}

#[test]
fn sentinels_replace_a_lost_master() {
    let mut set = Sentinels::start(2, &Options::default());
    let old = set.servers[0].port();
    assert_eq!(set.master_port(), old);
    set.servers[0].cli(&["set", "k", "v"]);
    assert_eq!(set.servers[0].cli(&["wait", "2", "1000"]), "2");
    set.servers[0].kill();
    set.wait_for_other_master_than(old);
    let port = set.master_port();
    let new = set.servers.iter().find(|s| s.port() == port).unwrap();
    assert_eq!(new.cli(&["get", "k"]), "v");
}
