//! Making steps: one connection for each shard, made again when it breaks, and no step that is made after
//! its caller has given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, RedisError, ServerErrorKind, Value};
use tokio::time::sleep;

pub(crate) use crate::backend::redis::answer::{Answer, int, list, text};
use crate::backend::redis::{
    connection::{Away, ReconnectingConnection},
    fault::{Remedy, backend_error, remedy, unavailable},
    keyspace::Naming,
    node::{Link, Nodes, timed_out},
    script::Script,
};
use crate::{backend::BackendError, config::QueueLimits, model::TenantId};

/// The pause between tries within a step's time.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections of a shard for steps that wait for replicas: such a wait holds all that come after it on its
/// connection.
const LANES: usize = 4;

/// How a step is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Made twice it does no harm, so it is tried again when its answer was lost.
    repeatable: bool,
    /// Made after its caller has given up it would do harm, so Redis is told until when it may.
    timely: bool,
    /// It counts only when as many replicas have it as the configuration asks for.
    durable: bool,
}

impl Mode {
    /// Reads, and steps that may be made at any time and any number of times.
    pub(crate) const REPEATABLE: Self = Self::new(true, false, false);
    /// Steps that store something that must not be lost: events and configuration.
    pub(crate) const STORE: Self = Self::new(true, true, true);
    /// Steps that move deliveries on request.
    pub(crate) const MOVE: Self = Self::new(false, true, true);
    /// The claim: what it leased would be nobody's if its answer were lost.
    pub(crate) const CLAIM: Self = Self::new(false, true, false);

    /// Counts for information. Made twice, such a step is wrong; made late or lost, it does no harm.
    pub(crate) const COUNT: Self = Self::new(false, false, false);

    const fn new(repeatable: bool, timely: bool, durable: bool) -> Self {
        Self {
            repeatable,
            timely,
            durable,
        }
    }
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Store {
    nodes: Arc<Nodes>,
    shards: Vec<Shard>,
    limits: QueueLimits,
    timeout: Duration,
    replicas: u32,
}

#[derive(Debug)]
struct Shard {
    /// The prefix of all its keys.
    prefix: Arc<str>,
    main: Arc<ReconnectingConnection>,
    lanes: Vec<Arc<ReconnectingConnection>>,
    /// For walks over many keys, so that nothing short waits for their answers.
    scans: Arc<ReconnectingConnection>,
    next: AtomicUsize,
}

/// The step to be made.
enum Step<'a> {
    Script(&'a Script, &'a [&'a [u8]]),
    Read(&'a redis::Pipeline),
    Scan(&'a redis::Pipeline),
}

/// Why one try of a step failed.
struct Failure {
    error: RedisError,
    remedy: Remedy,
    /// It has been so for longer than a step may take.
    lasting: bool,
}

impl Failure {
    fn of(error: RedisError, lane: &ReconnectingConnection, link: &Arc<Link>) -> Self {
        let remedy = remedy(&error);
        if matches!(
            remedy,
            Remedy::Elsewhere | Remedy::Reconnect | Remedy::Unknown
        ) {
            lane.drop_link(link);
        }
        Self {
            error,
            remedy,
            lasting: false,
        }
    }
}

impl Store {
    pub(super) fn new(
        nodes: Nodes,
        prefix: &str,
        naming: Naming,
        shards: usize,
        limits: QueueLimits,
        timeout: Duration,
        replicas: u32,
    ) -> Self {
        let nodes = Arc::new(nodes);
        let shards = (0..shards.max(1)).map(|n| {
            let prefix: Arc<str> = naming.shard(prefix, n).into();
            // Longer than a step may take, whose own limit then says what happened.
            let lane = || {
                ReconnectingConnection::new(Arc::clone(&nodes), Arc::clone(&prefix), timeout * 2)
            };
            Shard {
                main: lane(),
                lanes: (0..LANES).map(|_| lane()).collect(),
                scans: lane(),
                next: AtomicUsize::new(0),
                prefix: Arc::clone(&prefix),
            }
        });
        Self {
            shards: shards.collect(),
            nodes,
            limits,
            timeout,
            replicas,
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(crate) fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// The shard in which a tenant lives, by FNV-1a of its id: stable for ever, as moving is not supported.
    ///
    /// # Errors
    /// If the id holds a character that separates parts of keys; no such tenant can have been made.
    pub(crate) fn shard_of(&self, tenant: &TenantId) -> Result<usize, BackendError> {
        let id = tenant.as_str();
        if id.is_empty() || id.contains(['|', ' ']) {
            return Err(BackendError::Internal(format!(
                "{id:?} cannot be a tenant's id"
            )));
        }
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let shards = self.shards.len() as u64;
        Ok(usize::try_from(hash % shards).unwrap_or(0))
    }

    /// A key of a shard.
    pub(crate) fn key(&self, shard: usize, rest: &str) -> String {
        format!("{}{rest}", self.prefix(shard))
    }

    fn prefix(&self, shard: usize) -> &str {
        self.shards.get(shard).map_or("", |s| &*s.prefix)
    }

    /// Makes a step; what it answered after its `OK`, or the other answer that it gave.
    pub(crate) async fn run(
        &self,
        shard: usize,
        script: &Script,
        args: &[&[u8]],
        mode: Mode,
    ) -> Result<Answer, BackendError> {
        let reply = self
            .attempt(shard, mode, Step::Script(script, args))
            .await?;
        Answer::read(script.name, reply)
    }

    /// Reads by commands that are sent together.
    pub(crate) async fn read(
        &self,
        shard: usize,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Value>, BackendError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        list(
            self.attempt(shard, Mode::REPEATABLE, Step::Read(pipeline))
                .await?,
        )
    }

    /// The same for commands that read much, on a connection of their own.
    pub(crate) async fn scan(
        &self,
        shard: usize,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Value>, BackendError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        list(
            self.attempt(shard, Mode::REPEATABLE, Step::Scan(pipeline))
                .await?,
        )
    }

    /// A connection on which one can wait so long for elements of a list.
    pub(crate) async fn listen(
        &self,
        shard: usize,
        list: &str,
        span: Duration,
    ) -> Result<Listener, BackendError> {
        let patience = span + self.timeout;
        let connecting = self.nodes.connect(self.prefix(shard), patience).await;
        let mut take = redis::cmd("BLPOP");
        take.arg(self.key(shard, list)).arg(span.as_secs_f64());
        Ok(Listener {
            link: connecting.map_err(|e| unavailable(&e))?,
            take,
        })
    }

    /// Tries until it works or the time of one step is over. Of the two limits within, that of connecting is
    /// the shorter one, so that a node that cannot be reached is known as such.
    async fn attempt(
        &self,
        shard: usize,
        mode: Mode,
        step: Step<'_>,
    ) -> Result<Value, BackendError> {
        let Some(shard) = self.shards.get(shard) else {
            return Err(BackendError::Internal("no such shard".to_owned()));
        };
        // A claim that waits for one shard keeps back what the others have.
        let patient = mode != Mode::CLAIM || self.shards.len() == 1;
        let timeout = if patient {
            self.timeout
        } else {
            self.timeout / 4
        };
        let begun = Instant::now();
        let lane = match step {
            Step::Scan(_) => &shard.scans,
            _ if mode.durable && self.replicas > 0 => shard
                .lanes
                .get(shard.next.fetch_add(1, Ordering::Relaxed) % LANES)
                .unwrap_or(&shard.main),
            _ => &shard.main,
        };
        let too_late = || unavailable(&"no answer in time");
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let linking = tokio::time::timeout(left, lane.link(patient));
            let failure = match linking.await.map_err(|_| too_late())? {
                Err(Away { since, error }) => Failure {
                    error,
                    // Whatever it is, nothing was done, and it may pass: a wrong password is being
                    // changed, too.
                    remedy: Remedy::Reconnect,
                    lasting: since.elapsed() > self.timeout,
                },
                Ok(link) => {
                    let left = timeout.saturating_sub(begun.elapsed());
                    let performing = self.perform(shard, &link, &step, mode, left);
                    match tokio::time::timeout(left, performing).await {
                        Ok(Ok(value)) => return Ok(value),
                        Ok(Err(error)) => Failure::of(error, lane, &link),
                        Err(_) => {
                            // Whether the server hangs or the way to it.
                            lane.drop_link(&link);
                            return Err(too_late());
                        }
                    }
                }
            };
            let may = match failure.remedy {
                Remedy::None => false,
                Remedy::Unknown => mode.repeatable,
                Remedy::Elsewhere | Remedy::Reconnect | Remedy::Wait => true,
            };
            if !may || failure.lasting || begun.elapsed() + PAUSE >= timeout {
                return Err(match failure.remedy {
                    Remedy::None => backend_error(&failure.error),
                    _ => unavailable(&failure.error),
                });
            }
            sleep(PAUSE).await;
        }
    }

    async fn perform(
        &self,
        shard: &Shard,
        link: &Link,
        step: &Step<'_>,
        mode: Mode,
        left: Duration,
    ) -> Result<Value, RedisError> {
        let (script, args) = match step {
            Step::Script(script, args) => (script, args),
            Step::Read(pipeline) | Step::Scan(pipeline) => {
                let mut connection = link.connection.clone();
                return pipeline
                    .query_async(&mut connection)
                    .await
                    .map(Value::Array);
            }
        };
        let deadline = if mode.timely { link.clock_in(left) } else { 0 };
        let wait = (mode.durable && self.replicas > 0).then_some(left);
        self.evaluate(shard, link, script, deadline, args, wait)
            .await
    }

    /// Calls the script, giving Redis its text if it does not know it, and then waits for replicas.
    async fn evaluate(
        &self,
        shard: &Shard,
        link: &Link,
        script: &Script,
        deadline: u64,
        args: &[&[u8]],
        replicas_within: Option<Duration>,
    ) -> Result<Value, RedisError> {
        let mut connection = link.connection.clone();
        let mut call = redis::cmd("EVALSHA");
        call.arg(&script.sha1)
            .arg(1)
            .arg(&*shard.prefix)
            .arg(deadline)
            .arg(self.limits.max_in_flight)
            .arg(self.limits.max_receives.max(1));
        for arg in args {
            call.arg(arg);
        }
        let reply = match self.call(&mut connection, &call, replicas_within).await {
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(&script.code);
                let _: Value = load.query_async(&mut connection).await?;
                self.call(&mut connection, &call, replicas_within).await?
            }
            other => other?,
        };
        // A step that came too late was not made. If its time is not over here, then clocks were set.
        if let Value::Array(parts) = &reply
            && let Some(Value::BulkString(tag)) = parts.first()
            && tag == b"LATE"
        {
            return Err(timed_out("the step came too late and was not made"));
        }
        Ok(reply)
    }

    async fn call(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        call: &Cmd,
        replicas_within: Option<Duration>,
    ) -> Result<Value, RedisError> {
        let Some(within) = replicas_within else {
            return call.query_async(connection).await;
        };
        let millis = u64::try_from(within.as_millis() / 2).unwrap_or(1).max(1);
        let mut pipeline = redis::pipe();
        pipeline.add_command(call.clone());
        pipeline.cmd("WAIT").arg(self.replicas).arg(millis);
        let (reply, reached): (Value, u32) = pipeline.query_async(connection).await?;
        if reached < self.replicas {
            return Err(timed_out("too few replicas have it"));
        }
        Ok(reply)
    }
}

/// See [`Store::listen`].
#[derive(Debug)]
pub(crate) struct Listener {
    link: Link,
    take: Cmd,
}

impl Listener {
    /// Takes an element, or waits for one; whether there was one in time.
    pub(crate) async fn take(&mut self) -> Result<bool, BackendError> {
        let found: Result<Value, _> = self.take.query_async(&mut self.link.connection).await;
        Ok(found.map_err(|e| unavailable(&e))? != Value::Nil)
    }
}
