//! Files that are not what was written: the right rows or an error, never fewer rows without a word.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::super::segment::{HEAD_BYTES, Kind, LENGTH_MAX, SegmentReader, heads};
use super::*;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Where each record of a segment begins, and where the last one ends.
fn places(disk: &Disk, name: Name) -> Vec<u64> {
    let (mut reader, _) = SegmentReader::open(&disk.path(name), name).expect("it is whole");
    let mut places = vec![reader.at()];
    let mut id = name.first_id;
    while reader.next(id).expect("it can be read").is_some() {
        places.push(reader.at());
        id += 1;
    }
    places
}

fn newest(store: &Store) -> (PathBuf, Vec<u64>) {
    let name = *store.segments().last().expect("there is one");
    (store.disk().path(name), places(&store.disk(), name))
}

fn overwrite(path: &PathBuf, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    file.write_all_at(bytes, at).expect("the disk is fine");
}

#[tokio::test]
async fn a_record_that_a_crash_has_torn_is_dropped_and_no_other_one() {
    let store = written(&KEYS).await;
    let (path, places) = newest(&store);
    let (last, end) = (places[4], places[5]);
    let whole = fs::read(&path).expect("it is there");
    for cut in last..=end {
        let mut torn = whole.clone();
        torn[usize::try_from(cut).expect("it is small")..].fill(0);
        fs::write(&path, torn).expect("the disk is fine");

        let rows = store.rows().await.expect("that is no damage");

        // A record that ends with zeros is whole without them.
        let is_whole = whole[usize::try_from(cut).expect("it is small")..].iter().all(|b| *b == 0);
        assert_eq!(rows, KEYS[..if is_whole { 5 } else { 4 }], "cut at {cut} of {end}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_short_is_an_error_whatever_its_length() {
    let store = written(&KEYS).await;
    let (path, places) = newest(&store);
    let whole = fs::read(&path).expect("it is there");
    let used = places[5] + 40;
    for length in 0..used {
        fs::write(&path, &whole[..usize::try_from(length).expect("it is small")])
            .expect("the disk is fine");

        let error = store.rows().await.expect_err("bytes are missing").to_string();

        let name = path.file_name().and_then(|name| name.to_str()).expect("it has a name");
        assert!(error.contains(name), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_to_a_length_that_it_once_had_is_an_error() {
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    owner.commit("a").await.expect("the disk is fine");
    owner.commit_with("b", vec![1; 600_000]).await.expect("the disk is fine");
    let (path, _) = newest(&store);
    let whole = fs::read(&path).expect("it is there");
    let step = usize::try_from(segment::STEP_BYTES).expect("it is small");
    assert_eq!(whole.len(), 3 * step);
    for length in [0, step, 2 * step] {
        fs::write(&path, &whole[..length]).expect("the disk is fine");

        let error = store.rows().await.expect_err("bytes are missing").to_string();

        assert!(error.contains("log/"), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_wherever_it_is() {
    for is_closed in [false, true] {
        let store = Store::new();
        let mut owner = store.open().await.expect("the disk is fine");
        for key in KEYS {
            owner.commit(key).await.expect("the disk is fine");
        }
        if is_closed {
            owner.writer.close().await.expect("the disk is fine");
        }
        let (path, places) = newest(&store);
        let whole = fs::read(&path).expect("it is there");
        let in_last = |at: u64| !is_closed && (places[4]..places[5]).contains(&at);
        let (mut error_count, mut ambiguous_count) = (0, 0);
        for at in (0..places[5] + 64).chain([100_000, segment::STEP_BYTES - 1]) {
            let byte = whole[usize::try_from(at).expect("it is small")];
            overwrite(&path, at, &[byte ^ 1 << (at % 8)]);

            match store.rows().await {
                Ok(rows) if rows == KEYS => {}
                Ok(rows) => {
                    assert!(in_last(at) && rows == KEYS[..4], "{is_closed} {at}: {rows:?}");
                    ambiguous_count += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("log/"), "{error}");
                    error_count += 1;
                }
            }
            overwrite(&path, at, &[byte]);
        }
        assert!(error_count >= places[4], "{error_count}");
        assert_eq!(ambiguous_count > 0, !is_closed);
    }
}

#[tokio::test]
async fn zeros_or_noise_over_a_record_with_others_behind_it_are_an_error() {
    let store = written(&KEYS).await;
    let (path, places) = newest(&store);
    let whole = fs::read(&path).expect("it is there");
    for record in 0..4 {
        let (start, end) = (places[record], places[record + 1]);
        for byte in [0, 0xA5] {
            let length = usize::try_from(end - start).expect("it is small");
            overwrite(&path, start, &vec![byte; length]);
            let error = store.rows().await.expect_err("a record is gone").to_string();
            assert!(error.contains(&format!("at record {}", record + 1)), "{error}");
        }
        fs::write(&path, &whole).expect("the disk is fine");
    }
}

/// A log of three owners, the second of whom has filled segments.
async fn long_log() -> (Store, Vec<String>) {
    let store = written(&["a", "b"]).await;
    let mut second = store.open().await.expect("the disk is fine");
    for key in ["c", "d", "e", "f", "g"] {
        second.commit_with(key, vec![7; 40_000]).await.expect("the disk is fine");
    }
    drop(second);
    let mut third = store.open().await.expect("the disk is fine");
    third.commit("h").await.expect("the disk is fine");
    let rows = store.rows().await.expect("the disk is fine");
    assert_eq!(rows.concat(), "abcdefgh");
    (store, rows)
}

#[tokio::test]
async fn a_segment_that_is_missing_or_has_lost_its_content_is_an_error() {
    let (store, _) = long_log().await;
    let segments = store.segments();
    assert!(segments.len() >= 4, "{segments:?}");
    for name in segments {
        for content in [None, Some(vec![]), Some(vec![0; 4096]), Some(vec![0xA5; 300_000])] {
            let image = store.image();
            let path = image.disk().path(name);
            match &content {
                None => fs::remove_file(path).expect("it is there"),
                Some(content) => fs::write(path, content).expect("the disk is fine"),
            }

            let error = image.open().await.err().expect("rows are missing").to_string();

            let is_named = error.contains(&name.to_string()) || content.is_none();
            assert!(is_named, "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn everything_but_the_newest_record_of_a_long_log_is_guarded() {
    let (store, rows) = long_log().await;
    for name in store.segments() {
        let path = store.disk().path(name);
        let whole = fs::read(&path).expect("it is there");
        let used = whole.iter().rposition(|byte| *byte != 0).expect("there are some");
        let is_newest = Some(name) == store.segments().last().copied();
        for at in (0..used).step_by(used / 40 + 1) {
            overwrite(&path, at as u64, &[whole[at] ^ 0x10]);
            match store.rows().await {
                Ok(found) if found == rows => {}
                // Of the newest segment the copied record and the last one could be told apart only
                // by what follows.
                Ok(found) => assert!(is_newest && found == rows[..rows.len() - 1], "{name} {at}"),
                Err(error) => assert!(error.to_string().contains("log/"), "{error}"),
            }
        }
        fs::write(&path, whole).expect("the disk is fine");
    }
}

#[tokio::test]
async fn a_log_that_has_lost_all_its_segments_is_no_empty_log() {
    let store = written(&KEYS).await;
    for name in store.segments() {
        fs::remove_file(store.disk().path(name)).expect("it is there");
    }
    assert!(matches!(store.rows().await, Err(Fault::Damaged(_))));

    let fresh = Store::new();
    fs::remove_file(fresh.disk().path(Name { epoch: 0, first_id: 1 })).expect("it is there");
    assert!(matches!(fresh.rows().await, Err(Fault::Damaged(_))));
}

#[tokio::test]
async fn a_log_that_ends_before_what_the_manifest_has_seen_is_an_error() {
    let mut store = written(&KEYS).await;
    let (path, places) = newest(&store);
    overwrite(&path, places[4], &[0; 17]);
    assert_eq!(store.rows().await.expect("it may be torn"), KEYS[..4]);

    store.seen_id = 5;
    let error = store.rows().await.expect_err("it was durable").to_string();
    assert!(error.contains("before record 5"), "{error}");
    store.after_id = 5;
    assert_eq!(store.rows().await.expect("it is in a table"), [""; 0]);
}

#[tokio::test]
async fn a_payload_that_looks_like_a_record_does_not_pass_for_one() {
    let other = written(&["x", "y", "z"]).await;
    let (path, places) = newest(&other);
    let bytes = fs::read(path).expect("it is there");
    let records = bytes[..usize::try_from(places[3]).expect("it is small")].to_vec();
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    owner.commit("a").await.expect("the disk is fine");
    owner.commit_with("b", records).await.expect("the disk is fine");
    let (path, places) = newest(&store);
    overwrite(&path, places[1], &[0xFF]);

    assert_eq!(store.rows().await.expect("it may be torn"), ["a"]);
}

#[tokio::test]
async fn a_payload_full_of_beginnings_of_records_has_none_of_them_tried() {
    const HEAD_COUNT: u64 = 60_000;
    let mut payload = Vec::new();
    for number in 0..HEAD_COUNT {
        payload.extend_from_slice(&500_000_u32.to_le_bytes());
        payload.extend_from_slice(&[0xC5; 4]);
        payload.extend_from_slice(&(number % 1_000 + 3).to_le_bytes());
        payload.push(1);
    }
    assert_eq!(payload.len() as u64, HEAD_COUNT * HEAD_BYTES as u64);
    let count = |bytes: &[u8], salt| heads(bytes, salt, 2, 100_000).count() as u64;
    assert_eq!(count(&payload, 0), HEAD_COUNT, "whoever knew the salt could do it");
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    owner.commit("a").await.expect("the disk is fine");
    owner.commit_with("b", payload).await.expect("the disk is fine");
    let (path, places) = newest(&store);
    let name = *store.segments().last().expect("there is one");
    let (_, header) = SegmentReader::open(&path, name).expect("it is whole");
    overwrite(&path, places[1], &[0xFF]);

    assert_eq!(count(&fs::read(&path).expect("it is there"), header.salt), 0);
    assert_eq!(store.rows().await.expect("it may be torn"), ["a"]);
}

#[test]
fn a_record_behind_a_damaged_one_is_found_wherever_it_begins() {
    // What is read at once is not what a record begins at.
    for length in (262_080..262_150).step_by(3) {
        let store = Store::new();
        // Without a database, which would go on in another segment.
        let mut tape = take(&store.disk(), store.bounds()).expect("nobody is in the way").tape;
        for (id, length) in [(1, length), (2, 600_000)] {
            let mut frame = vec![0xFF; HEAD_BYTES + length];
            tape.append(&mut frame, id, Kind::Rows).expect("the disk is fine");
        }
        let (path, places) = newest(&store);
        assert_eq!(places.len(), 3);
        overwrite(&path, places[0] + 1_000, &[0]);

        let error = take(&store.disk(), store.bounds()).expect_err("there is a record behind it");
        assert!(error.to_string().contains("at record 1"), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_is_longer_than_any_segment_is_not_read() {
    let store = written(&KEYS).await;
    let (path, _) = newest(&store);
    let file = OpenOptions::new().write(true).open(&path).expect("it is there");
    file.set_len(LENGTH_MAX + 1).expect("the disk is fine");

    let error = take(&store.disk(), store.bounds()).expect_err("it is none of ours");
    assert!(error.to_string().contains("longer than any segment"), "{error}");
}
