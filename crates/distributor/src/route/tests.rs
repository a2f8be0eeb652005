//! Who gets a frame when ingesters refuse, vanish or lose their answers.

use flamelake_api::roles::IngesterSet;
use flamelake_config::ByteSize;
use flamelake_testkit::{FakeClock, FrameBuilder};
use parking_lot::Mutex;

use super::*;

/// What an ingester does with the next append; then it stores.
#[derive(Clone, Copy)]
enum Next {
    Refuse(ErrorCode),
    /// Stores, and its answer is lost.
    LoseAnswer,
}

#[derive(Default)]
struct Fake {
    plan: Mutex<Vec<Next>>,
    stored: Mutex<Vec<Bytes>>,
    calls: Mutex<usize>,
}

impl Fake {
    fn store(&self, frames: Vec<Bytes>) {
        let mut stored = self.stored.lock();
        for frame in frames {
            // As the real one: an id that is known is not stored again.
            if !stored.contains(&frame) {
                stored.push(frame);
            }
        }
    }
}

#[async_trait]
impl IngesterApi for Fake {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Outcome>, StatusError> {
        *self.calls.lock() += 1;
        let count = request.frames.len();
        match self.plan.lock().pop() {
            Some(Next::Refuse(code)) => Err(StatusError::new(code, "refused")),
            Some(Next::LoseAnswer) => {
                self.store(request.frames);
                Err(StatusError::unavailable("connection reset"))
            }
            None => {
                self.store(request.frames);
                Ok(vec![Ok(()); count])
            }
        }
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("not asked here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }
}

/// Service `a` belongs to ingester 0, then 1, then 2; `b` to 1, 2, 0.
struct Three([Arc<Fake>; 3]);

#[async_trait]
impl Ingesters for Three {
    fn all(&self) -> IngesterSet {
        let member = |at: usize| Member { name: at.to_string(), api: Arc::clone(&self.0[at]) as Arc<dyn IngesterApi> };
        IngesterSet { epoch: 1, members: (0..3).map(member).collect() }
    }

    fn for_service(&self, _: &TenantId, service_name: &str, count: usize) -> Vec<Member<dyn IngesterApi>> {
        let mut all = self.all().members;
        all.rotate_left(usize::from(service_name == "b"));
        all.truncate(count);
        all
    }

    async fn catch_up(&self, _: u64) -> Result<(), StatusError> {
        Ok(())
    }
}

fn three(plans: [&[Next]; 3]) -> (RoutedIngesters, [Arc<Fake>; 3]) {
    let fakes = plans.map(|plan| Arc::new(Fake { plan: Mutex::new(plan.to_vec()), ..Fake::default() }));
    let deps = RouteDeps {
        members: Arc::new(Three(fakes.clone())),
        clock: FakeClock::default().shared(),
        distributors: Distributors::alone(),
        registry: Registry::new(),
    };
    let config = DistributorConfig { service_rate_per_shard: ByteSize(1 << 20), ..DistributorConfig::default() };
    (RoutedIngesters::new(&config, deps).unwrap(), fakes)
}

fn frame(service: &str, number: u128) -> Bytes {
    let mut bytes = Vec::new();
    FrameBuilder::cpu(service).id_from(number).group(&[]).stack("main", &[1]).build().encode(&mut bytes);
    bytes.into()
}

async fn push(routed: &RoutedIngesters, frames: &[Bytes]) -> Vec<Outcome> {
    let tenant = TenantId::parse("t").unwrap();
    routed.append(AppendRequest { tenant, frames: frames.to_vec(), spread: Vec::new() }).await.unwrap()
}

fn stored(fakes: &[Arc<Fake>; 3]) -> [usize; 3] {
    [0, 1, 2].map(|at| fakes[at].stored.lock().len())
}

#[tokio::test]
async fn frames_go_to_their_owners_in_one_call_each() {
    let (routed, fakes) = three([&[], &[], &[]]);
    let outcomes = push(&routed, &[frame("a", 1), frame("b", 2), frame("a", 3), "no frame".into()]).await;
    assert_eq!(outcomes[..3], [Ok(()), Ok(()), Ok(())]);
    assert_eq!(outcomes[3].as_ref().unwrap_err().code, ErrorCode::DataLoss);
    assert_eq!(stored(&fakes), [2, 1, 0]);
    assert_eq!(*fakes[0].calls.lock(), 1);
}

#[tokio::test]
async fn a_refused_frame_goes_to_the_next() {
    for code in [ErrorCode::ResourceExhausted, ErrorCode::FailedPrecondition] {
        let (routed, fakes) = three([&[Next::Refuse(code)], &[], &[]]);
        assert_eq!(push(&routed, &[frame("a", 1), frame("b", 2)]).await, [Ok(()), Ok(())]);
        assert_eq!(stored(&fakes), [0, 2, 0]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_where_it_was_lost() {
    let (routed, fakes) = three([&[Next::LoseAnswer], &[], &[]]);
    assert_eq!(push(&routed, &[frame("a", 1)]).await, [Ok(())]);
    assert_eq!(stored(&fakes), [1, 0, 0]);
    // Lost twice: it may be stored, so nobody else gets it, even if the second word is a refusal.
    for second in [Next::LoseAnswer, Next::Refuse(ErrorCode::ResourceExhausted)] {
        let (routed, fakes) = three([&[second, Next::LoseAnswer], &[], &[]]);
        let outcome = push(&routed, &[frame("a", 1)]).await.remove(0);
        assert_eq!(outcome.unwrap_err().code, ErrorCode::Unavailable);
        assert_eq!(stored(&fakes), [1, 0, 0]);
    }
}

#[tokio::test]
async fn refused_by_all_is_told_by_the_last_word() {
    let refuse = |code| vec![Next::Refuse(code)];
    let plans = [
        refuse(ErrorCode::FailedPrecondition),
        refuse(ErrorCode::FailedPrecondition),
        refuse(ErrorCode::ResourceExhausted),
    ];
    let (routed, _) = three([&plans[0], &plans[1], &plans[2]]);
    assert_eq!(push(&routed, &[frame("a", 1)]).await[0].as_ref().unwrap_err().code, ErrorCode::ResourceExhausted);
    let (routed, _) = three([&plans[0], &plans[1], &plans[0]]);
    let outcome = push(&routed, &[frame("a", 1)]).await.remove(0);
    assert_eq!(told(outcome).unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_hot_service_is_spread_by_labels_and_a_series_stays_where_it_is() {
    let (routed, fakes) = three([&[], &[], &[]]);
    let tenant = TenantId::parse("t").unwrap();
    let send = async |frames: Vec<Bytes>, spread: Vec<u64>| {
        let outcomes = routed.append(AppendRequest { tenant: tenant.clone(), frames, spread }).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    };
    send(vec![frame("a", 1), frame("a", 2)], vec![0, 1]).await;
    assert_eq!(stored(&fakes), [2, 0, 0], "a cool service stays together");
    routed.heat.shards(&tenant, "a", 100 << 20);
    send((10..30).map(|number| frame("a", number)).collect(), (0..20).map(|at| at % 2).collect()).await;
    assert_eq!(stored(&fakes), [12, 10, 0]);
    send(vec![frame("b", 40), frame("b", 41)], vec![0, 1]).await;
    assert_eq!(stored(&fakes), [12, 12, 0], "another service is not spread");
}
