//! Long work gives the thread back between pieces. No runtime is named here: any executor polls again after the wake.

use std::task::Poll;

/// Samples between two pauses: about half a millisecond of summing.
pub const SAMPLES_BETWEEN_PAUSES: usize = 128 * 1024;

/// Lets other tasks run once. A dropped query ends at such a point.
pub async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
