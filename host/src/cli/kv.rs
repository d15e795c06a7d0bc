//! `orchestrator kv`: KV cache bytes, before a job is written. KV-1, KV-2.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use orchestrator_core::{Attention, KvFormat, KvLayout, ModelDims, SlidingWindow, bytes_per_token, est_kv_bytes};
use serde_json::json;

use super::{Completion, Failure, load};

/// A model by name or by its dimensions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator kv --context 8192 --layers 32 --kv-heads 8 --head-dim 128
  orchestrator kv --context 8192 --layers 61 --kv-lora-rank 512 --rope-dim 64 --format fp8
  orchestrator kv --context 8192 --models model_dims.csv --model meta-llama/Meta-Llama-3.1-8B")]
pub(super) struct KvArgs {
    /// Tokens in the context
    #[arg(long, value_name = "TOKENS")]
    context: u32,
    /// Storage format of the KV cache
    #[arg(long, default_value = "f16", value_name = "FORMAT")]
    format: Format,
    /// Tokens per block of the engine's KV cache; 1 is not paged
    #[arg(long, default_value_t = 1, value_name = "TOKENS")]
    block_tokens: u32,
    /// Look the dimensions up in this table
    #[arg(
        long,
        value_name = "CSV",
        requires = "model",
        conflicts_with_all = ["layers", "kv_heads", "head_dim", "kv_lora_rank", "rope_dim", "sliding_layers", "window"]
    )]
    models: Option<PathBuf>,
    /// The model's name in the table
    #[arg(long, value_name = "NAME", requires = "models")]
    model: Option<String>,
    /// Layers
    #[arg(long, required_unless_present_any = ["models", "model"])]
    layers: Option<u32>,
    /// Key-value heads (MHA, GQA, MQA)
    #[arg(long, requires = "head_dim", conflicts_with = "kv_lora_rank")]
    kv_heads: Option<u32>,
    /// Size of a head
    #[arg(long)]
    head_dim: Option<u32>,
    /// Rank of the latent (MLA)
    #[arg(long)]
    kv_lora_rank: Option<u32>,
    /// Size of the rotary part beside the latent (MLA)
    #[arg(long, requires = "kv_lora_rank")]
    rope_dim: Option<u32>,
    /// Of the layers, how many have a sliding window
    #[arg(long, requires = "window")]
    sliding_layers: Option<u32>,
    /// Tokens in the window
    #[arg(long, requires = "sliding_layers")]
    window: Option<u32>,
}

/// A storage format, as clap lists it.
#[derive(Debug, Clone, Copy)]
struct Format(KvFormat);

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        const FORMATS: [Format; KvFormat::ALL.len()] = {
            let mut formats = [Format(KvFormat::F16); KvFormat::ALL.len()];
            let mut place = 0;
            while place < formats.len() {
                formats[place] = Format(KvFormat::ALL[place]);
                place += 1;
            }
            formats
        };
        &FORMATS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

pub(super) fn run(args: &KvArgs) -> Result<Completion, Failure> {
    let (dims, table_is_whole) = args.dims()?;
    let layout = KvLayout { format: args.format.0, block_tokens: args.block_tokens };
    let bytes = est_kv_bytes(&dims, layout, args.context).map_err(|problem| format!("est_kv_bytes: {problem}"))?;
    let mut stdout = io::stdout().lock();
    let answer = json!({
        "context_tokens": args.context,
        "format": args.format.0.name(),
        "block_tokens": args.block_tokens,
        "bytes_per_token": bytes_per_token(&dims, layout),
        "est_kv_bytes": bytes,
    });
    writeln!(stdout, "{answer}")?;
    Ok(Completion::from_findings(!table_is_whole))
}

impl KvArgs {
    /// The dimensions, and whether every row of their table could be read.
    fn dims(&self) -> Result<(ModelDims, bool), Failure> {
        let (Some(path), Some(model)) = (&self.models, &self.model) else {
            return Ok((self.given_dims()?, true));
        };
        let loaded = load::models(path)?;
        let dims = loaded.table.models.get(model).copied();
        let dims = dims.ok_or_else(|| format!("{}: no model `{model}` in this table", path.display()))?;
        Ok((dims, loaded.refused == 0))
    }

    fn given_dims(&self) -> Result<ModelDims, Failure> {
        let attention = match (self.kv_heads, self.head_dim, self.kv_lora_rank) {
            (Some(kv_heads), Some(head_dim), None) => Attention::Heads { kv_heads, head_dim },
            (None, None, Some(kv_lora_rank)) => {
                Attention::Latent { kv_lora_rank, rope_dim: self.rope_dim.unwrap_or(0) }
            }
            _ => return Err("give --kv-heads and --head-dim, or --kv-lora-rank and --rope-dim".into()),
        };
        let window = self.sliding_layers.zip(self.window);
        let sliding = window.map(|(layers, window_tokens)| SlidingWindow { layers, window_tokens });
        Ok(ModelDims::new(self.layers.unwrap_or(0), attention, sliding)?)
    }
}
