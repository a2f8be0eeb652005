//! Work that takes longer than a task may, off the threads that serve sockets.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// Runs `work` on a thread for blocking work. A runtime of a single thread runs it as a task of its own instead: there nothing happens
/// beside it, so that simulations and tests repeat themselves exactly.
///
/// # Panics
/// Outside a runtime.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => tokio::spawn(async move { work() }),
        _ => tokio::task::spawn_blocking(work),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_single_thread_does_all() {
        let here = std::thread::current().id();
        assert_eq!(spawn_blocking(|| std::thread::current().id()).await.unwrap(), here);
        assert!(spawn_blocking(|| panic!("as a task would")).await.unwrap_err().is_panic());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn elsewhere_it_has_a_thread_of_its_own() {
        let worker = tokio::spawn(async { std::thread::current().id() }).await.unwrap();
        assert_ne!(spawn_blocking(|| std::thread::current().id()).await.unwrap(), worker);
    }
}
