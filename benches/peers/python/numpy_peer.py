"""Blocks of jobs by pools, a vectorised operation at a time, into buffers that are made once."""

import numpy as np
from columns import NO_POOL, NO_WORD, Columns, least_ns, serve

# Pairs of a block: temporaries of 80 KB to 10 MB. Which is the fastest depends on caches, so it is tried.
BLOCK_PAIRS = (1, 10_000, 20_000, 40_000, 80_000, 160_000, 640_000)


def by_blocks(columns: Columns, block_pairs):
    pools = columns.pools
    rows = max(1, block_pairs // pools)
    words, products, closed = (np.empty((rows, pools), dtype) for dtype in (np.uint64, np.uint64, np.bool_))
    # As wide as the products from the start, and the bits that no token changes in one column.
    decode, prefill = columns.decode_q10.astype(np.uint64), columns.prefill_q10.astype(np.uint64)
    base_words = (columns.base << np.uint64(16)) | columns.low_bits
    output, prompt = (tokens.astype(np.uint64)[:, None] for tokens in (columns.output_tokens, columns.prompt_tokens))
    kv_bytes = columns.kv_bytes[:, None]
    class_starts = np.searchsorted(columns.job_class, np.arange(len(columns.base) + 1))
    winners = np.empty(columns.jobs, np.uint32)

    def decide_block(number, start, end):
        word, product, is_closed = words[: end - start], products[: end - start], closed[: end - start]
        np.multiply(decode, output[start:end], out=word)
        np.multiply(prefill, prompt[start:end], out=product)
        np.add(word, product, out=word)
        np.right_shift(word, np.uint64(10), out=word)
        np.left_shift(word, np.uint64(16), out=word)
        np.add(word, base_words[number], out=word)
        np.less_equal(columns.room_bytes[number], kv_bytes[start:end], out=is_closed)
        np.copyto(word, NO_WORD, where=is_closed)
        best = word.argmin(axis=1)
        taken = word[np.arange(end - start), best] != NO_WORD
        winners[start:end] = np.where(taken, best, NO_POOL)

    def decide():
        for number, (first, last) in enumerate(zip(class_starts, class_starts[1:])):
            for start in range(first, last, rows):
                decide_block(number, start, min(start + rows, last))
        return winners

    return decide


def prepare(columns):
    # More pairs than there are pools in one row only count once.
    row_counts = {max(1, pairs // columns.pools): pairs for pairs in BLOCK_PAIRS}
    passes = {rows: by_blocks(columns, pairs) for rows, pairs in row_counts.items()}
    rows = min(passes, key=lambda rows: least_ns(passes[rows], 3))
    return f"numpy {np.__version__}, blocks of {rows} x {columns.pools}", passes[rows]


if __name__ == "__main__":
    serve(prepare)
