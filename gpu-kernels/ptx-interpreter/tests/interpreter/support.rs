//! A device for one launch: buffers in, launch, buffers out.

use orchestrator_ptx_interpreter::{Fault, Launch, Memory, Module, Statistics, launch};

/// What a parameter is made of.
pub(crate) enum Argument<'a> {
    /// A buffer's address.
    Buffer(&'a mut Vec<u8>),
    /// Bytes by value.
    Value(Vec<u8>),
}

/// Bytes of numbers, as a device holds them.
pub(crate) fn bytes_of<T: Copy, const N: usize>(numbers: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| to_bytes(*number)).collect()
}

/// Numbers from the bytes that a device held.
pub(crate) fn numbers_of<T, const N: usize>(bytes: &[u8], from_bytes: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| from_bytes(chunk.try_into().unwrap())).collect()
}

/// Launches an entry and reads all buffers back.
pub(crate) fn run(
    module: &Module,
    entry: &str,
    shape: &Launch,
    arguments: &mut [Argument<'_>],
) -> Result<Statistics, Fault> {
    let mut memory = Memory::new(1 << 30);
    let layout = module.entry(entry).expect("the entry exists");
    let mut params = vec![0; layout.param_bytes()];
    let mut buffers = Vec::new();
    for (argument, param) in arguments.iter_mut().zip(layout.params()) {
        let value = match argument {
            Argument::Buffer(bytes) => {
                let address = memory.alloc(bytes.len() as u64).unwrap();
                memory.write(address, bytes).unwrap();
                buffers.push((address, bytes));
                address.to_le_bytes().to_vec()
            }
            Argument::Value(value) => value.clone(),
        };
        assert_eq!(value.len(), param.bytes, "a parameter of {entry}");
        params[param.offset..param.offset + param.bytes].copy_from_slice(&value);
    }
    let statistics = launch(module, entry, shape, &params, &mut memory)?;
    for (address, bytes) in buffers {
        memory.read(address, bytes).unwrap();
    }
    Ok(statistics)
}

/// A module of one entry `e` with two pointers, in `%i` and `%o`, and registers of every width from zero to eight.
pub(crate) fn entry_of(declarations: &str, body: &str) -> String {
    format!(
        ".version 6.3\n.target sm_75\n.address_size 64\n{declarations}\n\
         .visible .entry e(.param .u64 e_0, .param .u64 e_1)\n{{\n\
         .reg .pred %p<9>;\n.reg .b16 %h<9>;\n.reg .b32 %w<9>;\n.reg .b64 %d<9>;\n.reg .b64 %i, %o;\n\
         ld.param.b64 %i, [e_0];\nld.param.b64 %o, [e_1];\n{body}\nret;\n}}\n"
    )
}

/// Runs such a module with bytes at `%i` and returns the bytes at `%o`, which start as zeros.
pub(crate) fn run_entry(text: &str, shape: &Launch, input: &[u8], output_bytes: usize) -> Result<Vec<u8>, Fault> {
    let module = Module::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let (mut input, mut output) = (input.to_vec(), vec![0; output_bytes]);
    run(&module, "e", shape, &mut [Argument::Buffer(&mut input), Argument::Buffer(&mut output)])?;
    Ok(output)
}

/// A launch of one dimension.
pub(crate) fn shape(blocks: u32, threads: u32, order_seed: u64) -> Launch {
    Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared_bytes: 0, order_seed }
}
