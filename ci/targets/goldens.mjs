// Runs the goldens in a WebAssembly module, and prints them as the other programs do.
import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
for (const golden of ["placement", "scheduler"]) {
    const digest = BigInt.asUintN(64, instance.exports[golden]());
    console.log(`${golden} ${digest.toString(16).padStart(16, "0")}`);
}
