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
    for (name, parameters) in others() {
        let parameters: Vec<_> = (0..).zip(parameters).map(|(at, kind)| format!(".param .{kind} p{at}")).collect();
        let _ = writeln!(text, ".visible .entry {name}({})\n{{\nret;\n}}", parameters.join(", "));
    }
    text
}

/// All kernels but the one that tells the contract, with the types of their arguments.
fn others() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let (address, number) = ("u64", "u32");
    let [pools, views] = [[address, address, number], [address, address, number]];
    let jobs = [number, address, number, address, number];
    let scan = [&pools[..], &views, &jobs, &[number; 4], &[address]].concat();
    let scans = Ends::ALL.into_iter().flat_map(|ends| [ends.scan_jobs(), ends.scan_pools()]);
    scans.map(move |name| (name, scan.clone())).chain([
        (MERGE_PARTS, vec![address, number, number, address]),
        (PATCH_POOLS, vec![address, number, address, address, number]),
        (PATCH_VIEWS, vec![address, number, address, address, "u64"]),
    ])
}

#[test]
fn a_file_that_is_not_there() {
    place()
        .arg("no/such.ptx")
        .ran()
        .expect(2)
        .says("--kernel-image: cuda: the kernel image no/such.ptx cannot be read: ");
}

/// An image that is refused, and why.
fn assert_refused(image: &str, reason: &str) {
    let run = place();
    let file = run.file("image.ptx", image);
    run.arg(file).ran().expect(2).says("--kernel-image: cuda: the kernel image (").says(reason);
}

#[test]
fn a_file_that_is_no_image() {
    assert_refused("no PTX at all\n", "cannot be used: it has no stamp of this program's contract");
    assert_refused("a\0b", "cannot be used: it has no stamp of this program's contract");
    assert_refused(&(stamp() + "no PTX at all\n"), "has no kernel `merge_parts`");
    let image = orchestrator_kernels::IMAGE;
    assert_refused(&(image.to_owned() + "\0"), "cannot be used: it is no text: it holds a NUL");
    let broken = image.replace("ret;", "no instruction;");
    let run = place();
    let file = run.file("broken.ptx", &broken);
    run.arg(file).ran().expect(2).says("the driver refuses the kernel image (").says("CUDA_ERROR_INVALID_PTX");
    // Read, it would take all memory.
    place().arg("/dev/zero").ran().expect(2).says("cannot be read: it is no file of at most ");
    // This one is longer than it says.
    place().arg("/proc/self/pagemap").ran().expect(2).says("cannot be read: ");
    let run = place();
    let file = run.file("long.ptx", "");
    std::fs::File::options().write(true).open(&file).and_then(|file| file.set_len(1 << 26)).expect("a file can grow");
    run.arg(file).ran().expect(2).says("cannot be read: it is no file of at most ");
}

/// Nobody names a file that shall not matter.
#[test]
fn a_file_that_no_device_comes_to() {
    for backend in ["auto", "simd", "scalar"] {
        let run = Run::place(backend, JOBS, "sequential").arg("--kernel-image").arg("no/such.ptx");
        run.ran().expect(2).says("--kernel-image: cuda: the kernel image no/such.ptx cannot be read: ");
    }
}

/// Launched, it would read what nobody wrote.
#[test]
fn a_kernel_that_takes_something_else() {
    let image = orchestrator_kernels::IMAGE;
    for (kernel, _) in others().chain([(REPORT, vec![])]) {
        let entry = format!(".entry {kernel}(");
        let more = image.replace(&entry, &format!("{entry}.param .u64 more, "));
        assert_refused(&more, &format!("cannot be used: its kernel `{kernel}` takes other parameters"));
        let missing = image.replace(&entry, &format!("// {entry}"));
        assert_refused(&missing, &format!("has no kernel `{kernel}`"));
    }
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
