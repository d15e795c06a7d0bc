//! `kv`: estimates against numbers worked out by hand. KV-1, KV-2.

use super::support::{Desk, Ran};

fn kv(args: &str) -> Ran {
    Desk::new().run(["kv"].into_iter().chain(args.split(' ')))
}

#[track_caller]
fn check(args: &str, per_token: u64, total: u64) {
    let answer = kv(args).expect(0).only_line();
    assert_eq!(answer["bytes_per_token"], per_token, "{args}");
    assert_eq!(answer["est_kv_bytes"], total, "{args}");
}

#[test]
fn numbers_worked_out_by_hand() {
    // Llama 3.1 8B: 2 * 8 * 128 elements of 2 bytes in 32 layers.
    check("--context 1 --layers 32 --kv-heads 8 --head-dim 128", 131_072, 131_072);
    check("--context 8192 --layers 32 --kv-heads 8 --head-dim 128", 131_072, 1 << 30);
    check("--context 0 --layers 32 --kv-heads 8 --head-dim 128", 131_072, 0);
    check("--context 8192 --layers 32 --kv-heads 8 --head-dim 128 --format f32", 262_144, 1 << 31);
    // 2,048 elements are 64 blocks of 34 bytes: 2,176 bytes a layer.
    check("--context 8192 --layers 32 --kv-heads 8 --head-dim 128 --format q8_0", 69_632, 570_425_344);
    check("--context 8192 --layers 32 --kv-heads 8 --head-dim 128 --format q4_0", 36_864, 301_989_888);
    // DeepSeek-V3: 576 elements in 61 layers.
    check("--context 8192 --layers 61 --kv-lora-rank 512 --rope-dim 64", 70_272, 575_668_224);
    check("--context 8192 --layers 61 --kv-lora-rank 512 --rope-dim 64 --format fp8", 35_136, 287_834_112);
}

#[test]
fn windows_and_blocks() {
    // 4,096 bytes a token and layer; 13 layers hold 8,192 tokens, 13 hold 4,096.
    let gemma = "--layers 26 --kv-heads 4 --head-dim 256 --sliding-layers 13 --window 4096";
    let ran = kv(&format!("--context 8192 {gemma}")).expect(0).only_line();
    assert_eq!(ran["est_kv_bytes"], 654_311_424);
    let ran = kv(&format!("--context 4096 {gemma}")).expect(0).only_line();
    assert_eq!(ran["est_kv_bytes"], 26 * 4096 * 4096);
    // 8,193 tokens are 513 blocks of 16.
    let paged = kv("--context 8193 --layers 32 --kv-heads 8 --head-dim 128 --block-tokens 16").expect(0).only_line();
    assert_eq!(paged["est_kv_bytes"], 8208_u64 * 131_072);
    assert_eq!(paged["block_tokens"], 16);
}

#[test]
fn dimensions_from_a_table() {
    let desk = Desk::new();
    let table = "model_id,num_layers,num_kv_heads,head_dim,attention,kv_bytes_per_token_fp16\n\
                 meta-llama/Llama-3.1-8B,32,8,128,gqa,131072\n\
                 deepseek-ai/DeepSeek-V3,61,128,,mla,70272\n\
                 broken,x,8,128,gqa,\n";
    let good: String = table.lines().take(3).fold(String::new(), |text, line| text + line + "\n");
    desk.write("dims.csv", &good);
    desk.write("partly.csv", table);
    let ask = |file: &str, model: &str| desk.run(["kv", "--context", "8192", "--models", file, "--model", model]);
    assert_eq!(ask("dims.csv", "meta-llama/Llama-3.1-8B").expect(0).only_line()["est_kv_bytes"], 1 << 30);
    assert_eq!(ask("dims.csv", "deepseek-ai/DeepSeek-V3").expect(0).only_line()["est_kv_bytes"], 575_668_224);
    let partly = ask("partly.csv", "meta-llama/Llama-3.1-8B").expect(1).says("partly.csv:4: refused: ");
    assert_eq!(partly.only_line()["est_kv_bytes"], 1 << 30);
    ask("partly.csv", "broken").expect(2).says("no model `broken`");
    ask("missing.csv", "m").expect(2).says("missing.csv");
}

#[test]
fn wrong_dimensions_are_errors() {
    for args in [
        "--context 1",
        "--context 1 --layers 32",
        "--context 1 --layers 32 --kv-heads 8",
        "--context 1 --layers 32 --head-dim 8",
        "--context -1 --layers 32 --kv-heads 8 --head-dim 128",
        "--context 1.5 --layers 32 --kv-heads 8 --head-dim 128",
        "--context 4294967296 --layers 32 --kv-heads 8 --head-dim 128",
        "--context 1 --layers 0 --kv-heads 8 --head-dim 128",
        "--context 1 --layers 32 --kv-heads 0 --head-dim 128",
        "--context 1 --layers 32 --kv-heads 8 --head-dim 128 --format f8",
        "--context 1 --layers 32 --kv-heads 8 --head-dim 128 --kv-lora-rank 512",
        "--context 1 --layers 32 --kv-heads 8 --head-dim 128 --sliding-layers 33 --window 8",
        "--context 1 --layers 32 --kv-heads 8 --head-dim 128 --sliding-layers 3",
        "--context 1 --models dims.csv",
        "--context 4294967295 --layers 65535 --kv-heads 65535 --head-dim 65535",
    ] {
        assert_eq!(kv(args).expect(2).out, "", "{args}");
    }
}
