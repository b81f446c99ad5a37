#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn seq(n: u32) -> Seq {
    Seq::new(n).unwrap()
}

fn decide(record: &IngestRecord, n: u32) -> Decision {
    record.decide(seq(n).into())
}

/// Handles a chunk as a lane does; true if it was stored.
fn send(record: &mut IngestRecord, n: u32) -> bool {
    let before = record.clone();
    match decide(record, n) {
        Decision::Store(seq) | Decision::FillGap(seq) => {
            assert!(record.stored(seq, EpochMs(2)));
            true
        }
        Decision::Duplicate(seq) => {
            assert!(!record.stored(seq, EpochMs(2)));
            assert_eq!(*record, before);
            record.duplicate(EpochMs(2));
            false
        }
        Decision::Refuse(_) => {
            assert!(!record.stored(seq(n), EpochMs(2)));
            assert_eq!(*record, before);
            false
        }
    }
}

#[test]
fn a_late_chunk_is_stored_once() {
    let mut record = IngestRecord::new(EpochMs(1));
    for n in [1, 2, 6] {
        assert!(send(&mut record, n));
    }
    assert_eq!(record.gaps(), [(3, 5)]);
    assert_eq!(decide(&record, 4), Decision::FillGap(seq(4)));
    assert!(send(&mut record, 4));
    assert_eq!(record.gaps(), [(3, 3), (5, 5)]);
    assert_eq!(decide(&record, 4), Decision::Duplicate(seq(4)));
    assert!(!send(&mut record, 4));
    assert!(send(&mut record, 5) && send(&mut record, 3));
    assert_eq!(record.gaps(), []);
    assert_eq!((record.missing_chunks(), record.received_chunks()), (0, 6));
    assert_eq!(record.bytes_stored(), 6 * 32_000);
    assert_eq!(record.duplicate_chunks(), 1);
}

#[test]
fn a_stream_may_begin_late() {
    let mut record = IngestRecord::new(EpochMs(1));
    assert!(send(&mut record, 3));
    assert_eq!(record.gaps(), [(1, 2)]);
    let read = IngestRecord::load(Some(&record.to_document()), EpochMs(9)).unwrap();
    assert_eq!(read, record);
}

/// A stream with every gap it may have: the odd seconds are missing.
fn full() -> IngestRecord {
    let mut record = IngestRecord::new(EpochMs(1));
    // The first gap is three seconds long, so that one more could be made inside it.
    assert!(send(&mut record, 4));
    for n in 1..MAX_GAPS as u32 {
        assert!(send(&mut record, 4 + 2 * n));
    }
    assert_eq!(record.gaps().len(), MAX_GAPS);
    record
}

#[test]
fn too_many_gaps_are_refused_not_forgotten() {
    let mut record = full();
    let last = record.last_seq();
    let Decision::Refuse(refusal) = decide(&record, last + 2) else {
        panic!("taken");
    };
    assert_eq!(
        refusal.to_string(),
        format!(
            "frame.seq {} would make one gap more than the 1024 of this stream: send the missing \
             seconds 1..3 first",
            last + 2
        )
    );
    assert!(matches!(decide(&record, 2), Decision::Refuse(_)));
    // What makes no new gap is still taken.
    assert!(send(&mut record, last + 1));
    assert!(send(&mut record, 1));
    assert!(send(&mut record, 5));
    assert!(send(&mut record, last + 3));
    assert_eq!(record.gaps().len(), MAX_GAPS);
    let read = IngestRecord::load(Some(&record.to_document()), EpochMs(9)).unwrap();
    assert_eq!(read, record);
    assert!(record.to_document().len() < 20_000);
}

#[test]
fn jumps() {
    let mut record = IngestRecord::new(EpochMs(1));
    assert!(send(&mut record, 10));
    assert!(matches!(
        decide(&record, 10 + MAX_SEQ_JUMP + 2),
        Decision::Refuse(_)
    ));
    assert!(matches!(decide(&record, u32::MAX), Decision::Refuse(_)));
    assert!(send(&mut record, 10 + MAX_SEQ_JUMP + 1));
}

#[test]
fn damage_is_found() {
    let good = r#"{"last_seq":5,"received_chunks":3,"duplicate_chunks":0,"missing_chunks":2,"bytes_stored":96000,"started_at":1,"updated_at":2,"gaps":[[3,4]]}"#;
    assert!(IngestRecord::load(Some(good), EpochMs(0)).is_ok());
    for (from, to) in [
        ("[[3,4]]", "[[4,3]]"),
        ("[[3,4]]", "[[4,5]]"),
        ("[[3,4]]", "[[0,1]]"),
        ("[[3,4]]", "[[3,3],[4,4]]"),
        ("[[3,4]]", "[[1,4294967295]]"),
        (
            "5,\"received_chunks\":3,\"duplicate_chunks\":0,\"missing_chunks\":2,\"bytes_stored\":96000,\"started_at\":1,\"updated_at\":2,\"gaps\":[[3,4]]",
            "4294967295,\"received_chunks\":3,\"duplicate_chunks\":0,\"missing_chunks\":2,\"bytes_stored\":0,\"started_at\":1,\"updated_at\":2,\"gaps\":[[3,4294967294],[4294967294,4294967294]]",
        ),
        ("[[3,4]]", "[]"),
        ("\"received_chunks\":3", "\"received_chunks\":4"),
        ("\"received_chunks\":3", "\"received_chunks\":4294967295"),
        ("\"last_seq\":5", "\"last_seq\":-5"),
        ("{", "["),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(IngestRecord::load(Some(&bad), EpochMs(0)).is_err(), "{bad}");
    }
}

#[test]
fn a_status_object() {
    let record = IngestRecord::load(None, EpochMs(0)).unwrap();
    let session = SessionId::parse("s").unwrap();
    assert_eq!(
        stored::to_json(&record.status(&session, StreamRole::Mixed)),
        r#"{"type":"status","session_id":"s","stream_role":"mixed","meeting_id":"s","last_seq":0,"received_chunks":0,"duplicate_chunks":0,"missing_chunks":0,"bytes_stored":0,"started_at":"1970-01-01T00:00:00.000Z","updated_at":"1970-01-01T00:00:00.000Z"}"#
    );
}

fn check(record: &IngestRecord, model: &BTreeSet<u32>) {
    let last = model.last().copied().unwrap_or(0);
    assert_eq!(record.last_seq(), last);
    assert_eq!(record.received_chunks() as usize, model.len());
    assert_eq!(record.missing_chunks(), last - model.len() as u32);
    assert_eq!(record.bytes_stored(), model.len() as u64 * 32_000);
    let mut missing = (1..=last).filter(|n| !model.contains(n));
    for &(first, last) in record.gaps() {
        for n in first..=last {
            assert_eq!(missing.next(), Some(n));
        }
    }
    assert_eq!(missing.next(), None);
    let read = IngestRecord::load(Some(&record.to_document()), EpochMs(9)).unwrap();
    assert_eq!(read, *record);
}

proptest! {
    #[test]
    fn counts_agree_with_a_set(chunks in prop::collection::vec(1u32..60, 0..150)) {
        let mut record = IngestRecord::new(EpochMs(1));
        let mut model = BTreeSet::new();
        let mut duplicates = 0;
        for n in chunks {
            prop_assert_eq!(record.is_stored(seq(n)), model.contains(&n));
            let is_new = model.insert(n);
            prop_assert_eq!(send(&mut record, n), is_new);
            duplicates += u64::from(!is_new);
            prop_assert_eq!(record.duplicate_chunks(), duplicates);
            check(&record, &model);
        }
    }

    #[test]
    fn gaps_fill_in_any_order(order in Just((1u32..80).collect::<Vec<_>>()).prop_shuffle()) {
        let mut record = IngestRecord::new(EpochMs(1));
        for n in &order {
            prop_assert!(send(&mut record, *n));
        }
        prop_assert_eq!(record.gaps(), []);
        prop_assert_eq!((record.last_seq(), record.missing_chunks()), (79, 0));
        for n in order {
            prop_assert!(!send(&mut record, n));
        }
    }

    #[test]
    fn a_full_record_never_calls_a_missing_second_duplicate(
        chunks in prop::collection::vec(1u32..2 * MAX_GAPS as u32 + 20, 0..60),
    ) {
        let mut record = full();
        let mut model: BTreeSet<u32> = (1..=record.last_seq()).filter(|n| record.is_stored(seq(*n))).collect();
        for n in chunks {
            let was_stored = model.contains(&n);
            let decision = decide(&record, n);
            prop_assert_eq!(matches!(decision, Decision::Duplicate(_)), was_stored);
            if send(&mut record, n) {
                model.insert(n);
            }
            prop_assert!(record.gaps().len() <= MAX_GAPS);
        }
        check(&record, &model);
    }

    #[test]
    fn any_document_and_number_is_answered(document in any::<String>(), number in any::<f64>()) {
        let _ = IngestRecord::load(Some(&document), EpochMs(1));
        if let Some(claimed) = ClaimedSeq::new(number) {
            let _ = full().decide(claimed);
        }
    }
}

#[test]
fn missing_seconds_are_counted_after_a_second() {
    let mut record = IngestRecord::new(EpochMs(0));
    for seq in [1, 2, 5, 9, 3602] {
        assert!(record.stored(Seq::new(seq).unwrap(), EpochMs(0)));
    }
    let after = [0, 2, 3, 4, 9, 10, 3601, 3602].map(|seq| record.missing_after(seq));
    assert_eq!(after, [3597, 3597, 3596, 3595, 3592, 3591, 0, 0]);
    assert_eq!(record.missing_after(0), record.missing_chunks());
}
