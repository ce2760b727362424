//! What a storm of crashing renders does to a neighbour: `guests storm` measures and prints it.
//!
//! Windows of the neighbour alone and windows of the storm take turns within one run, so that what else the
//! machine does falls on both.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hookbox::sandbox::{ErrorKind, JINJA, Output, RenderJob, Sandbox, SecretHandles, Transformer};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    guest::{self, corpus, job},
    resident,
};

/// Storms of each strength.
const WINDOWS: usize = 10;
/// How long the neighbour is measured alone.
const CALM: Duration = Duration::from_millis(150);
/// Renders that the neighbour keeps waiting or running.
const IN_FLIGHT: usize = 4;
/// Ways to crash, of the corpus.
const CRASHES: [&str; 4] = [
    "trap-unreachable",
    "trap-out-of-bounds",
    "trap-division",
    "stack-recursion",
];

/// What was measured.
#[derive(Debug)]
pub struct Storm {
    /// Renders that crashed.
    pub traps: u64,
    /// The neighbour's renders per second just before each storm, the median.
    pub before: f64,
    /// The same while crashing renders are asked for.
    pub during: Vec<During>,
    /// Of a neighbour that asks for a quarter of what it could have, the part that it gets while 64 renders crash at
    /// once.
    pub modest: f64,
    /// The same just after each storm.
    pub after: f64,
    /// The median of after to before, storm by storm: others on the machine weigh on both.
    pub recovery: f64,
    /// Bytes resident before the first storm.
    pub resident_before: u64,
    /// And after the last.
    pub resident_after: u64,
    /// Microseconds on the render thread of each sort of crash, the mean.
    pub crashes: Vec<(&'static str, f64)>,
}

/// A storm of some strength.
#[derive(Clone, Copy, Debug)]
pub struct During {
    /// Crashing renders waiting or running at once; of the neighbour's there are always four.
    pub in_flight: usize,
    /// The neighbour's renders per second.
    pub renders: f64,
    /// Crashing renders per second.
    pub traps: f64,
    /// The neighbour's part of the time that render threads worked.
    pub share: f64,
}

impl Storm {
    /// Bytes that the process holds more than before.
    #[must_use]
    pub const fn growth(&self) -> u64 {
        self.resident_after.saturating_sub(self.resident_before)
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "neighbour before: {:.0} renders/s", self.before)?;
        for during in &self.during {
            writeln!(
                f,
                "while {} crash at once: {:.0} renders/s beside {:.0} crashes/s; {:.0} % of the threads' time",
                during.in_flight,
                during.renders,
                during.traps,
                during.share * 100.0
            )?;
        }
        writeln!(
            f,
            "a neighbour that asks for a quarter of that: {:.1} % of what it asks for, while 64 crash at once",
            self.modest * 100.0
        )?;
        writeln!(
            f,
            "neighbour after {} crashes: {:.0} renders/s ({:.1} % of before)",
            self.traps,
            self.after,
            self.recovery * 100.0
        )?;
        let mib = |bytes: u64| f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0;
        writeln!(
            f,
            "resident: {:.1} MiB before, {:.1} MiB after",
            mib(self.resident_before),
            mib(self.resident_after)
        )?;
        for (name, micros) in &self.crashes {
            writeln!(f, "{name}: {micros:.0} us")?;
        }
        Ok(())
    }
}

struct Scene {
    sandbox: Sandbox,
    neighbour: Transformer,
    slack: RenderJob,
    crashing: Vec<(&'static str, Transformer)>,
}

/// Makes `traps` renders crash, in several storms of two strengths, and measures the neighbour around them.
///
/// # Panics
/// If the neighbour's render fails, or a crash is none.
pub async fn run(traps: u64) -> Storm {
    let scene = Arc::new(Scene::new());
    scene.calm().await;
    // each sort once more than measured: what is allocated once is there then
    let mut crashes = Vec::new();
    for (name, crashing) in &scene.crashing {
        scene.crash(crashing).await;
        let mut micros = 0;
        for _ in 0..50 {
            micros += scene.crash(crashing).await;
        }
        crashes.push((*name, per(micros, 50.0)));
    }
    let resident_before = resident::bytes();
    let strengths = [IN_FLIGHT, 16 * IN_FLIGHT];
    let part = traps / (WINDOWS * strengths.len()) as u64;
    let (mut before, mut during, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut crashed) = (Vec::new(), 0);
    for in_flight in strengths {
        let mut windows = Vec::new();
        for _ in 0..WINDOWS {
            let calm = scene.calm().await;
            windows.push(scene.storm(in_flight, part).await);
            crashed += part;
            let again = scene.calm().await;
            ratios.push(again / calm);
            before.push(calm);
            after.push(again);
        }
        windows.sort_by(|a, b| a.share.total_cmp(&b.share));
        during.push(windows[WINDOWS / 2]);
    }
    let before = median(before);
    let modest = scene.modest(before / 4.0, 16 * IN_FLIGHT).await;
    Storm {
        traps: crashed,
        before,
        during,
        modest,
        after: median(after),
        recovery: median(ratios),
        resident_before,
        resident_after: resident::bytes(),
        crashes,
    }
}

impl Scene {
    fn new() -> Self {
        let sandbox = guest::sandbox();
        let load = |name: &str, wasm: &[u8]| sandbox.load(name, wasm).expect("fits");
        let corpus = corpus();
        let crashing = CRASHES.map(|name| {
            let guest = corpus.iter().find(|guest| guest.name == name);
            (name, load(name, &guest.expect("in the corpus").wasm))
        });
        let webhook = json!({
            "name": "slack", "payload_url": "https://hooks.slack.com/services/T0/B0/X",
            "http_method": "POST", "http_content_type": "application/json",
            "additional_headers": "X-Event: {{ event }}",
            "body_template": r#"{"text": "{{ data['address'] }} was created by {{ username }}!"}"#,
            "body_escape": "none", "settings": null
        });
        let event =
            json!({"event": "created", "username": "admin", "data": {"address": "192.0.2.1/24"}});
        Self {
            neighbour: load("jinja", JINJA),
            slack: RenderJob {
                event: event.to_string().into(),
                webhook: webhook.to_string().into(),
                secrets: Arc::new(SecretHandles::default()),
                owner: "neighbour".into(),
            },
            crashing: crashing.into(),
            sandbox,
        }
    }

    /// One of the neighbour's renders; microseconds on the thread.
    async fn render(&self) -> u64 {
        let rendering = self
            .sandbox
            .render(&self.neighbour, self.slack.clone())
            .await;
        assert!(
            matches!(rendering.output, Output::Request(_)),
            "{rendering:?}"
        );
        rendering.cost.elapsed_us
    }

    /// One that crashes; microseconds likewise.
    async fn crash(&self, crashing: &Transformer) -> u64 {
        let rendering = self.sandbox.render(crashing, job("{}")).await;
        let Output::Error(error) = &rendering.output else {
            panic!("no crash: {rendering:?}");
        };
        assert_eq!(error.kind, ErrorKind::Trap);
        rendering.cost.elapsed_us
    }

    /// The neighbour alone: renders per second.
    async fn calm(self: &Arc<Self>) -> f64 {
        let neighbour = Neighbour::start(self);
        tokio::time::sleep(CALM).await;
        neighbour.stop().await.0
    }

    /// The part of its renders that a neighbour gets done in a second if it asks for so many, evenly, while others
    /// crash.
    async fn modest(self: &Arc<Self>, per_second: f64, in_flight: usize) -> f64 {
        const TICKS: u64 = 500;
        let stop = Arc::new(AtomicBool::new(false));
        let mut crashing = JoinSet::new();
        for n in 0..in_flight {
            let (scene, stop) = (Arc::clone(self), Arc::clone(&stop));
            crashing.spawn(async move {
                let (_, crashing) = &scene.crashing[n % scene.crashing.len()];
                while !stop.load(SeqCst) {
                    let _micros = scene.crash(crashing).await;
                }
            });
        }
        let done = Arc::new(AtomicU64::new(0));
        let mut asked = 0;
        let mut renders = JoinSet::new();
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / TICKS as u32);
        while begun.elapsed() < Duration::from_secs(1) {
            let _ = ticks.tick().await;
            while per(asked, begun.elapsed().as_secs_f64()) < per_second {
                asked += 1;
                let (scene, done) = (Arc::clone(self), Arc::clone(&done));
                renders.spawn(async move {
                    let _micros = scene.render().await;
                    done.fetch_add(1, SeqCst);
                });
            }
        }
        let done = done.load(SeqCst);
        stop.store(true, SeqCst);
        let _ = (renders.join_all().await, crashing.join_all().await);
        per(done, per(asked, 1.0))
    }

    /// The neighbour while so many renders crash, `in_flight` of them at once.
    async fn storm(self: &Arc<Self>, in_flight: usize, traps: u64) -> During {
        let neighbour = Neighbour::start(self);
        let left = Arc::new(AtomicU64::new(traps));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for n in 0..in_flight {
            let (scene, left) = (Arc::clone(self), Arc::clone(&left));
            tasks.spawn(async move {
                let (_, crashing) = &scene.crashing[n % scene.crashing.len()];
                let mut micros = 0;
                while left
                    .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
                    .is_ok()
                {
                    micros += scene.crash(crashing).await;
                }
                micros
            });
        }
        let crashing: u64 = tasks.join_all().await.into_iter().sum();
        let elapsed = begun.elapsed();
        let (renders, rendering) = neighbour.stop().await;
        During {
            in_flight,
            renders,
            traps: per(traps, elapsed.as_secs_f64()),
            share: per(rendering, per(rendering + crashing, 1.0)),
        }
    }
}

/// The neighbour's renders, until it is told to stop.
struct Neighbour {
    begun: Instant,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<(u64, u64)>,
}

impl Neighbour {
    fn start(scene: &Arc<Scene>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (scene, stop) = (Arc::clone(scene), Arc::clone(&stop));
            tasks.spawn(async move {
                let (mut renders, mut micros) = (0, 0);
                while !stop.load(SeqCst) {
                    micros += scene.render().await;
                    renders += 1;
                }
                (renders, micros)
            });
        }
        Self {
            begun: Instant::now(),
            stop,
            tasks,
        }
    }

    /// Renders per second, and microseconds on the threads.
    async fn stop(self) -> (f64, u64) {
        self.stop.store(true, SeqCst);
        let done = self.tasks.join_all().await;
        let renders = done.iter().map(|(renders, _)| renders).sum();
        let micros = done.iter().map(|(_, micros)| micros).sum();
        (per(renders, self.begun.elapsed().as_secs_f64()), micros)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a few seconds, far below 2^53"
)]
fn per(count: u64, of: f64) -> f64 {
    count as f64 / of.max(f64::MIN_POSITIVE)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
