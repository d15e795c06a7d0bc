"""A table of the figures in a folder of evidence.sh: who, at which size, pairs per second, the share of what the device's
integer units allow, copies, and from which size on the device is faster than the vector units.

    summary.py FOLDER"""

import json
import sys
from pathlib import Path

# Slots of the integer units that a pair takes at least, by count of the instructions of a first look in the image, not
# measured: two wide multiply-adds and two comparisons of 64 bits at two slots each, a predicated addition, two operations
# on predicates, and a share of the loads and the loop.
SLOTS_PER_PAIR = 13


def objects(folder, pattern):
    """The lines of JSON in the files of a name."""
    for path in sorted(Path(folder).glob(pattern)):
        for line in path.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def of_bench(figures):
    size, (scalar, *others) = figures["size"], figures["backends"]
    for backend in others:
        transfers = backend["transfers"] or {}
        yield {
            "who": backend["backend"],
            "pools": size["pools"],
            "jobs": backend["jobs"],
            "pairs_per_s": backend["pairs_per_s"],
            "kernel_pairs_per_s": transfers.get("kernel_pairs_per_s"),
            "upload_s": transfers.get("upload_us", 0) / 1e6,
            "download_s": transfers.get("download_us", 0) / 1e6,
            "answer": "digest equal" if backend["digest"] == scalar["digest"] else "ANOTHER DIGEST",
        }


def row(line, slots_per_s):
    pairs_per_s = line["pairs_per_s"]
    kernels = line.get("kernel_pairs_per_s") or (
        line["pools"] * line["jobs"] / line["kernel_s"] if line.get("kernel_s") else None
    )
    share = f"{(kernels or pairs_per_s) * SLOTS_PER_PAIR / slots_per_s:8.1%}" if slots_per_s else "       -"
    of_kernels = f"{kernels / 1e9:12.3f}" if kernels else "           -"
    who = ", ".join(filter(None, (line["who"], line.get("form"))))
    upload, download = line.get("upload_s") or 0, line.get("download_s") or 0
    return (
        f"{line['pools']:>8}x{line['jobs']:<8} {pairs_per_s / 1e9:12.3f} {of_kernels} {share} {upload * 1e6:12.1f} "
        f"{download * 1e6:12.1f}  {who}: {line['answer']}"
    )


def crossover(benches):
    """The least size from which on the device is faster at every size, among those that were measured."""
    sizes = []
    for figures in benches:
        best = {"cuda": 0.0, "simd": 0.0}
        for backend in figures["backends"]:
            name = backend["backend"].split(" ")[0]
            if name in best:
                best[name] = max(best[name], backend["pairs_per_s"])
        sizes.append((figures["size"]["pools"] * figures["size"]["jobs"], best["cuda"] > best["simd"]))
    sizes.sort()
    slower = [pairs for pairs, is_faster in sizes if not is_faster]
    faster = [pairs for pairs, is_faster in sizes if is_faster and pairs > max(slower, default=0)]
    if not faster:
        return "the device is not faster at the largest size measured"
    below = f"not yet at {max(slower)}" if slower else "no smaller size was measured"
    return f"the device is faster from {min(faster)} pairs on ({below})"


def main(folder):
    peers = [line for pattern in ("peer-*.txt", "pairs.txt") for line in objects(folder, pattern)]
    benches = list(objects(folder, "bench-*.txt"))
    # Multiply-adds per second, measured beside the twin.
    slots_per_s = max((line.get("multiply_adds_per_s", 0) for line in peers), default=0)
    if slots_per_s:
        roofline = slots_per_s / SLOTS_PER_PAIR
        print(f"integer roofline: {slots_per_s / 1e12:.3f} T multiply-adds/s, {roofline / 1e9:.1f} Gpairs/s")
    print(f"{'size':>17} {'Gpairs/s':>12} {'of kernels':>12} {'share':>8} {'upload us':>12} {'download us':>12}  who")
    for line in peers + [line for figures in benches for line in of_bench(figures)]:
        print(row(line, slots_per_s if "simd" not in line["who"] else 0))
    if benches:
        print(crossover(benches))


if __name__ == "__main__":
    main(sys.argv[1])
