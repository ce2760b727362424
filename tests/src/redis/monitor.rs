//! What clients send to a server.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, RedisServer};
use crate::process::KillOnDrop;

impl RedisServer {
    /// The commands that clients send from now on for so long, as `MONITOR` shows them. What scripts do
    /// inside is not among them.
    ///
    /// # Panics
    /// If the server does not let itself be listened to.
    #[must_use]
    pub fn commands_during(&self, span: Duration) -> Vec<String> {
        let child = self
            .redis_cli()
            .arg("monitor")
            .stdout(Stdio::piped())
            .spawn();
        let mut child = KillOnDrop(child.expect("redis-cli runs"));
        let stdout = child.0.stdout.take().expect("piped");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let begun = lines.recv_timeout(PATIENCE);
        assert_eq!(begun.as_deref(), Ok("OK"));
        let end = Instant::now() + span;
        let mut commands = Vec::new();
        while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if !line.contains(" lua] ") {
                commands.push(line);
            }
        }
        commands
    }
}
