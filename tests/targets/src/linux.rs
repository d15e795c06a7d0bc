//! Linux without a library: where a program starts, and the two system calls that it needs.

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "x86")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and esp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "bl {main}", "brk #1", main = sym main);
// The callee may save registers in the 160 bytes above its caller's stack pointer.
#[cfg(target_arch = "s390x")]
global_asm!(".globl _start", "_start:", "aghi %r15, -160", "brasl %r14, {main}", "j .+2", main = sym main);

extern "C" fn main() -> ! {
    print("placement ", orchestrator_golden::placement_digest());
    print("scheduler ", orchestrator_golden::scheduler_digest());
    exit(0)
}

/// One line with a name and 16 hexadecimal digits.
fn print(name: &str, digest: u64) {
    let mut line = [b'\n'; 27];
    let (start, digits) = line.split_at_mut(10);
    start.copy_from_slice(name.as_bytes());
    for (place, digit) in digits.iter_mut().take(16).enumerate() {
        let nibble = (digest >> (60 - 4 * place)) as u8 & 15;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    write(&line);
}

fn write(bytes: &[u8]) {
    let (start, len) = (bytes.as_ptr(), bytes.len());
    // SAFETY: `write` reads these bytes and touches no other memory of ours. Its result says nothing that could help.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inout("rax") 1usize => _, in("rdi") 1, in("rsi") start, in("rdx") len,
            out("rcx") _, out("r11") _, options(nostack));
        #[cfg(target_arch = "x86")]
        asm!("int 0x80", inout("eax") 4 => _, in("ebx") 1, in("ecx") start, in("edx") len, options(nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("svc #0", in("x8") 64, inout("x0") 1usize => _, in("x1") start, in("x2") len, options(nostack));
        #[cfg(target_arch = "s390x")]
        asm!("svc 0", in("r1") 4, inout("r2") 1usize => _, in("r3") start, in("r4") len, options(nostack));
    }
}

/// Ends the program.
pub(crate) fn exit(status: usize) -> ! {
    // SAFETY: the call does not return and touches no memory of ours.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", in("rax") 231, in("rdi") status, options(noreturn, nostack));
        #[cfg(target_arch = "x86")]
        asm!("int 0x80", in("eax") 252, in("ebx") status, options(noreturn, nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("svc #0", in("x8") 94, in("x0") status, options(noreturn, nostack));
        #[cfg(target_arch = "s390x")]
        asm!("svc 0", in("r1") 248, in("r2") status, options(noreturn, nostack));
    }
}
