//! Which API servers kept an asker waiting for nothing, a moment ago.
//!
//! An API server that starts without its etcd lets connections hang. Of the dozen checks of one look
//! only the first few wait for it then, instead of all in turn.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::host::HostError;

/// An API server that is up answers a read in milliseconds; one that is starting may take seconds.
const DEADLINE: Duration = Duration::from_secs(5);
/// Long enough for the rest of a look, and short enough that nobody who waits for the server to come
/// up notices.
const MOMENT: Duration = Duration::from_secs(1);

/// The servers, by address, and until when nobody waits for them.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    hung: Mutex<HashMap<String, Instant>>,
}

impl Servers {
    /// Awaits an answer of `server`, but neither for long nor once more right after nobody came.
    pub(crate) async fn answer<T>(
        &self,
        server: &str,
        service: &str,
        attempt: impl Future<Output = Result<T, HostError>> + Send,
    ) -> Result<T, HostError> {
        if self.until(server).is_some_and(|until| Instant::now() < until) {
            return Err(HostError::silent(service, "it let the connection before this one hang"));
        }
        timeout(DEADLINE, attempt).await.unwrap_or_else(|elapsed| {
            let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
            hung.insert(server.to_owned(), Instant::now() + MOMENT);
            Err(HostError::silent(service, elapsed))
        })
    }

    fn until(&self, server: &str) -> Option<Instant> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner).get(server).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_first_asker_waits_for_a_server_that_hangs() {
        let (servers, began) = (Servers::default(), Instant::now());
        let silent = |answer: Result<(), HostError>| {
            assert!(matches!(answer, Err(HostError::Silent { .. })), "{answer:?}");
        };
        silent(servers.answer("a:6443", "the API", pending()).await);
        assert_eq!(began.elapsed(), DEADLINE);
        silent(servers.answer("a:6443", "the API", pending()).await);
        servers.answer("b:6443", "the API", ready(Ok(()))).await.unwrap();
        assert_eq!(began.elapsed(), DEADLINE, "nobody waited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_later_it_is_asked_again() {
        let servers = Servers::default();
        servers.answer::<()>("a:6443", "the API", pending()).await.unwrap_err();
        tokio::time::advance(MOMENT).await;
        servers.answer("a:6443", "the API", ready(Ok(()))).await.unwrap();
    }
}
