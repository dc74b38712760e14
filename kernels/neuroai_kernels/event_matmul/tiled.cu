// Scatter into shared memory: a block owns a tile of targets and a share of the sources.
//
// Triton has no scatter into shared memory, and atomics on global memory are bound at about 8e10 a second on
// an H100; here they happen in the multiprocessor, and each tile is added to the output once a block.
//
// KIND: 0 mask (bytes), 1 graded (float), 2 packed (32 a word). WEIGHTED: 1 one weight a synapse, 0 none.

#define TILE 8192
#define WARPS 16
#define CHUNK 128  // sources that a warp looks at together
#define AHEAD 4    // rows whose synapses are loaded before any is added

__device__ inline float value_of(const void* spikes, long long row) {
#if KIND == 0
    return ((const unsigned char*)spikes)[row] != 0 ? 1.0f : 0.0f;
#elif KIND == 1
    return ((const float*)spikes)[row];
#else
    return (((const unsigned int*)spikes)[row >> 5] >> (row & 31)) & 1u ? 1.0f : 0.0f;
#endif
}

extern "C" __global__ void __launch_bounds__(WARPS * 32) tiled_scatter(
    const void* spikes, const long long* pointers, const int* indices, const float* weights, float* out,
    int n_pre, int n_out, int n_tiles, int n_shares, int row_bytes) {
    __shared__ float total[TILE];
    __shared__ short listed[WARPS][CHUNK];
#if KIND == 1
    __shared__ float listed_value[WARPS][CHUNK];
#endif
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int tile = blockIdx.x % n_tiles, share = blockIdx.x / n_tiles;
    const int first_target = tile * TILE;
    const char* mine = (const char*)spikes + (long long)blockIdx.y * row_bytes;
    float* row_out = out + (long long)blockIdx.y * n_out;
    for (int j = threadIdx.x; j < TILE; j += WARPS * 32) total[j] = 0.0f;
    __syncthreads();

    const int n_chunks = (n_pre + CHUNK - 1) / CHUNK;
    for (int chunk = warp * n_shares + share; chunk < n_chunks; chunk += WARPS * n_shares) {
        // List the sources that spike.
        int n_listed = 0;
        for (int part = 0; part < CHUNK / 32; ++part) {
            const int place = part * 32 + lane;
            const long long row = (long long)chunk * CHUNK + place;
            const float value = row < n_pre ? value_of(mine, row) : 0.0f;
            const unsigned spiking = __ballot_sync(0xffffffffu, value != 0.0f);
            if (value != 0.0f) {
                const int slot = n_listed + __popc(spiking & ((1u << lane) - 1u));
                listed[warp][slot] = (short)place;
#if KIND == 1
                listed_value[warp][slot] = value;
#endif
            }
            n_listed += __popc(spiking);
        }
        __syncwarp();
        for (int base = 0; base < n_listed; base += 32) {
            // Each lane fetches where one listed row's part of this tile lies.
            long long start = 0;
            int length = 0;
            if (base + lane < n_listed) {
                const long long row = (long long)chunk * CHUNK + listed[warp][base + lane];
                start = pointers[row * n_tiles + tile];
                length = (int)(pointers[row * n_tiles + tile + 1] - start);
            }
            const int n_rows = min(32, n_listed - base);
            for (int r = 0; r < n_rows; r += AHEAD) {
                long long from[AHEAD];
                int left[AHEAD], longest = 0;
                float value[AHEAD];
#pragma unroll
                for (int u = 0; u < AHEAD; ++u) {
                    const int owner = min(r + u, 31);
                    from[u] = __shfl_sync(0xffffffffu, start, owner);
                    left[u] = __shfl_sync(0xffffffffu, length, owner);
                    if (r + u >= n_rows) left[u] = 0;
                    longest = max(longest, left[u]);
#if KIND == 1
                    value[u] = left[u] ? listed_value[warp][base + r + u] : 0.0f;
#else
                    value[u] = 1.0f;
#endif
                }
                for (int k = lane; k < longest; k += 32) {
                    int target[AHEAD];
                    float term[AHEAD];
#pragma unroll
                    for (int u = 0; u < AHEAD; ++u) {
                        const bool inside = k < left[u];
                        target[u] = inside ? __ldcs(indices + from[u] + k) - first_target : -1;
#if WEIGHTED
                        term[u] = inside ? value[u] * __ldcs(weights + from[u] + k) : 0.0f;
#else
                        term[u] = value[u];
#endif
                    }
#pragma unroll
                    for (int u = 0; u < AHEAD; ++u)
                        if (target[u] >= 0) atomicAdd(total + target[u], term[u]);
                }
            }
        }
        __syncwarp();
    }
    __syncthreads();
    const int n_here = min(TILE, n_out - first_target);
    for (int j = threadIdx.x; j < n_here; j += WARPS * 32)
        if (total[j] != 0.0f) atomicAdd(row_out + first_target + j, total[j]);
}
