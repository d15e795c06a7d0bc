// What twin.cu takes of CUDA, on the processor: a block is as many threads, blocks run one after the other. It shows that
// the logic is right, and nothing about time.

#pragma once

#include <barrier>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __shared__ static
#define LAUNCH(kernel, blocks, ...) shim_launch(blocks, THREADS, [=] { kernel(__VA_ARGS__); })

struct ShimIndex {
    unsigned x;
};

inline thread_local ShimIndex threadIdx;
inline ShimIndex blockIdx;
inline std::unique_ptr<std::barrier<>> shim_barrier;

inline void __syncthreads() { shim_barrier->arrive_and_wait(); }

template <typename Body> void shim_launch(unsigned blocks, unsigned threads, Body body) {
    shim_barrier = std::make_unique<std::barrier<>>(threads);
    std::vector<std::thread> all;
    for (unsigned thread = 0; thread < threads; ++thread) {
        all.emplace_back([=] {
            threadIdx.x = thread;
            for (unsigned block = 0; block < blocks; ++block) {
                if (thread == 0) {
                    blockIdx.x = block;
                }
                __syncthreads();
                body();
                __syncthreads();
            }
        });
    }
    for (auto &thread : all) {
        thread.join();
    }
}

enum cudaError_t { cudaSuccess };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrClockRate };
using cudaEvent_t = std::chrono::steady_clock::time_point;

inline const char *cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaMalloc(void **memory, std::size_t bytes) { return *memory = std::malloc(bytes), cudaSuccess; }
inline cudaError_t cudaFree(void *memory) { return std::free(memory), cudaSuccess; }
inline cudaError_t cudaMemcpy(void *to, const void *from, std::size_t bytes, cudaMemcpyKind) {
    return std::memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr, int) { return *value = 2, cudaSuccess; }
inline cudaError_t cudaEventCreate(cudaEvent_t *) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t &event) { return event = std::chrono::steady_clock::now(), cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t before, cudaEvent_t after) {
    return *milliseconds = std::chrono::duration<float, std::milli>(after - before).count(), cudaSuccess;
}
