//! `replay`: what was recorded, and what was done to it since.

use super::support::{Desk, Ran, repository_text};
use super::xxh64::xxh64;

/// A folder with the recording of the example events.
fn recorded() -> (Desk, Vec<u8>) {
    let desk = Desk::new();
    let events = repository_text("examples/events.jsonl");
    desk.feed(&["run", "--clock", "events", "--record", "run.rec"], events).expect(0);
    let bytes = std::fs::read(desk.path("run.rec")).unwrap();
    (desk, bytes)
}

fn replay(desk: &Desk, bytes: &[u8]) -> Ran {
    desk.write("changed.rec", bytes);
    desk.run(["replay", "changed.rec"])
}

/// The places of payloads of all frames behind the magic, format and semantics version: the header's first.
fn payloads(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (16, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        found.push(at + 12..at + 12 + length);
        at += 12 + length;
    }
    found
}

/// The same with one byte of a payload another one, and a checksum that is right.
fn forged(bytes: &[u8], payload: &std::ops::Range<usize>, at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    let start = payload.start - 12;
    let summed = [&bytes[start..start + 4], &bytes[payload.clone()]].concat();
    bytes[start + 4..start + 12].copy_from_slice(&xxh64(&summed, 0).to_le_bytes());
    bytes
}

// RECORD-1: a recording that was cut is replayed up to there, and never passes for a whole one.
#[test]
fn a_cut_recording_is_replayed_up_to_the_cut() {
    let (desk, bytes) = recorded();
    let frames = payloads(&bytes);
    let header_end = frames[0].end;
    let cuts = (0..bytes.len()).step_by(97).chain([1, 8, 12, 15, header_end - 1, bytes.len() - 1]);
    for cut in cuts {
        let ran = replay(&desk, &bytes[..cut]);
        if cut < header_end {
            ran.expect(2).says("changed.rec: ");
        } else {
            let pairs = frames[1..].chunks(2).filter(|pair| pair[0].end <= cut).count();
            // A cut behind a whole outcome, or behind the header, is one that nobody can see.
            let is_whole = frames.iter().step_by(2).any(|frame| frame.end == cut);
            let ran = ran.expect(i32::from(!is_whole));
            assert!(ran.out.starts_with(&format!("replayed: {pairs} inputs")), "{cut}: {}", ran.out);
            assert!(is_whole || ran.err.contains("the recording is not whole: "), "{cut}: {}", ran.err);
        }
    }
    // Behind an input: its outcome is missing.
    replay(&desk, &bytes[..frames[3].end]).expect(1).says("before the outcome of its last input");
    let nothing = replay(&desk, &bytes[..header_end]).expect(0);
    assert!(nothing.out.contains("0 inputs: nothing to compare") && !nothing.out.contains("equal"), "{}", nothing.out);
}

// RECORD-1: one byte that changed on the way is seen, wherever it is.
#[test]
fn a_flipped_byte_is_seen() {
    let (desk, bytes) = recorded();
    for at in (0..bytes.len()).step_by(83).chain(8..16) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let ran = replay(&desk, &changed);
        assert!(ran.code > 0, "byte {at}: {}", ran.out);
    }
    let frames = payloads(&bytes);
    let mut changed = bytes.clone();
    changed[frames[5].start] ^= 0x80;
    replay(&desk, &changed).expect(1).says("is damaged: its checksum is another");
    changed[frames[5].start - 12] ^= 0xff;
    replay(&desk, &changed).expect(1).says("the recording is not whole: ");
}

// RECORD-2: each kind of file that cannot be replayed has its own message.
#[test]
fn what_is_no_recording_of_this_program_is_said() {
    let (desk, bytes) = recorded();
    replay(&desk, b"").expect(2).says("changed.rec: not a recording");
    replay(&desk, repository_text("examples/events.jsonl").as_bytes()).expect(2).says("not a recording");
    let with = |at: usize, value: u32| {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        changed
    };
    replay(&desk, &with(8, 7)).expect(2).says("a recording of format 7; this program reads format 2");
    replay(&desk, &with(12, 9)).expect(2).says("a recording of semantics version 9; this program has version 1");
    desk.run(["replay", "missing.rec"]).expect(2).says("missing.rec: cannot be read");
    // The header's setup is the program's own.
    let header = payloads(&bytes)[0].clone();
    replay(&desk, &forged(&bytes, &header, header.end - 1)).expect(2).says("the header's setup cannot be read");
}

// RECORD-2: the first outcome that is another one is shown, with its input and both items.
#[test]
fn the_first_difference_is_shown() {
    let (desk, bytes) = recorded();
    let frames = payloads(&bytes);
    // The last byte of the fourth outcome is one of its last item.
    let outcome = frames[8].clone();
    let ran = replay(&desk, &forged(&bytes, &outcome, outcome.end - 1)).expect(1);
    for shown in [
        "input 4 at ",
        "\"answer\":\"accepted\"",
        " differs\n",
        "\n  recorded: ",
        "\n  replayed: Action(Dispatch",
        "\ndifferent: this outcome is not the recorded one\n",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    // An input that was changed gives other outcomes: a job of another name is dispatched.
    let input = frames[7].clone();
    let at = input.start + bytes[input.clone()].windows(6).position(|part| part == b"chat-1").unwrap() + 5;
    let ran = replay(&desk, &forged(&bytes, &input, at)).expect(1);
    assert!(ran.out.contains("\"job_id\":\"chat-0\"") && ran.out.contains("chat-1"), "{}", ran.out);
    // Frames that are whole and in another order are no recording either.
    let without = [&bytes[..frames[3].start - 12], &bytes[frames[3].end..]].concat();
    replay(&desk, &without).expect(1).says("is an outcome without an input");
    let without = [&bytes[..frames[2].start - 12], &bytes[frames[2].end..]].concat();
    replay(&desk, &without).expect(1).says("is an input where the outcome");
}

// EXPL-1: the decisions of one input, of the fleet as it stood then.
#[test]
fn decisions_are_explained() {
    let (desk, _) = recorded();
    let explain = |input: &str| desk.run(["replay", "run.rec", "--explain", input]);
    let submitted = explain("5").expect(0).out;
    for shown in [
        "input 5 at 12.500 ms: ",
        "job: chat-2\n",
        "winner: gpu-b\n",
        "runner-up: gpu-a\n",
        "decided by: ",
        "pools: 2 = 2 feasible",
    ] {
        assert!(submitted.contains(shown), "{shown}: {submitted}");
    }
    assert_eq!(submitted.matches("job: ").count(), 1, "asked twice, answered the same: {submitted}");
    let waits = explain("7").expect(0).out;
    assert!(waits.contains("job: batch-2\n") && waits.contains("pools: 2 = 0 feasible + 2 slots/slots"), "{waits}");
    // A job that waited is placed when another ends.
    let finished = explain("15").expect(0).out;
    assert!(
        finished.contains("\"event\":\"finished\"") && finished.contains("job: chat-3\nwinner: gpu-b"),
        "{finished}"
    );
    let ticked = explain("1").expect(0).out;
    assert!(ticked.contains("no placement was decided"), "{ticked}");
    explain("9999").expect(2).says("no input 9999: the recording has 28");
    explain("0").expect(2);
}

/// A frame with this payload.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let checksum = xxh64(&[&length[..], payload].concat(), 0).to_le_bytes();
    [&length[..], &checksum, payload].concat()
}

/// The header's seven capacities, replaced by these integers.
fn with_capacities(bytes: &[u8], capacities: [u32; 7]) -> Vec<u8> {
    let payload = &bytes[payloads(bytes)[0].clone()];
    let ends = payload.iter().enumerate().filter(|(_, byte)| **byte < 0x80);
    let (last, _) = ends.take(7).last().unwrap();
    let mut header = Vec::new();
    for mut rest in capacities {
        while rest >= 0x80 {
            header.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        header.push(rest as u8);
    }
    header.extend(&payload[last + 1..]);
    [&bytes[..16], &frame(&header)].concat()
}

// RECORD-2: a recording may come from anybody: it takes no more memory than it may.
#[test]
fn a_recording_takes_no_more_memory_than_it_may() {
    let (desk, bytes) = recorded();
    let most = 1 << 22;
    replay(&desk, &with_capacities(&bytes, [most, most, 1024, most, 129, most, most]))
        .expect(2)
        .says("the header's capacities take ")
        .says("may take 2147483648; --max-storage-mib allows more");
    replay(&desk, &with_capacities(&bytes, [1, 1, 1, 1, 1, 1, 1])).expect(0);
    desk.run(["replay", "run.rec", "--max-storage-mib", "1"]).expect(2).says("may take 1048576");
    desk.run(["replay", "run.rec", "--max-storage-mib", "64"]).expect(0);
    // An input that is larger than any.
    let mut payload = vec![0; 3 << 20];
    payload[0] = 1;
    let header_end = payloads(&bytes)[0].end;
    let large = [&bytes[..header_end], &frame(&payload)].concat();
    replay(&desk, &large).expect(1).says(&format!("the frame at byte {header_end} is larger than any input: "));
}
