//! More than a server can do: a loud tenant is refused, cheaply and with a time to come back, and a quiet one is served.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_server::{KeyFile, Role, Settings};

use super::{CALL, Serving, connect, post, read};
use crate::harness::{allows_after, burn, host_of, records};

#[test]
fn a_loud_tenant_is_refused_and_a_quiet_one_is_served() {
    const LOUD: usize = 64;
    const EACH: usize = 40;
    const QUIET: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let (mut file, now) = (KeyFile::default(), jiff::Timestamp::now());
    let mut key = |tenant: &str| file.add(tenant, Role::Evaluator, now, None).unwrap().secret;
    let (loud, quiet) = (key("loud"), key("quiet"));
    std::fs::write(&path, file.text()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // The wait is long, so that what is refused is refused for the load.
    let settings = Settings { keys: Some(path), timeout: Duration::from_secs(5), ..Settings::default() };
    let serving = Serving::start(host_of(allows_after("", &burn(4_000_000)), ""), settings);
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let address = serving.address;
    let send = |key: &str, times: usize| {
        let mut stream = connect(address);
        let request = post("/v1/evaluate", &format!("Authorization: Bearer {key}\r\n"), CALL);
        let ask = |_| {
            stream.write_all(request.as_bytes()).unwrap();
            read(&mut stream).expect("every request is answered")
        };
        (0..times).map(ask).collect::<Vec<_>>()
    };
    let quiet_answers = std::thread::scope(|scope| {
        for _ in 0..LOUD {
            scope.spawn(|| {
                for answer in send(&loud, EACH) {
                    match answer.status {
                        200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                        503 => {
                            assert_eq!(answer.json()["code"], "overload");
                            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => panic!("{answer:?}"),
                    }
                }
            });
        }
        send(&quiet, QUIET)
    });
    assert!(quiet_answers.iter().all(|answer| answer.status == 200), "the quiet tenant is served");
    let (served, refused) = (served.into_inner(), refused.into_inner());
    assert_eq!(served + refused, LOUD * EACH);
    let schedule = serving.host.metrics().schedule;
    assert!(refused > 0 && schedule.most_waiting > 0, "{served} served, {refused} refused, {schedule:?}");
    assert_eq!(schedule.refused_overload, refused as u64);
    assert_eq!(records(&serving.host).len(), served + QUIET, "every answered decision is recorded, and no refusal");
    drop(Arc::clone(&serving.host));
}
