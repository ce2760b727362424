//! Log lines on their way to standard error, which may be full, closed or stuck.
//!
//! Logging never delays or fails its caller: lines go through a bounded queue to a thread that writes them. What
//! cannot be written, or finds the queue full, is lost and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines, and bytes of them, that wait to be written.
const LINES: usize = 8192;
const BYTES: usize = 8 << 20;
/// Time for which the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Lines lost since the start of the process. There is one standard error, and so one count.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// The count of lines that were lost.
pub(super) fn lost() -> Counter {
    LOST.clone()
}

/// Waits until what has been logged is written, for a second at most.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    messages: SyncSender<Message>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    lost: Counter,
}

impl LogWriter {
    /// The writer to standard error, of which there is one.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn to_stderr() -> io::Result<Self> {
        let writer = Self::start(io::stderr(), lost())?;
        Ok(WRITER.get_or_init(|| writer).clone())
    }

    fn start(sink: impl Write + Send + 'static, lost: Counter) -> io::Result<Self> {
        let (messages, inbox) = sync_channel(LINES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (count, bytes) = (lost.clone(), Arc::clone(&waiting));
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&inbox, sink, &count, &bytes))?;
        Ok(Self {
            messages,
            waiting,
            lost,
        })
    }

    fn send(&self, line: &[u8]) {
        let length = line.len();
        let waiting = self.waiting.fetch_add(length, Ordering::Relaxed);
        let sent = waiting.saturating_add(length) <= BYTES
            && self.messages.try_send(Message::Line(line.to_vec())).is_ok();
        if !sent {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.lost.inc();
        }
    }

    fn flush(&self, at_most: Duration) {
        let (done, is_done) = sync_channel(1);
        let begun = Instant::now();
        let mut flush = Message::Flush(done);
        // A full queue may be emptied in time; if the sink is stuck, it is not.
        while let Err(TrySendError::Full(again)) = self.messages.try_send(flush) {
            if begun.elapsed() >= at_most {
                return;
            }
            flush = again;
            thread::sleep(Duration::from_millis(5));
        }
        // In time or not, the process ends now.
        let _ = is_done.recv_timeout(at_most.saturating_sub(begun.elapsed()));
    }
}

/// One line: whoever logs writes it whole.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Writes what comes, until nobody can log any more. A line that cannot be written is lost, and the next one is tried
/// all the same: a disk may get room again. Once it works again, it is said how many were lost.
fn write_all(
    inbox: &Receiver<Message>,
    mut sink: impl Write,
    lost: &Counter,
    waiting: &AtomicUsize,
) {
    let mut told = lost.get();
    let mut broken = false;
    while let Ok(message) = inbox.recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
        let missing = lost.get().saturating_sub(told);
        if missing > 0 {
            // A failed write may have left half a line.
            let start = if broken { "\n" } else { "" };
            let notice = format!("{start}hookbox: {missing} log lines were lost\n");
            if sink.write_all(notice.as_bytes()).is_ok() {
                told = told.saturating_add(missing);
            }
        }
        broken = sink.write_all(&line).is_err();
        if broken {
            lost.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    /// A sink that fails or waits as long as it is told to.
    #[derive(Clone, Default)]
    struct Sink {
        text: Arc<Mutex<Vec<u8>>>,
        fails: Arc<Mutex<bool>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.fails.lock().unwrap() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_once_it_can_be() {
        let (sink, lost) = (Sink::default(), Counter::default());
        let writer = LogWriter::start(sink.clone(), lost.clone()).unwrap();
        let minute = Duration::from_secs(60);
        *sink.fails.lock().unwrap() = true;
        for _ in 0..3 {
            writer.send(b"lost\n");
        }
        writer.flush(minute);
        assert_eq!(lost.get(), 3);
        *sink.fails.lock().unwrap() = false;
        writer.send(b"one\n");
        writer.send(b"two\n");
        writer.flush(minute);
        assert_eq!(lost.get(), 3);
        let text = String::from_utf8(sink.text.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "\nhookbox: 3 log lines were lost\none\ntwo\n");
    }

    /// Takes nothing before it is released.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_sink_that_is_stuck_and_the_queue_is_bounded() {
        let (release, released) = mpsc::channel();
        let lost = Counter::default();
        let writer = LogWriter::start(Stuck(released), lost.clone()).unwrap();
        let line = vec![b'x'; 100];
        for _ in 0..2 * LINES {
            writer.send(&line);
        }
        assert!(lost.get() >= LINES as u64 - 2, "{}", lost.get());
        let before = lost.get();
        writer.send(&vec![b'x'; BYTES]);
        assert_eq!(lost.get(), before + 1);
        drop(release);
        writer.flush(Duration::from_secs(60));
    }
}
