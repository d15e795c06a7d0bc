"""The columns that the engine wrote, and the conversation with it. See ../src/columns.rs and ../src/python.rs."""

import json
import sys
import time
from pathlib import Path

import numpy as np

# The rank that stands for: no pool can take the job.
NO_POOL = np.uint32(0xFFFF_FFFF)
# No pool's first word.
NO_WORD = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Columns:
    """A column per fact: of pools, of pools by class of jobs, of jobs. Jobs are in order of their classes."""

    def __init__(self, folder):
        def read(name, dtype):
            return np.fromfile(Path(folder) / name, dtype=dtype)

        self.decode_q10 = read("decode_q10", "<u4")
        self.prefill_q10 = read("prefill_q10", "<u4")
        self.low_bits = read("low_bits", "<u2")
        self.pools = len(self.decode_q10)
        self.base = read("base", "<u8").reshape(-1, self.pools)
        self.room_bytes = read("room_bytes", "<u8").reshape(-1, self.pools)
        self.job_class = read("job_class", "<u4")
        self.kv_bytes = read("kv_bytes", "<u8")
        self.prompt_tokens = read("prompt_tokens", "<u4")
        self.output_tokens = read("output_tokens", "<u4")
        self.jobs = len(self.kv_bytes)


def least_ns(decide, passes):
    """The least time of a few passes."""
    times = []
    for _ in range(passes):
        start = time.perf_counter_ns()
        decide()
        times.append(time.perf_counter_ns() - start)
    return min(times)


def serve(prepare):
    """Reads the columns; `prepare` makes a function of them that decides all jobs and returns the winners' ranks."""
    folder, winners_file = sys.argv[1:3]
    name, decide = prepare(Columns(folder))
    decide()
    print(json.dumps({"name": name}), flush=True)
    for line in sys.stdin:
        budget_ns, passes, start = int(line), 0, time.perf_counter_ns()
        while passes == 0 or time.perf_counter_ns() - start < budget_ns:
            winners = decide()
            passes += 1
        elapsed_ns = time.perf_counter_ns() - start
        winners.astype("<u4").tofile(winners_file)
        print(json.dumps({"nanoseconds": elapsed_ns / passes}), flush=True)
