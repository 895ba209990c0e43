//! Taskwright.
