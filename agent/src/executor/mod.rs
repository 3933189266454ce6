//! Between the two processes of an agent: the front end, which the network reaches, asks the executor,
//! which is root.
//!
//! One connection is one call: a request, then its replies. A request is plain data of a closed set of
//! calls. Who calls is told with it for records; what is asked is judged again, whoever asks.

mod call;
mod client;
mod frame;
mod listener;

pub use call::{Call, Reply, Request};
pub use client::{Away, OverSocket};
pub use frame::FrameError;
use futures_util::stream::BoxStream;
pub use listener::{CallError, attend, listen};

/// Where an installed executor is called. The folder is root's: nobody else can put a socket there.
pub const SOCKET: &str = "/run/quorate-executor/executor.sock";
/// The user that the front end runs as, alone on the machine.
pub const USER: &str = "quorate-agent";
/// The unit that the front end runs in.
pub const UNIT: &str = "quorate-agent.service";
/// Calls at once, of all operators: the front end asks for no more, and the executor takes no more.
const CALLS: usize = 64;

/// The replies to one call, as they come.
pub type Replies = BoxStream<'static, Result<Reply, Away>>;

/// What carries out calls: a worker, or the socket that leads to one.
pub trait Execute: Send + Sync {
    /// The call begins when its replies are asked for. Whoever drops them hears no more; an
    /// operation goes on.
    fn call(&self, request: Request) -> Replies;
}

#[cfg(test)]
mod tests;
