//! The one thread that writes, with group commit.
//!
//! Each job is one atomic step in a savepoint of its own. The writer takes all jobs that wait, runs them
//! in one transaction, commits once, which is the one `fsync`, and only then answers them: an answer
//! means durable. Under load the cost of the `fsync` is so shared by as many jobs as arrived during the
//! one before; an idle writer delays nothing.
//!
//! A job that fails or panics undoes only itself. If the transaction as a whole is lost (a full disk, a
//! failing commit), every job in it is told so. The writer itself goes on in each case.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::backend::sqlite::{
    fault::{Fault, Sql, unavailable},
    presence::Files,
};
use crate::{
    backend::BackendError,
    model::{TenantId, Timestamp},
};

/// Bounds of one transaction: so long at most do the first jobs in it wait for the last ones.
const MAX_JOBS: usize = 512;
const MAX_TIME: Duration = Duration::from_millis(10);

/// The view of a job: the transaction, the time, and actions for when it is durable.
#[derive(Debug)]
pub(crate) struct Tx<'c> {
    conn: &'c Connection,
    /// The backend's clock when the job began.
    pub(crate) now: Timestamp,
    effects: RefCell<Effects>,
    /// The actions of the earlier steps in the same transaction, for when it is committed.
    earlier: &'c Effects,
    shared: &'c Shared,
}

#[derive(Debug, Default)]
struct Effects {
    wake: bool,
    /// Once for each change.
    configured: Vec<TenantId>,
}

impl Tx<'_> {
    /// Something may have become claimable: wakes a waiting worker once this is durable.
    pub(crate) fn wake(&self) {
        self.effects.borrow_mut().wake = true;
    }

    /// The tenant's configuration has changed.
    pub(crate) fn raise_revision(&self, tenant: &TenantId) {
        self.effects.borrow_mut().configured.push(tenant.clone());
    }

    /// Refuses the step if the tenant has been changed since `expected_revision`. Only the writer raises
    /// revisions: what is published, and what will be when this transaction is committed, are all there
    /// is. Should it be lost, so are the changes that this step was refused for.
    pub(crate) fn check_unchanged(
        &self,
        tenant: &TenantId,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let Some(expected_revision) = expected_revision else {
            return Ok(());
        };
        if self.earlier.configured.contains(tenant)
            || self.shared.revision(tenant) != expected_revision
        {
            return Err(BackendError::RevisionMismatch);
        }
        Ok(())
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

/// The state that the writer shares with the rest of the process.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The revisions of tenants whose configuration has changed since the start. They are not stored:
    /// no snapshot outlives the process, and no other process writes.
    revisions: RwLock<HashMap<TenantId, u64>>,
    /// Wakes workers.
    pub(super) wake: Notify,
    /// Jobs that ran.
    pub(super) jobs: AtomicU64,
    /// Transactions committed.
    pub(super) commits: AtomicU64,
}

impl Shared {
    pub(super) fn revision(&self, tenant: &TenantId) -> u64 {
        let revisions = self.revisions.read();
        let revisions = revisions.unwrap_or_else(PoisonError::into_inner);
        revisions.get(tenant).copied().unwrap_or(0)
    }

    fn publish(&self, effects: &Effects, jobs: usize) {
        if !effects.configured.is_empty() {
            let revisions = self.revisions.write();
            let mut revisions = revisions.unwrap_or_else(PoisonError::into_inner);
            for tenant in &effects.configured {
                *revisions.entry(tenant.clone()).or_default() += 1;
            }
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
        if effects.wake {
            self.wake.notify_one();
        }
    }
}

/// A step to be done by the writer, whatever its result type.
trait Job: Send {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;
    /// Runs it; whether it succeeded and shall stay. The result waits for [`Job::answer`].
    fn run(&mut self, tx: &Tx<'_>, file: &Path) -> bool;
    /// Answers with its own result, or with what happened to the transaction.
    fn answer(self: Box<Self>, transaction: Result<(), BackendError>);
}

struct Step<F, T> {
    work: Option<F>,
    result: Option<Result<T, BackendError>>,
    reply: oneshot::Sender<Result<T, BackendError>>,
}

impl<F, T> Job for Step<F, T>
where
    F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send,
    T: Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>, file: &Path) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(tx)));
        let result = match result {
            Ok(result) => result.map_err(|fault| fault.into_backend(file)),
            Err(_) => Err(BackendError::Internal("a step panicked".to_owned())),
        };
        self.result.insert(result).is_ok()
    }

    fn answer(self: Box<Self>, transaction: Result<(), BackendError>) {
        let result = match (transaction, self.result) {
            // A job that failed by itself has its own reason.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(BackendError::Internal("a step did not run".to_owned())),
        };
        // The caller has gone. The step has happened all the same, as the contract allows.
        let _ = self.reply.send(result);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The writer's side that the rest of the process holds.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread. The connection and the lock live in it, and go in this order.
    pub(super) fn start(
        conn: Connection,
        lock: File,
        file: PathBuf,
        files: Arc<Files>,
        shared: Arc<Shared>,
    ) -> Result<Self, BackendError> {
        let (messages, inbox) = mpsc::channel(4 * MAX_JOBS);
        let thread = Thread {
            conn,
            file,
            files,
            shared,
            inbox,
        };
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || thread.run(lock))
            .map_err(|e| unavailable(format!("cannot start a thread: {e}")))?;
        Ok(Self { messages })
    }

    /// Runs a step and waits until it is durable. Backpressure: waits while the queue of jobs is full.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, BackendError> {
        let (reply, answer) = oneshot::channel();
        let step = Step {
            work: Some(work),
            result: None,
            reply,
        };
        let message = Message::Job(Box::new(step));
        self.messages.send(message).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets the jobs that wait finish, checkpoints and closes the file.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

pub(super) fn closed() -> BackendError {
    unavailable("it has been closed")
}

struct Thread {
    conn: Connection,
    file: PathBuf,
    // Dropped after the connection.
    files: Arc<Files>,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Message>,
}

impl Thread {
    fn run(mut self, lock: File) {
        let mut done = None;
        while done.is_none() {
            match self.inbox.blocking_recv() {
                Some(Message::Job(first)) => done = self.transaction(first),
                Some(Message::Close(reply)) => done = Some(reply),
                None => break,
            }
        }
        // From here on nobody can add a job; those that came before the end are still done.
        self.inbox.close();
        while let Some(message) = self.inbox.blocking_recv() {
            if let Message::Job(first) = message {
                drop(self.transaction(first));
            }
        }
        if let Err(error) = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "the last checkpoint failed; the next start will do it");
        }
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        drop(lock);
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Runs `first` and what else waits in one transaction. Returns whom to tell when asked to close.
    fn transaction(&mut self, first: Box<dyn Job>) -> Option<oneshot::Sender<()>> {
        let begun = Instant::now();
        let mut close = None;
        let mut effects = Effects::default();
        let mut ran: Vec<Box<dyn Job>> = Vec::new();
        let mut next = Some(first);
        let mut outcome = self.files.check().and_then(|()| self.begin());
        while let Some(mut job) = next.take() {
            if outcome.is_ok() && job.is_wanted() {
                outcome = self.step(job.as_mut(), &mut effects);
            }
            ran.push(job);
            if outcome.is_err() || ran.len() >= MAX_JOBS || begun.elapsed() >= MAX_TIME {
                break;
            }
            match self.inbox.try_recv() {
                Ok(Message::Job(job)) => next = Some(job),
                Ok(Message::Close(done)) => close = Some(done),
                Err(_) => {}
            }
        }
        let outcome = outcome.and_then(|()| self.commit());
        // A commit into files that are not there any more is not acknowledged.
        let outcome = outcome.and_then(|()| self.files.check());
        if outcome.is_ok() {
            self.shared.publish(&effects, ran.len());
        }
        for job in ran {
            job.answer(outcome.clone());
        }
        close
    }

    fn begin(&self) -> Result<(), BackendError> {
        self.roll_back();
        self.execute("BEGIN IMMEDIATE")
    }

    /// One job in its savepoint. An error means that the whole transaction is lost.
    fn step(&self, job: &mut dyn Job, effects: &mut Effects) -> Result<(), BackendError> {
        self.execute("SAVEPOINT step")?;
        let tx = Tx {
            conn: &self.conn,
            now: Timestamp::now(),
            effects: RefCell::default(),
            earlier: effects,
            shared: &self.shared,
        };
        if job.run(&tx, &self.file) {
            let own = tx.effects.into_inner();
            effects.wake |= own.wake;
            effects.configured.extend(own.configured);
        } else if self.conn.is_autocommit() {
            // SQLite gave up all of the transaction, as it does when the disk is full.
            return Err(unavailable(
                "another step in the same transaction failed; nothing of this one happened",
            ));
        } else {
            self.execute("ROLLBACK TO step")?;
        }
        self.execute("RELEASE step")
    }

    fn commit(&self) -> Result<(), BackendError> {
        self.execute("COMMIT").inspect_err(|_| self.roll_back())
    }

    /// Leaves no transaction open, whatever went wrong before.
    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "the database could not roll back");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), BackendError> {
        let done = self.conn.run(sql, []).map(|_| ());
        done.map_err(|fault| fault.into_backend(&self.file))
    }
}
