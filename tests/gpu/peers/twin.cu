// A twin of the engine's job-tiled kernel in plain CUDA C++, on the columns that gpu_peers writes.
//
// Per job: the least first word of a key among the pools that the job fits, the first such pool, and how many pools it
// fits. A thread keeps four jobs of one class in registers while pools stream by in shared memory, in as many parts as
// keep the device busy; a second kernel joins the parts.
//
//   nvcc -O3 -std=c++17 -arch=native twin.cu -o twin && ./twin FOLDER
//   g++ -O2 -std=c++20 -x c++ -include host_shim.hpp twin.cu -o twin -pthread && ./twin FOLDER     without a GPU: the logic

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

constexpr unsigned THREADS = 256;
constexpr unsigned JOBS_PER_THREAD = 4;
constexpr unsigned JOBS_PER_BLOCK = THREADS * JOBS_PER_THREAD;
constexpr unsigned BLOCKS_PER_MULTIPROCESSOR = 8;
constexpr unsigned MULTIPLY_ADDS = 4096;
constexpr double AT_LEAST_S = 1.0;
constexpr std::uint64_t NO_WORD = ~0ull;
constexpr std::uint32_t NO_POOL = ~0u, TIED = ~0u - 1;

#ifdef __CUDACC__
#define LAUNCH(kernel, blocks, ...) kernel<<<blocks, THREADS>>>(__VA_ARGS__)
#endif

#define CHECK(call) check(call, #call)

static void check(cudaError_t status, const char *call) {
    if (status != cudaSuccess) {
        std::fprintf(stderr, "%s: %s\n", call, cudaGetErrorString(status));
        std::exit(1);
    }
}

struct Rates {
    std::uint32_t decode_q10, prefill_q10;
};

// A pool as a class of jobs sees it: the first word without tokens, and the bytes below which a job fits.
struct Seen {
    std::uint64_t word, room_bytes;
};

struct Job {
    std::uint64_t kv_bytes;
    std::uint32_t output_tokens, prompt_tokens;
};

// Jobs of one class that a block keeps.
struct Group {
    std::uint32_t first_job, jobs, job_class;
};

struct Found {
    std::uint64_t word;
    std::uint32_t winner, feasible;
};

struct Scan {
    const Rates *rates;
    const Seen *seen;
    const Job *jobs;
    const Group *groups;
    std::uint32_t pools, pools_per_part, parts, jobs_len;
};

__global__ void scan(Scan of, Found *parts_found) {
    __shared__ Rates rates[THREADS];
    __shared__ Seen seen[THREADS];
    const unsigned thread = threadIdx.x, part = blockIdx.x % of.parts;
    const Group group = of.groups[blockIdx.x / of.parts];
    Job jobs[JOBS_PER_THREAD];
    Found best[JOBS_PER_THREAD];
#pragma unroll
    for (unsigned own = 0; own < JOBS_PER_THREAD; ++own) {
        const unsigned place = own * THREADS + thread;
        // A job that is not there fits nowhere.
        jobs[own] = place < group.jobs ? of.jobs[group.first_job + place] : Job{NO_WORD, 0, 0};
        best[own] = Found{NO_WORD, NO_POOL, 0};
    }
    const unsigned start = part * of.pools_per_part;
    const unsigned end = start + of.pools_per_part < of.pools ? start + of.pools_per_part : of.pools;
    for (unsigned first = start; first < end; first += THREADS) {
        const unsigned pool = first + thread;
        __syncthreads();
        rates[thread] = pool < end ? of.rates[pool] : Rates{0, 0};
        seen[thread] = pool < end ? of.seen[std::size_t(group.job_class) * of.pools + pool] : Seen{0, 0};
        __syncthreads();
        for (unsigned place = 0; place < THREADS; ++place) {
            const Rates rate = rates[place];
            const Seen pool_seen = seen[place];
#pragma unroll
            for (unsigned own = 0; own < JOBS_PER_THREAD; ++own) {
                const std::uint64_t tokens = std::uint64_t(rate.decode_q10) * jobs[own].output_tokens +
                                             std::uint64_t(rate.prefill_q10) * jobs[own].prompt_tokens;
                const std::uint64_t word = pool_seen.word + (tokens >> 10 << 16);
                const bool fits = jobs[own].kv_bytes < pool_seen.room_bytes;
                best[own].feasible += fits;
                if (fits && word < best[own].word) {
                    best[own].word = word;
                    best[own].winner = first + place;
                }
            }
        }
    }
#pragma unroll
    for (unsigned own = 0; own < JOBS_PER_THREAD; ++own) {
        const unsigned place = own * THREADS + thread;
        if (place < group.jobs) {
            parts_found[std::size_t(part) * of.jobs_len + group.first_job + place] = best[own];
        }
    }
}

__global__ void join(const Found *parts_found, unsigned parts, unsigned jobs, Found *found) {
    const unsigned job = blockIdx.x * THREADS + threadIdx.x;
    if (job >= jobs) {
        return;
    }
    Found best = parts_found[job];
    for (unsigned part = 1; part < parts; ++part) {
        const Found other = parts_found[std::size_t(part) * jobs + job];
        best.feasible += other.feasible;
        // Parts ascend: of equal words the first one stays.
        if (other.word < best.word) {
            best.word = other.word;
            best.winner = other.winner;
        }
    }
    found[job] = best;
}

// Eight chains of integer multiply-adds in every thread: what the device does at most.
__global__ void multiply_adds(unsigned factor, unsigned *sums) {
    unsigned chains[8];
    for (unsigned chain = 0; chain < 8; ++chain) {
        chains[chain] = threadIdx.x + chain;
    }
    for (unsigned step = 0; step < MULTIPLY_ADDS; ++step) {
#pragma unroll
        for (unsigned chain = 0; chain < 8; ++chain) {
            chains[chain] = chains[chain] * factor + step;
        }
    }
    unsigned sum = 0;
    for (unsigned chain = 0; chain < 8; ++chain) {
        sum += chains[chain];
    }
    sums[blockIdx.x * THREADS + threadIdx.x] = sum;
}

template <typename T> static std::vector<T> read(const std::string &folder, const char *name) {
    std::ifstream file(folder + "/" + name, std::ios::binary | std::ios::ate);
    if (!file) {
        std::fprintf(stderr, "%s/%s cannot be read\n", folder.c_str(), name);
        std::exit(1);
    }
    std::vector<T> column(std::size_t(file.tellg()) / sizeof(T));
    file.seekg(0);
    file.read(reinterpret_cast<char *>(column.data()), std::streamsize(column.size() * sizeof(T)));
    return column;
}

template <typename T> static T *room(std::size_t len) {
    T *memory = nullptr;
    CHECK(cudaMalloc(reinterpret_cast<void **>(&memory), len * sizeof(T)));
    return memory;
}

template <typename T> static void upload(T *to, const std::vector<T> &from) {
    CHECK(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice));
}

static double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The seconds between two events around what `run` launches.
template <typename Run> static double kernel_s(Run run) {
    cudaEvent_t before, after;
    CHECK(cudaEventCreate(&before));
    CHECK(cudaEventCreate(&after));
    CHECK(cudaEventRecord(before));
    run();
    CHECK(cudaEventRecord(after));
    CHECK(cudaEventSynchronize(after));
    CHECK(cudaGetLastError());
    float milliseconds = 0;
    CHECK(cudaEventElapsedTime(&milliseconds, before, after));
    CHECK(cudaEventDestroy(before));
    CHECK(cudaEventDestroy(after));
    return milliseconds / 1e3;
}

static double multiply_adds_per_s(unsigned multiprocessors) {
    const unsigned blocks = multiprocessors * BLOCKS_PER_MULTIPROCESSOR;
    unsigned *sums = room<unsigned>(std::size_t(blocks) * THREADS);
    double least_s = 1e9;
    for (int pass = 0; pass < 5; ++pass) {
        const double seconds = kernel_s([=] { LAUNCH(multiply_adds, blocks, 2654435761u, sums); });
        least_s = seconds < least_s ? seconds : least_s;
    }
    CHECK(cudaFree(sums));
    return double(blocks) * THREADS * MULTIPLY_ADDS * 8 / least_s;
}

static unsigned attribute(cudaDeviceAttr which) {
    int value = 0;
    CHECK(cudaDeviceGetAttribute(&value, which, 0));
    return unsigned(value);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: twin FOLDER\n");
        return 2;
    }
    const std::string folder = argv[1];
    const auto decode = read<std::uint32_t>(folder, "decode_q10"), prefill = read<std::uint32_t>(folder, "prefill_q10");
    const auto low_bits = read<std::uint16_t>(folder, "low_bits");
    const auto base = read<std::uint64_t>(folder, "base"), room_bytes = read<std::uint64_t>(folder, "room_bytes");
    const auto job_class = read<std::uint32_t>(folder, "job_class");
    const auto kv_bytes = read<std::uint64_t>(folder, "kv_bytes");
    const auto prompt = read<std::uint32_t>(folder, "prompt_tokens"), output = read<std::uint32_t>(folder, "output_tokens");
    const unsigned pools = unsigned(decode.size()), jobs_len = unsigned(kv_bytes.size());

    std::vector<Rates> rates(pools);
    for (unsigned pool = 0; pool < pools; ++pool) {
        rates[pool] = Rates{decode[pool], prefill[pool]};
    }
    std::vector<Seen> seen(base.size());
    for (std::size_t place = 0; place < base.size(); ++place) {
        seen[place] = Seen{base[place] << 16 | low_bits[place % pools], room_bytes[place]};
    }
    std::vector<Job> jobs(jobs_len);
    std::vector<Group> groups;
    for (unsigned job = 0; job < jobs_len; ++job) {
        jobs[job] = Job{kv_bytes[job], output[job], prompt[job]};
        if (groups.empty() || groups.back().job_class != job_class[job] || groups.back().jobs == JOBS_PER_BLOCK) {
            groups.push_back(Group{job, 0, job_class[job]});
        }
        ++groups.back().jobs;
    }

    const unsigned multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    const unsigned blocks_wanted = multiprocessors * BLOCKS_PER_MULTIPROCESSOR;
    unsigned parts = (blocks_wanted + unsigned(groups.size()) - 1) / unsigned(groups.size());
    const unsigned parts_max = (pools + JOBS_PER_BLOCK - 1) / JOBS_PER_BLOCK;
    parts = parts < parts_max ? parts : parts_max;
    const unsigned pools_per_part = (pools + parts - 1) / parts;
    Rates *device_rates = room<Rates>(rates.size());
    Seen *device_seen = room<Seen>(seen.size());
    Job *device_jobs = room<Job>(jobs.size());
    Group *device_groups = room<Group>(groups.size());
    Found *parts_found = room<Found>(std::size_t(parts) * jobs_len), *found = room<Found>(jobs_len);
    const auto upload_all = [&] {
        upload(device_rates, rates);
        upload(device_seen, seen);
        upload(device_jobs, jobs);
        upload(device_groups, groups);
        CHECK(cudaDeviceSynchronize());
    };
    upload_all();
    double start_s = now_s();
    upload_all();
    const double upload_s = now_s() - start_s;

    const Scan of{device_rates, device_seen, device_jobs, device_groups, pools, pools_per_part, parts, jobs_len};
    const unsigned scan_blocks = unsigned(groups.size()) * parts, join_blocks = (jobs_len + THREADS - 1) / THREADS;
    const auto decide = [=] {
        LAUNCH(scan, scan_blocks, of, parts_found);
        LAUNCH(join, join_blocks, parts_found, parts, jobs_len, found);
    };
    start_s = now_s();
    kernel_s(decide);
    const double warm_up_s = now_s() - start_s;
    double least_s = 1e9, least_kernel_s = 1e9;
    for (const double begin_s = now_s(); least_s == 1e9 || now_s() - begin_s < AT_LEAST_S;) {
        start_s = now_s();
        const double kernels_s = kernel_s(decide);
        const double seconds = now_s() - start_s;
        least_s = seconds < least_s ? seconds : least_s;
        least_kernel_s = kernels_s < least_kernel_s ? kernels_s : least_kernel_s;
    }
    std::vector<Found> answers(jobs_len);
    start_s = now_s();
    CHECK(cudaMemcpy(answers.data(), found, answers.size() * sizeof(Found), cudaMemcpyDeviceToHost));
    const double download_s = now_s() - start_s;

    const auto words = read<std::uint64_t>(folder, "expected_words");
    const auto winners = read<std::uint32_t>(folder, "expected_winners");
    const auto feasible = read<std::uint32_t>(folder, "expected_feasible");
    unsigned differ = 0;
    for (unsigned job = 0; job < jobs_len; ++job) {
        const Found &own = answers[job];
        const bool is_winner = own.winner == winners[job] || (winners[job] == TIED && own.winner < pools);
        differ += !(is_winner && own.word == words[job] && own.feasible == feasible[job]);
    }
    std::printf("{\"who\": \"CUDA C++ twin\", \"form\": \"%u parts\", \"pools\": %u, \"jobs\": %u, \"warm_up_s\": %.9g, "
                "\"upload_s\": %.9g, \"decide_s\": %.9g, \"kernel_s\": %.9g, \"download_s\": %.9g, \"pairs_per_s\": %.9g, "
                "\"multiprocessors\": %u, \"clock_khz\": %u, \"multiply_adds_per_s\": %.9g, \"answer\": \"%u jobs differ\"}\n",
                parts, pools, jobs_len, warm_up_s, upload_s, least_s, least_kernel_s, download_s,
                double(pools) * jobs_len / least_s, multiprocessors, attribute(cudaDevAttrClockRate),
                multiply_adds_per_s(multiprocessors), differ);
    return differ == 0 ? 0 : 1;
}
