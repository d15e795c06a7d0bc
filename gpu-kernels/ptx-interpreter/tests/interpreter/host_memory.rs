//! Memory as a host sees it.

use orchestrator_ptx_interpreter::{Memory, MemoryError};

#[test]
fn addresses_are_aligned_apart_and_never_given_twice() {
    let mut memory = Memory::new(1000);
    let first = memory.alloc(1).unwrap();
    let second = memory.alloc(300).unwrap();
    assert!(first > 0 && first.is_multiple_of(256) && second.is_multiple_of(256));
    assert!(second >= first + 256);
    assert_eq!((memory.live_bytes(), memory.live_allocations()), (301, 2));
    memory.free(first).unwrap();
    assert_eq!((memory.live_bytes(), memory.live_allocations()), (300, 1));
    assert!(memory.alloc(1).unwrap() > second);
    assert_eq!(memory.free(first), Err(MemoryError::NotAllocated(first)));
    assert_eq!(memory.free(second + 1), Err(MemoryError::NotAllocated(second + 1)));
}

#[test]
fn the_limit_holds() {
    let mut memory = Memory::new(100);
    assert_eq!(memory.alloc(0), Err(MemoryError::Empty));
    let address = memory.alloc(60).unwrap();
    assert_eq!(memory.alloc(41), Err(MemoryError::OutOfMemory { asked: 41, left: 40 }));
    memory.free(address).unwrap();
    assert!(memory.alloc(100).is_ok());
    assert!(matches!(Memory::new(u64::MAX).alloc(u64::MAX), Err(MemoryError::OutOfMemory { .. })));
}

#[test]
fn only_written_bytes_of_one_allocation_are_read() {
    let mut memory = Memory::new(1 << 20);
    let address = memory.alloc(8).unwrap();
    memory.write(address + 2, &[1, 2, 3]).unwrap();
    let mut back = [0; 3];
    memory.read(address + 2, &mut back).unwrap();
    assert_eq!(back, [1, 2, 3]);
    let unwritten = |address, bytes| Err(MemoryError::Unwritten { address, bytes });
    assert_eq!(memory.read(address + 1, &mut [0; 2]), unwritten(address + 1, 2));
    assert_eq!(memory.read(address + 4, &mut [0; 2]), unwritten(address + 4, 2));
    let stray = |address, bytes| Err(MemoryError::Stray { address, bytes });
    assert_eq!(memory.read(address + 8, &mut [0; 1]), stray(address + 8, 1));
    assert_eq!(memory.read(address + 7, &mut [0; 2]), stray(address + 7, 2));
    assert_eq!(memory.write(address - 1, &[0; 2]), stray(address - 1, 2));
    assert_eq!(memory.write(0, &[0]), stray(0, 1));
    assert_eq!(memory.write(u64::MAX, &[0; 2]), stray(u64::MAX, 2));
    memory.free(address).unwrap();
    assert_eq!(memory.read(address + 2, &mut back), stray(address + 2, 3));
}
