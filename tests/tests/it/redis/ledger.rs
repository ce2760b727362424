//! Nothing that was answered 202 is lost, whatever dies: workers, Redis, a node of a cluster, a master
//! under sentinels.
//!
//! Several producers post to two API processes and repeat each request until it is answered 202. Meanwhile
//! one worker of three is killed every second and replaced, and now and then Redis is hurt. In the end what
//! was promised is compared with what the receiver got, without asking hookbox.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use hookbox_tests::{
    fleet::{Fleet, Worker},
    redis::{Cluster, Fsync, Options, RedisServer, Sentinels},
    server::Server,
    sink::Sink,
};
use tokio::task::{JoinSet, block_in_place};

use super::{producers::Producers, tenants::keys_of_tenants};

const PRODUCERS: usize = 6;
const WORKERS: usize = 3;
/// Deliveries that one worker can have under way.
const CONCURRENCY: usize = 32;
/// How often a worker dies.
const LIFETIME: Duration = Duration::from_secs(1);
/// How long one step on Redis may take, and how long Redis is away: so long that requests are refused.
const TIMEOUT: Duration = Duration::from_millis(1000);
const AWAY: Duration = Duration::from_millis(1500);
/// How long all of it may take. Less than the runner gives a test, so that the failure says how things stood.
const PATIENCE: Duration = Duration::from_secs(160);

/// Something that happens to Redis.
struct Disaster<'a> {
    what: &'static str,
    /// When so many events have been accepted, and so many requests have arrived.
    when: (usize, usize),
    strike: Box<dyn FnOnce() + 'a>,
}

fn durable() -> Options {
    Options {
        aof: Some(Fsync::Always),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_workers_and_redis_are_killed() {
    let redis = RefCell::new(RedisServer::start(durable()));
    let events = 20_000;
    let disasters = [(events / 3, 0), (0, events * 2 / 3)].map(|when| Disaster {
        what: "Redis is killed, and started again a while later",
        when,
        strike: Box::new(|| kill_and_start(&mut redis.borrow_mut())),
    });
    let url = redis.borrow().url();
    let keys = keys_of_tenants(&url, 1, 1).await;
    let ledger = run(events, Fleet::new(url), keys, Vec::from(disasters)).await;
    ledger.balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_node_of_a_cluster_is_killed() {
    let cluster = RefCell::new(Cluster::start(3, 0, &durable()));
    let events = 3000;
    // Several tenants, so that there is something in all shards and in all nodes.
    let (shards, tenants) = (8, 12);
    let disasters = [(events / 3, 0), (0, events / 2)]
        .into_iter()
        .enumerate()
        .map(|(node, when)| {
            let cluster = &cluster;
            Disaster {
                what: "a node is killed, and started again a while later",
                when,
                strike: Box::new(move || kill_and_start(&mut cluster.borrow_mut().nodes[node])),
            }
        })
        .collect();
    let url = cluster.borrow().url();
    let keys = keys_of_tenants(&url, shards, tenants).await;
    let ledger = run(events, Fleet::new(url), keys, disasters).await;
    ledger.balance();
    for node in &cluster.borrow().nodes {
        assert_ne!(node.cli(&["dbsize"]), "0", "a node has no part of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_replica_takes_over_in_a_cluster() {
    let cluster = RefCell::new(Cluster::start(3, 1, &Options::default()));
    let events = 2000;
    let disaster = Disaster {
        what: "a master is killed, its replica takes over, and it comes back as the other's",
        when: (events / 3, 0),
        strike: Box::new(|| {
            let mut cluster = cluster.borrow_mut();
            cluster.nodes[0].kill();
            cluster.nodes[3].wait_until_master();
            cluster.nodes[0].start_again();
        }),
    };
    let (shards, tenants) = (8, 12);
    let url = cluster.borrow().url();
    let keys = keys_of_tenants(&url, shards, tenants).await;
    let fleet = Fleet::new(url).with("redis.replicas", 1);
    let ledger = run(events, fleet, keys, vec![disaster]).await;
    ledger.balance();
    cluster.borrow().nodes[0].wait_for_master();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_sentinels_replace_the_master() {
    let set = RefCell::new(Sentinels::start(2, &Options::default()));
    let events = 3000;
    let disaster = Disaster {
        what: "the master is killed, and another takes its place",
        when: (events / 3, 0),
        strike: Box::new(|| {
            let mut set = set.borrow_mut();
            let old = set.servers[0].port();
            assert_eq!(set.master_port(), old);
            set.servers[0].kill();
        }),
    };
    let url = set.borrow().url();
    let keys = keys_of_tenants(&url, 1, 1).await;
    let fleet = Fleet::new(url).with("redis.replicas", 1);
    let ledger = run(events, fleet, keys, vec![disaster]).await;
    ledger.balance();
    let set = set.borrow();
    assert_ne!(set.master_port(), set.servers[0].port());
}

fn kill_and_start(redis: &mut RedisServer) {
    redis.kill();
    std::thread::sleep(AWAY);
    redis.start_again();
}

/// What came of it.
struct Ledger {
    events: usize,
    /// The delivery that was promised for each event.
    promised: BTreeMap<usize, String>,
    /// What arrived: the delivery's id, and the event that its body names.
    arrived: Vec<(String, usize)>,
    /// Deliveries that can have been under way when something was killed.
    at_risk: usize,
}

impl Ledger {
    /// Compares promises with arrivals.
    fn balance(&self) {
        assert_eq!(self.promised.len(), self.events, "all were accepted");
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (id, event) in &self.arrived {
            *counts.entry(id).or_default() += 1;
            assert_eq!(
                self.promised.get(event),
                Some(id),
                "event {event} arrived as a delivery that was not promised for it"
            );
        }
        let missing: HashSet<&String> = self
            .promised
            .values()
            .filter(|id| !counts.contains_key(id.as_str()))
            .collect();
        let repeated = self.arrived.len() - counts.len();
        println!(
            "{} promised, {} arrived, {} missing, {repeated} repeated; {} can have been under way at a kill",
            self.promised.len(),
            counts.len(),
            missing.len(),
            self.at_risk,
        );
        assert!(missing.is_empty(), "lost: {missing:?}");
        assert!(repeated <= self.at_risk, "{repeated} repeated");
    }
}

/// Lets everything happen until nothing waits any more.
async fn run(
    events: usize,
    fleet: Fleet,
    keys: Vec<String>,
    mut disasters: Vec<Disaster<'_>>,
) -> Ledger {
    let begin = Instant::now();
    let say = |what: &str| println!("{:6.1} s  {what}", begin.elapsed().as_secs_f64());
    let fleet = fleet
        .with("worker.concurrency", CONCURRENCY)
        .with("worker.max_in_flight", CONCURRENCY / 4)
        .with("worker.lease_seconds", 10)
        .with("delivery.timeout_seconds", 5)
        .with("delivery.max_timeout_seconds", 5)
        .with("redis.timeout_ms", TIMEOUT.as_millis())
        .with("log.filter", "warn,hookbox=error");
    let sink = Sink::start().await;
    let mut apis = [fleet.api().await, fleet.api().await];
    let producers = Arc::new(Producers::new(&apis, keys));
    producers.configure(&sink.url()).await;
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| fleet.worker()).collect();
    say("everything runs");

    let share = |n: usize| -> Range<usize> { events * n / PRODUCERS..events * (n + 1) / PRODUCERS };
    let mut producing: JoinSet<()> = (0..PRODUCERS)
        .map(|n| Arc::clone(&producers).produce(n, share(n)))
        .collect();
    let (mut at_risk, mut died, mut next_death) = (0, 0, Instant::now() + LIFETIME);
    let mut next_look = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        while let Some(ended) = producing.try_join_next() {
            ended.expect("a producer ends well");
        }
        let (accepted, arrived) = (producers.accepted(), sink.arrived());
        assert!(
            begin.elapsed() < PATIENCE,
            "{accepted} accepted, {arrived} arrived; {:?}",
            producers.queue().await
        );
        if let Some(at) = disasters
            .iter()
            .position(|d| accepted >= d.when.0 && arrived >= d.when.1)
        {
            let disaster = disasters.remove(at);
            say(&format!(
                "{accepted} accepted, {arrived} arrived: {}",
                disaster.what
            ));
            block_in_place(disaster.strike);
            at_risk += WORKERS * CONCURRENCY;
        }
        let all_promised = producing.is_empty() && disasters.is_empty();
        if all_promised && Instant::now() >= next_look {
            next_look = Instant::now() + Duration::from_millis(500);
            if producers.nothing_waits().await {
                break;
            }
        }
        let over = all_promised && arrived >= events;
        if !over && Instant::now() >= next_death {
            next_death += LIFETIME;
            let worker = &mut workers[died % WORKERS];
            assert!(worker.is_alive(), "a worker ended by itself");
            worker.kill();
            *worker = fleet.worker();
            died += 1;
            at_risk += CONCURRENCY;
        }
    }
    assert!(apis.iter_mut().all(Server::is_alive));
    assert!(workers.iter_mut().all(Worker::is_alive));
    say(&format!(
        "nothing waits any more; {died} workers were killed, and {} requests repeated",
        producers.repeated()
    ));
    let body = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse().expect("a number");
    Ledger {
        events,
        promised: producers.promised(),
        arrived: sink
            .received()
            .iter()
            .map(|r| (r.header("webhook-id").to_owned(), body(&r.body)))
            .collect(),
        at_risk,
    }
}

/// A ledger of one event that was promised as the delivery `a`.
fn ledger_of(arrived: &[(&str, usize)]) -> Ledger {
    Ledger {
        events: 1,
        promised: BTreeMap::from([(0, "a".to_owned())]),
        arrived: arrived
            .iter()
            .map(|(id, event)| ((*id).to_owned(), *event))
            .collect(),
        at_risk: 1,
    }
}

#[test]
fn a_repetition_that_a_kill_explains_balances() {
    ledger_of(&[("a", 0), ("a", 0)]).balance();
}

#[test]
#[should_panic(expected = "lost")]
fn a_missing_delivery_does_not_balance() {
    ledger_of(&[]).balance();
}

#[test]
#[should_panic(expected = "2 repeated")]
fn a_repetition_that_no_kill_explains_does_not_balance() {
    ledger_of(&[("a", 0), ("a", 0), ("a", 0)]).balance();
}

#[test]
#[should_panic(expected = "not promised")]
fn a_second_delivery_of_one_event_does_not_balance() {
    ledger_of(&[("a", 0), ("b", 0)]).balance();
}
