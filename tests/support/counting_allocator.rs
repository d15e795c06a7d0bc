//! The system's allocator, which counts what each thread asks of it: for a test that is alone in its process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static OF_THREAD: Cell<u64> = const { Cell::new(0) };
}

static OF_PROCESS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    OF_PROCESS.fetch_add(1, Ordering::Relaxed);
    // A thread that ends has no counter any more: nobody reads it then.
    let _ = OF_THREAD.try_with(|count| count.set(count.get() + 1));
}

/// Allocations of this thread so far.
pub(crate) fn of_thread() -> u64 {
    OF_THREAD.get()
}

/// Allocations of all threads so far.
pub(crate) fn of_process() -> u64 {
    OF_PROCESS.load(Ordering::Relaxed)
}
