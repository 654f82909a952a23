//! Invitations that are not good, or not for the one who shows them.

use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{PrivateKey, Token};
use rackhaven_proto::model::Endpoint;
use rackhaven_tests::hand::{enrol, enrolment};
use rackhaven_tests::{Ctl, Fleet, wait_until};
use tonic::Code;

/// Waits for the record of a refused enrolment whose outcome holds these words.
async fn audited(fleet: &Fleet, words: &str) {
    let is_it = |record: &rackhaven_proto::v1::AuditRecord| {
        record.action == "Enrolment/Enrol"
            && record.who == "anonymous"
            && record.outcome.starts_with("denied: ")
            && record.outcome.contains(words)
    };
    fleet.wait_for_audit(words, is_it).await.unwrap();
}

#[tokio::test]
async fn an_expired_one_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let token = fleet.invite("--ttl 1s").await.unwrap();
    let made_ms = SystemClock::unix_ms();
    wait_until("the invitation to end", async || SystemClock::unix_ms() > made_ms + 1_000).await.unwrap();
    let refused = fleet.machine("pi-1").join(&fleet.endpoint(), &token, "--name pi-1").await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("the invitation has expired"), "{}", refused.err);
    audited(&fleet, "has expired").await;
    assert!(fleet.client().status().await.unwrap().nodes.is_empty());
}

#[tokio::test]
async fn a_stolen_one_that_was_used_is_refused_and_told_of() {
    let fleet = Fleet::start().await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let join = async |name: &str| {
        fleet.machine(name).join(&fleet.endpoint(), &token, &format!("--name {name}")).await.unwrap()
    };
    assert_eq!(join("pi-1").await.code, Some(0));
    let thief = join("pi-2").await;
    assert_eq!(thief.code, Some(1));
    assert!(thief.err.contains("has been used already"), "{}", thief.err);
    audited(&fleet, "has been used already").await;
    let told = fleet.wait_for_events("", "enrolment.replayed", 1).await.unwrap();
    assert!(told[0].message.contains("127.0.0.1"), "{told:?}");
    // Whoever has the secret but not the key of the first does not get the first's certificate either.
    let thief = join("pi-1").await;
    assert!(thief.err.contains("this machine is node/pi-1 already"), "{}", thief.err);
    std::fs::remove_dir_all(fleet.machine("pi-1").state()).unwrap();
    assert!(join("pi-1").await.err.contains("has been used already"));
}

#[tokio::test]
async fn ten_wrong_guesses_kill_one() {
    let fleet = Fleet::start().await.unwrap();
    let endpoint: Endpoint = fleet.endpoint().parse().unwrap();
    let token: Token = fleet.invite("").await.unwrap().parse().unwrap();
    let right = enrolment(&token, &PrivateKey::generate().unwrap(), "pi-1").unwrap();
    let ask = async |request| enrol(&endpoint, &token, request).await.unwrap().unwrap_err();
    let mut words = Vec::new();
    for letter in "abcdefghij".chars() {
        let guess = format!("{letter}{}", &right.token_secret[1..]);
        // The right one among the guesses would not be a guess.
        let guess = if guess == right.token_secret { format!("2{}", &guess[1..]) } else { guess };
        let status = ask(rackhaven_proto::v1::EnrolRequest { token_secret: guess, ..right.clone() }).await;
        assert_eq!(status.code(), Code::PermissionDenied);
        words.push(status.message().to_owned());
    }
    words.push(ask(right.clone()).await.message().to_owned());
    let unknown: Token = Token::generate(token.ca_fingerprint).unwrap();
    let stranger = enrolment(&unknown, &PrivateKey::generate().unwrap(), "pi-1").unwrap();
    words.push(ask(stranger).await.message().to_owned());
    words.dedup();
    assert_eq!(words.len(), 1, "a guesser must not learn which invitations there are: {words:?}");
    audited(&fleet, "wrong secret").await;
    audited(&fleet, "is not known").await;
    assert!(fleet.client().status().await.unwrap().nodes.is_empty());
}

#[tokio::test]
async fn one_of_another_kind_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let users =
        rackhaven_tests::fleet::token(fleet.ctl().json("user invite vera --role admin").await.unwrap()).unwrap();
    let refused = fleet.machine("pi-1").join(&fleet.endpoint(), &users, "").await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("use `ctl login`"), "{}", refused.err);
    let nodes = fleet.invite("").await.unwrap();
    let ctl = Ctl::of_user(&fleet.folder().join("home-x")).with_variable("RACKHAVEN_TOKEN", &nodes);
    let refused = ctl.fails(&format!("login {}", fleet.endpoint()), 5).await.unwrap();
    assert!(refused.err.contains("use `rackhaven-agent join`"), "{}", refused.err);
    audited(&fleet, "use `ctl login`").await;
    audited(&fleet, "use `rackhaven-agent join`").await;
    // Neither was spent by that.
    assert_eq!(fleet.machine("pi-1").join(&fleet.endpoint(), &nodes, "--name pi-1").await.unwrap().code, Some(0));
}

#[tokio::test]
async fn one_for_a_node_that_was_removed_is_dead() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let rejoin = rackhaven_tests::fleet::token(fleet.ctl().json("node rejoin pi-1").await.unwrap()).unwrap();
    fleet.ctl().ok("node remove pi-1 --yes").await.unwrap();
    let refused = fleet.machine("pi-2").join(&fleet.endpoint(), &rejoin, "").await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is not known"), "{}", refused.err);
    assert!(fleet.client().status().await.unwrap().nodes.is_empty());
}

#[tokio::test]
async fn one_address_cannot_try_for_ever() {
    let fleet = Fleet::start_with(&[("limits.enrolments_per_minute", "5")]).await.unwrap();
    let endpoint: Endpoint = fleet.endpoint().parse().unwrap();
    let token: Token = fleet.invite("--uses 10").await.unwrap().parse().unwrap();
    let mut codes = Vec::new();
    for number in 0..6 {
        let request = enrolment(&token, &PrivateKey::generate().unwrap(), &format!("pi-{number}")).unwrap();
        codes.push(enrol(&endpoint, &token, request).await.unwrap().err().map(|status| status.code()));
    }
    assert_eq!(codes[..5], [None; 5]);
    assert_eq!(codes[5], Some(Code::ResourceExhausted));
}
