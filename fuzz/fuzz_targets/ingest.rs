//! Which seconds of a stream are stored, against a model that keeps the whole set of them: the record
//! decides the same, counts the same, and reads back.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use interview_session::ingest::{Decision, IngestRecord, MAX_GAPS, MAX_SEQ_JUMP, Refusal};
use interview_session::seq::{ClaimedSeq, Seq};
use interview_session::time::EpochMs;
use libfuzzer_sys::fuzz_target;

/// Chunks of one input: enough to fill the list of gaps.
const MAX_CHUNKS: usize = 1500;

const NOW: EpochMs = EpochMs(1_760_000_000_000);

#[derive(Debug, Arbitrary)]
enum Sent {
    Next,
    /// So many seconds later than the next one.
    Ahead(u16),
    /// So many seconds before the last one.
    Back(u16),
    /// Any number that a frame may hold.
    Number(f64),
    /// Every other second, so often: what fills the list of gaps.
    Holes(u8),
}

#[derive(Default)]
struct Model {
    stored: BTreeSet<u32>,
    last: u32,
    duplicates: u64,
    chunks: usize,
}

fuzz_target!(|sent: Vec<Sent>| {
    let mut model = Model::default();
    let mut record = IngestRecord::new(NOW);
    for sent in &sent {
        if model.chunks > MAX_CHUNKS {
            return;
        }
        let last = f64::from(model.last);
        match sent {
            Sent::Next => model.send(&mut record, last + 1.0),
            Sent::Ahead(by) => model.send(&mut record, last + 1.0 + f64::from(*by)),
            Sent::Back(by) => model.send(&mut record, last - f64::from(*by)),
            Sent::Number(number) => model.send(&mut record, *number),
            Sent::Holes(count) => {
                for _ in 0..*count {
                    let next = f64::from(model.last) + 2.0;
                    model.send(&mut record, next);
                }
            }
        }
        model.is(&record);
    }
});

impl Model {
    fn send(&mut self, record: &mut IngestRecord, number: f64) {
        self.chunks += 1;
        let Some(claimed) = ClaimedSeq::new(number) else {
            assert!(!(number >= 1.0 && number.fract() == 0.0 && number.is_finite()));
            return;
        };
        let before = record.clone();
        let decision = record.decide(claimed);
        assert_eq!(*record, before, "to decide changes nothing");
        let expected = self.expected(record, number);
        match (&decision, expected) {
            (Decision::Refuse(Refusal::Jump { .. }), Expected::Jump)
            | (Decision::Refuse(Refusal::TooManyGaps { .. }), Expected::TooManyGaps) => {
                if let Some(seq) = claimed.seq() {
                    assert!(!record.stored(seq, NOW), "it was refused");
                    assert_eq!(*record, before);
                }
            }
            (Decision::Duplicate(_), Expected::Duplicate) => {
                record.duplicate(NOW);
                self.duplicates += 1;
            }
            (Decision::Store(seq), Expected::Store) | (Decision::FillGap(seq), Expected::Fill) => {
                assert!(record.stored(*seq, NOW));
                assert!(!record.stored(*seq, NOW), "it is stored once");
                self.stored.insert(seq.get());
                self.last = self.last.max(seq.get());
            }
            (decision, expected) => panic!("{number}: {decision:?} and not {expected:?}"),
        }
    }

    fn expected(&self, record: &IngestRecord, number: f64) -> Expected {
        let last = f64::from(self.last);
        if number > last + 1.0 + f64::from(MAX_SEQ_JUMP) || number > f64::from(u32::MAX) {
            return Expected::Jump;
        }
        let second = number as u32;
        let is_full = record.gaps().len() >= MAX_GAPS;
        if second > self.last {
            let makes_gap = second > self.last + 1;
            return if makes_gap && is_full {
                Expected::TooManyGaps
            } else {
                Expected::Store
            };
        }
        if self.stored.contains(&second) {
            return Expected::Duplicate;
        }
        let is_missing = |second: u32| second >= 1 && !self.stored.contains(&second);
        let splits = is_missing(second - 1) && is_missing(second + 1);
        if splits && is_full {
            Expected::TooManyGaps
        } else {
            Expected::Fill
        }
    }

    fn is(&self, record: &IngestRecord) {
        assert_eq!(record.last_seq(), self.last);
        assert_eq!(record.received_chunks() as usize, self.stored.len());
        assert_eq!(
            record.missing_chunks() as usize,
            self.last as usize - self.stored.len()
        );
        assert_eq!(record.duplicate_chunks(), self.duplicates);
        assert!(record.gaps().len() <= MAX_GAPS);
        let mut missing = 0;
        for &(first, last) in record.gaps() {
            assert!(first <= last);
            assert_eq!(
                self.stored.range(first..=last).next(),
                None,
                "{first}..={last}"
            );
            missing += last - first + 1;
        }
        assert_eq!(missing, record.missing_chunks());
        if let Some(seq) = Seq::new(self.last) {
            assert!(record.is_stored(seq));
        }
        let read = IngestRecord::load(Some(&record.to_document()), NOW).expect("reads back");
        assert_eq!(read, *record);
    }
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Store,
    Fill,
    Duplicate,
    Jump,
    TooManyGaps,
}
