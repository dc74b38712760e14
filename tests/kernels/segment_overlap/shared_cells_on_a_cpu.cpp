// Runs the CUDA kernel shared_cells.cu without a GPU: a thread a lane, shuffles as exchanges at a barrier, blocks
// one after another. Compares with a plain count.

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)
#define __syncthreads() block_barrier.arrive_and_wait()

using std::max;
using std::min;

struct Place {
    int x, y, z;
};
struct int4 {
    int x, y, z, w;
};
constexpr int kLanes = 32;
static thread_local Place threadIdx;
static Place blockIdx, gridDim;
static std::barrier<> block_barrier(THREADS);
static std::unique_ptr<std::barrier<>> warp_barrier[THREADS / kLanes];
static long long exchange[THREADS / kLanes][kLanes];
struct uint4 {
    unsigned x, y, z, w;
};
alignas(16) uint4 held[1 << 12];

static int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

template <class T>
static T __shfl_xor_sync(unsigned, T value, int step) {
    const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    exchange[warp][lane] = (long long)value;
    warp_barrier[warp]->arrive_and_wait();
    const T found = (T)exchange[warp][lane ^ step];
    warp_barrier[warp]->arrive_and_wait();
    return found;
}

static unsigned __ldg(const unsigned char* place) { return *place; }

template <class T>
static T __ldcs(const T* place) {
    return *place;
}

template <class T>
static void __stcs(T* place, T value) {
    *place = value;
}

#include "shared_cells.cu"

static bool right(int n_cells, int n_segments, int n_rows, std::mt19937& random) {
    const int per = PER ? PER : 1, n_blocks = 2, n_units = n_segments / per;
    const int n_words = (n_cells + 31) / 32;
    std::vector<unsigned> words((size_t)n_rows * n_words);
    std::vector<unsigned char> rows(n_cells);
    for (int i = 0; i < n_cells; ++i) {
        for (int r = 0; r < n_rows; ++r) rows[i] |= (random() % 3 == 0) << r;
        for (int r = 0; r < n_rows; ++r) words[r * n_words + i / 32] |= (rows[i] >> r & 1u) << (i % 32);
    }
    std::vector<int> synapses((size_t)n_segments * SLOTS), exact((size_t)n_rows * n_segments);
    for (size_t k = 0; k < synapses.size(); ++k) {
        const int cell = synapses[k] = int(random() % (n_cells + 1)) - 1;
        if (cell >= 0)
            for (int r = 0; r < n_rows; ++r) exact[r * n_segments + k / SLOTS] += rows[cell] >> r & 1;
    }
    const bool packed = ROWS == 1 || FILTER;
    const unsigned char* given = packed ? (const unsigned char*)words.data() : rows.data();
    const int n_bytes = packed ? 4 * n_words : n_cells;
    std::vector<int> out(n_rows * n_units, -7), best(n_rows * n_units, -7);
    gridDim = {n_blocks, 1, 1};
    for (int x = 0; x < n_blocks; ++x) {
        blockIdx = {x, 0, 0};
        std::memset(held, 0xff, sizeof held);
        std::vector<std::thread> threads;
        for (int t = 0; t < THREADS; ++t)
            threads.emplace_back([&, t] {
                threadIdx = {t, 0, 0};
                shared_cells(given, rows.data(), (const int4*)synapses.data(), out.data(), best.data(), n_bytes,
                             n_rows, n_segments);
            });
        for (std::thread& thread : threads) thread.join();
    }
    if (PER == 0) return out == exact;
    for (int i = 0; i < n_rows * n_units; ++i) {
        const auto first = exact.begin() + (size_t)i * per;
        const auto most = std::max_element(first, first + per);  // the first of equals
        if (out[i] != *most || best[i] != int(most - first)) return false;
    }
    return true;
}

int main() {
    for (auto& barrier : warp_barrier) barrier = std::make_unique<std::barrier<>>(kLanes);
    std::mt19937 random(1);
    bool sound = true;
    for (const int n_cells : {3, 700, 5000})
        for (const int count : {1, 38}) {
            const bool one = right(n_cells, count * (PER ? PER : 1), ROWS == 1 ? 1 : count % 8, random);
            std::printf("%d cells, %d: %s\n", n_cells, count, one ? "right" : "wrong");
            sound = sound && one;
        }
    return sound ? 0 : 1;
}
