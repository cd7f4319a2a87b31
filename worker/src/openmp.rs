//! libtorch's own threads, for what runs between its operations.
//!
//! They spin for a while after each operation, ready for the next: threads of ours would have to take the cores from them.
//! Both libtorch and its matrix products are built on GNU's OpenMP runtime, whose entry that compilers call is used here.

#![expect(unsafe_code, reason = "a C interface that takes a function and a pointer to what it works on")]

use std::ffi::{c_uint, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

/// `GOMP_parallel(function, data, threads, flags)` of libgomp's ABI: `function(data)` once in each of the threads, of which the
/// caller is one; returns when all have.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// None where this process has no such runtime.
fn parallel() -> Option<Parallel> {
    static FOUND: OnceLock<Option<Parallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let process = libloading::os::unix::Library::this();
        // SAFETY: the name belongs to libgomp's ABI, where it has had this type since version 4.0. The process keeps it loaded.
        unsafe { process.get::<Parallel>(b"GOMP_parallel\0") }.ok().map(|found| *found)
    })
}

/// Works on each of `shares`, as many at a time as libtorch has threads, in no order. A panic ends the process.
pub(crate) fn for_each<T: Send>(shares: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    let shares: Vec<T> = shares.collect();
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).min(shares.len());
    let shares = Mutex::new(shares.into_iter());
    let take_all = || {
        // The lock is given back before the work.
        while let Some(share) = { shares.lock().unwrap_or_else(PoisonError::into_inner).next() } {
            work(share);
        }
    };
    match parallel() {
        Some(parallel) if threads > 1 => run(parallel, threads, take_all),
        _ => take_all(),
    }
}

fn run<F: Fn() + Sync>(parallel: Parallel, threads: usize, function: F) {
    extern "C" fn call<F: Fn() + Sync>(data: *mut c_void) {
        // SAFETY: `data` is the function below, which outlives the call and may be called by several threads at once.
        let function = unsafe { &*data.cast::<F>() };
        function();
    }
    let data = (&raw const function).cast_mut().cast();
    // SAFETY: `call` takes what `data` points to, which is only read; the runtime calls it before it returns, never later.
    unsafe { parallel(call::<F>, data, threads as c_uint, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    #[test]
    fn every_share_is_worked_on_once() {
        for count in [0, 1, 2, 1000] {
            let mut numbers: Vec<usize> = vec![0; count];
            for_each(numbers.iter_mut().enumerate(), |(i, number)| *number += i + 1);
            assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn as_many_at_once_as_libtorch_has_threads() {
        tch::set_num_threads(2);
        let (barrier, threads) = (Barrier::new(2), Mutex::new(HashSet::new()));
        // Two that wait for each other end only when they are worked on at the same time.
        for_each([(), ()].into_iter(), |()| {
            barrier.wait();
            threads.lock().unwrap().insert(std::thread::current().id());
        });
        assert_eq!(threads.into_inner().unwrap().len(), 2);
    }
}
