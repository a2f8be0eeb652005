//! An S3 server without conditional creates: a proxy before a real one that takes `If-None-Match` out of every request and signs it anew, so
//! that each put overwrites, as Garage's do.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use aws_lc_rs::{digest, hmac};

use crate::s3_server::SECRET_KEY;

const HEAD_BYTES_MAX: usize = 64 << 10;
const CONDITION: &str = "if-none-match";

/// Listens until the process ends; each connection carries one request.
#[derive(Debug)]
pub struct S3WithoutCreate {
    endpoint: String,
}

impl S3WithoutCreate {
    /// Before the server at `host:port`.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn before(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = listener.local_addr()?.to_string();
        let server = server.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = server.clone();
                // A broken connection is the client's to notice.
                std::thread::spawn(move || drop(carry(client, &server)));
            }
        });
        Ok(Self { endpoint })
    }

    /// `host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

fn carry(mut client: TcpStream, server: &str) -> io::Result<()> {
    let (head, rest) = read_head(&mut client)?;
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(without_condition(&head).as_bytes())?;
    upstream.write_all(&rest)?;
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut upstream, &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn read_head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes).map_err(io::Error::other)?, rest));
        }
        let read = client.read(&mut part)?;
        if read == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

/// The head with `Connection: close`, so that no second request slips through unseen.
fn without_condition(head: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let request = lines.next().unwrap_or_default();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| name != "connection")
        .collect();
    let conditional = headers.iter().any(|(name, _)| name == CONDITION);
    let mut out = format!("{request}\r\nconnection: close\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| name != CONDITION) {
        let value = if conditional && name == "authorization" { sign(request, &headers, value) } else { value.clone() };
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out + "\r\n"
}

/// AWS signature version 4 of the request without its condition (a put: it has no query).
fn sign(request: &str, headers: &[(String, String)], authorization: &str) -> String {
    let field = |name: &str| {
        let from = authorization.find(name).map_or(0, |at| at + name.len());
        authorization[from..].split(',').next().unwrap_or_default().trim()
    };
    let (scope, signed) = (field("Credential="), field("SignedHeaders="));
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let signed: Vec<&str> = signed.split(';').filter(|name| *name != CONDITION).collect();
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let listed: String = signed.iter().map(|name| format!("{name}:{}\n", header(name))).collect();
    let names = signed.join(";");
    let canonical = format!("{method}\n{path}\n{query}\n{listed}\n{names}\n{}", header("x-amz-content-sha256"));
    let (key_id, scope) = scope.split_once('/').unwrap_or_default();
    let hash = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", header("x-amz-date"));
    let mac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part).as_ref().to_vec();
    }
    let signature = hex::encode(mac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}")
}
