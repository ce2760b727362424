use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::{sync::Notify, time::timeout};

use super::*;
use crate::config::Config;

/// Answers from a table; `hangs….example` never answers, `changes.example` differently each time.
#[derive(Default)]
struct Table {
    lookups: AtomicUsize,
    release: Notify,
}

#[async_trait]
impl Resolve for Table {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let nth = self.lookups.fetch_add(1, Ordering::SeqCst);
        let ips: &[&str] = match host {
            "public.example" => &["93.184.215.14", "2606:4700::1"],
            "private.example" => &["10.0.0.5"],
            "mixed.example" => &["93.184.215.14", "127.0.0.1"],
            "mapped.example" => &["::ffff:169.254.169.254"],
            "nat64.example" => &["64:ff9b::a00:5"],
            "empty.example" => &[],
            "slow.example" => {
                self.release.notified().await;
                &["93.184.215.14"]
            }
            host if host.starts_with("hangs") => std::future::pending().await,
            "changes.example" if nth == 0 => &["93.184.215.14"],
            "changes.example" => &["127.0.0.1"],
            _ => return Err(io::Error::other("resolver at 10.9.8.7 says no")),
        };
        Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect())
    }
}

fn guard(change: impl FnOnce(&mut GuardConfig)) -> (Guard, Arc<Table>) {
    proxied_guard(change, |_| {})
}

fn proxied_guard(
    change: impl FnOnce(&mut GuardConfig),
    proxy: impl FnOnce(&mut DeliveryConfig),
) -> (Guard, Arc<Table>) {
    let mut config = Config::defaults();
    change(&mut config.guard);
    proxy(&mut config.delivery);
    let table = Arc::new(Table::default());
    let guard = Guard::with_resolver(&config.guard, &config.delivery, table.clone());
    (guard, table)
}

async fn verdict(guard: &Guard, url: &str) -> Result<usize, GuardError> {
    match route(guard, url).await? {
        Route::Direct(addresses) => Ok(addresses.len()),
        proxied => panic!("{proxied:?} without a proxy"),
    }
}

async fn route(guard: &Guard, url: &str) -> Result<Route, GuardError> {
    guard.check_url(&Url::parse(url).unwrap()).await
}

#[tokio::test]
async fn one_address_that_is_not_public_suffices_to_refuse() {
    let (guard, _) = guard(|_| {});
    assert_eq!(verdict(&guard, "https://public.example/").await, Ok(2));
    for host in ["private", "mixed", "mapped", "nat64"] {
        let error = verdict(&guard, &format!("https://{host}.example/"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.retryable()),
            ("blocked", false),
            "{host}"
        );
        let text = error.to_string();
        for address in ["10.0.0.5", "127.0.0.1", "169.254.169.254", "a00:5"] {
            assert!(!text.contains(address), "{text}");
        }
    }
}

#[tokio::test]
async fn addresses_in_every_spelling_are_judged() {
    let (guard, table) = guard(|_| {});
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "[::1]",
        "[::]",
        "0",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "255.255.255.255",
    ] {
        let error = verdict(&guard, &format!("http://{host}/"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "blocked", "{host}");
    }
    assert_eq!(verdict(&guard, "http://1.1.1.1/").await, Ok(1));
    assert_eq!(
        table.lookups.load(Ordering::SeqCst),
        0,
        "addresses need no lookup"
    );
}

#[tokio::test]
async fn operators_can_allow_networks_hosts_and_only_some_ports() {
    let (networks, _) = guard(|c| c.allow_networks = vec!["10.0.0.0/24".parse().unwrap()]);
    for allowed in [
        "http://private.example/",
        "http://nat64.example/",
        "http://[::ffff:10.0.0.9]/",
    ] {
        assert_eq!(verdict(&networks, allowed).await, Ok(1), "{allowed}");
    }
    assert!(verdict(&networks, "http://10.0.1.1/").await.is_err());
    assert!(verdict(&networks, "http://mixed.example/").await.is_err());

    let (hosts, _) =
        guard(|c| c.allow_hosts = vec!["Private.Example".to_owned(), "::1".to_owned()]);
    assert_eq!(verdict(&hosts, "http://private.example/").await, Ok(1));
    assert_eq!(verdict(&hosts, "http://[::1]/").await, Ok(1));
    assert!(verdict(&hosts, "http://mixed.example/").await.is_err());
    assert!(verdict(&hosts, "http://10.0.0.5/").await.is_err());

    let (ports, _) = guard(|c| c.allow_ports = vec![443]);
    assert_eq!(verdict(&ports, "https://public.example/").await, Ok(2));
    for refused in ["http://public.example/", "https://public.example:8443/"] {
        assert_eq!(
            verdict(&ports, refused).await.unwrap_err().kind(),
            "blocked"
        );
    }
}

#[tokio::test]
async fn names_without_an_answer_may_be_tried_again() {
    let (guard, _) = guard(|_| {});
    for host in ["unknown.example", "empty.example", "hangs.example"] {
        let error = verdict(&guard, &format!("http://{host}/"))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.retryable()), ("dns", true), "{host}");
        assert!(!error.to_string().contains("10.9.8.7"), "{error}");
    }
}

#[tokio::test]
async fn lookups_of_one_name_are_shared_while_they_last_and_for_seconds_after() {
    let (guard, table) = guard(|_| {});
    let (a, b) = (guard.clone(), guard.clone());
    let both =
        tokio::spawn(
            async move { tokio::join!(a.resolve("slow.example"), b.resolve("SLOW.example")) },
        );
    while table.lookups.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    table.release.notify_one();
    let (first, second) = both.await.unwrap();
    assert_eq!(first, second);
    assert!(guard.resolve("slow.example").await.is_ok());
    assert_eq!(table.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lookup_that_ended_when_nobody_waited_any_more_is_forgotten_too() {
    let (guard, table) = guard(|_| {});
    let impatient = timeout(Duration::from_millis(20), guard.resolve("slow.example"));
    assert!(impatient.await.is_err());
    table.release.notify_one();
    tokio::time::sleep(resolve::MEMORY + Duration::from_millis(100)).await;
    table.release.notify_one();
    assert!(guard.resolve("slow.example").await.is_ok());
    assert_eq!(table.lookups.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn of_all_who_wait_to_look_up_a_name_who_has_none_under_way_comes_first() {
    let (guard, table) = guard(|_| {});
    let ask = async |of: &Guard, name: &str| {
        // The caller has gone at once; the look-up has not.
        assert_eq!(of.resolve(name).now_or_never(), None);
        tokio::task::yield_now().await;
    };
    let greedy = |n: usize| guard.of(&format!("greedy-{n}").as_str().into());
    ask(&greedy(0), "slow.example").await;
    for tenant in 0..20 {
        for n in 0..200 {
            let name = format!("hangs-{tenant}-{n}.example");
            ask(&greedy(tenant), &name).await;
        }
        let under_way = table.lookups.load(Ordering::SeqCst);
        assert!(tenant > 0 || under_way == 96, "half of all: {under_way}");
    }
    assert_eq!(table.lookups.load(Ordering::SeqCst), 192, "all are taken");

    let (many, none) = (greedy(0), guard.of(&"other".into()));
    let mut many = Box::pin(many.resolve("empty.example"));
    assert_eq!((&mut many).now_or_never(), None);
    let none = tokio::spawn(async move { none.resolve("public.example").await });
    tokio::task::yield_now().await;
    assert!(!none.is_finished());
    table.release.notify_one();
    assert!(none.await.unwrap().is_ok());
    assert_eq!(many.now_or_never(), None);
    // A name that another request has looked up is not looked up again.
    assert!(greedy(0).resolve("public.example").await.is_ok());
}

#[tokio::test]
async fn an_answer_is_remembered_from_when_it_came() {
    let (guard, table) = guard(|_| {});
    let mine = guard.clone();
    let slow = tokio::spawn(async move { mine.resolve("slow.example").await });
    tokio::time::sleep(resolve::MEMORY + Duration::from_millis(100)).await;
    table.release.notify_one();
    assert!(slow.await.unwrap().is_ok());
    assert!(guard.resolve("slow.example").await.is_ok());
    assert_eq!(table.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_that_resolves_gets_no_name_that_others_keep_from_being_looked_up() {
    let (guard, _) = proxied(true, &[]);
    let mine = guard.of(&"one".into());
    for n in 0..96 {
        let name = format!("hangs-{n}.example");
        assert_eq!(mine.resolve(&name).now_or_never(), None);
        tokio::task::yield_now().await;
    }
    let inside = route(&mine, "http://mapped.example/").await;
    let error = inside.unwrap_err();
    assert_eq!(error.kind(), "dns", "{error}");
    let inside = route(&guard, "http://mapped.example/").await;
    assert_eq!(inside.unwrap_err().kind(), "blocked");
}

#[tokio::test]
async fn who_waits_for_a_look_up_of_ones_own_goes_on_when_one_ends() {
    let (guard, table) = guard(|_| {});
    let mine = guard.of(&"one".into());
    let slow = {
        let mine = mine.clone();
        tokio::spawn(async move { mine.resolve("slow.example").await })
    };
    while table.lookups.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for n in 1..96 {
        let name = format!("hangs-{n}.example");
        assert_eq!(mine.resolve(&name).now_or_never(), None);
    }
    let waiting = tokio::spawn(async move { mine.resolve("public.example").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    table.release.notify_one();
    assert!(slow.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_judged_again() {
    let (guard, _) = guard(|_| {});
    assert!(guard.resolve("changes.example").await.is_ok());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // As soon as the first answer is forgotten the second is refused.
    loop {
        match guard.resolve("changes.example").await {
            Err(error) => break assert_eq!(error.kind(), "blocked"),
            Ok(_) => assert!(std::time::Instant::now() < deadline),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn other_schemes_are_blocked() {
    let (guard, _) = guard(|_| {});
    for url in ["ftp://public.example/", "file:///etc/passwd", "data:,x"] {
        assert_eq!(
            verdict(&guard, url).await.unwrap_err().kind(),
            "blocked",
            "{url}"
        );
    }
}

fn proxied(resolves: bool, exceptions: &[&str]) -> (Guard, Arc<Table>) {
    proxied_guard(
        |c| {
            c.allow_networks = vec!["10.0.0.0/8".parse().unwrap()];
            c.allow_hosts = vec!["awx.corp".to_owned()];
        },
        |c| {
            c.proxy = serde_json::from_str("\"http://proxy.example\"").unwrap();
            c.proxy_resolves = resolves;
            c.no_proxy = exceptions.iter().map(|e| e.parse().unwrap()).collect();
        },
    )
}

#[tokio::test]
async fn a_proxy_is_asked_for_judged_addresses() {
    let (guard, _) = proxied(false, &["10.0.0.0/24"]);
    let addresses = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
    for (host, expected) in [
        (
            "public.example",
            Route::Proxied(addresses(&["93.184.215.14", "2606:4700::1"])),
        ),
        ("1.1.1.1", Route::Proxied(addresses(&["1.1.1.1"]))),
        ("10.0.1.1", Route::Proxied(addresses(&["10.0.1.1"]))),
        ("10.0.0.1", Route::Direct(addresses(&["10.0.0.1"]))),
        ("private.example", Route::Direct(addresses(&["10.0.0.5"]))),
    ] {
        let found = route(&guard, &format!("http://{host}/")).await;
        assert_eq!(found, Ok(expected), "{host}");
    }
    for (host, kind) in [
        ("mixed.example", "blocked"),
        ("[::1]", "blocked"),
        ("127.1", "blocked"),
        ("unknown.example", "dns"),
    ] {
        let error = route(&guard, &format!("http://{host}/")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{host}");
    }
}

#[tokio::test]
async fn a_proxy_that_resolves_gets_the_names_that_cannot_be_judged_and_none_that_are_refused() {
    let (guard, _) = proxied(true, &["known.example", "10.0.0.0/24"]);
    for by_name in [
        "public.example",
        "unknown.example",
        "hangs.example",
        "awx.corp",
        "notlocal.example",
    ] {
        let found = route(&guard, &format!("http://{by_name}/")).await;
        assert_eq!(found, Ok(Route::ProxiedByName), "{by_name}");
    }
    for blocked in ["mixed.example", "mapped.example", "127.0.0.1", "[::1]"] {
        let error = route(&guard, &format!("http://{blocked}/"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "blocked", "{blocked}");
    }
    for inside in [
        "gateway",
        "metadata.google.internal",
        "x.localhost",
        "printer.LOCAL.",
        "nas.home.arpa",
    ] {
        let error = route(&guard, &format!("http://{inside}/"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "blocked", "{inside}");
    }
    // An address is none that anybody could resolve, and what is reached directly must be known here.
    let ip = "1.1.1.1".parse().unwrap();
    assert_eq!(
        route(&guard, "http://1.1.1.1/").await,
        Ok(Route::Proxied(vec![ip]))
    );
    let inside = "10.0.0.5".parse().unwrap();
    let direct = route(&guard, "http://private.example/").await;
    assert_eq!(direct, Ok(Route::Direct(vec![inside])));
    let error = route(&guard, "http://not.known.example/")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "dns");
}
