//! Turns that are shared out fairly: of those who wait, the key (tenant) that had the fewest turns lately is served first, not the one who came
//! first. Somebody who asks a thousand times at once takes no more than his share from one who asks once, and who asks for little hardly waits.
//! Keys that had as many are served in rotation.
//!
//! Two grains: [`FairTurns::acquire`] holds a turn for as long as it lives, [`FairTurns::share`] while a future computes. Such a future
//! keeps its turn over awaits at which it has woken itself (it only lets others run), so that the rest waits here and not in
//! the runtime's queue, in order of arrival; it hands the turn on when somebody waits who had no more, and gives it back when it waits itself.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Turns are forgotten by halves each time that so many were taken: what counts is the last second or so, and nobody who is new is served alone for longer.
const FORGET_EVERY: u64 = 256;

/// In whose name turns are taken.
pub trait Key: Hash + Eq + Clone + Send + Sync + Unpin + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + Unpin + 'static> Key for K {}

/// A number of turns. Clones share them.
pub struct FairTurns<K: Key> {
    inner: Arc<Mutex<Inner<K>>>,
}

impl<K: Key> std::fmt::Debug for FairTurns<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("FairTurns").field("free", &inner.free).field("keys_waiting", &inner.rotation.len()).finish()
    }
}

impl<K: Key> Clone for FairTurns<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<K: Key> {
    free: usize,
    /// Never empty lists.
    waiting: HashMap<K, VecDeque<oneshot::Sender<Turn<K>>>>,
    /// The keys of `waiting`, whose turn is next first.
    rotation: VecDeque<K>,
    /// Turns that each key has taken lately; no entry = none.
    taken: HashMap<K, u64>,
    /// Turns taken in all.
    all_taken: u64,
}

/// A turn; dropping it hands it on.
#[derive(Debug)]
pub struct Turn<K: Key> {
    /// `None`: handed on already.
    of: Option<FairTurns<K>>,
}

impl<K: Key> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(turns) = self.of.take() {
            turns.hand_on();
        }
    }
}

impl<K: Key> FairTurns<K> {
    /// So many at the same time, at least one.
    pub fn new(turns: usize) -> Self {
        let inner = Inner {
            free: turns.max(1),
            waiting: HashMap::new(),
            rotation: VecDeque::new(),
            taken: HashMap::new(),
            all_taken: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// One for each core of the machine.
    pub fn one_a_core() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// A turn, if one is free and nobody waits.
    pub fn try_acquire(&self) -> Option<Turn<K>> {
        let mut inner = self.inner.lock();
        inner.free = inner.free.checked_sub(1)?;
        Some(Turn { of: Some(self.clone()) })
    }

    /// Waits for a turn. Dropping the future leaves the line.
    pub async fn acquire(&self, key: &K) -> Turn<K> {
        loop {
            let turn = {
                let mut inner = self.inner.lock();
                // Free turns and somebody who waits are never there together.
                if let Some(free) = inner.free.checked_sub(1) {
                    inner.free = free;
                    inner.count(key);
                    return Turn { of: Some(self.clone()) };
                }
                inner.enqueue(key)
            };
            // The sender is dropped only with all turns; then there is nobody to be fair to.
            if let Ok(turn) = turn.await {
                return turn;
            }
        }
    }

    /// The future, which computes only in turns of `key`.
    pub fn share<F: Future>(&self, key: K, future: F) -> Shared<K, F> {
        let (turns, flag) = (self.clone(), Arc::new(Flag::default()));
        Shared { turns, key, turn: None, waiting: None, flag, future: Box::pin(future) }
    }

    /// Counts one more stretch of a turn that `key` has; true if it should rather be handed on.
    fn is_wanted(&self, key: &K) -> bool {
        let mut inner = self.inner.lock();
        let own = inner.taken_by(key);
        if inner.waiting.keys().any(|other| inner.taken_by(other) <= own) {
            return true;
        }
        inner.count(key);
        false
    }

    fn hand_on(&self) {
        let mut turn = Turn { of: Some(self.clone()) };
        loop {
            let Some(next) = self.inner.lock().next() else {
                turn.of = None;
                return;
            };
            // Who has left the line gives the turn back.
            match next.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
    }
}

impl<K: Key> Inner<K> {
    fn enqueue(&mut self, key: &K) -> oneshot::Receiver<Turn<K>> {
        let (sender, receiver) = oneshot::channel();
        match self.waiting.get_mut(key) {
            Some(line) => {
                // Leavers are cleared away where they would pile up.
                if line.len().is_power_of_two() {
                    line.retain(|waiter| !waiter.is_closed());
                }
                line.push_back(sender);
            }
            None => {
                self.waiting.insert(key.clone(), VecDeque::from([sender]));
                self.rotation.push_back(key.clone());
            }
        }
        receiver
    }

    fn taken_by(&self, key: &K) -> u64 {
        self.taken.get(key).copied().unwrap_or_default()
    }

    fn count(&mut self, key: &K) {
        match self.taken.get_mut(key) {
            Some(taken) => *taken += 1,
            None => drop(self.taken.insert(key.clone(), 1)),
        }
        self.all_taken += 1;
        if self.all_taken.is_multiple_of(FORGET_EVERY) {
            self.taken.values_mut().for_each(|taken| *taken /= 2);
            self.taken.retain(|_, taken| *taken > 0);
        }
    }

    /// Who is next; with nobody there the turn is free.
    fn next(&mut self) -> Option<oneshot::Sender<Turn<K>>> {
        // Of several that had as few, the one who waits longest.
        while let Some(at) = (0..self.rotation.len()).min_by_key(|at| self.taken_by(&self.rotation[*at])) {
            let Some(key) = self.rotation.remove(at) else { break };
            let Some(mut line) = self.waiting.remove(&key) else { continue };
            let next = line.pop_front();
            self.count(&key);
            if !line.is_empty() {
                self.waiting.insert(key.clone(), line);
                self.rotation.push_back(key);
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }
}

/// See [`FairTurns::share`].
pub struct Shared<K: Key, F> {
    turns: FairTurns<K>,
    key: K,
    turn: Option<Turn<K>>,
    waiting: Option<Pin<Box<dyn Future<Output = Turn<K>> + Send>>>,
    flag: Arc<Flag>,
    future: Pin<Box<F>>,
}

/// Passes wakes on, and remembers that there was one.
#[derive(Debug, Default)]
struct Flag {
    woken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<K: Key, F> std::fmt::Debug for Shared<K, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<K: Key, F> Shared<K, F> {
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn<K>> {
        // Among the tasks of its own key this one is the last then.
        if self.turn.is_some() && self.turns.is_wanted(&self.key) {
            self.turn = None;
        }
        if let Some(turn) = self.turn.take() {
            return Poll::Ready(turn);
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let (turns, key) = (self.turns.clone(), self.key.clone());
            Box::pin(async move { turns.acquire(&key).await })
        });
        let turn = std::task::ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(turn)
    }
}

impl<K: Key, F: Future> Future for Shared<K, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let turn = std::task::ready!(self.poll_turn(context));
        self.flag.woken.store(false, Ordering::Release);
        self.flag.waker.lock().clone_from(&Some(context.waker().clone()));
        let waker = Waker::from(Arc::clone(&self.flag));
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        // Not kept by who waits for something else, nor by who is done.
        self.turn = (polled.is_pending() && self.flag.woken.load(Ordering::Acquire)).then_some(turn);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    /// The order in which everybody is served who came in this one, with one turn.
    fn order(came: &str) -> String {
        let turns = FairTurns::new(1);
        let mut running = turns.try_acquire();
        let mut waiting: Vec<_> = came
            .chars()
            .map(|key| {
                (
                    key,
                    Box::pin({
                        let turns = turns.clone();
                        async move { turns.acquire(&key).await }
                    }),
                )
            })
            .collect();
        for (_, future) in &mut waiting {
            assert!(poll(future).is_pending());
        }
        let mut served = String::new();
        while !waiting.is_empty() {
            drop(running.take());
            let at = (0..waiting.len()).find(|at| match poll(&mut waiting[*at].1) {
                Poll::Ready(turn) => {
                    running = Some(turn);
                    true
                }
                Poll::Pending => false,
            });
            served.push(waiting.remove(at.expect("a turn that is free goes to somebody")).0);
        }
        served
    }

    #[test]
    fn keys_take_turns_whoever_came_first() {
        assert_eq!(order("aaaaaaab"), "abaaaaaa");
        assert_eq!(order("aabbccc"), "abcabcc");
    }

    #[test]
    fn who_had_less_goes_first_and_old_turns_are_forgotten() {
        let turns = FairTurns::new(1);
        let take = |key: char, times: u64| (0..times).for_each(|_| drop(poll(&mut Box::pin(turns.acquire(&key)))));
        let first = || {
            let running = turns.try_acquire().unwrap();
            let (mut a, mut b) = (Box::pin(turns.acquire(&'a')), Box::pin(turns.acquire(&'b')));
            assert!(poll(&mut a).is_pending() && poll(&mut b).is_pending());
            drop(running);
            if poll(&mut a).is_ready() { 'a' } else { 'b' }
        };
        take('a', 20);
        take('b', 10);
        assert_eq!(first(), 'b');
        take('c', 10 * FORGET_EVERY);
        assert_eq!(first(), 'a', "as many, so who came first");
    }

    #[test]
    fn who_leaves_takes_no_turn_and_none_is_lost() {
        let turns = FairTurns::new(1);
        let running = turns.try_acquire().unwrap();
        let mut leaver = Box::pin(turns.acquire(&'a'));
        let mut stays = Box::pin(turns.acquire(&'b'));
        assert!(poll(&mut leaver).is_pending() && poll(&mut stays).is_pending());
        drop(leaver);
        drop(running);
        let Poll::Ready(turn) = poll(&mut stays) else { panic!("the turn of who left is lost") };
        let mut granted = Box::pin(turns.acquire(&'a'));
        assert!(poll(&mut granted).is_pending());
        drop(turn);
        // It was granted a turn that it never looked at.
        drop(granted);
        assert!(turns.try_acquire().is_some());
        assert!(turns.try_acquire().is_some(), "the one before was given back at once");
    }

    /// As long work does between its pieces.
    async fn pause() {
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

    #[tokio::test]
    async fn a_small_task_among_many_large_ones_computes_almost_at_once() {
        let turns = FairTurns::new(1);
        let stretches = Arc::new(AtomicUsize::new(0));
        let task = |key: char, count: usize| {
            let stretches = Arc::clone(&stretches);
            turns.share(key, async move {
                for _ in 0..count {
                    stretches.fetch_add(1, Ordering::Relaxed);
                    pause().await;
                }
                stretches.load(Ordering::Relaxed)
            })
        };
        let flood: Vec<_> = (0..100).map(|_| tokio::spawn(task('a', 1_000_000))).collect();
        while stretches.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        let before = stretches.load(Ordering::Relaxed);
        let done = tokio::spawn(task('b', 10)).await.unwrap();
        assert!(done - before <= 14, "10 stretches took until {} others were done", done - before);
        flood.into_iter().for_each(|large| large.abort());
    }

    #[tokio::test]
    async fn who_waits_for_something_else_holds_no_turn() {
        let turns = FairTurns::new(1);
        let (sender, receiver) = oneshot::channel::<()>();
        let waits = tokio::spawn(turns.share('a', receiver));
        tokio::task::yield_now().await;
        assert!(turns.try_acquire().is_some());
        drop(sender);
        assert!(waits.await.unwrap().is_err());
    }
}
