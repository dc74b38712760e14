// Scatter into shared memory: a block owns a tile of targets and a share of the sources.
//
// Triton has no scatter into shared memory, and atomics on global memory are bound at about 8e10 a second on
// an H100; here they happen in the multiprocessor, and each tile is added to the output once a block.
//
// `tiled.py` defines: KIND, 0 mask (bytes), 1 graded (float), 2 packed (32 a word); WEIGHTED, 1 one weight a
// synapse, 0 none; TILE targets; WARPS of a block; ROUND sources that a block looks at together; AHEAD pieces
// of rows whose synapses a warp loads before it adds any.

#define THREADS (WARPS * 32)

__device__ inline float value_of(const void* spikes, long long row) {
#if KIND == 0
    return ((const unsigned char*)spikes)[row] != 0 ? 1.0f : 0.0f;
#elif KIND == 1
    return ((const float*)spikes)[row];
#else
    return (((const unsigned int*)spikes)[row >> 5] >> (row & 31)) & 1u ? 1.0f : 0.0f;
#endif
}

// Appends the sources of a round that spike to the block's list, as places within the round.
__device__ inline void list_spikes(
    const void* spikes, long long first_row, int n_rows, unsigned short* listed, int* n_listed) {
    const int lane = threadIdx.x & 31;
    bool spikes_here[ROUND / THREADS];
#pragma unroll
    for (int u = 0; u < ROUND / THREADS; ++u) {
        const int place = u * THREADS + threadIdx.x;
        spikes_here[u] = place < n_rows && value_of(spikes, first_row + place) != 0.0f;
    }
#pragma unroll
    for (int u = 0; u < ROUND / THREADS; ++u) {
        const unsigned spiking = __ballot_sync(0xffffffffu, spikes_here[u]);
        if (spiking == 0) continue;
        int slot = 0;
        if (lane == 0) slot = atomicAdd(n_listed, __popc(spiking));
        slot = __shfl_sync(0xffffffffu, slot, 0) + __popc(spiking & ((1u << lane) - 1u));
        if (spikes_here[u]) listed[slot] = (unsigned short)(u * THREADS + threadIdx.x);
    }
}

// Adds up to 32 pieces of rows; each lane holds where one of them lies. A piece is 32 synapses of every `stride`.
__device__ inline void add_pieces(
    long long start, int length, float value, int n_pieces, int stride, int first_target, const int* indices,
    const float* weights, float* total) {
    const int lane = threadIdx.x & 31;
    for (int r = 0; r < n_pieces; r += AHEAD) {
        long long from[AHEAD];
        int left[AHEAD], longest = 0;
        float factor[AHEAD];
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            from[u] = __shfl_sync(0xffffffffu, start, r + u);
            left[u] = __shfl_sync(0xffffffffu, length, r + u);
            factor[u] = KIND == 1 ? __shfl_sync(0xffffffffu, value, r + u) : 1.0f;
            longest = max(longest, left[u]);
        }
        for (int k = lane; k < longest; k += stride) {
            int target[AHEAD];
            float term[AHEAD];
#pragma unroll
            for (int u = 0; u < AHEAD; ++u) {
                const bool inside = k < left[u];
                target[u] = inside ? __ldcs(indices + from[u] + k) - first_target : -1;
                term[u] = WEIGHTED && inside ? factor[u] * __ldcs(weights + from[u] + k) : factor[u];
            }
#pragma unroll
            for (int u = 0; u < AHEAD; ++u)
                if (target[u] >= 0) atomicAdd(total + target[u], term[u]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) tiled_scatter(
    const void* spikes, const long long* pointers, const int* indices, const float* weights, float* out,
    int n_pre, int n_out, int n_tiles, int n_shares, int n_pieces, int row_bytes) {
    __shared__ float total[TILE];
    __shared__ unsigned short listed[ROUND];
    __shared__ int n_listed;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int tile = blockIdx.x % n_tiles, share = blockIdx.x / n_tiles;
    const int first_target = tile * TILE;
    const char* mine = (const char*)spikes + (long long)blockIdx.y * row_bytes;
    float* row_out = out + (long long)blockIdx.y * n_out;
    for (int j = threadIdx.x; j < TILE; j += THREADS) total[j] = 0.0f;

    const long long a_share = (n_pre + n_shares - 1) / n_shares;
    const long long stop = min((share + 1) * a_share, (long long)n_pre);
    for (long long first_row = share * a_share; first_row < stop; first_row += ROUND) {
        __syncthreads();  // the list of the round before has been read
        if (threadIdx.x == 0) n_listed = 0;
        __syncthreads();
        list_spikes(mine, first_row, (int)min(stop - first_row, (long long)ROUND), listed, &n_listed);
        __syncthreads();
        // Pieces are dealt to the warps in turn, 32 at a time.
        for (int first = warp; first < n_listed * n_pieces; first += THREADS) {
            const int piece = first + lane * WARPS;
            long long start = 0;
            int length = 0;
            float value = 0.0f;
            if (piece < n_listed * n_pieces) {
                const long long row = first_row + listed[piece / n_pieces];
                const int skipped = 32 * (piece % n_pieces);
                start = pointers[row * n_tiles + tile] + skipped;
                length = (int)(pointers[row * n_tiles + tile + 1] - start);  // may be negative: nothing
                if (KIND == 1) value = value_of(mine, row);
            }
            const int here = min(32, (n_listed * n_pieces - first + WARPS - 1) / WARPS);
            add_pieces(start, length, value, here, 32 * n_pieces, first_target, indices, weights, total);
        }
    }
    __syncthreads();
    const int n_here = min(TILE, n_out - first_target);
    for (int j = threadIdx.x; j < n_here; j += THREADS)
        if (total[j] != 0.0f) atomicAdd(row_out + first_target + j, total[j]);
}
