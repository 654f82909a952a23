//! What nodes fetch by themselves, from servers that do not do what they should.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use prost::Message;
use rackhaven_proto::model::k3s::{Artifact, K3sOrder};
use rackhaven_proto::v1;
use rackhaven_tests::k3s::{Board, DoubleRelease, Engine, VERSION};
use rackhaven_tests::{Fleet, SmallDisk, address};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::k3s_engine::{first, install, release};

/// What is asked for: which request it is, counted from 0, and from which byte on, if that was said.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: usize,
    from: Option<u64>,
}

/// What a server answers: a head without its end, bytes, and those again and again if it never ends.
struct Answer {
    head: String,
    body: Vec<u8>,
    is_endless: bool,
}

fn answer(head: String, body: &[u8]) -> Answer {
    Answer { head, body: body.to_vec(), is_endless: false }
}

/// The whole, of which hardly more than these bytes come.
fn broken(whole: &[u8], bytes: usize) -> Answer {
    answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}", whole.len()), &whole[..bytes])
}

/// What a good server answers.
fn well(whole: &[u8], asked: Asked) -> Answer {
    let length = whole.len();
    match asked.from {
        None => broken(whole, length),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{length}", length - 1);
            let rest = &whole[from as usize..];
            answer(format!("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n{range}", rest.len()), rest)
        }
    }
}

/// A web server that answers everything so, and what it was asked.
#[derive(Debug)]
struct Web {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    async fn start(answers: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        let address = address::fresh();
        let listener = TcpListener::bind(address).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (all, answers) = (asked.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, all.clone(), answers.clone()));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    all: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<impl Fn(Asked) -> Answer>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let range = text.lines().find_map(|line| line.strip_prefix("Range: bytes="));
    let from = range.map(|range| range.trim_end_matches('-').parse().unwrap());
    let answer = {
        let mut all = all.lock().unwrap();
        let asked = Asked { number: all.len(), from };
        all.push(asked);
        answers(asked)
    };
    stream.write_all(format!("{}\r\nConnection: close\r\n\r\n", answer.head).as_bytes()).await?;
    loop {
        stream.write_all(&answer.body).await?;
        if !answer.is_endless {
            break;
        }
    }
    stream.shutdown().await
}

/// Has the engine install a release whose program is there and nowhere else.
async fn ordered(board: &Board, release: &DoubleRelease, url: &str) -> (Engine, Artifact) {
    let engine = board.engine(Some(release), install(&first(false), release), 60).unwrap();
    let place = board.agent_folder().join("order");
    let wire = v1::K3sOrder::decode(fs::read(&place).unwrap().as_slice()).unwrap();
    let mut order: K3sOrder = wire.try_into().unwrap();
    let program = &mut order.artifacts[0];
    fs::remove_file(board.agent_folder().join("artifacts").join(program.sha256.to_string())).unwrap();
    (program.bytes, program.source) = (0, Some(url.parse().unwrap()));
    let program = program.clone();
    fs::write(&place, v1::K3sOrder::from(order).encode_to_vec()).unwrap();
    (board.finish(engine).await.unwrap(), program)
}

/// The files of the order that are there, by the ends of their names.
fn left(board: &Board, artifact: &Artifact) -> Vec<String> {
    let names = fs::read_dir(board.agent_folder().join("artifacts")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_prefix(&artifact.sha256.to_string()).map(str::to_owned)).collect()
}

/// A server that knows no ranges and breaks off again and again is given up, for nothing new comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_gets_further_is_given_up() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let whole = fs::read(&release.program).unwrap();
    let third = whole.len() / 3;
    let web = Web::start(move |_| broken(&whole, third)).await;
    let (engine, program) = ordered(&board, &release, &format!("http://{}/k3s", web.address)).await;
    let failure = engine.report().failure;
    assert!(failure.contains("given up after 5 tries that brought no more than"), "{failure}");
    assert_eq!(failure.matches("curl:").count(), 1, "{failure}");
    assert!(web.asked().len() < 10, "{:?}", web.asked());
    // It is gone on with.
    assert_eq!(left(&board, &program), [".partial"]);
    assert!(!board.has("/usr/local/bin/k3s"));
}

/// A page that asks to log in, with status 200: where it came from is told, and it does not stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_something_else_does_not_stay() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let page = b"<html>please log in";
    let web = Web::start(move |_| broken(page, page.len())).await;
    let url = format!("http://{}/k3s", web.address);
    let (engine, program) = ordered(&board, &release, &url).await;
    let failure = engine.report().failure;
    assert!(failure.contains("its SHA-256 is ") && failure.contains(&format!("19 bytes came from {url}")), "{failure}");
    assert_eq!(left(&board, &program), [""; 0]);
}

/// What never ends and announces no length leaves the node its room.
#[tokio::test]
async fn what_does_not_fit_is_ended() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let disk = SmallDisk::mount(&board.agent_folder(), 192 << 20).unwrap();
    let web =
        Web::start(|_| Answer { head: "HTTP/1.1 200 OK".to_owned(), body: vec![b'x'; 64 * 1024], is_endless: true })
            .await;
    let (engine, program) = ordered(&board, &release, &format!("http://{}/k3s", web.address)).await;
    let failure = engine.report().failure;
    assert!(failure.contains("it does not fit: ") && failure.contains("128 MiB are kept for the node"), "{failure}");
    assert_eq!((left(&board, &program), web.asked().len()), (vec![], 1));
    drop(disk);
}

/// The report tells why it failed, even if what is not whole yet fills the disk.
#[tokio::test]
async fn a_report_has_room() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let disk = SmallDisk::mount(&board.agent_folder(), 64 << 20).unwrap();
    // Seen before anything is fetched.
    board.put("/usr/local/bin/k3s", "somebody's").unwrap();
    let engine = board.engine(Some(&release), install(&first(false), &release), 60).unwrap();
    let partial = format!("{}.partial", release.artifacts().unwrap()[0].sha256);
    fs::write(board.agent_folder().join("artifacts").join(partial), vec![0; 1 << 20]).unwrap();
    disk.fill().unwrap();
    let refused = board.finish(engine).await.unwrap();
    assert!(refused.report().failure.contains("other installations"), "{}", refused.report().failure);
}

/// A release under another's name: refused before anything is changed, whether it is in its place or not.
#[tokio::test]
async fn another_release_than_it_is_said_to_be_is_refused() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let other = DoubleRelease { version: "v1.30.0+k3s1".to_owned(), ..release.clone() };
    let word = "it is k3s v1.31.4+k3s1, not v1.30.0+k3s1: the file was added under the wrong --version";
    let before = board.tree().unwrap();
    let refused = board.order(Some(&other), install(&first(false), &other)).await.unwrap();
    assert!(refused.report().failure.contains(word), "{}", refused.report().failure);
    assert_eq!(board.tree().unwrap(), before);
    board.bind_own_address().unwrap();
    board.order(Some(&release), install(&first(false), &release)).await.unwrap().fine().unwrap();
    let before = (board.tree().unwrap(), board.process("k3s.service"));
    let refused = board.order(Some(&other), install(&first(false), &other)).await.unwrap();
    assert!(refused.report().failure.contains(word), "{}", refused.report().failure);
    assert_eq!((board.tree().unwrap(), board.process("k3s.service")), before);
}

/// A download that an order did not bring to its end is gone on with by the next, and in the end nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_order_goes_on() {
    let board = Board::new().unwrap();
    board.bind_own_address().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let whole = fs::read(&release.program).unwrap();
    let part = whole.len() / 2;
    let web = Web::start(move |asked| match asked.number {
        0 => broken(&whole, part),
        1..=5 => answer("HTTP/1.1 503 Busy\r\nContent-Length: 0".to_owned(), b""),
        _ => well(&whole, asked),
    })
    .await;
    let fleet = Fleet::start().await.unwrap();
    let mut agent = fleet.join("master").await.unwrap();
    agent.settings.set("k3s.engine", Value::from(board.engine_script().unwrap().display().to_string()));
    agent.kill().await.unwrap();
    agent.start().unwrap();
    fleet.wait_for_state("master", rackhaven_proto::model::NodeState::Up).await.unwrap();
    let ctl = fleet.ctl();
    let list = release.list.display();
    ctl.ok(&format!("k3s artifacts add --version {VERSION} --from http://{} {list}", web.address)).await.unwrap();
    let line = format!("k3s init master --address {}", board.address);
    let refused = ctl.fails(&line, 1).await.unwrap();
    assert!(format!("{}{}", refused.out, refused.err).contains("503"), "{refused:?}");
    ctl.ok(&line).await.unwrap();
    let asked = web.asked();
    assert_eq!((asked.len(), asked[6].from), (7, Some(part as u64)), "{asked:?}");
    assert_eq!(fs::read_dir(agent.state().join("k3s")).unwrap().count(), 0);
}
