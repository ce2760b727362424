//! HTTP/1.1 as it came over the wire.
//!
//! A receiver for finding faults has to show header names in the sender's spelling and order, which HTTP
//! libraries do not keep. So it reads requests itself: the head with `httparse`, then a body of known
//! length or in chunks, everything bounded.

use std::{io, time::Duration};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 200;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The minor version: 1 for HTTP/1.1.
    pub(crate) version: u8,
    /// In the sender's order and spelling.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The first header of this name, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    fn keeps_alive(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default();
        if connection.eq_ignore_ascii_case("close") {
            return false;
        }
        self.version == 1 || connection.eq_ignore_ascii_case("keep-alive")
    }
}

/// Why there is no request to be had from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The other side closed between requests, went away or said nothing for too long.
    #[error("the connection ended")]
    Closed,
    /// The bytes are not HTTP/1; the text says why.
    #[error("{0}")]
    Bad(&'static str),
    /// The body is larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// A server's side of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that were read and not used yet.
    buffer: Vec<u8>,
    keep_alive: bool,
    head_only: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            keep_alive: true,
            head_only: false,
        }
    }

    /// Whether another request may follow.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// The next request, whole. After an error the connection is of no more use.
    pub(crate) async fn read(&mut self, max_body: usize) -> Result<Request, ReadError> {
        self.keep_alive = false;
        let head_len = self.fill_head().await?;
        let mut request = parse_head(self.buffer.get(..head_len).unwrap_or_default())?;
        self.buffer.drain(..head_len);

        let framing = framing(&request)?;
        let expects = request.header("expect").unwrap_or_default();
        if expects.eq_ignore_ascii_case("100-continue") && framing != Framing::Length(0) {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        request.body = match framing {
            Framing::Length(length) if length > max_body => {
                return Err(ReadError::TooLarge(max_body));
            }
            Framing::Length(length) => self.take(length).await?,
            Framing::Chunked => self.chunked(max_body).await?,
        };
        self.keep_alive = request.keeps_alive();
        self.head_only = request.method == "HEAD";
        Ok(request)
    }

    /// Answers the request that was read last.
    pub(crate) async fn respond(
        &mut self,
        status: StatusCode,
        content_type: &str,
        body: &str,
    ) -> io::Result<()> {
        let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let mut text = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        if !bodiless {
            text.push_str(&format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        if !self.keep_alive {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        if !bodiless && !self.head_only {
            text.push_str(body);
        }
        self.stream.write_all(text.as_bytes()).await?;
        if !self.keep_alive {
            self.stream.shutdown().await?;
        }
        Ok(())
    }

    /// Reads up to the end of the head; its length.
    async fn fill_head(&mut self) -> Result<usize, ReadError> {
        let mut searched = 0;
        loop {
            // An end may straddle two reads, so the search starts a little before the new bytes.
            let from = usize::saturating_sub(searched, 3);
            let unread = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = unread.windows(4).position(|w| w == b"\r\n\r\n") {
                return Ok(from + at + 4);
            }
            if self.buffer.first() == Some(&0x16) {
                return Err(ReadError::Bad(
                    "TLS was spoken, but this receiver speaks plain HTTP: write http:// in the URL",
                ));
            }
            searched = self.buffer.len();
            if searched > MAX_HEAD {
                return Err(ReadError::Bad("the headers are larger than 64 KiB"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), ReadError> {
        let read = timeout(IDLE, self.stream.read_buf(&mut self.buffer)).await;
        match read {
            Ok(Ok(n)) if n > 0 => Ok(()),
            _ => Err(ReadError::Closed),
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// One line without its end; lines of chunk sizes and trailers are short.
    async fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let mut line = self.take(end + 2).await?;
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > 8 * 1024 {
                return Err(ReadError::Bad("a line in the chunked body is too long"));
            }
            self.more().await?;
        }
    }

    async fn chunked(&mut self, max_body: usize) -> Result<Vec<u8>, ReadError> {
        const BAD: ReadError = ReadError::Bad("the chunked body is malformed");
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|&b| b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).map_err(|_| BAD)?.trim();
            // from_str_radix would take a sign
            if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(BAD);
            }
            let size = usize::from_str_radix(size, 16).map_err(|_| BAD)?;
            if size > max_body.saturating_sub(body.len()) {
                return Err(ReadError::TooLarge(max_body));
            }
            if size == 0 {
                // the trailer, which nobody asked for
                for _ in 0..MAX_HEADERS {
                    if self.line().await?.is_empty() {
                        return Ok(body);
                    }
                }
                return Err(BAD);
            }
            body.append(&mut self.take(size).await?);
            if !self.line().await?.is_empty() {
                return Err(BAD);
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

fn parse_head(head: &[u8]) -> Result<Request, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(ReadError::Bad("there are more than 200 headers"));
        }
        _ => return Err(ReadError::Bad("what came is not an HTTP/1.1 request")),
    }
    Ok(Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        version: parsed.version.unwrap_or_default(),
        headers: parsed
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), h.value.to_vec()))
            .collect(),
        body: Vec::new(),
    })
}

/// How long the body is (RFC 9112 section 6.3). A request that could be understood in two ways is refused.
fn framing(request: &Request) -> Result<Framing, ReadError> {
    let all = |name: &str| {
        request
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .count()
    };
    match (all("transfer-encoding"), all("content-length")) {
        (0, 0) => Ok(Framing::Length(0)),
        (0, 1) => {
            let length = request.header("content-length").unwrap_or_default().trim();
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ReadError::Bad("Content-Length is not a number"));
            }
            // One that does not fit is larger than any limit.
            Ok(Framing::Length(length.parse().unwrap_or(usize::MAX)))
        }
        (1, 0)
            if request
                .header("transfer-encoding")
                .is_some_and(|v| v.trim().eq_ignore_ascii_case("chunked")) =>
        {
            Ok(Framing::Chunked)
        }
        _ => Err(ReadError::Bad(
            "the length of the body is ambiguous (Content-Length, Transfer-Encoding)",
        )),
    }
}
