//! Names and ids: what is accepted, what is refused, how it is shown.

use super::*;

#[test]
fn a_queue_name_keeps_to_its_alphabet_and_length() {
    let longest = "q".repeat(QUEUE_NAME_BYTES_MAX);
    for good in ["emails", "a", "0", "a.b_c-d", longest.as_str()] {
        assert_eq!(good.parse::<QueueName>().map(|name| name.to_string()), Ok(good.to_owned()));
    }

    let too_long = "q".repeat(QUEUE_NAME_BYTES_MAX + 1);
    for bad in ["", ".a", "-a", "_a", "a b", "a/b", "é", "a\n", too_long.as_str()] {
        assert!(bad.parse::<QueueName>().is_err(), "`{bad}` must be refused");
    }
}

#[test]
fn a_run_id_cannot_leave_its_path_segment() {
    let longest = "r".repeat(RUN_ID_BYTES_MAX);
    for good in ["run-1", "A_b", longest.as_str()] {
        assert!(good.parse::<RunId>().is_ok(), "`{good}` must be accepted");
    }

    let too_long = "r".repeat(RUN_ID_BYTES_MAX + 1);
    for bad in ["", ".", "..", "a/b", "a.b", "a b", "a\0", too_long.as_str()] {
        assert!(bad.parse::<RunId>().is_err(), "`{bad}` must be refused");
    }
}

#[test]
fn a_job_id_reads_back_and_sorts_like_its_row() {
    let first = JobId { row: 9, turn: 0 };
    let step = JobId { row: 9, turn: 3 };
    let later = JobId { row: 16, turn: 0 };

    assert_eq!(first.to_string(), "0000000000000009");
    assert_eq!(step.to_string(), "0000000000000009-3");
    for id in [first, step, later] {
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
    }
    assert!(first.to_string() < later.to_string());
    for bad in [
        "",
        "9",
        "zz",
        "0000000000000009-x",
        "00000000000000099",
        "+000000000000009",
        "-000000000000009",
        "000000000000000A",
        "0000000000000009-+3",
        "0000000000000009-03",
        "0000000000000009-0",
    ] {
        assert!(bad.parse::<JobId>().is_err(), "`{bad}` must be refused");
    }
}

#[test]
fn an_error_message_shows_hostile_text_short_and_escaped() {
    let error = "a\n".repeat(500).parse::<RunId>().expect_err("a newline is refused");

    let message = error.to_string();

    assert!(!message.contains('\n'));
    assert!(message.len() < 400);
}
