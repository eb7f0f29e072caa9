//! Our own client in Rust: it cannot fail, it can only deny.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use weir_client::{Client, Decision, Effect};
use weir_server::{KeyFile, Role, Settings};

use super::Serving;
use super::encrypted::Place;
use crate::harness::{allows_after, constant, host_of};

const PATIENCE: Duration = Duration::from_secs(60);

fn wait<T>(asked: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

fn denied(decision: &Decision, why: &str) {
    assert_eq!((decision.effect, decision.decided_by.as_slice()), (Effect::Deny, &["client".to_owned()][..]));
    assert!(decision.problem.as_ref().unwrap().contains(why), "{why}: {decision:?}");
}

#[test]
fn it_is_answered_as_the_library_answers() {
    let verdict = r#"{"effect":"review","findings":[{"code":"x.y","severity":"low","message":"m","at":"/content/0/text","start":0,"end":2}],
        "edits":[{"at":"/content/0/text","start":0,"end":2,"replacement":"*"}],"scores":{"risk":0.5},"obligations":[{"name":"tell","because":["us"]}]}"#;
    let serving = Serving::start(host_of(constant(verdict), ""), Settings::default());
    let client = Client::builder(format!("http://{}/", serving.address)).timeout(PATIENCE).build().unwrap();
    let request = json!({"checkpoint": "test", "content": [{"text": "hello"}]});
    wait(async {
        let decision = client.evaluate(&request).await;
        assert_eq!((decision.effect, decision.problem.as_ref()), (Effect::Review, None), "{decision:?}");
        assert_eq!((decision.findings[0].code.as_str(), decision.findings[0].end), ("x.y", Some(2)));
        assert_eq!((decision.edits[0].replacement.as_str(), decision.scores["risk"]), ("*", 0.5), "{decision:?}");
        assert_eq!(
            (&decision.obligations[0].because[0], &decision.obligations[0].policies[0]),
            (&"us".to_owned(), &"p".to_owned())
        );
        assert!(decision.record.is_some() && decision.decided_by == ["p"]);
        denied(&client.evaluate(&json!({"checkpoint": "Bad"})).await, "bad_request");
        let batch = client.evaluate_batch(&[request.clone(), json!({"checkpoint": "Bad"}), request.clone()]).await;
        assert_eq!(
            batch.iter().map(|one| one.effect).collect::<Vec<_>>(),
            [Effect::Review, Effect::Deny, Effect::Review]
        );
        denied(&batch[1], "bad_request");
        for _ in 0..100 {
            assert_eq!(client.evaluate(&request).await.effect, Effect::Review);
        }
    });
}

#[test]
fn whatever_goes_wrong_denies() {
    for wrong in ["", "localhost:1", "ftp://localhost", "unix:/x", "http://"] {
        assert!(Client::builder(wrong).build().is_err(), "{wrong}");
    }
    assert!(Client::builder("http://localhost").key("a\nb").build().is_err());
    assert!(Client::builder("https://localhost").root_certificates("").build().is_err());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = json!({"checkpoint": "test"});
    wait(async {
        let client = Client::builder(format!("http://{}", silent.local_addr().unwrap()));
        let client = client.timeout(Duration::from_millis(50)).build().unwrap();
        denied(&client.evaluate(&request).await, "no answer within 50 ms");
        denied(&client.evaluate_batch(&[&request]).await[0], "no answer");
        let client = Client::builder(format!("http://{nobody}")).timeout(PATIENCE).build().unwrap();
        denied(&client.evaluate(&request).await, "refused");
        assert!(client.evaluate_batch::<()>(&[]).await.is_empty());
    });
}

#[test]
fn it_trusts_whom_it_is_told_to_and_shows_its_key() {
    let place = Place::new("localhost");
    let mut keys = KeyFile::default();
    let key = keys.add("claims", Role::Evaluator, jiff::Timestamp::now(), None).unwrap();
    place.write_keys(&keys);
    let serving = Serving::start(host_of(allows_after("", ""), ""), place.settings());
    let url = format!("https://localhost:{}", serving.address.port());
    let (roots, strangers) = (fs::read(place.path("ca.pem")).unwrap(), Place::new("localhost"));
    let ask = |roots: Vec<u8>, key: &str| {
        let client =
            Client::builder(url.clone()).root_certificates(roots).key(key).timeout(PATIENCE).build().unwrap();
        wait(client.evaluate(&json!({"checkpoint": "test"})))
    };
    assert_eq!(ask(roots.clone(), &key.secret).effect, Effect::Allow);
    denied(&ask(roots, "wrong"), "no_key");
    denied(&ask(fs::read(strangers.path("ca.pem")).unwrap(), &key.secret), "certificate");
}
