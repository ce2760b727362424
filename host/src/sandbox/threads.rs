//! The render threads: a few OS threads that do nothing but run guests.
//!
//! A guest computes for about a millisecond and never waits, so it runs synchronously, on a stack whose
//! size is known, away from the runtime that does the I/O.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Native stack beside what Wasm may use, for the engine's and the host's own frames.
const HOST_STACK: usize = 2 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads and the way to them. Dropping it ends them once they are idle.
#[derive(Debug)]
pub(super) struct RenderThreads {
    queue: mpsc::SyncSender<Job>,
    /// One permit for each job that is running or in the queue. Who gets none waits here, in order.
    permits: Arc<Semaphore>,
}

/// The job ended without a result: it panicked, or the threads are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Died;

impl RenderThreads {
    /// Starts `count` threads whose stacks hold `wasm_stack` bytes of Wasm and the host's frames.
    ///
    /// # Errors
    /// The system's, if it refuses a thread.
    pub(super) fn start(count: usize, wasm_stack: usize) -> io::Result<Self> {
        // the next job waits at each thread's elbow; everything behind it waits without a place
        let places = count.saturating_mul(2);
        let (queue, jobs) = mpsc::sync_channel(places);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..count {
            Thread {
                jobs: Arc::clone(&jobs),
                stack: wasm_stack.saturating_add(HOST_STACK),
            }
            .start()?;
        }
        Ok(Self {
            queue,
            permits: Arc::new(Semaphore::new(places)),
        })
    }

    /// Runs `work` on a render thread. If the caller has gone away by then, it is not run.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Died> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Died)?;
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // held until the work is done, or the job is dropped unrun
            let _permit: OwnedSemaphorePermit = permit;
            if !answer.is_closed() {
                // an answer that nobody waits for any more is no concern of ours
                drop(answer.send(work()));
            }
        });
        // never full: there are as many places as permits
        self.queue.try_send(job).map_err(|_| Died)?;
        result.await.map_err(|_| Died)
    }
}

/// One thread, which starts its own successor should a job ever panic: what the panic left behind in
/// thread-local state is then gone with it.
struct Thread {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
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
            // one idle thread waits in `recv`, the others for the lock
            let job = self
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            match job {
                Ok(job) => job(),
                Err(mpsc::RecvError) => return,
            }
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
            jobs: Arc::clone(&self.jobs),
            stack: self.stack,
        };
        if let Err(error) = successor.start() {
            tracing::error!(%error, "the render thread could not be replaced");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_reported_and_its_thread_replaced() {
        let threads = RenderThreads::start(1, 64 << 10).expect("started");
        for _ in 0..3 {
            let died = threads.run(|| panic!("on purpose")).await;
            assert_eq!(died.map(|(): ()| ()), Err(Died));
            assert_eq!(threads.run(|| 7).await, Ok(7));
        }
    }

    #[tokio::test]
    async fn many_more_jobs_than_places_all_finish() {
        let threads = RenderThreads::start(2, 64 << 10).expect("started");
        let jobs = (0..500).map(|i| threads.run(move || i * 2));
        let results = futures_util::future::join_all(jobs).await;
        assert!(results.into_iter().enumerate().all(|(i, r)| r == Ok(i * 2)));
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_is_not_run_and_gives_its_place_back() {
        let threads = RenderThreads::start(1, 64 << 10).expect("started");
        let (release, gate) = mpsc::channel::<()>();
        let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let blocker = threads.run(move || gate.recv());
        let abandoned = {
            let ran = Arc::clone(&ran);
            threads.run(move || ran.store(true, std::sync::atomic::Ordering::SeqCst))
        };
        let mut blocker = Box::pin(blocker);
        let mut abandoned = Box::pin(abandoned);
        assert!((&mut blocker).now_or_never().is_none());
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        release.send(()).expect("the blocker waits");
        assert!(blocker.await.is_ok());
        assert_eq!(threads.run(|| 1).await, Ok(1));
        assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(threads.permits.available_permits(), 2);
    }
}
