//! Images from files: read, refused with a reason, or used.

use std::fmt::Write;

use orchestrator_kernels::launch::{Ends, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT};

use crate::run::Run;

const JOBS: &str = "examples/mixed-jobs.jsonl";

fn place() -> Run {
    Run::place("cuda", JOBS, "sequential").arg("--kernel-image")
}

/// The stamp of this program's contract.
fn stamp() -> String {
    let lines = orchestrator_kernels::IMAGE.lines().take_while(|line| line.starts_with("//"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// An image with all kernels, which do nothing but write a contract of zeros.
fn empty_kernels() -> String {
    let mut text = stamp() + ".version 6.3\n.target sm_75\n.address_size 64\n";
    let _ = writeln!(text, ".visible .entry {REPORT}(.param .u64 out)\n{{\n.reg .b64 %rd<2>;\n.reg .b32 %r<2>;");
    let _ = writeln!(text, "ld.param.u64 %rd1, [out];\nmov.u32 %r1, 0;");
    for word in 0..14 {
        let _ = writeln!(text, "st.global.u32 [%rd1+{}], %r1;", 4 * word);
    }
    let _ = writeln!(text, "ret;\n}}");
    let scans = Ends::ALL.into_iter().flat_map(|ends| [ends.scan_jobs(), ends.scan_pools()]);
    for name in scans.chain([MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS]) {
        let _ = writeln!(text, ".visible .entry {name}()\n{{\nret;\n}}");
    }
    text
}

#[test]
fn a_file_that_is_not_there() {
    place().arg("no/such.ptx").ran().expect(2).says("--backend: cuda: the kernel image no/such.ptx cannot be read: ");
}

#[test]
fn a_file_that_is_no_image() {
    let run = place();
    let file = run.file("unstamped.ptx", "no PTX at all\n");
    run.arg(file).ran().expect(2).says("cannot be read: it has no stamp of this program's contract");
    let run = place();
    // Launched, it would read what nobody wrote.
    let taker = stamp() + ".visible .entry report(.param .u64 out, .param .u64 more)\n{\nret;\n}\n";
    let file = run.file("taker.ptx", &taker);
    run.arg(file).ran().expect(2).says("cannot be read: it has no stamp of this program's contract");
    let run = place();
    let file = run.file("wrong.ptx", &(stamp() + "// .entry report(.param .u64 out)\nno PTX at all\n"));
    run.arg(file).ran().expect(2).says("the driver refuses the kernel image (").says("CUDA_ERROR_INVALID_PTX");
    // Read, it would take all memory.
    place().arg("/dev/zero").ran().expect(2).says("cannot be read: it is no file of at most ");
    let run = place();
    let file = run.file("nul.ptx", "a\0b");
    run.arg(file).ran().expect(2).says("cannot be read: it is no text: it holds a NUL");
}

/// Both contracts are in the message.
#[test]
fn an_image_of_another_contract() {
    let run = place();
    let file = run.file("other.ptx", &empty_kernels());
    let ran = run.arg(file).ran().expect(2).says("is of another contract: it has [magic 0x0, contract 0, ");
    ran.says("this program [magic 0x6f726368, contract ");
}

/// The built-in image as a file is as good.
#[test]
fn an_image_of_the_right_contract() {
    let run = place();
    let file = run.file("kernels.ptx", orchestrator_kernels::IMAGE);
    let ran = run.arg(&file).ran().expect(0).says("decision digest: efd25c8dcb5c6187");
    ran.says(&format!("backend cuda: stub (PTX interpreter), kernels {}", file.display()));
}
