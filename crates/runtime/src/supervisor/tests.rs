//! Supervision in virtual time.

use std::convert::Infallible;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn note(&self, what: &'static str) {
        self.0.lock().push(what);
    }

    fn read(&self) -> Vec<&'static str> {
        self.0.lock().clone()
    }
}

fn until_stopped(
    diary: &Diary,
    name: &'static str,
) -> impl FnOnce(CancellationToken) -> Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>> {
    let diary = diary.clone();
    move |stop| {
        Box::pin(async move {
            stop.cancelled().await;
            diary.note(name);
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn parts_stop_in_reverse_order() {
    let (mut supervisor, diary) = (Supervisor::new(), Diary::default());
    supervisor.task("first", SECOND, until_stopped(&diary, "first"));
    let hook = diary.clone();
    supervisor.on_stop("second", SECOND, async move { hook.note("second") });
    supervisor.task("third", SECOND, until_stopped(&diary, "third"));
    assert_eq!(supervisor.run_until(async {}).await, Ok(()));
    assert_eq!(diary.read(), ["third", "second", "first"]);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the paused clock of the test runtime")]
async fn a_part_that_is_late_is_cut_off() {
    let (mut supervisor, diary) = (Supervisor::new(), Diary::default());
    supervisor.task("first", SECOND, until_stopped(&diary, "first"));
    supervisor.task("stuck", SECOND, |_| async { std::future::pending::<Result<(), Infallible>>().await });
    supervisor.on_stop("stuck too", SECOND, std::future::pending());
    let started = tokio::time::Instant::now();
    assert_eq!(supervisor.run_until(async {}).await, Ok(()));
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_eq!(diary.read(), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_gone_ends_the_process() {
    #[derive(Debug, thiserror::Error)]
    #[error("disk is full")]
    struct DiskFull;

    async fn outcome<F: Future<Output = Result<(), DiskFull>> + Send + 'static>(
        task: F,
    ) -> (Vec<&'static str>, String) {
        let (mut supervisor, diary) = (Supervisor::new(), Diary::default());
        supervisor.task("base", SECOND, until_stopped(&diary, "base"));
        supervisor.task("worker", SECOND, |_| task);
        let error = supervisor.run_until(std::future::pending()).await.unwrap_err();
        (diary.read(), error.to_string())
    }
    assert_eq!(outcome(async { Err(DiskFull) }).await, (vec!["base"], "worker failed: disk is full".to_owned()));
    assert_eq!(outcome(async { Ok(()) }).await, (vec!["base"], "worker ended by itself".to_owned()));
    assert_eq!(outcome(async { panic!("lost {}", 7) }).await, (vec!["base"], "worker panicked: lost 7".to_owned()));
}
