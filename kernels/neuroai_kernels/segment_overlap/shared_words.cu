// Overlaps of one row, its packed cells in shared memory.
//
// Random reads of 32 threads cost a multiprocessor about four cycles there, and eight or more in the first
// cache, which the synapse lists that stream by would also clear of cells.
//
// SLOTS: synapses a segment, 4 to 128, a power of two. PER: segments a neuron, 0 to write every overlap.
// THREADS: of a block.

#define AHEAD 4  // loads of four synapses that a thread has under way
#define LANES (SLOTS / 4)
#define TOGETHER (32 / LANES)  // segments that one load of a warp covers

__device__ inline unsigned int bit_of(const unsigned int* cells, int cell) {
    // Absent synapses, -1, find the silent word before the first.
    return (cells[cell >> 5] >> (cell & 31)) & 1u;
}

// Overlaps of AHEAD * TOGETHER segments, one a byte, in all lanes of a segment.
__device__ inline unsigned int overlaps(
    const unsigned int* cells, const int4* synapses, long long first, long long n_loads, int lane) {
    int4 listed[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        const long long place = first + u * 32 + lane;
        listed[u] = place < n_loads ? __ldcs(synapses + place) : make_int4(-1, -1, -1, -1);
    }
    unsigned int counts = 0;
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        const unsigned int count = bit_of(cells, listed[u].x) + bit_of(cells, listed[u].y) +
                                   bit_of(cells, listed[u].z) + bit_of(cells, listed[u].w);
        counts |= count << (8 * u);
    }
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) counts += __shfl_xor_sync(0xffffffffu, counts, step);
    return counts;
}

extern "C" __global__ void __launch_bounds__(THREADS) shared_words(
    const unsigned int* words, const int4* synapses, int* out, int* best, int n_words, int n_segments) {
    extern __shared__ unsigned int held[];
    for (int i = threadIdx.x; i < n_words; i += THREADS) held[i + 1] = words[i];
    if (threadIdx.x == 0) held[0] = 0;
    __syncthreads();
    const unsigned int* cells = held + 1;
    const int lane = threadIdx.x & 31, group = lane / LANES, member = lane % LANES;
    const long long warp = (long long)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const long long n_warps = (long long)gridDim.x * (THREADS / 32);
    const long long n_loads = (long long)n_segments * LANES;
#if PER == 0
    for (long long first = warp * 32 * AHEAD; first < n_loads; first += n_warps * 32 * AHEAD) {
        const unsigned int counts = overlaps(cells, synapses, first, n_loads, lane);
        for (int u = member; u < AHEAD; u += LANES) {
            const long long segment = first / LANES + u * TOGETHER + group;
            if (segment < n_segments) __stcs(out + segment, (int)((counts >> (8 * u)) & 255u));
        }
    }
#else
    for (long long neuron = warp; neuron < n_segments / PER; neuron += n_warps) {
        int most = -1;
        for (int part = 0; part < PER; part += AHEAD * TOGETHER) {
            const unsigned int counts = overlaps(cells, synapses, (neuron * PER + part) * LANES, n_loads, lane);
#pragma unroll
            for (int u = 0; u < AHEAD; ++u) {
                // Count first, then the lower segment: one maximum finds both.
                const int place = part + u * TOGETHER + group;
                most = max(most, (int)((counts >> (8 * u)) & 255u) * PER + PER - 1 - place);
            }
        }
#pragma unroll
        for (int step = 16; step >= LANES; step /= 2) {
            most = max(most, __shfl_xor_sync(0xffffffffu, most, step));
        }
        if (lane == 0) {
            out[neuron] = most / PER;
            best[neuron] = PER - 1 - most % PER;
        }
    }
#endif
}
