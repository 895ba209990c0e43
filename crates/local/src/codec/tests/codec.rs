use std::sync::Arc;

use taskwright_core::{JobId, Json, Place, State, Token, Verdict};

use super::*;
use crate::change::{Fixed, Run, Update};
use crate::sim::{Random, Samples};

fn base(random: &mut Random) -> Base {
    Base { now: Timestamp::from_micros(random.uneven().cast_signed()), epoch: random.bits() as u32 }
}

fn encoded(change: &Change, base: Base) -> Vec<u8> {
    let mut out = Vec::new();
    encode_change(change, base, &mut out);
    out
}

#[test]
fn every_change_survives() {
    let mut samples = Samples::new(1);
    for _ in 0..20_000 {
        let change = samples.change();
        let base = base(&mut samples.random);
        let bytes = encoded(&change, base);
        let mut rest = &bytes[..];
        assert_eq!(decode_change(&mut rest, base), Ok(change));
        assert!(rest.is_empty());
    }
}

#[test]
fn changes_follow_each_other() {
    let mut samples = Samples::new(2);
    let changes: Vec<_> = (0..100).map(|_| samples.change()).collect();
    let base = base(&mut samples.random);
    let mut bytes = Vec::new();
    for change in &changes {
        encode_change(change, base, &mut bytes);
    }
    let mut rest = &bytes[..];
    for change in changes {
        assert_eq!(decode_change(&mut rest, base), Ok(change));
    }
    assert!(rest.is_empty());
}

#[test]
fn records_that_stand_alone_survive() {
    let mut samples = Samples::new(3);
    let mut out = Vec::new();
    for _ in 0..5_000 {
        macro_rules! survives {
            ($make:ident, $encode:ident, $decode:ident) => {
                let value = samples.$make();
                out.clear();
                $encode(&value, &mut out);
                assert_eq!($decode(&out), Ok(value));
                out.push(0);
                assert!($decode(&out).is_err(), "bytes behind a record go unnoticed");
            };
        }
        survives!(vital, encode_vital, decode_vital);
        survives!(life, encode_life, decode_life);
        survives!(extras, encode_extras, decode_extras);
        survives!(more, encode_more, decode_more);
        survives!(attempt, encode_attempt, decode_attempt);
        survives!(error, encode_error, decode_error);
    }
}

#[test]
fn any_bytes_give_a_change_or_an_error() {
    let mut samples = Samples::new(4);
    for round in 0..50_000 {
        let base = base(&mut samples.random);
        let mut bytes = if round % 2 == 0 {
            (0..samples.random.below(60)).map(|_| samples.random.bits() as u8).collect()
        } else {
            encoded(&samples.change(), base)
        };
        if round % 4 == 1 {
            let cut = samples.random.below(bytes.len());
            bytes.truncate(cut);
        } else if !bytes.is_empty() {
            let at = samples.random.below(bytes.len());
            bytes[at] ^= 1 << samples.random.below(8);
        }
        let mut rest = &bytes[..];
        while decode_change(&mut rest, base).is_ok() {}
        let _ = (decode_extras(&bytes), decode_more(&bytes), decode_life(&bytes));
    }
}

#[test]
fn every_cut_is_an_error() {
    let mut samples = Samples::new(5);
    for _ in 0..200 {
        let change = samples.change();
        let bytes = encoded(&change, Base::ALONE);
        for cut in 0..bytes.len() {
            assert!(decode_change(&mut &bytes[..cut], Base::ALONE).is_err(), "{change:?} at {cut}");
        }
    }
}

#[test]
fn a_length_beyond_the_bytes_allocates_nothing() {
    // An error record: tag 1 (text), length 2^62.
    let bytes = [0x0d, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    assert_eq!(decode_error(&bytes), Err(CodecError::Truncated("an error")));
}

#[test]
fn an_unknown_field_is_named_and_not_skipped() {
    let update = Update { seq: 7, vital: Samples::new(6).vital(), more: None };
    let mut bytes = encoded(&Change::Update(update), Base::ALONE);
    bytes.pop();
    bytes.extend([0x99, 0x1f, 1, 0]); // Field 499, an unsigned number.
    let error = decode_change(&mut &bytes[..], Base::ALONE).expect_err("the field is skipped");
    assert!(error.is_newer());
    assert_eq!(
        error.to_string(),
        "field 499 (kind 1) of an update is unknown to this version (format 1); it was written \
         by a newer Taskwright: upgrade this one"
    );
}

#[test]
fn an_unknown_kind_of_a_known_field_is_named() {
    let bytes = [2 << 3 | 6, 12 << 3 | 7, 1]; // An update whose seq has kind 7.
    let error = decode_change(&mut &bytes[..], Base::ALONE).expect_err("the kind is accepted");
    assert_eq!(error, CodecError::Unknown { number: 12, kind: 7, record: "an update" });
}

#[test]
fn a_record_without_a_needed_field_is_refused() {
    let error = decode_change(&mut &[2 << 3 | 6, 0][..], Base::ALONE).expect_err("no seq");
    assert_eq!(error.to_string(), "an update has no seq");
}

#[test]
fn usual_changes_are_small() {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let base = Base { now, epoch: 3 };
    let due_at = now.minus(std::time::Duration::from_secs(10));
    let started_at = now.minus(std::time::Duration::from_millis(5));
    let token = Token { epoch: 3, attempt: 1, nonce: 0x9f86_d081_884c_7d65 };
    let mut life = Life::new(20, 0, Place::Ready(due_at.as_micros()));
    let args = "a".repeat(200);
    let fixed = Fixed {
        seq: 1_000_000,
        id: JobId::from_u128(u128::MAX),
        lane: 7,
        priority: 0,
        timeout_ms: None,
        created_at: now,
        fingerprint: u64::MAX,
        max_attempts: 20,
        args: Json::from_trusted(args.as_str()),
        extras: None,
    };
    let inserted = Vital {
        life: Life::new(20, 0, Place::Ready(now.as_micros())),
        due_at: now,
        run: None,
        finished_at: None,
    };
    let insert = encoded(&Change::Insert(Arc::new(fixed), inserted), base);
    assert!(insert.len() <= 45 + args.len(), "an insert takes {} bytes", insert.len());

    life.state = State::Running(token);
    life.attempt = 1;
    let run = Run { worker: 3, claim: 500, started_at: now };
    let vital = Vital { life, due_at, run: Some(run), finished_at: None };
    let claim = encoded(&Change::Update(Update { seq: 1_000_000, vital, more: None }), base);
    assert!(claim.len() <= 30, "a claim takes {} bytes", claim.len());

    life.state = State::Completed;
    life.last = Some((token, Verdict::Completed));
    let run = Run { started_at, ..run };
    let vital = Vital { life, due_at, run: Some(run), finished_at: Some(now) };
    let completion = encoded(&Change::Update(Update { seq: 1_000_000, vital, more: None }), base);
    assert!(completion.len() <= 36, "a completion takes {} bytes", completion.len());
}
