// Overlaps of up to eight rows, their cells in shared memory.
//
// Random reads of 32 threads cost a multiprocessor about four cycles there, and eight or more in the first
// cache, which the synapse lists that stream by would also clear of cells.
//
// ROWS: 1, 32 cells a word; or 8, a cell's bits in a byte. FILTER: 1 where the bytes do not fit in shared memory;
// then it says which cells are active in any row, 32 a word, and only their bytes are fetched. SLOTS: synapses a
// segment, a power of two up to 128, at least 4 (16 for eight rows). PER: segments a neuron, 0 to write every
// overlap. THREADS: of a block.

#define AHEAD 4  // loads of four synapses that a thread has under way
#define LANES (SLOTS / 4)
#define TOGETHER (32 / LANES)  // segments that one load of a warp covers
#define FIRST 16               // bytes before the first cell: absent synapses, -1, find them silent

#if ROWS == 1
#define SUMS 1  // byte u: the segment of load u
#else
#define SUMS (2 * AHEAD)  // words 2u and 2u + 1: the segment of load u, a row a byte
#endif

__device__ inline void look_up(
    const unsigned char* cells, const unsigned char* table, int cell, int u, unsigned int* sums) {
#if ROWS == 1 || FILTER
    const unsigned int active = (((const unsigned int*)cells)[cell >> 5] >> (cell & 31)) & 1u;
#endif
#if ROWS == 1
    sums[0] += active << (8 * u);
#else
#if FILTER
    const unsigned int rows = active ? __ldg(table + cell) : 0u;
#else
    const unsigned int rows = cells[cell];
#endif
    sums[2 * u] += ((rows & 15u) * 0x00204081u) & 0x01010101u;
    sums[2 * u + 1] += ((rows >> 4) * 0x00204081u) & 0x01010101u;
#endif
}

__device__ inline int count_of(const unsigned int* sums, int u, int row) {
#if ROWS == 1
    return (sums[0] >> (8 * u)) & 255u;
#else
    return (sums[2 * u + row / 4] >> (8 * (row % 4))) & 255u;
#endif
}

// Sums of AHEAD * TOGETHER segments, in all lanes of a segment.
__device__ inline void overlaps(
    const unsigned char* cells, const unsigned char* table, const int4* synapses, long long first,
    long long n_loads, int lane, unsigned int* sums) {
    int4 listed[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        const long long place = first + u * 32 + lane;
        listed[u] = place < n_loads ? __ldcs(synapses + place) : make_int4(-1, -1, -1, -1);
    }
#pragma unroll
    for (int i = 0; i < SUMS; ++i) sums[i] = 0;
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        look_up(cells, table, listed[u].x, u, sums);
        look_up(cells, table, listed[u].y, u, sums);
        look_up(cells, table, listed[u].z, u, sums);
        look_up(cells, table, listed[u].w, u, sums);
    }
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) {
#pragma unroll
        for (int i = 0; i < SUMS; ++i) sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], step);
    }
}

// Lane `member` of a segment writes one of the loads, or, of eight rows, a row of it, so that a warp writes
// the segments of a row side by side.
__device__ inline void write_overlaps(
    const unsigned int* sums, int* out, long long first, long long n_segments, int n_rows, int lane) {
    const int group = lane / LANES, member = lane % LANES;
#pragma unroll
    for (int turn = 0; turn < (ROWS * AHEAD + LANES - 1) / LANES; ++turn) {
        const int mine = turn * LANES + member, row = mine / AHEAD;
        int count = 0;
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
#pragma unroll
            for (int r = 0; r < ROWS; ++r) count = mine == r * AHEAD + u ? count_of(sums, u, r) : count;
        }
        const long long segment = first / LANES + mine % AHEAD * TOGETHER + group;
        if (row < n_rows && segment < n_segments) __stcs(out + row * n_segments + segment, count);
    }
}

// n_bytes: of the cells of a row (packed), or of all (a byte each).
extern "C" __global__ void __launch_bounds__(THREADS) shared_cells(
    const unsigned char* given, const unsigned char* table, const int4* synapses, int* out, int* best,
    int n_bytes, int n_rows, int n_segments) {
    extern __shared__ uint4 held[];
    unsigned char* cells = (unsigned char*)held + FIRST;
#if FILTER
    const int n_words = n_bytes / 4;
    for (int i = threadIdx.x; i < n_words; i += THREADS) {
        unsigned int any = 0;
        for (int r = 0; r < n_rows; ++r) any |= ((const unsigned int*)given)[r * n_words + i];
        ((unsigned int*)cells)[i] = any;
    }
#else
    for (int i = threadIdx.x; i < n_bytes / 16; i += THREADS) held[i + 1] = ((const uint4*)given)[i];
    for (int i = n_bytes / 16 * 16 + threadIdx.x; i < n_bytes; i += THREADS) cells[i] = given[i];
#endif
    if (threadIdx.x < FIRST) cells[(int)threadIdx.x - FIRST] = 0;
    __syncthreads();
    const int lane = threadIdx.x & 31;
    const long long warp = (long long)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const long long n_warps = (long long)gridDim.x * (THREADS / 32);
    const long long n_loads = (long long)n_segments * LANES;
    unsigned int sums[SUMS];
#if PER == 0
    for (long long first = warp * 32 * AHEAD; first < n_loads; first += n_warps * 32 * AHEAD) {
        overlaps(cells, table, synapses, first, n_loads, lane, sums);
        write_overlaps(sums, out, first, n_segments, n_rows, lane);
    }
#else
    const long long n_neurons = n_segments / PER;
    for (long long neuron = warp; neuron < n_neurons; neuron += n_warps) {
        int most[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) most[r] = -1;
        for (int part = 0; part < PER; part += AHEAD * TOGETHER) {
            overlaps(cells, table, synapses, (neuron * PER + part) * LANES, n_loads, lane, sums);
#pragma unroll
            for (int u = 0; u < AHEAD; ++u) {
                // Count first, then the lower segment: one maximum finds both.
                const int rank = PER - 1 - (part + u * TOGETHER + lane / LANES);
#pragma unroll
                for (int r = 0; r < ROWS; ++r) most[r] = max(most[r], count_of(sums, u, r) * PER + rank);
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int step = 16; step >= LANES; step /= 2) {
                most[r] = max(most[r], __shfl_xor_sync(0xffffffffu, most[r], step));
            }
            if (lane == r && r < n_rows) {
                out[r * n_neurons + neuron] = most[r] / PER;
                best[r * n_neurons + neuron] = PER - 1 - most[r] % PER;
            }
        }
    }
#endif
}
