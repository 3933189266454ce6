//! Each bound bites, by frames that no client of ours would send, over a connection in memory.

use std::convert::Infallible;

use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use super::*;
use crate::trust::enrol::enrol_server::{Enrol, EnrolServer};
use crate::trust::enrol::{ClaimReply, ClaimRequest};

const BOUNDS: Bounds = Bounds {
    streams: 4,
    calls: 2,
    call: Duration::from_secs(5),
    connection: Duration::from_mins(5),
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Answers nothing but that it was reached.
struct Reached;

#[tonic::async_trait]
impl Enrol for Reached {
    async fn claim(&self, _: Request<ClaimRequest>) -> Result<Response<ClaimReply>, Status> {
        Err(Status::already_exists(""))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// One end of a connection, as a stranger's program would use it.
struct Stranger {
    stream: DuplexStream,
    answers_pings: bool,
}

impl Stranger {
    async fn connect() -> Self {
        let (stream, theirs) = duplex(1 << 20);
        let server = BOUNDS.server().add_service(EnrolServer::new(Reached));
        let incoming = stream::iter([Ok::<_, Infallible>(theirs)]);
        tokio::spawn(server.serve_with_incoming(incoming));
        let mut stranger = Self { stream, answers_pings: true };
        stranger.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stranger.send(SETTINGS, 0, 0, &[]).await;
        stranger
    }

    /// The other end may hang up while we write.
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await.ok();
    }

    /// The next frame that is not about the connection's health, until the other end hangs up.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            // Whoever stays as long as may be does not take leave.
            self.answers_pings &= kind != GO_AWAY;
            if kind != PING {
                return Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload });
            } else if flags != ACK && self.answers_pings {
                self.send(PING, ACK, 0, &payload).await;
            }
        }
    }

    async fn hear_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.hear().await.expect("the other end hung up first");
            if kind == frame.kind {
                return frame;
            }
        }
    }

    /// How long until the other end hangs up.
    async fn cut_off_after(&mut self) -> Duration {
        let began = Instant::now();
        let cut_off = async { while self.hear().await.is_some() {} };
        timeout(BOUNDS.connection * 2, cut_off).await.expect("it is not cut off");
        began.elapsed()
    }
}

/// The head of a call: POST, https, path, authority.
fn call() -> Vec<u8> {
    let path = b"/quorate.enrol.v1.Enrol/Claim";
    let length = u8::try_from(path.len()).unwrap();
    [b"\x83\x87\x04".as_slice(), &[length], path, b"\x01\x01x"].concat()
}

/// Of the n-th call of a connection.
fn id(n: u32) -> u32 {
    2 * n + 1
}

#[tokio::test(start_paused = true)]
async fn the_bounds_are_told() {
    let mut stranger = Stranger::connect().await;
    let settings = stranger.hear_of(SETTINGS).await.payload;
    let mut told: Vec<(u16, u32)> = settings
        .chunks(6)
        .map(|pair| {
            let [a, b, value @ ..]: [u8; 6] = pair.try_into().unwrap();
            (u16::from_be_bytes([a, b]), u32::from_be_bytes(value))
        })
        .collect();
    told.retain(|(name, _)| [3, 4, 6].contains(name));
    assert_eq!(told, [(3, BOUNDS.streams), (4, STREAM_WINDOW), (6, HEADER_BYTES)]);
    let more = stranger.hear_of(WINDOW_UPDATE).await;
    assert_eq!((more.stream, more.number(0)), (0, CONNECTION_WINDOW - 65_535));
}

#[tokio::test(start_paused = true)]
async fn a_call_too_many_is_refused_alone() {
    let mut stranger = Stranger::connect().await;
    for n in 0..=BOUNDS.streams {
        stranger.send(HEADERS, END_HEADERS, id(n), &call()).await;
    }
    let refused = stranger.hear_of(RST_STREAM).await;
    assert_eq!((refused.stream, refused.number(0)), (id(BOUNDS.streams), REFUSED_STREAM));
    stranger.send(DATA, END_STREAM, id(0), &[0; 5]).await;
    assert_eq!(stranger.hear_of(HEADERS).await.stream, id(0));
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_come_whole_are_ended_and_others_wait_for_them() {
    let mut stranger = Stranger::connect().await;
    let began = Instant::now();
    for n in 0..2 {
        stranger.send(HEADERS, END_HEADERS, id(n), &call()).await;
    }
    stranger.send(HEADERS, END_HEADERS, id(2), &call()).await;
    stranger.send(DATA, END_STREAM, id(2), &[0; 5]).await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(stranger.hear_of(HEADERS).await.stream);
    }
    assert_eq!(began.elapsed().as_secs(), BOUNDS.call.as_secs());
    assert_eq!(ended.pop(), Some(id(2)), "{ended:?} were ended first");
}

#[tokio::test(start_paused = true)]
async fn metadata_above_the_limit_is_refused_and_the_connection_goes_on() {
    let mut stranger = Stranger::connect().await;
    // One field of 16,378 bytes after the call's own, in a second frame: each frame has 16 KiB at most.
    let field = [b"\x00\x01x\x7f\xfb\x7e".as_slice(), &[b'x'; 16_378]].concat();
    stranger.send(HEADERS, END_STREAM, id(0), &call()).await;
    stranger.send(9, END_HEADERS, id(0), &field).await;
    let answer = stranger.hear_of(HEADERS).await;
    // HPACK's words for the status 431: a name of its table, and three digits by Huffman's code.
    assert_eq!(answer.payload, b"\x48\x83\x69\x90\xff");
    stranger.send(HEADERS, END_HEADERS, id(1), &call()).await;
    stranger.send(DATA, END_STREAM, id(1), &[0; 5]).await;
    assert_eq!(stranger.hear_of(HEADERS).await.stream, id(1));
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_calls_back_or_sends_broken_ones_is_told_to_calm_down() {
    let cancel = 8_u32.to_be_bytes();
    let mut stranger = Stranger::connect().await;
    for n in 0..=u32::try_from(TAKEN_BACK).unwrap() + BOUNDS.streams {
        stranger.send(HEADERS, END_HEADERS, id(n), &call()).await;
        stranger.send(RST_STREAM, 0, id(n), &cancel).await;
    }
    assert_eq!(stranger.hear_of(GO_AWAY).await.number(4), ENHANCE_YOUR_CALM);

    // The method twice.
    let broken = [b"\x83".as_slice(), &call()].concat();
    let mut stranger = Stranger::connect().await;
    for n in 0..u32::try_from(BROKEN).unwrap() {
        stranger.send(HEADERS, END_HEADERS, id(n), &broken).await;
        assert_eq!(stranger.hear_of(RST_STREAM).await.stream, id(n));
    }
    stranger.send(HEADERS, END_HEADERS, id(BROKEN.try_into().unwrap()), &broken).await;
    assert_eq!(stranger.hear_of(GO_AWAY).await.number(4), ENHANCE_YOUR_CALM);
}

#[tokio::test(start_paused = true)]
async fn whoever_vanishes_is_noticed() {
    let mut stranger = Stranger::connect().await;
    stranger.answers_pings = false;
    let after = stranger.cut_off_after().await;
    assert_eq!(after.as_secs(), (KEEP_ALIVE + KEEP_ALIVE_ANSWER).as_secs());
}

#[tokio::test(start_paused = true)]
async fn no_connection_outlives_its_time_whatever_is_under_way() {
    let mut stranger = Stranger::connect().await;
    stranger.send(HEADERS, END_HEADERS, id(0), &call()).await;
    let after = stranger.cut_off_after().await;
    assert_eq!(after.as_secs(), BOUNDS.connection.as_secs());
}
