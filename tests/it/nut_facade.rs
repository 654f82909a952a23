//! The facade towards clients that mean harm, or break.

use rackhaven_controller::nut::facade::ClientState;
use rackhaven_tests::NutFacade;
use rackhaven_tests::wait::wait_until;

#[tokio::test]
async fn a_client_that_drops_is_not_one_that_went() {
    let facade = NutFacade::start(8).await.unwrap();
    let mut client = facade.dial().await.unwrap();
    client.login("monuser", "secret").await.unwrap();
    assert_eq!(facade.count("monuser", ClientState::LoggedIn), 1);
    drop(client);
    wait_until("the drop", async || facade.count("monuser", ClientState::Dropped) == 1).await.unwrap();
    assert!(!facade.has_obeyed("monuser"));

    let mut client = facade.dial().await.unwrap();
    client.login("monuser", "secret").await.unwrap();
    assert_eq!(facade.count("monuser", ClientState::Dropped), 0);
    assert_eq!(client.ask("LOGOUT").await.unwrap(), "OK Goodbye");
    assert_eq!(client.hear().await.unwrap(), "");
    assert_eq!(facade.count("monuser", ClientState::LoggedOut), 1);
}

#[tokio::test]
async fn an_open_session_reads_fsd_and_its_end() {
    let facade = NutFacade::start(8).await.unwrap();
    let (mut nas, mut board) = (facade.dial().await.unwrap(), facade.dial().await.unwrap());
    nas.login("monuser", "secret").await.unwrap();
    board.login("other", "otherpw").await.unwrap();
    let status = "GET VAR ups ups.status";
    facade.shut_down(&["nas"]);
    assert_eq!(nas.ask(status).await.unwrap(), "VAR ups ups.status \"FSD OL\"");
    assert_eq!(board.ask(status).await.unwrap(), "VAR ups ups.status \"OL\"");
    facade.change(|state| state.stale = true);
    assert_eq!(nas.ask(status).await.unwrap(), "VAR ups ups.status \"FSD OL\"");
    assert_eq!(board.ask(status).await.unwrap(), "ERR DATA-STALE");
    facade.change(|state| state.fsd_all = true);
    assert_eq!(board.ask(status).await.unwrap(), "VAR ups ups.status \"FSD OL\"");
    drop(board);
    wait_until("the board to go", async || facade.has_obeyed("other")).await.unwrap();
    facade.change(|state| (state.stale, state.fsd_all) = (false, false));
    facade.shut_down(&[]);
    assert_eq!(nas.ask(status).await.unwrap(), "VAR ups ups.status \"OL\"");
    drop(nas);
    wait_until("the NAS to go", async || facade.count("monuser", ClientState::Dropped) == 1).await.unwrap();
    assert!(!facade.has_obeyed("monuser"), "it went after all was well again");
}

#[tokio::test]
async fn who_takes_all_places_takes_only_his() {
    let facade = NutFacade::start(64).await.unwrap();
    // Of one address; all of this machine's connections come from the same.
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = facade.dial().await.unwrap();
        assert_eq!(client.ask("NETVER").await.unwrap(), "1.3");
        held.push(client);
    }
    assert_eq!(facade.dial().await.unwrap().ask("NETVER").await.unwrap(), "");
    held.pop();
    wait_until("a free place", async || {
        let mut client = facade.dial().await.unwrap();
        client.ask("NETVER").await.unwrap() == "1.3"
    })
    .await
    .unwrap();
    assert_eq!(held[0].ask("NETVER").await.unwrap(), "1.3");
}

#[tokio::test]
async fn endless_lines_and_guesses_are_hung_up_on() {
    let facade = NutFacade::start(8).await.unwrap();
    let mut other = facade.dial().await.unwrap();
    let mut client = facade.dial().await.unwrap();
    assert_eq!(client.ask(&"x".repeat(100_000)).await.unwrap(), "");

    let mut client = facade.dial().await.unwrap();
    client.ask("USERNAME monuser").await.unwrap();
    client.ask("PASSWORD wrong").await.unwrap();
    let mut tries = 0;
    while client.ask("LOGIN ups").await.unwrap() == "ERR ACCESS-DENIED" {
        tries += 1;
        assert!(tries < 100, "one may guess for ever");
    }
    // From the same address not even the right one counts now.
    let mut client = facade.dial().await.unwrap();
    assert!(client.login("monuser", "secret").await.is_err());
    assert_eq!(other.ask("GET VAR ups ups.status").await.unwrap(), "VAR ups ups.status \"OL\"");
}

#[tokio::test]
async fn who_takes_no_answers_holds_nobody_up() {
    use tokio::io::AsyncWriteExt;
    let facade = NutFacade::start(8).await.unwrap();
    let deaf = tokio::net::TcpStream::connect(facade.address()).await.unwrap();
    let (_unread, mut asking) = deaf.into_split();
    let asking = tokio::spawn(async move { while asking.write_all(b"LIST VAR ups\nHELP\n").await.is_ok() {} });
    let mut other = facade.dial().await.unwrap();
    for _ in 0..20 {
        assert_eq!(other.ask("GET VAR ups ups.status").await.unwrap(), "VAR ups ups.status \"OL\"");
    }
    asking.abort();
}
