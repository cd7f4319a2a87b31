//! The report of a small made-up sweep.
