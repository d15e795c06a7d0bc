"""What every peer does around its formulation: the columns go to the device, the jobs are decided again and again, the
answers come back and are compared with those that gpu_peers wrote. One line of JSON says what came of it.

What a peer computes per job: the least first word of a key among the pools that the job fits, the first such pool, and how
many pools it fits. All other rules are folded into the columns; no second best, no other words of the key."""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benches" / "peers" / "python"))
from columns import NO_POOL, Columns  # noqa: E402

# The word of a job that fits nowhere, in signed arithmetic: above all others.
NO_WORD = np.int64(0x7FFF_FFFF_FFFF_FFFF)
# The winner of a job whose best two pools are equal in the first word: not compared.
TIED = np.uint32(0xFFFF_FFFE)
# Pairs of a block, for formulations that cannot do without one: which is fastest is tried.
BLOCK_PAIRS = (1 << 22, 1 << 24, 1 << 26)
AT_LEAST_S = 1.0


class Blocks:
    """Jobs of one class against all pools, so many rows at a time."""

    def __init__(self, columns, block_pairs):
        rows = max(1, block_pairs // columns.pools)
        starts = np.searchsorted(columns.job_class, np.arange(len(columns.base) + 1))
        self.of_class = [
            (number, start, min(start + rows, int(last)))
            for number, (first, last) in enumerate(zip(starts, starts[1:]))
            for start in range(int(first), int(last), rows)
        ]


def wide(columns):
    """The columns as signed words of 64 bits, which every library knows; the bits that no token changes in one column."""
    words = (columns.base << np.uint64(16)) | columns.low_bits
    assert words.max() < NO_WORD and columns.room_bytes.max() < NO_WORD
    by_pool = columns.decode_q10, columns.prefill_q10, words, columns.room_bytes
    by_job = columns.kv_bytes, columns.output_tokens, columns.prompt_tokens
    return [column.astype(np.int64) for column in by_pool + by_job]


def seconds_of(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def differences(folder, words, winners, feasible):
    """How many jobs are answered otherwise than expected."""

    def read(name, dtype):
        return np.fromfile(Path(folder) / name, dtype=dtype)

    expected_winners, expected_feasible = read("expected_winners", "<u4"), read("expected_feasible", "<u4")
    expected_words = read("expected_words", "<u8")
    fits = expected_feasible > 0
    winners = np.where(fits, np.asarray(winners), NO_POOL)
    same = (np.asarray(feasible) == expected_feasible) & (~fits | (np.asarray(words).astype("<u8") == expected_words))
    same &= (winners == expected_winners) | (expected_winners == TIED)
    return int(len(same) - same.sum())


def measure(who, form, make):
    """`make(columns, block_pairs)` uploads and returns a peer: `decide()` returns when the device is done, `download()`
    brings words, winners and counts."""
    folder = sys.argv[1]
    columns = Columns(folder)
    best = None
    for block_pairs in BLOCK_PAIRS:
        make(columns, block_pairs)
        # The first upload also makes room.
        upload_s, peer = seconds_of(lambda: make(columns, block_pairs))
        # The first pass compiles.
        warm_up_s, _ = seconds_of(peer.decide)
        least_s, start = float("inf"), time.perf_counter()
        while least_s == float("inf") or time.perf_counter() - start < AT_LEAST_S / len(BLOCK_PAIRS):
            least_s = min(least_s, seconds_of(peer.decide)[0])
        download_s, answers = seconds_of(peer.download)
        differ = differences(folder, *answers)
        if differ or best is None or least_s < best["decide_s"]:
            best = {
                "who": who,
                "form": f"{form}, blocks of {block_pairs} pairs",
                "pools": columns.pools,
                "jobs": columns.jobs,
                "warm_up_s": warm_up_s,
                "upload_s": upload_s,
                "decide_s": least_s,
                "download_s": download_s,
                "pairs_per_s": columns.pools * columns.jobs / least_s,
                "answer": f"{differ} jobs differ",
            }
        if differ:
            break
    print(json.dumps(best), flush=True)
    if best["answer"] != "0 jobs differ":
        sys.exit(f"{who}: {best['answer']}")
