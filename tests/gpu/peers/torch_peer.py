"""torch: whole-array operations, as they are or compiled into fused loops.

    torch_peer.py FOLDER eager|compiled [cpu]"""

import sys

import torch
from exchange import NO_WORD, Blocks, measure, wide


def decide_block(decode, prefill, words, room_bytes, kv_bytes, output, prompt):
    tokens = (decode * output[:, None] + prefill * prompt[:, None]) >> 10
    fits = kv_bytes[:, None] < room_bytes
    least, winner = torch.where(fits, words + (tokens << 16), int(NO_WORD)).min(dim=1)
    return least, winner, fits.sum(dim=1)


class Peer:
    def __init__(self, columns, block_pairs, device, form):
        self.device = device
        self.decide_block = torch.compile(decide_block, dynamic=True) if form == "compiled" else decide_block
        self.columns = [torch.from_numpy(column).to(device) for column in wide(columns)]
        self.blocks = Blocks(columns, block_pairs).of_class
        self.found = [torch.empty(columns.jobs, dtype=torch.int64, device=device) for _ in range(3)]
        self.wait()

    def wait(self):
        if self.device != "cpu":
            torch.cuda.synchronize()

    def decide(self):
        decode, prefill, words, room_bytes, *by_job = self.columns
        for number, start, end in self.blocks:
            jobs = (column[start:end] for column in by_job)
            block = self.decide_block(decode, prefill, words[number], room_bytes[number], *jobs)
            for found, part in zip(self.found, block):
                found[start:end] = part
        self.wait()

    def download(self):
        return [found.cpu().numpy() for found in self.found]


if __name__ == "__main__":
    form, device = sys.argv[2], (sys.argv[3:] or ["cuda"])[0]
    name = f"torch {torch.__version__}, {torch.cuda.get_device_name() if device == 'cuda' else device}"
    measure(name, form, lambda columns, block_pairs: Peer(columns, block_pairs, device, form))
