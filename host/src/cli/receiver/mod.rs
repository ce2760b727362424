//! `hookbox receiver`: shows the requests that a webhook makes.

mod http1;
mod show;
mod signature;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use http::StatusCode;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

pub(super) use http1::{Connection, ReadError, Request};
use show::Received;

use super::{
    error::{CliError, CliResult},
    terminal::JsonLine,
};
use crate::model::{Secret, Timestamp};

/// Connections served at once; more wait.
const MAX_CONNECTIONS: usize = 256;

/// Show incoming webhook requests, as NetBox's webhook_receiver does
///
/// Listens on loopback, prints every request and answers it. JSON bodies are indented, other text is
/// printed as it is, binary data as a summary. Control characters are shown as escapes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox receiver
  hookbox receiver --port 9001 --no-headers
  hookbox receiver --secret-file secret.txt     verify the signatures of what comes
  hookbox receiver --fail-every 3               see retries: every third request gets 500
  hookbox receiver --port 0 --json | jq .body   for scripts; the first line tells the URL")]
pub(super) struct ReceiverArgs {
    /// Port to listen on; 0 for a free one, which is printed
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Do not print the requests' headers
    #[arg(long)]
    no_headers: bool,
    /// Status code of the answers
    #[arg(long, value_name = "CODE", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Seconds to wait before each answer
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    delay: Duration,
    /// Answer every Nth request with 500
    #[arg(long, value_name = "N")]
    fail_every: Option<NonZeroU64>,
    /// The webhook's secret: verify X-Hook-Signature and webhook-signature with it. Other users of the
    /// machine can see it on the command line; prefer --secret-file or the variable
    #[arg(long, env = "HOOKBOX_RECEIVER_SECRET", hide_env_values = true, conflicts_with = "secret_file",
        value_parser = clap::builder::ValueParser::from(secret))]
    secret: Option<Secret>,
    /// File that holds the webhook's secret
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Print one line of JSON for each request
    #[arg(long)]
    json: bool,
    /// Largest body to accept, in bytes; larger ones get 413
    #[arg(long, value_name = "BYTES", default_value_t = 10 * 1024 * 1024)]
    max_body: usize,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a clap value parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err("must be from 0 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// State that the connections share.
struct Shared {
    args: ReceiverArgs,
    secret: Option<Secret>,
    /// How many requests there were. Held while one is printed, so that numbers and output agree.
    counter: Mutex<u64>,
    failed_output: mpsc::UnboundedSender<io::Error>,
}

pub(super) async fn run(args: ReceiverArgs) -> CliResult {
    let secret = match &args.secret_file {
        Some(path) => {
            let bytes = super::terminal::read_input(path, 64 * 1024)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| CliError::failed(format!("{} is not text", path.display())))?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        None => args.secret.clone(),
    };
    let listener = listen(args.port).await?;
    let port = listener.local_addr()?.port();
    let mut out = io::stdout();
    if args.json {
        writeln!(
            out,
            "{}",
            serde_json::json!({"listening": format!("http://127.0.0.1:{port}")})
        )?;
    } else {
        writeln!(
            out,
            "Listening on port http://localhost:{port}. Stop with CONTROL-C."
        )?;
    }
    out.flush()?;

    let quiet_end = args.json;
    let (failed_output, mut output_errors) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        args,
        secret,
        counter: Mutex::new(0),
        failed_output,
    });
    let stopped = super::stop_signal()?;
    tokio::select! {
        () = serve(listener, shared) => Ok(()),
        Some(error) = output_errors.recv() => Err(error.into()),
        () = stopped => {
            if !quiet_end {
                writeln!(io::stdout(), "\nExiting...")?;
            }
            Ok(())
        }
    }
}

/// Binds a port of the loopback address.
pub(super) async fn listen(port: u16) -> CliResult<TcpListener> {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    TcpListener::bind(address).await.map_err(|e| {
        CliError::failed(match e.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "port {port} is in use: stop what listens there, or choose another with --port"
                )
            }
            _ => format!("cannot listen on {address}: {e}"),
        })
    })
}

/// A request as it is printed, and whether it carries both signatures of `secret`; for the demo.
pub(super) fn describe(
    request: &Request,
    number: u64,
    peer: &str,
    secret: &Secret,
) -> (String, bool) {
    let at = Timestamp::now();
    let verdict = signature::verify(request, secret, at);
    let received = Received {
        number,
        at,
        peer,
        request,
        status: StatusCode::OK.as_u16(),
        signature: Some(&verdict),
    };
    (received.text(true), verdict.is_complete())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _permit = permit;
                    shared.connection(stream, peer).await;
                });
            }
            // Out of file descriptors, most likely: closing connections will help.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Shared {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let mut connection = Connection::new(stream);
        loop {
            let request = match connection.read(self.args.max_body).await {
                Ok(request) => request,
                Err(ReadError::Closed) => return,
                Err(error) => {
                    let status = match error {
                        ReadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                        _ => StatusCode::BAD_REQUEST,
                    };
                    let _ = writeln!(
                        io::stderr(),
                        "refused a request from {}: {error}",
                        peer.ip()
                    );
                    let _ = connection
                        .respond(status, "text/plain", &format!("{error}\n"))
                        .await;
                    return;
                }
            };
            let status = match self.show(&request, peer) {
                Ok(status) => status,
                Err(error) => {
                    let _ = self.failed_output.send(error);
                    return;
                }
            };
            tokio::time::sleep(self.args.delay).await;
            let body = match status.is_success() {
                true => "Webhook received!\n".to_owned(),
                false => format!("The receiver was told to answer {}.\n", status.as_u16()),
            };
            let sent = connection.respond(status, "text/plain", &body).await;
            if sent.is_err() || !connection.keeps_alive() {
                return;
            }
        }
    }

    /// Counts and prints a request; the status to answer with.
    fn show(&self, request: &Request, peer: SocketAddr) -> io::Result<StatusCode> {
        let at = Timestamp::now();
        let verdict = self
            .secret
            .as_ref()
            .map(|secret| signature::verify(request, secret, at));
        let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
        *counter += 1;
        let number = *counter;
        let fails = self.args.fail_every.is_some_and(|n| number % n == 0);
        let status = if fails { 500 } else { self.args.status };
        let received = Received {
            number,
            at,
            peer: &peer.ip().to_string(),
            request,
            status,
            signature: verdict.as_ref(),
        };
        let text = if self.args.json {
            format!("{}\n", JsonLine(&received.json()))
        } else {
            received.text(!self.args.no_headers)
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(StatusCode::from_u16(status).unwrap_or(StatusCode::OK))
    }
}
