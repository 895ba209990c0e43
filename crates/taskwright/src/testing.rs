//! The real engine in a test, with a clock that only the test moves.
