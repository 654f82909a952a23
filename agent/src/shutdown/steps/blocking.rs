use std::thread;

use tokio::sync::oneshot;

/// A few system calls need little.
const STACK_BYTES: usize = 128 * 1024;

/// Runs on a thread of its own what the kernel may never return from. If this is dropped, the thread is left to itself,
/// and keeps neither the agent from going on nor from ending.
pub(super) async fn run<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (done, ended) = oneshot::channel();
    let body = move || drop(done.send(work()));
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(|error| format!("starting a thread: {error}"))?;
    ended.await.map_err(|_| "its thread ended early".to_owned())
}
