//! Several processes at once, each of which may die at any moment, over a store and a receiver that lose answers.

use super::*;
use flamelake_object_storage::faulty::{Fault, Operation};
use flamelake_testkit::seeded_rng;

const PROCESSES: usize = 3;

#[tokio::test]
async fn no_window_is_missing_and_none_has_two_values() {
    let mut rng = seeded_rng("no_window_is_missing_and_none_has_two_values");
    for _ in 0..40 {
        story(&mut rng).await;
    }
}

async fn story(rng: &mut impl rand::Rng) {
    let world = World::new(RecordingRulesConfig::default());
    let start = world.now_ms();
    world.rules().upsert(&tenant("a"), rule("m", "some")).await.unwrap();
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| run(&world.rules())).collect();
    for _ in 0..60 {
        match rng.random_range(0..10) {
            0 => {
                let dies = rng.random_range(0..PROCESSES);
                processes[dies].0.abort();
                processes[dies] = run(&world.rules());
            }
            1 => {
                let operation =
                    [Operation::Create, Operation::Get, Operation::List, Operation::Delete][rng.random_range(0..4)];
                let fault = if rng.random_bool(0.5) { Fault::LoseAnswer } else { Fault::Fail };
                world.faults.next(operation, rng.random_range(1..4), fault);
            }
            2 => {
                let answer = if rng.random_bool(0.5) { Answer::Fail } else { Answer::TakeAndFail };
                world.taken.answers.lock().push_back(answer);
            }
            // Nobody does anything meanwhile: all begin at once.
            3 => world.clock.advance(Duration::from_secs(rng.random_range(60..200))),
            _ => {
                world.clock.advance(Duration::from_secs(rng.random_range(1..40)));
                for _ in 0..rng.random_range(0..60) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    world.faults.clear();
    world.taken.answers.lock().clear();
    world.pass(MINUTE * 3).await;
    let mut values: BTreeMap<i64, f64> = BTreeMap::new();
    for (at, value) in world.taken.of("m") {
        assert_eq!(*values.entry(at).or_insert(value), value, "two values at {at}");
    }
    let due = (world.now_ms() - start) / 60_000 - 1;
    assert_eq!(values.into_keys().collect::<Vec<_>>(), ends(start, due));
    for (task, stop) in processes {
        stop.cancel();
        task.await.unwrap();
    }
}
