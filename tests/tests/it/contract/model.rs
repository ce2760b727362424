//! Random sequences of transitions, against a model small enough to be seen to be right.
//!
//! The model predicts each delivery's state and counters, how many deliveries a claim gives, and which
//! leases count; so no delivery is ever lost, in two states, claimed after it was cancelled, or settled
//! by a lease that was superseded.

use std::{collections::BTreeMap, time::Duration};

use hookbox::{
    backend::{DeliveryFilter, LeaseToken, Settled, Status},
    config::QueueLimits,
    model::{DeliveryId, Webhook, WebhookId},
    record::Next,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::bed::{Bed, LIMITS, LONG, Open, tenant, webhook};

const WEBHOOKS: usize = 3;
const CAP: usize = 2;
const MAX_RECEIVES: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    Toggle(usize),
    /// With a lease that lasts, or one that has expired when the next claim comes.
    Claim {
        max: usize,
        lasting: bool,
    },
    Settle(usize, End),
    Release(usize),
    PutOff(usize),
    Renew(usize),
    Cancel(usize),
    Requeue(usize),
}

#[derive(Clone, Debug)]
enum End {
    Finished,
    Skip,
    Fail,
    RetryNow,
    RetryLater,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        Just(End::Finished),
        Just(End::Skip),
        Just(End::Fail),
        Just(End::RetryNow),
        Just(End::RetryLater)
    ];
    prop_oneof![
        4 => (0..WEBHOOKS).prop_map(Op::Send),
        1 => (0..WEBHOOKS).prop_map(Op::Toggle),
        5 => (0usize..4, any::<bool>()).prop_map(|(max, lasting)| Op::Claim { max, lasting }),
        5 => (any::<usize>(), end).prop_map(|(i, end)| Op::Settle(i, end)),
        1 => any::<usize>().prop_map(Op::Release),
        1 => any::<usize>().prop_map(Op::PutOff),
        1 => any::<usize>().prop_map(Op::Renew),
        1 => any::<usize>().prop_map(Op::Cancel),
        1 => any::<usize>().prop_map(Op::Requeue),
    ]
}

#[derive(Debug)]
struct Expected {
    webhook: usize,
    status: Status,
    due: bool,
    attempts: u32,
    total: u32,
    receives: u32,
    /// The lease that counts, and whether it lasts.
    lease: Option<(LeaseToken, bool)>,
}

struct World {
    bed: Bed,
    hooks: Vec<Webhook>,
    model: BTreeMap<DeliveryId, Expected>,
    /// Every token ever given out.
    tokens: Vec<LeaseToken>,
}

pub(crate) async fn random_transitions_agree_with_the_model(open: Open) {
    let running = move || {
        let runtime = tokio::runtime::Handle::current();
        let config = Config {
            cases: 24,
            failure_persistence: None,
            max_shrink_iters: 200,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&vec(op(), 1..60), |ops| {
                runtime.block_on(async {
                    let mut world = World::new(open).await;
                    for op in ops {
                        world.step(op).await;
                        world.compare().await;
                    }
                });
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(running).await.unwrap();
}

impl World {
    async fn new(open: Open) -> Self {
        let limits = QueueLimits {
            max_receives: MAX_RECEIVES,
            max_in_flight: CAP as u32,
            ..LIMITS
        };
        let bed = open(limits).await;
        let mut hooks = Vec::new();
        for _ in 0..WEBHOOKS {
            let hook = webhook(|_| ());
            bed.put_webhook(&tenant("t"), &hook, None).await.unwrap();
            hooks.push(hook);
        }
        Self {
            bed,
            hooks,
            model: BTreeMap::new(),
            tokens: Vec::new(),
        }
    }

    fn any_delivery(&self, index: usize) -> Option<DeliveryId> {
        let count = self.model.len().max(1);
        self.model.keys().nth(index % count).cloned()
    }

    /// Any token, and whether it counts.
    fn any_token(&self, index: usize) -> Option<(LeaseToken, bool)> {
        let token = self.tokens.get(index % self.tokens.len().max(1))?;
        let lease = &self.model[&token.delivery].lease;
        Some((
            token.clone(),
            lease.as_ref().is_some_and(|(held, _)| held == token),
        ))
    }

    fn place(&self, id: &WebhookId) -> usize {
        self.hooks.iter().position(|hook| hook.id == *id).unwrap()
    }

    async fn step(&mut self, op: Op) {
        let t = tenant("t");
        match op {
            Op::Send(webhook) => {
                let id = self.bed.send_one(&t, &self.hooks[webhook].id).await;
                let expected = Expected {
                    webhook,
                    status: Status::Queued,
                    due: true,
                    attempts: 0,
                    total: 0,
                    receives: 0,
                    lease: None,
                };
                self.model.insert(id, expected);
            }
            Op::Toggle(index) => {
                self.hooks[index].spec.enabled ^= true;
                self.bed
                    .put_webhook(&t, &self.hooks[index], None)
                    .await
                    .unwrap();
            }
            Op::Claim { max, lasting } => self.claim(max, lasting).await,
            Op::Settle(index, end) => {
                let Some((token, counts)) = self.any_token(index) else {
                    return;
                };
                let (next, status, due) = match end {
                    End::Finished => (Next::Finished, Status::Finished, false),
                    End::Skip => (Next::Skip(String::new()), Status::Skipped, false),
                    End::Fail => (Next::Fail("no".to_owned()), Status::Failed, false),
                    End::RetryNow => (Next::Retry(Duration::ZERO), Status::Scheduled, true),
                    End::RetryLater => (Next::Retry(LONG), Status::Scheduled, false),
                };
                let settled = self.bed.end(&token, next).await;
                assert_eq!(
                    settled,
                    if counts {
                        Settled::Done
                    } else {
                        Settled::LeaseLost
                    }
                );
                if counts {
                    let expected = self.model.get_mut(&token.delivery).unwrap();
                    (expected.status, expected.due) = (status, due);
                    expected.attempts += 1;
                    expected.total += 1;
                    expected.receives = 0;
                    expected.lease = None;
                }
            }
            Op::Release(index) | Op::PutOff(index) => {
                let Some((token, counts)) = self.any_token(index) else {
                    return;
                };
                if matches!(op, Op::Release(_)) {
                    let released = self.bed.release(std::slice::from_ref(&token));
                    released.await.unwrap();
                } else {
                    let defer = self.bed.defer(&token, Duration::ZERO, "not ready");
                    defer.await.unwrap();
                }
                if counts {
                    let expected = self.model.get_mut(&token.delivery).unwrap();
                    (expected.status, expected.due) = (Status::Queued, true);
                    expected.receives -= 1;
                    expected.lease = None;
                }
            }
            Op::Renew(index) => {
                let Some((token, counts)) = self.any_token(index) else {
                    return;
                };
                let lost = self
                    .bed
                    .renew(std::slice::from_ref(&token), LONG)
                    .await
                    .unwrap();
                assert_eq!(lost.is_empty(), counts);
                if counts {
                    let expected = self.model.get_mut(&token.delivery).unwrap();
                    expected.lease = Some((token, true));
                }
            }
            Op::Cancel(index) => {
                let Some(id) = self.any_delivery(index) else {
                    return;
                };
                let expected = self.model.get_mut(&id).unwrap();
                let may = matches!(expected.status, Status::Queued | Status::Scheduled);
                assert_eq!(self.bed.cancel(&t, &id).await.is_ok(), may);
                if may {
                    expected.status = Status::Cancelled;
                }
            }
            Op::Requeue(index) => {
                let Some(id) = self.any_delivery(index) else {
                    return;
                };
                let expected = self.model.get_mut(&id).unwrap();
                let may = expected.status.is_ended() || expected.status == Status::Scheduled;
                assert_eq!(self.bed.requeue(&t, &id).await.is_ok(), may);
                if may {
                    (expected.status, expected.due) = (Status::Queued, true);
                    (expected.attempts, expected.receives) = (0, 0);
                }
            }
        }
    }

    async fn claim(&mut self, max: usize, lasting: bool) {
        for expected in self.model.values_mut() {
            if matches!(expected.lease, Some((_, false))) {
                expected.lease = None;
                expected.total += 1;
                let poisonous = expected.receives >= MAX_RECEIVES;
                expected.status = if poisonous {
                    Status::Failed
                } else {
                    Status::Queued
                };
                expected.due = true;
            }
        }
        let mut claimable = 0;
        for (index, hook) in self.hooks.iter().enumerate() {
            let of = || self.model.values().filter(|e| e.webhook == index);
            let waiting = of().filter(|e| is_claimable(e)).count();
            let room = CAP - of().filter(|e| e.lease.is_some()).count();
            claimable += if hook.spec.enabled {
                waiting.min(room)
            } else {
                0
            };
        }
        let lease = if lasting { LONG } else { Duration::ZERO };
        let claim = self.bed.claim_for(max, lease).await;
        assert_eq!(claim.leased.len(), claimable.min(max));
        assert_eq!(
            claim.next_due == Some(Duration::ZERO),
            claimable > max || (!lasting && !claim.leased.is_empty()),
        );
        for leased in claim.leased {
            let webhook = self.place(&leased.delivery.webhook);
            assert!(self.hooks[webhook].spec.enabled);
            let expected = self.model.get_mut(&leased.delivery.id).unwrap();
            assert!(
                is_claimable(expected),
                "{} was claimed as {expected:?}",
                leased.delivery.id
            );
            expected.status = Status::Started;
            expected.receives += 1;
            for token in self
                .tokens
                .iter()
                .filter(|token| token.delivery == leased.delivery.id)
            {
                assert!(leased.token.fence > token.fence);
            }
            self.tokens.push(leased.token.clone());
            expected.lease = Some((leased.token, lasting));
        }
    }

    async fn compare(&self) {
        let t = tenant("t");
        let all = DeliveryFilter::default();
        let page = self.bed.deliveries(&t, &all, 1000, None).await.unwrap();
        assert_eq!(page.results.len(), self.model.len());
        for found in &page.results {
            let expected = &self.model[&found.id];
            let counters = (
                found.status,
                found.attempts,
                found.total_attempts,
                found.receives,
            );
            let predicted = (
                expected.status,
                expected.attempts,
                expected.total,
                expected.receives,
            );
            assert_eq!(counters, predicted, "{expected:?}");
        }
        let view = self.bed.overview(Some(&t)).await.unwrap();
        let scan = self.bed.scan(&t).await;
        for (status, counted) in [
            (Status::Queued, view.queued),
            (Status::Started, view.started),
            (Status::Scheduled, view.scheduled),
            (Status::Finished, view.finished),
            (Status::Failed, view.failed),
            (Status::Skipped, view.skipped),
            (Status::Cancelled, view.cancelled),
        ] {
            assert_eq!(counted, scan.get(&status).copied().unwrap_or(0), "{status}");
        }
    }
}

fn is_claimable(expected: &Expected) -> bool {
    expected.due && matches!(expected.status, Status::Queued | Status::Scheduled)
}
