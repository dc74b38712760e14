// Runs a CUDA kernel on a CPU, its threads one after another: a thread gives way where it waits for others.
//
// Enough of CUDA for kernels without warp functions. The kernel's source is included below the definitions, its
// inline assembly replaced by the functions here; RUN calls it with arguments taken from an array of pointers.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <ucontext.h>
#include <vector>

struct Index { int x; };
struct uint4 { unsigned x, y, z, w; };
struct int3 { int x, y, z; };
struct int4 { int x, y, z, w; };
static uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static int3 make_int3(int x, int y, int z) { return {x, y, z}; }
static int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

struct Thread { ucontext_t context; std::vector<char> stack; int block, number; bool done; };
struct Barrier { int arrived = 0, turn = 0; };
struct Block { std::vector<char> shared; Barrier barriers[16]; };

static ucontext_t scheduler;
static std::vector<Thread> threads;
static std::vector<Block> blocks_of_grid;
static Thread* running;
static Index threadIdx, blockIdx, gridDim;
static void** kernel_arguments;

static void give_way() { swapcontext(&running->context, &scheduler); }
static void meet(int number, int n) {
    Barrier& barrier = blocks_of_grid[running->block].barriers[number];
    const int turn = barrier.turn;
    if (++barrier.arrived == n) {
        barrier.arrived = 0;
        ++barrier.turn;
    }
    while (barrier.turn == turn) give_way();
}

#define __device__ static
#define __global__
#define __launch_bounds__(...)
#define __syncthreads() meet(0, THREADS)
#define SHARED ((int*)blocks_of_grid[running->block].shared.data())
template <class T> static T min(T a, T b) { return a < b ? a : b; }
template <class T> static T max(T a, T b) { return a > b ? a : b; }
template <class T> static T atomicAdd(T* at, T value) { const T old = *at; *at += value; return old; }
static unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fsub_rn(float a, float b) { return a - b; }
static float __int_as_float(int a) { float b; memcpy(&b, &a, 4); return b; }

KERNEL

static void start() {
    RUN;
    running->done = true;
    give_way();
}

extern "C" void run(int n_blocks, int n_threads, int shared_bytes, void** arguments) {
    kernel_arguments = arguments;
    gridDim.x = n_blocks;
    blocks_of_grid.assign(n_blocks, Block());
    for (Block& block : blocks_of_grid) block.shared.assign(shared_bytes, (char)0x5A);
    threads.assign((size_t)n_blocks * n_threads, Thread());
    for (size_t i = 0; i < threads.size(); ++i) {
        Thread& thread = threads[i];
        thread.block = i / n_threads;
        thread.number = i % n_threads;
        thread.done = false;
        thread.stack.resize(1 << 15);
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = thread.stack.size();
        makecontext(&thread.context, start, 0);
    }
    std::mt19937 random(1);
    std::vector<size_t> warps(threads.size() / 32);
    for (size_t i = 0; i < warps.size(); ++i) warps[i] = i;
    for (bool left = true; left;) {
        left = false;
        // Any order of warps must do.
        std::shuffle(warps.begin(), warps.end(), random);
        for (size_t i = 0; i < threads.size(); ++i) {
            Thread& thread = threads[32 * warps[i / 32] + i % 32];
            if (thread.done) continue;
            running = &thread;
            threadIdx.x = thread.number;
            blockIdx.x = thread.block;
            swapcontext(&scheduler, &thread.context);
            left = left || !thread.done;
        }
    }
}
