//! The model test: random operations on a store and on the naive model, answer for answer.
//!
//! Calls are lost and repeated, replies are lost, workers come back late, the clock jumps both
//! ways and the store is closed and opened again. A failure is shrunk to the shortest list of
//! operations that still fails and printed with its seed.
//!
//! Environment: `TASKWRIGHT_CASES` (how many lists of operations; 200) and `TASKWRIGHT_SEED` (64
//! hexadecimal digits, as printed; a new one by default).

mod answers;
mod compare;
mod make;
mod ops;
mod ticks;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use taskwright_core::{JobId, retry};

use super::Harness;
use world::World;

const CASES_DEFAULT: u32 = 200;
const SHRINKS_MAX: u32 = 4_000;

/// Lets the store of each `harness` live through random operations and compares it with the model.
///
/// # Panics
/// If the store and the model differ; the message tells in what, after which operations.
pub fn model_test<H: Harness>(harness: impl Fn() -> H) {
    let cases = std::env::var("TASKWRIGHT_CASES").ok().and_then(|cases| cases.parse().ok());
    if let Some(difference) = difference(harness, cases.unwrap_or(CASES_DEFAULT), SHRINKS_MAX) {
        panic!("{difference}");
    }
}

/// In what the store of a `harness` differs from the model, if so many random lives show it, and
/// after which operations, shrunk by at most so many tries.
///
/// # Panics
/// If no life can be tried at all.
pub fn difference<H: Harness>(
    harness: impl Fn() -> H,
    cases: u32,
    shrinks_max: u32,
) -> Option<String> {
    let seed = seed();
    println!("model test with TASKWRIGHT_SEED={}", hexadecimal(&seed));
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: shrinks_max,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime for the test");
    let found = AtomicBool::new(false);
    let outcome = runner.run(&ops::operations(), |ops| {
        let harness = harness();
        let live = async {
            let mut world = World::new(&harness).await;
            world.live(&ops).await
        };
        runtime.block_on(live).map_err(|difference| {
            // Finding the shortest life that shows it can take longer than the test may.
            if !found.swap(true, Ordering::Relaxed) {
                println!("found: {difference}; looking for a shorter life that shows it");
            }
            TestCaseError::fail(difference)
        })
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(difference, ops)) => {
            let steps: Vec<_> =
                ops.iter().enumerate().map(|(step, op)| format!("{step}: {op:?}")).collect();
            let seed = hexadecimal(&seed);
            Some(format!("{difference}\nTASKWRIGHT_SEED={seed}\n{}", steps.join("\n")))
        }
        Err(TestError::Abort(reason)) => panic!("the test could not run: {reason}"),
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    match std::env::var("TASKWRIGHT_SEED") {
        Ok(text) => {
            for (byte, digits) in seed.iter_mut().zip(text.as_bytes().chunks(2)) {
                let digits = std::str::from_utf8(digits).expect("TASKWRIGHT_SEED is hexadecimal");
                *byte = u8::from_str_radix(digits, 16).expect("TASKWRIGHT_SEED is hexadecimal");
            }
        }
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let chance = JobId::from_u128(now.as_nanos() ^ u128::from(std::process::id()) << 64);
            for (part, bytes) in (0..).zip(seed.chunks_mut(8)) {
                let mixed = JobId::from_u128(u128::from(retry::seed(chance, part)));
                bytes.copy_from_slice(&retry::seed(mixed, 0).to_le_bytes());
            }
        }
    }
    seed
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Expands to a test that compares a store with the naive model under random operations.
///
/// ```text
/// taskwright_store::model_test!(memory_follows_the_model, MemoryHarness::new());
/// ```
#[macro_export]
macro_rules! model_test {
    ($name:ident, $harness:expr) => {
        #[test]
        fn $name() {
            $crate::conformance::random::model_test(|| $harness);
        }
    };
}
