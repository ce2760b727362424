//! The demo's receiver: in this process, with the receiver's own HTTP, printing and checking.

use std::time::Duration;

use http::StatusCode;
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::{
    cli::{
        error::{CliError, CliResult},
        receiver::{Connection, Request, describe, listen},
    },
    model::Secret,
};

const MAX_BODY: usize = 1 << 20;

/// A receiver that keeps what it gets.
#[derive(Debug)]
pub(super) struct Catcher {
    port: u16,
    caught: Mutex<mpsc::Receiver<Caught>>,
}

/// One request as it came.
#[derive(Debug)]
pub(super) struct Caught {
    /// As `hookbox receiver` prints it.
    pub(super) text: String,
    pub(super) body: String,
    /// Whether both signatures are valid.
    pub(super) is_signed: bool,
}

impl Catcher {
    /// Listens on a free port until the process ends.
    pub(super) async fn start(secret: Secret) -> CliResult<Self> {
        let listener = listen(0).await?;
        let port = listener.local_addr()?.port();
        let (send, caught) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, peer)) = listener.accept().await {
                let (send, secret) = (send.clone(), secret.clone());
                number += 1;
                tokio::spawn(async move {
                    let mut connection = Connection::new(stream);
                    while let Ok(request) = connection.read(MAX_BODY).await {
                        let caught = catch(&request, number, &peer.ip().to_string(), &secret);
                        let _ = send.send(caught).await;
                        let answer = connection
                            .respond(StatusCode::OK, "text/plain", "Webhook received!\n")
                            .await;
                        if answer.is_err() || !connection.keeps_alive() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self {
            port,
            caught: Mutex::new(caught),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next request.
    pub(super) async fn next(&self, patience: Duration) -> CliResult<Caught> {
        let mut caught = self.caught.lock().await;
        match timeout(patience, caught.recv()).await {
            Ok(Some(caught)) => Ok(caught),
            _ => Err(CliError::failed("the receiver got nothing")),
        }
    }
}

fn catch(request: &Request, number: u64, peer: &str, secret: &Secret) -> Caught {
    let (text, is_signed) = describe(request, number, peer, secret);
    Caught {
        text,
        body: String::from_utf8_lossy(&request.body).into_owned(),
        is_signed,
    }
}
