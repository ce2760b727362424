//! Only addresses that the guard has judged are dialled.

use futures_util::FutureExt;

use super::*;

#[tokio::test]
async fn a_name_is_judged_again_when_it_is_dialled() {
    let server = Server::answering(OK).await;
    // The first look goes to a guard that finds nothing wrong with loopback; the client's guard does. So it
    // is with a name that changes its answer in between.
    let first = guard(&["127.0.0.0/8"]);
    let second = guard(&[]);
    let client = Client::new(&Config::defaults().delivery, second).unwrap();
    let url = format!("http://rebinding.example:{}/", server.address.port());
    let request = first.check(build(post(&url))).await.unwrap();
    let error = client.send(request, &options()).await.unwrap_err();
    assert!(
        matches!(error, SendError::Guard(GuardError::Blocked { .. })),
        "{error:?}"
    );
    assert_eq!((error.kind(), error.retryable()), ("blocked", false));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_look_up_at_a_connection_is_the_tenants_too() {
    let server = Server::answering(OK).await;
    let url = format!("http://receiver.example:{}/", server.address.port());
    // That of the client remembers nothing of the first look.
    let (first, second) = (guard(&["127.0.0.0/8"]), guard(&["127.0.0.0/8"]));
    let mut config = Config::defaults().delivery;
    config.connect_timeout_seconds = 1;
    let client = Client::new(&config, second.clone()).unwrap();
    let (greedy, other) = ("greedy".into(), "other".into());
    let theirs = second.of(&greedy);
    for n in 0..96 {
        let name = format!("hangs-{n}.example");
        assert_eq!(theirs.resolve(&name).now_or_never(), None);
    }
    let request = first.of(&greedy).check(build(post(&url))).await.unwrap();
    let error = client.send(request, &options()).await.unwrap_err();
    assert!(
        matches!(error, SendError::Timeout(Phase::Connect)),
        "{error:?}"
    );
    assert_eq!(server.connections(), 0);
    let request = first.of(&other).check(build(post(&url))).await.unwrap();
    assert_eq!(client.send(request, &options()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_secret_host_is_not_named_in_errors_of_either_look() {
    let secret = crate::model::Secret::new("s3cr3t.example");
    let secrets = SecretValues::new([("hbs_1".to_owned(), "host".to_owned(), secret)]);
    let request = || build_with(post("http://hbs_1/"), &secrets);
    let strict = guard(&[]);
    let lenient = guard(&["127.0.0.0/8"]);

    let first = strict.check(request()).await.unwrap_err().to_string();
    let client = Client::new(&Config::defaults().delivery, strict).unwrap();
    let guarded = lenient.check(request()).await.unwrap();
    let second = client
        .send(guarded, &options())
        .await
        .unwrap_err()
        .to_string();
    for error in [first, second] {
        assert!(
            error.contains("[secret:host]") && !error.contains("s3cr3t"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn without_leave_nothing_on_this_machine_is_reached() {
    let server = Server::answering(OK).await;
    let guard = Guard::new(&guard_config(&[]), &Config::defaults().delivery);
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "localhost."] {
        let request = build(post(&format!("http://{host}:{port}/")));
        assert!(guard.check(request).await.is_err(), "{host}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn many_hosts_do_not_hold_many_connections() {
    let server = Server::answering(OK).await;
    let sender = Sender::new();
    let port = server.address.port();
    for n in 0..600 {
        sender
            .send(post(&format!("http://h{n}.example:{port}/")))
            .await
            .unwrap();
    }
    // Idle connections of a replaced client are closed; give the servers' tasks the time to see it.
    let open = || server.connections() - server.closed.load(Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(10);
    while open() > 256 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 600);
    assert!(open() <= 256, "{} connections are open", open());
}
