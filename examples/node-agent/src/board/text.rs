//! Numbers as text, without the formatting of the core library, which is larger than a scheduler's decision.

use super::print;

/// Prints a number in decimal.
pub fn print_number(number: u32) {
    let (mut digits, mut left) = ([b'0'; 10], number);
    let mut start = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        start = place;
        if left == 0 {
            break;
        }
    }
    print_ascii(digits.get(start..).unwrap_or_default());
}

/// Prints 16 hexadecimal digits.
pub fn print_hex(number: u64) {
    let mut digits = [b'0'; 16];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (number >> (4 * place)) as u8 & 15;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    print_ascii(&digits);
}

fn print_ascii(digits: &[u8]) {
    print(core::str::from_utf8(digits).unwrap_or_default());
}
