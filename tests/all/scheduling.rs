//! Who is judged when more ask than there are cores: by weight and class, whatever the others send; and who is refused.
//!
//! The order of the records is the order of the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use weir::{Caller, Class, Refusal, RefusalReason, Request, Runtime};

use crate::harness::{allows_after, asked, burn, host, patient, records};

/// Fuel of an evaluation: some hundreds of microseconds in a test.
const FUEL: u64 = 2_000_000;
const TENANTS: &str = "[tenants.heavy]\nweight = 3\n[tenants.\"urgent/*\"]\nclass = \"interactive\"\n";

fn busy(tenants: &str) -> Arc<Runtime> {
    let set = format!("set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\n{tenants}");
    Arc::new(host(&patient(&set), &[("p.wasm", allows_after("", &burn(FUEL)))]).unwrap())
}

fn of(tenant: &str, number: usize) -> Request {
    asked(&format!(r#"{{"id":"{tenant}-{number}","checkpoint":"test","tenant":"{tenant}"}}"#))
}

fn caller(class: Class) -> Caller {
    Caller { class, until: Some(Instant::now() + Duration::from_secs(600)) }
}

/// Tenants in the order in which they were answered.
fn order(host: &Runtime) -> Vec<String> {
    records(host).iter().map(|record| record["decision"]["tenant"].as_str().unwrap().to_owned()).collect()
}

fn count(order: &[String], tenant: &str) -> usize {
    order.iter().filter(|other| *other == tenant).count()
}

/// Judges so many requests of a loud tenant at once, and forty of a quiet one beside them, one after the other: whoever never has
/// more than one waiting never has most. How many of the loud one's were judged, and how many refused.
async fn loud_beside_quiet(host: &Arc<Runtime>, loud: usize) -> (usize, usize) {
    let all_here = Arc::new(tokio::sync::Barrier::new(loud));
    let ask = |number: usize| {
        let (host, all_here, request) = (Arc::clone(host), Arc::clone(&all_here), of("loud", number));
        tokio::spawn(async move {
            all_here.wait().await;
            host.evaluate_for(request, caller(Class::Normal)).await
        })
    };
    let loud: Vec<_> = (0..loud).map(ask).collect();
    let quiet = {
        let host = Arc::clone(host);
        tokio::spawn(async move {
            for number in 0..40 {
                host.evaluate_for(of("quiet", number), caller(Class::Normal)).await.unwrap();
            }
        })
    };
    quiet.await.unwrap();
    let (mut served, mut refused) = (0, 0);
    for task in loud {
        match task.await.unwrap() {
            Ok(_) => served += 1,
            Err(Refusal { reason, retry_after }) => {
                assert!(reason == RefusalReason::Overload && !retry_after.is_zero());
                refused += 1;
            }
        }
    }
    (served, refused)
}

#[test]
fn a_quiet_tenant_is_judged_beside_a_loud_one_and_what_is_refused_is_the_loud_ones() {
    const LOUD: usize = 4_000;
    /// On a machine that does other things, too, the requests may come in so slowly that none is too many.
    const ROUNDS: usize = 20;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (host, served, refused) = (0..ROUNDS)
        .map(|_| {
            let host = busy("");
            let (served, refused) = runtime.block_on(loud_beside_quiet(&host, LOUD));
            (host, served, refused)
        })
        .find(|(_, _, refused)| *refused > 0)
        .expect("somebody is refused");
    let schedule = host.metrics().schedule;
    assert!(schedule.most_waiting > 0 && schedule.waiting == 0, "{schedule:?}");
    assert_eq!(schedule.refused_overload, refused as u64);
    assert_eq!(order(&host).len(), served + 40, "each answer has its record, and no refusal");
}

/// How many of two tenants' requests were judged while both had more waiting.
fn shares() -> (usize, usize) {
    const EACH: usize = 300;
    let host = busy(TENANTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let all_here = Arc::new(tokio::sync::Barrier::new(2 * EACH));
    runtime.block_on(async {
        let requests = (0..EACH).flat_map(|number| [of("light", number), of("heavy", number)]);
        let tasks = requests.map(|request| {
            let (host, all_here) = (Arc::clone(&host), Arc::clone(&all_here));
            tokio::spawn(async move {
                all_here.wait().await;
                // Nobody is refused who can wait for ever.
                host.evaluate(request).await
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let order = order(&host);
    assert_eq!((count(&order, "light"), count(&order, "heavy")), (EACH, EACH));
    // At the beginning not all have joined the queue, and three quarters of the way the heavy one is through.
    let both = &order[50..350];
    (count(both, "light"), count(both, "heavy"))
}

#[test]
fn shares_go_by_weight() {
    /// On a machine that does other things, too, some join the queue late, and some turns take longer than others: the round in the
    /// middle tells.
    const ROUNDS: usize = 9;
    let mut rounds: Vec<(usize, usize)> = (0..ROUNDS).map(|_| shares()).collect();
    rounds.sort_unstable();
    let (light, heavy) = rounds[ROUNDS / 2];
    assert!(3 * light <= 2 * heavy, "light and heavy: {rounds:?}");
}

#[test]
fn urgent_tenants_go_first_and_bulk_waits_for_all() {
    let host = busy(TENANTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let bulk = host.evaluate_all(futures_util::stream::iter((0..400).map(|number| of("bulk", number))));
        let bulk = tokio::spawn(bulk.collect::<Vec<_>>());
        let urgent = |number: usize| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.evaluate(of("urgent/a", number)).await })
        };
        let urgent: Vec<_> = (0..50).map(urgent).collect();
        for task in urgent {
            task.await.unwrap();
        }
        assert_eq!(bulk.await.unwrap().len(), 400);
    });
    let order = order(&host);
    let last = order.iter().rposition(|tenant| tenant == "urgent/a").unwrap();
    assert!(last < 250, "the last urgent answer is number {last}");
}

#[test]
fn whoever_would_not_wait_so_long_is_told_so() {
    let host = busy("");
    let late = Caller { class: Class::Normal, until: Some(Instant::now()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ahead = |number: usize| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.evaluate(of("ahead", number)).await })
        };
        let ahead: Vec<_> = (0..200).map(ahead).collect();
        let mut refused = 0;
        for number in 0..200 {
            let end = host.evaluate_for(of("late", number), late).await;
            refused += usize::from(end.is_err_and(|refusal| refusal.reason == RefusalReason::Late));
            tokio::task::yield_now().await;
        }
        assert!(refused > 0);
        assert_eq!(host.metrics().schedule.refused_late, refused as u64);
        for task in ahead {
            task.await.unwrap();
        }
    });
}

#[test]
fn whoever_goes_away_while_waiting_leaves_a_record_and_holds_nobody_up() {
    let host = busy("");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ask = |number: usize| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.evaluate(of("t", number)).await })
        };
        let tasks: Vec<_> = (0..400).map(ask).collect();
        for task in tasks.iter().skip(1).step_by(2) {
            task.abort();
        }
        let mut judged = 0;
        for task in tasks {
            judged += usize::from(task.await.is_ok());
        }
        assert!((200..400).contains(&judged), "{judged} of 400");
        // All slots came home.
        let after: Vec<_> = (400..440).map(ask).collect();
        for task in after {
            assert!(task.await.unwrap().policies()[0].outcome.is_ok());
        }
    });
    assert_eq!(host.metrics().schedule.waiting, 0);
    let records = records(&host);
    // A task that was aborted before it first ran has asked nothing.
    assert!((240..=440).contains(&records.len()), "{}", records.len());
    for record in &records {
        let policy = &record["decision"]["policies"][0];
        assert!(policy["failure"]["kind"] == "cancelled" || policy["effect"] == "allow", "{record}");
    }
}

#[test]
fn plain_threads_wait_for_their_turn_as_tasks_do() {
    let host = busy("");
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let host = &host;
            scope.spawn(move || {
                for number in 0..20 {
                    assert!(host.evaluate_blocking(of(&format!("t{thread}"), number)).policies()[0].outcome.is_ok());
                }
            });
        }
    });
    assert_eq!(records(&host).len(), 320);
    assert_eq!(host.metrics().schedule.waiting, 0);
}
