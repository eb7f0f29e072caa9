//! Shares, classes, bounds and what is remembered, without a clock.

use super::*;

const USUAL: Duration = Duration::from_micros(100);
const MOST: Duration = Duration::from_millis(10);

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
    for number in 0..100 {
        assert_eq!(queue.admit(&loud, number, USUAL, MOST), Ok(Vec::new()));
    }
    assert_eq!(queue.admit(&loud, 100, USUAL, MOST), Err(Full { ahead: MOST }));
    // Within its share it waits behind more than the loud one may, and is next.
    assert_eq!(queue.admit(&quiet, 1000, USUAL, MOST), Ok(Vec::new()));
    assert_eq!((queue.pop(), queue.pop()), (Some((0, USUAL)), Some((1000, USUAL))));
    // Beyond its share it may have no more ahead of it than the loud one, and the newest of whoever is furthest goes.
    for number in 1001..1003 {
        assert_eq!(queue.admit(&quiet, number, USUAL, MOST).map(|gone| gone.len()), Ok(number - 1001));
    }
    assert_eq!(queue.len(), 100);
}

#[test]
fn whoever_has_used_more_than_its_share_gives_way_though_its_jobs_are_long() {
    let long = MOST + USUAL;
    let (loud, quiet) = (standing("loud", Class::Normal, 1), standing("quiet", Class::Normal, 1));
    let mut queue = Queue::default();
    // One of them is at work, one waits, and that is all there is room for.
    assert_eq!(queue.admit(&loud, 0, long, MOST), Ok(Vec::new()));
    assert_eq!(queue.pop(), Some((0, long)));
    assert_eq!(queue.admit(&loud, 1, long, MOST), Ok(Vec::new()));
    assert_eq!(queue.admit(&loud, 2, long, MOST), Err(Full { ahead: long }));
    // Within its share it may wait longer, and is next all the same.
    assert_eq!(queue.admit(&quiet, 10, long, MOST), Ok(Vec::new()));
    assert_eq!(queue.admit(&quiet, 11, long, MOST), Err(Full { ahead: long * 2 }));
    assert_eq!((queue.pop(), queue.pop()), (Some((10, long)), Some((1, long))));
    // What it has used is not forgotten because nobody waits for a moment.
    assert_eq!(queue.admit(&loud, 3, long, MOST), Ok(Vec::new()));
    for number in 20..22 {
        let other = standing(&format!("other-{number}"), Class::Normal, 1);
        assert_eq!(queue.admit(&other, number, long, MOST), Ok(Vec::new()), "{number}");
    }
    let next = standing("next", Class::Normal, 1);
    assert_eq!(queue.admit(&next, 30, long, MOST), Ok(vec![3]), "the loud one gives way");
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
