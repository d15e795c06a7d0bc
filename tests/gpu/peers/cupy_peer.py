"""cupy: whole-array operations, or the word of a pair in one fused kernel before them.

    cupy_peer.py FOLDER arrays|fused
    cupy_peer.py FOLDER arrays numpy    the same operations by numpy, on the processor"""

import sys

from exchange import NO_WORD, Blocks, measure, wide


def by_arrays(arrays):
    def words_of(decode, prefill, words, room_bytes, kv_bytes, output, prompt):
        tokens = (decode * output + prefill * prompt) >> 10
        return arrays.where(kv_bytes < room_bytes, words + (tokens << 16), NO_WORD)

    return words_of


def fused(arrays):
    columns = "decode", "prefill", "words", "room_bytes", "kv_bytes", "output", "prompt"
    return arrays.ElementwiseKernel(
        ", ".join(f"int64 {column}" for column in columns),
        "int64 word",
        f"word = kv_bytes < room_bytes ? words + ((decode * output + prefill * prompt) >> 10 << 16) : {NO_WORD}LL",
        "words_of",
    )


class Peer:
    def __init__(self, arrays, columns, block_pairs, form):
        self.arrays = arrays
        self.words_of = {"arrays": by_arrays, "fused": fused}[form](arrays)
        self.columns = [arrays.asarray(column) for column in wide(columns)]
        self.blocks = Blocks(columns, block_pairs).of_class
        self.found = [arrays.empty(columns.jobs, dtype="int64") for _ in range(3)]
        self.wait()

    def wait(self):
        if self.arrays.__name__ == "cupy":
            self.arrays.cuda.get_current_stream().synchronize()

    def decide(self):
        decode, prefill, words, room_bytes, *by_job = self.columns
        for number, start, end in self.blocks:
            jobs = (column[start:end, None] for column in by_job)
            block = self.words_of(decode, prefill, words[number], room_bytes[number], *jobs)
            least, winners, feasible = self.found
            winners[start:end] = block.argmin(axis=1)
            least[start:end] = block.min(axis=1)
            feasible[start:end] = (block != NO_WORD).sum(axis=1)
        self.wait()

    def download(self):
        return [found if self.arrays.__name__ == "numpy" else found.get() for found in self.found]


if __name__ == "__main__":
    arrays = __import__((sys.argv[3:] or ["cupy"])[0])
    measure(f"{arrays.__name__} {arrays.__version__}", sys.argv[2], lambda *of: Peer(arrays, *of, sys.argv[2]))
