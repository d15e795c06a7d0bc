"""Compiled loops, in two forms: one fused loop, or first the least word, which vector units can find, then its pool."""

import sys

import numpy as np
from columns import NO_POOL, NO_WORD, serve
from numba import __version__, njit

TEN, SIXTEEN = np.uint64(10), np.uint64(16)


@njit(inline="always")
def word_of(decode, prefill, low_bits, base, prompt_tokens, output_tokens):
    tokens = (np.uint64(decode) * output_tokens + np.uint64(prefill) * prompt_tokens) >> TEN
    return ((base + tokens) << SIXTEEN) | np.uint64(low_bits)


@njit(parallel=False)
def fused(decode, prefill, low_bits, base, room_bytes, job_class, kv_bytes, prompt, output, winners):
    for job in range(len(kv_bytes)):
        ends, rooms, needed = base[job_class[job]], room_bytes[job_class[job]], kv_bytes[job]
        prompt_tokens, output_tokens = np.uint64(prompt[job]), np.uint64(output[job])
        least, winner = NO_WORD, NO_POOL
        for pool in range(len(decode)):
            if needed < rooms[pool]:
                word = word_of(decode[pool], prefill[pool], low_bits[pool], ends[pool], prompt_tokens, output_tokens)
                if word < least:
                    least, winner = word, np.uint32(pool)
        winners[job] = winner


@njit(parallel=False)
def two_loops(decode, prefill, low_bits, base, room_bytes, job_class, kv_bytes, prompt, output, winners):
    for job in range(len(kv_bytes)):
        ends, rooms, needed = base[job_class[job]], room_bytes[job_class[job]], kv_bytes[job]
        prompt_tokens, output_tokens = np.uint64(prompt[job]), np.uint64(output[job])
        least, winner = NO_WORD, NO_POOL
        for pool in range(len(decode)):
            word = word_of(decode[pool], prefill[pool], low_bits[pool], ends[pool], prompt_tokens, output_tokens)
            least = min(least, word if needed < rooms[pool] else NO_WORD)
        if least != NO_WORD:
            for pool in range(len(decode)):
                word = word_of(decode[pool], prefill[pool], low_bits[pool], ends[pool], prompt_tokens, output_tokens)
                if word == least and needed < rooms[pool]:
                    winner = np.uint32(pool)
                    break
        winners[job] = winner


FORMS = {"fused": fused, "two-loops": two_loops}


def prepare(columns):
    form = sys.argv[3]
    winners = np.empty(columns.jobs, np.uint32)
    pools = columns.decode_q10, columns.prefill_q10, columns.low_bits, columns.base, columns.room_bytes
    jobs = columns.job_class, columns.kv_bytes, columns.prompt_tokens, columns.output_tokens

    def decide():
        FORMS[form](*pools, *jobs, winners)
        return winners

    return f"numba {__version__}, {form}", decide


if __name__ == "__main__":
    serve(prepare)
