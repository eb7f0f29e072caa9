//! Shares, classes, bounds and what is remembered, without a clock.

use super::*;

const USUAL: Duration = Duration::from_micros(100);
const MOST: Duration = Duration::from_millis(10);
/// Usual jobs that may wait of a tenant that begins to use its share.
const FIRST: usize = 100 * BURST as usize;

fn standing(tenant: &str, class: Class, weight: u32) -> Standing {
    Standing { tenant: tenant.into(), class, weight, sheddable: true }
}

/// Fills a queue with so many jobs each, and counts whose the first `turns` are.
fn served(who: &[(Standing, usize)], turns: usize) -> Vec<usize> {
    let mut queue = Queue::default();
    for (place, (standing, jobs)) in who.iter().enumerate() {
        for _ in 0..*jobs {
            assert_eq!(queue.admit(standing, place, USUAL, Duration::MAX), Ok(Vec::new()));
        }
    }
    let mut counts = vec![0; who.len()];
    (0..turns).for_each(|_| counts[queue.pop().expect("there are enough jobs").0] += 1);
    counts
}

#[test]
fn tenants_share_by_weight_whatever_they_send() {
    let normal = |tenant, weight| standing(tenant, Class::Normal, weight);
    assert_eq!(served(&[(normal("a", 1), 1000), (normal("b", 1), 100)], 200), [100, 100]);
    assert_eq!(served(&[(normal("a", 1), 1000), (normal("b", 3), 1000)], 400), [100, 300]);
    assert_eq!(served(&[(normal("a", 1000), 2000), (normal("b", 1), 10)], 1003), [1001, 2]);
}

#[test]
fn urgent_classes_go_first_and_the_others_are_not_starved() {
    let who = [
        (standing("a", Class::Interactive, 1), 1000),
        (standing("b", Class::Normal, 1), 1000),
        (standing("c", Class::Bulk, 1), 1000),
    ];
    assert_eq!(served(&who, 200), [190, 0, 10]);
}

#[test]
fn a_quiet_tenant_gets_in_where_a_loud_one_has_filled_the_queue() {
    let (loud, quiet) = (standing("loud", Class::Normal, 1), standing("quiet", Class::Normal, 1));
    let mut queue = Queue::default();
    // A burst, and then no more than the bound while there is as much.
    for number in 0..FIRST {
        assert_eq!(queue.admit(&loud, number, USUAL, MOST), Ok(Vec::new()));
    }
    assert_eq!(queue.admit(&loud, FIRST, USUAL, MOST), Err(Full { ahead: MOST * BURST }));
    // The newest of whoever is furthest beyond its share goes.
    assert_eq!(queue.admit(&quiet, FIRST, USUAL, MOST), Ok(vec![FIRST - 1]));
    assert_eq!((queue.pop(), queue.pop()), (Some((0, USUAL)), Some((FIRST, USUAL))));
    while queue.len() > 99 {
        assert!(queue.admit(&loud, 400, USUAL, MOST).is_err() && queue.pop().is_some());
    }
    assert_eq!(queue.admit(&loud, 400, USUAL, MOST), Ok(Vec::new()));
    assert_eq!(queue.admit(&loud, 401, USUAL, MOST), Err(Full { ahead: MOST }));
}

#[test]
fn whoever_has_used_more_than_its_share_gives_way_though_its_jobs_are_long() {
    let long = MOST + USUAL;
    let (loud, quiet) = (standing("loud", Class::Normal, 1), standing("quiet", Class::Normal, 1));
    let mut queue = Queue::default();
    assert_eq!(queue.admit(&loud, 0, long, MOST), Ok(Vec::new()));
    assert_eq!(queue.pop(), Some((0, long)));
    // One is at work. What it has used is not forgotten because nobody waits for a moment.
    let newest = BURST - 2;
    for number in 1..=newest {
        assert_eq!(queue.admit(&loud, number, long, MOST), Ok(Vec::new()));
    }
    assert_eq!(queue.admit(&loud, 100, long, MOST), Err(Full { ahead: long * newest }));
    assert_eq!(queue.admit(&quiet, 101, long, MOST), Ok(Vec::new()));
    assert_eq!(queue.admit(&quiet, 102, long, MOST), Ok(vec![newest]), "the loud one gives way");
    assert_eq!([queue.pop(), queue.pop(), queue.pop()].map(|job| job.map(|(job, _)| job)), [101, 1, 102].map(Some));
    while queue.len() > 0 {
        assert!(queue.admit(&loud, 100, long, MOST).is_err() && queue.pop().is_some());
    }
    assert_eq!(queue.admit(&loud, 100, long, MOST), Ok(Vec::new()), "where nothing waits, anything may");
    assert_eq!(queue.admit(&loud, 100, long, MOST), Err(Full { ahead: long }));
}

#[test]
fn bulk_waits_and_is_never_refused_nor_does_it_keep_others_out() {
    let bulk = Standing { sheddable: false, ..standing("bulk", Class::Bulk, 1) };
    let mut queue = Queue::default();
    for number in 0..1000 {
        assert_eq!(queue.admit(&bulk, number, USUAL, MOST), Ok(Vec::new()));
    }
    assert_eq!(queue.admit(&standing("a", Class::Normal, 1), 1000, USUAL, MOST), Ok(Vec::new()));
    assert_eq!(queue.pop(), Some((1000, USUAL)));
}

#[test]
fn whoever_takes_longer_than_expected_gets_fewer_turns() {
    let (slow, quick) = (standing("slow", Class::Normal, 1), standing("quick", Class::Normal, 1));
    let mut queue = Queue::default();
    let mut counts = [0, 0];
    for _ in 0..20 {
        (0..2).for_each(|_| queue.admit(&slow, 0, USUAL, Duration::MAX).map(drop).expect("there is room"));
        (0..12).for_each(|_| queue.admit(&quick, 1, USUAL, Duration::MAX).map(drop).expect("there is room"));
    }
    for _ in 0..110 {
        let (who, expected) = queue.pop().expect("there are enough jobs");
        counts[who] += 1;
        let (standing, took) = if who == 0 { (&slow, USUAL * 10) } else { (&quick, USUAL) };
        queue.settle(standing, expected, took);
    }
    assert_eq!(counts[0] + counts[1], 110);
    assert!((8..=14).contains(&counts[0]), "{counts:?}");
}

#[test]
fn nothing_is_kept_of_those_who_are_gone() {
    let mut queue = Queue::default();
    for number in 0..1000 {
        let tenant = standing(&format!("t{number}"), Class::Normal, 1);
        assert_eq!(queue.admit(&tenant, number, USUAL, Duration::MAX), Ok(Vec::new()));
    }
    assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 1000);
    assert!(queue.classes.iter().all(|lines| lines.loaded.is_empty() && lines.cost.is_zero()));
    assert_eq!(queue.pop(), None);
    queue.forget();
    assert!(queue.classes.iter().all(|lines| lines.of.is_empty()));
    for number in 0..REMEMBERED + 50 {
        let tenant = standing(&format!("t{number}"), Class::Normal, 1);
        queue.admit(&tenant, number, USUAL, Duration::MAX).map(drop).expect("there is room");
        queue.pop();
    }
    assert!(queue.classes.iter().all(|lines| lines.of.len() <= REMEMBERED + 1), "strangers take no memory");
}

/// Random arrivals at one core: who is refused, when one tenant asks for ten times what there is.
#[test]
fn quiet_tenants_are_not_refused_by_chance() {
    const COST: f64 = 4e6;
    let tenants: Vec<(Standing, f64)> = (0..5)
        .map(|number| (standing(&format!("t{number}"), Class::Normal, 1), if number == 0 { 9.6 } else { 0.1 }))
        .collect();
    let mut random = 1_u64;
    let mut gap = |rate: f64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        -(1.0 - (random >> 11) as f64 / (1u64 << 53) as f64).ln() * COST / rate
    };
    let mut queue = Queue::default();
    let mut next: Vec<f64> = tenants.iter().map(|(_, rate)| gap(*rate)).collect();
    let (mut free_at, mut sent, mut refused) = (0.0, [0; 5], [0; 5]);
    let usual = Duration::from_nanos(COST as u64);
    while sent[1] < 5_000 {
        let (who, at) = (0..5).map(|who| (who, next[who])).min_by(|a, b| a.1.total_cmp(&b.1)).expect("five of them");
        while free_at <= at && queue.len() > 0 {
            let (_, expected) = queue.pop().expect("somebody waits");
            free_at += COST;
            assert_eq!(expected, usual);
        }
        next[who] += gap(tenants[who].1);
        sent[who] += 1;
        if free_at <= at {
            free_at = at + COST;
            continue;
        }
        match queue.admit(&tenants[who].0, who, usual, MOST) {
            Ok(gone) => gone.into_iter().for_each(|other| refused[other] += 1),
            Err(_) => refused[who] += 1,
        }
    }
    let (quiet_sent, quiet_refused): (u64, u64) = (sent[1..].iter().sum(), refused[1..].iter().sum());
    assert!(quiet_refused * 1_000 <= quiet_sent, "{refused:?} of {sent:?}");
}
