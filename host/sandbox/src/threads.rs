//! The render threads: a few OS threads that do nothing but run guests.
//!
//! A guest computes for about a millisecond and never waits, so it runs synchronously, on a stack whose
//! size is known, away from the runtime that does the I/O. [`FairQueue`] says whose turn it is.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use tokio::sync::oneshot;

use super::fair_queue::FairQueue;

/// Native stack beside what Wasm may use, for the engine's and the host's own frames.
const HOST_STACK: usize = 2 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads and the way to them. Dropping it ends them once they are idle.
#[derive(Debug)]
pub(super) struct RenderThreads {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    line: FairQueue<Job>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code of a job runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The job ended without a result: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Died;

impl RenderThreads {
    /// Starts `count` threads whose stacks hold `wasm_stack` bytes of Wasm and the host's frames.
    ///
    /// # Errors
    /// The system's, if it refuses a thread.
    pub(super) fn start(count: usize, wasm_stack: usize) -> io::Result<Self> {
        // Dropped, and so closed, if a thread is refused.
        let threads = Self {
            shared: Arc::default(),
        };
        for _ in 0..count {
            Thread {
                shared: Arc::clone(&threads.shared),
                stack: wasm_stack.saturating_add(HOST_STACK),
            }
            .start()?;
        }
        Ok(threads)
    }

    /// Runs `work` on a render thread when it is the owner's turn. If the caller has gone away by then, it is
    /// not run. How much may wait is the callers' business.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        owner: &Arc<str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Died> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !answer.is_closed() {
                // an answer that nobody waits for any more is no concern of ours
                drop(answer.send(work()));
            }
        });
        self.shared.state().line.push(owner, job);
        self.shared.work.notify_one();
        result.await.map_err(|_| Died)
    }
}

impl Drop for RenderThreads {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.work.notify_all();
    }
}

/// One thread, which starts its own successor should a job ever panic: what the panic left behind in
/// thread-local state is then gone with it.
struct Thread {
    shared: Arc<Shared>,
    stack: usize,
}

impl Thread {
    fn start(self) -> io::Result<()> {
        thread::Builder::new()
            .name("sandbox-render".to_owned())
            .stack_size(self.stack)
            .spawn(move || self.work())
            .map(drop)
    }

    fn work(self) {
        loop {
            let mut state = self.shared.state();
            let (started, job) = loop {
                if let Some(next) = state.line.pop() {
                    break next;
                }
                if state.closed {
                    return;
                }
                let waited = self.shared.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let began = Instant::now();
            let ending = Ending {
                shared: &self.shared,
                job: Some((started, began)),
            };
            job();
            drop(ending);
        }
    }
}

/// Charges a job's time to its owner when it ends, also by a panic.
struct Ending<'a> {
    shared: &'a Shared,
    job: Option<(super::fair_queue::Started, Instant)>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some((started, began)) = self.job.take() {
            self.shared.state().line.ended(started, began.elapsed());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        tracing::error!("a render thread panicked, which is a fault of hookbox; it is replaced");
        let successor = Self {
            shared: Arc::clone(&self.shared),
            stack: self.stack,
        };
        if let Err(error) = successor.start() {
            tracing::error!(%error, "the render thread could not be replaced");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    fn nobody() -> Arc<str> {
        Arc::from("")
    }

    #[tokio::test]
    async fn a_job_that_panics_is_reported_and_its_thread_replaced() {
        let threads = RenderThreads::start(1, 64 << 10).expect("started");
        for _ in 0..3 {
            let died = threads.run(&nobody(), || panic!("on purpose")).await;
            assert_eq!(died.map(|(): ()| ()), Err(Died));
            assert_eq!(threads.run(&nobody(), || 7).await, Ok(7));
        }
    }

    #[tokio::test]
    async fn many_more_jobs_than_threads_all_finish() {
        let threads = RenderThreads::start(2, 64 << 10).expect("started");
        let owner = nobody();
        let jobs = (0..500).map(|i| threads.run(&owner, move || i * 2));
        let results = futures_util::future::join_all(jobs).await;
        assert!(results.into_iter().enumerate().all(|(i, r)| r == Ok(i * 2)));
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_is_not_run() {
        let threads = RenderThreads::start(1, 64 << 10).expect("started");
        let (release, gate) = mpsc::channel::<()>();
        let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let owner = nobody();
        let blocker = threads.run(&owner, move || gate.recv());
        let abandoned = {
            let ran = Arc::clone(&ran);
            threads.run(&owner, move || {
                ran.store(true, std::sync::atomic::Ordering::SeqCst);
            })
        };
        let mut blocker = Box::pin(blocker);
        let mut abandoned = Box::pin(abandoned);
        assert!((&mut blocker).now_or_never().is_none());
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        release.send(()).expect("the blocker waits");
        assert!(blocker.await.is_ok());
        assert_eq!(threads.run(&owner, || 1).await, Ok(1));
        assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_crowd_of_one_owner_does_not_keep_another_waiting() {
        let threads = RenderThreads::start(1, 64 << 10).expect("started");
        let (crowd, single): (Arc<str>, Arc<str>) = (Arc::from("crowd"), Arc::from("single"));
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (release, gate) = mpsc::channel::<()>();
        let mut blocker = Box::pin(threads.run(&crowd, move || gate.recv()));
        assert!((&mut blocker).now_or_never().is_none());
        let mut jobs: Vec<_> = (0..100)
            .map(|_| {
                let done = Arc::clone(&done);
                Box::pin(threads.run(&crowd, move || {
                    done.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
                }))
            })
            .collect();
        for job in &mut jobs {
            assert!(job.now_or_never().is_none());
        }
        let mut late = Box::pin({
            let done = Arc::clone(&done);
            threads.run(&single, move || {
                done.load(std::sync::atomic::Ordering::SeqCst)
            })
        });
        assert!((&mut late).now_or_never().is_none());
        release.send(()).expect("the blocker waits");
        let before_it = late.await.expect("it ran");
        assert!(before_it <= 1, "{before_it} of the crowd went before it");
    }
}
