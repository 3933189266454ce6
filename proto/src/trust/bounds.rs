//! What one connection may ask of a listener, in HTTP/2 and in calls, whoever is at its other end.

use std::time::Duration;

use tonic::transport::Server;

/// Path, authority and metadata of a call of ours have some hundred bytes.
const HEADER_BYTES: u32 = 16 << 10;
/// Calls that their caller took back before we began with them.
const TAKEN_BACK: usize = 20;
/// Calls that we ended because their caller broke the rules.
const BROKEN: usize = 64;
/// What a call may send before we ask for more. Large messages are rare, and come all the same.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same of a whole connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Whoever vanished is noticed after both, so that nothing of it piles up.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// What differs between listeners.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Calls of one connection that are open at once.
    pub streams: u32,
    /// Calls of one connection that we are at, at once: reading them and making their answers.
    pub calls: usize,
    /// Until a call has its answer, or the first part of it.
    pub call: Duration,
    /// A connection's life. It is cut off then, whatever goes on.
    pub connection: Duration,
}

impl Bounds {
    /// A server that keeps them.
    pub fn server(self) -> Server {
        let Self { streams, calls, call, connection } = self;
        Server::builder()
            .max_concurrent_streams(streams)
            .concurrency_limit_per_connection(calls)
            .timeout(call)
            .max_connection_age(connection)
            // Without it, who does not answer to the farewell stays.
            .max_connection_age_grace(Duration::ZERO)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_max_pending_accept_reset_streams(Some(TAKEN_BACK))
            .http2_max_local_error_reset_streams(Some(BROKEN))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
    }
}

#[cfg(test)]
mod tests;
