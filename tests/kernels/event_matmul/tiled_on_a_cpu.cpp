// Runs the CUDA kernel tiled.cu without a GPU: a thread a lane, warp operations as exchanges at a barrier,
// blocks one after another. Compares its sums with double precision.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
#define __syncthreads() block_barrier.arrive_and_wait()

using std::max;
using std::min;

struct Place {
    int x, y, z;
};
constexpr int kThreads = WARPS * 32, kLanes = 32;
static thread_local Place threadIdx;
static Place blockIdx;
static std::barrier<> block_barrier(kThreads);
static std::unique_ptr<std::barrier<>> warp_barrier[kThreads / kLanes];
static long long exchange[kThreads / kLanes][kLanes];

static void meet_warp() { warp_barrier[threadIdx.x / kLanes]->arrive_and_wait(); }

static unsigned __ballot_sync(unsigned, bool flag) {
    const int warp = threadIdx.x / kLanes;
    exchange[warp][threadIdx.x % kLanes] = flag;
    meet_warp();
    unsigned word = 0;
    for (int lane = 0; lane < kLanes; ++lane) word |= unsigned(exchange[warp][lane]) << lane;
    meet_warp();
    return word;
}

template <class T>
static T __shfl_sync(unsigned, T value, int source) {
    const int warp = threadIdx.x / kLanes;
    std::memcpy(&exchange[warp][threadIdx.x % kLanes], &value, sizeof(T));
    meet_warp();
    T found;
    std::memcpy(&found, &exchange[warp][source], sizeof(T));
    meet_warp();
    return found;
}

static int __popc(unsigned word) { return __builtin_popcount(word); }

template <class T>
static T __ldcs(const T* place) {
    return *place;
}

template <class T>
static T atomicAdd(T* place, T value) {
    return std::atomic_ref<T>(*place).fetch_add(value);
}

#include "tiled.cu"

struct Problem {
    int n_pre, n_out, row;
};

static double largest_error(const Problem& size, std::mt19937& random) {
    const auto [n_pre, n_out, row] = size;
    const int n_batch = 2, n_shares = 2, n_pieces = 3, n_tiles = (n_out + TILE - 1) / TILE, n_words = (n_pre + 31) / 32;
    std::vector<int> indices;
    std::vector<float> weights, values(n_batch * n_pre), out(n_batch * n_out);
    std::vector<long long> pointers{0};
    for (int i = 0; i < n_pre; ++i) {
        std::vector<int> targets(random() % (2 * row));
        for (int& target : targets) target = random() % n_out;
        std::sort(targets.begin(), targets.end());
        size_t k = 0;
        for (int tile = 0; tile < n_tiles; ++tile) {
            for (; k < targets.size() && targets[k] < (tile + 1) * TILE; ++k) {
                indices.push_back(targets[k]);
                weights.push_back(float(random() % 1000) / 500 - 1);
            }
            pointers.push_back((long long)indices.size());
        }
    }
    std::vector<unsigned char> mask(values.size());
    std::vector<unsigned> packed(n_batch * n_words);
    std::vector<double> exact(out.size());
    for (size_t s = 0; s < values.size(); ++s) {
        if (random() % 10 >= 4) continue;
        const int b = s / n_pre, i = s % n_pre;
        values[s] = KIND == 1 ? float(random() % 100) / 50 - 1.01f : 1.0f;
        mask[s] = 1;
        packed[b * n_words + i / 32] |= 1u << (i % 32);
        for (long long k = pointers[(long long)i * n_tiles]; k < pointers[(long long)(i + 1) * n_tiles]; ++k)
            exact[(size_t)b * n_out + indices[k]] += double(values[s]) * (WEIGHTED ? weights[k] : 1.0f);
    }
    const void* given[] = {mask.data(), values.data(), packed.data()};
    const int row_bytes[] = {n_pre, 4 * n_pre, 4 * n_words};
    for (int y = 0; y < n_batch; ++y)
        for (int x = 0; x < n_tiles * n_shares; ++x) {
            blockIdx = {x, y, 0};
            std::vector<std::thread> threads;
            for (int t = 0; t < kThreads; ++t)
                threads.emplace_back([&, t] {
                    threadIdx = {t, 0, 0};
                    tiled_scatter(given[KIND], pointers.data(), indices.data(), weights.data(), out.data(),
                                  n_pre, n_out, n_tiles, n_shares, n_pieces, row_bytes[KIND]);
                });
            for (std::thread& thread : threads) thread.join();
        }
    double worst = 0;
    for (size_t j = 0; j < out.size(); ++j) worst = max(worst, std::abs(out[j] - exact[j]));
    return worst;
}

int main() {
    for (auto& barrier : warp_barrier) barrier = std::make_unique<std::barrier<>>(kLanes);
    std::mt19937 random(1);
    double worst = 0;
    for (const Problem& size : {Problem{1, 1, 3}, {5, 9 * TILE / 8, 700}, {300, 5 * TILE / 2, 60}, {2500, TILE, 9}}) {
        const double error = largest_error(size, random);
        std::printf("%d x %d: %g\n", size.n_pre, size.n_out, error);
        worst = max(worst, error);
    }
    return worst < 1e-5 ? 0 : 1;
}
