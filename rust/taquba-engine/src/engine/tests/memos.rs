//! Memos on a real store.

use super::*;
use crate::ids::MemoKey;

/// Larger than what stays in a row.
const LARGE_BYTES: usize = 300 * 1024;

fn run_with_memos() -> Command {
    let Command::Submit { queue, mut runs } = submit("r") else { unreachable!("made above") };
    runs[0].memo_retention = Some(Duration::from_millis(300));
    Command::Submit { queue, runs }
}

async fn put(client: &Client, step: &Claim, key: &str, value: Vec<u8>) -> Result<Reply> {
    let (token, key) = (step.token, MemoKey::of(key.as_bytes()));
    client.call(Command::MemoPut { token, key, value: value.into() }).await
}

async fn get(client: &Client, step: &Claim, key: &str) -> Option<Bytes> {
    let key = MemoKey::of(key.as_bytes());
    let reply = client.call(Command::MemoGet { token: step.token, key }).await;
    let Ok(Reply::Value(value)) = reply else { panic!("{reply:?}") };
    value
}

async fn end(client: &Client, step: &Claim) {
    let verdict = Verdict::Step(StepOutcome::Succeed { result: "done".into() });
    let settle = Command::Settle { token: step.token, verdict, effects: Vec::new() };
    client.call(settle).await.expect("it is ours");
}

fn objects(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("taquba/payloads")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn memos_are_there_for_the_next_owner_however_large_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Client::open_dir(dir.path()).await;
    first.call(submit("r")).await.expect("a good run");
    let step = first.claim(1).await.remove(0);
    put(&first, &step, "small", b"s".to_vec()).await.expect("it is ours");
    put(&first, &step, "large", vec![7; LARGE_BYTES]).await.expect("it is ours");
    assert_eq!(get(&first, &step, "small").await.as_deref(), Some(&b"s"[..]));

    // No close: the second owner sweeps what the first has left behind, and finds these in use.
    let second = Client::open_dir(dir.path()).await;
    let step = second.claim(1).await.remove(0);

    assert_eq!(get(&second, &step, "large").await, Some(vec![7; LARGE_BYTES].into()));
    assert_eq!(get(&second, &step, "small").await.as_deref(), Some(&b"s"[..]));
    assert_eq!(get(&second, &step, "absent").await, None);
    second.engine.close().await.expect("a good store");
    assert_eq!(objects(dir.path()), 1);
}

#[tokio::test]
async fn a_value_that_is_written_anew_replaces_the_one_before() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    client.call(submit("r")).await.expect("a good run");
    let step = client.claim(1).await.remove(0);

    for size_bytes in [LARGE_BYTES, 3, LARGE_BYTES + 1] {
        put(&client, &step, "k", vec![1; size_bytes]).await.expect("it is ours");
        assert_eq!(get(&client, &step, "k").await.map(|value| value.len()), Some(size_bytes));
    }
}

#[tokio::test]
async fn memos_and_their_objects_are_gone_some_time_after_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let client = Client::open_dir(dir.path()).await;
    client.call(run_with_memos()).await.expect("a good run");
    let step = client.claim(1).await.remove(0);
    for size_bytes in [5, LARGE_BYTES, LARGE_BYTES] {
        put(&client, &step, "k", vec![1; size_bytes]).await.expect("it is ours");
    }
    let mut tries = 0;
    while objects(dir.path()) != 1 {
        tries += 1;
        assert!(tries < 1_000, "the one that was replaced stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    end(&client, &step).await;

    let mut tries = 0;
    while objects(dir.path()) > 0 {
        tries += 1;
        assert!(tries < 1_000, "nothing was swept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_memo_of_a_lost_claim_leaves_no_object_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let client = Client::open_dir(dir.path()).await;
    client.call(submit("r")).await.expect("a good run");
    let step = client.claim(1).await.remove(0);
    end(&client, &step).await;

    let refused = put(&client, &step, "k", vec![1; LARGE_BYTES]).await;

    assert!(matches!(refused, Err(Error::ClaimLost { .. })), "{refused:?}");
    client.engine.close().await.expect("a good store");
    let reopened = Client::open_dir(dir.path()).await;
    reopened.engine.close().await.expect("a good store");
    let mut tries = 0;
    while objects(dir.path()) > 0 {
        tries += 1;
        assert!(tries < 200, "an object stayed");
        let again = Client::open_dir(dir.path()).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        again.engine.close().await.expect("a good store");
    }
}
