// Drawn synapses by way of lists: what arrives in a later step is written down, and added when that step comes.
//
// An addition to the ring at once moves two sectors of memory, as the next one lies anywhere in it. A list for
// each step and tile of targets is written and read from end to end, 4 bytes an arrival each way, and the
// additions of a step happen in shared memory.
//
// SLOTS: of the ring. TILE: targets of a list, as a power of two; PART: those that a block adds. SPAN: most tiles
// that a connection's targets lie in. EACH: synapses that a thread draws before any is written, a multiple of 4.
// An entry is the target within its tile, and above it table and level of the weight.

#define PIECE (EACH * THREADS)
#define BUCKETS (SPAN * SLOTS)
#define CELLS 4096
#define DELAY_LEVELS 2048
#define LEVELS 512
#define TARGET_TAG 0x11000000u
#define DEVIATE_TAG 0x12000000u

struct Shared {
    int cosines[CELLS];
    unsigned short radii[CELLS];
    unsigned char delays[DELAY_LEVELS];
    int counts[BUCKETS];  // entries of the piece in each bucket; then the place of the first in its list
    int starts[BUCKETS];  // and in the piece
    int sums[THREADS];
    unsigned entries[PIECE];
    unsigned short buckets[PIECE];
};

__device__ inline uint4 philox(unsigned k0, unsigned k1, unsigned c0, unsigned c1, unsigned c2) {
    unsigned c3 = 0;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// Replaces counts of buckets by their starts in the piece.
__device__ inline void scan(Shared& shared) {
    constexpr int MINE = (BUCKETS + THREADS - 1) / THREADS;
    const int first = threadIdx.x * MINE;
    int sum = 0;
    for (int i = first; i < min(first + MINE, BUCKETS); ++i) sum += shared.counts[i];
    shared.sums[threadIdx.x] = sum;
    for (int step = 1; step < THREADS; step *= 2) {
        __syncthreads();
        const int before = (int)threadIdx.x >= step ? shared.sums[threadIdx.x - step] : 0;
        __syncthreads();
        shared.sums[threadIdx.x] += before;
    }
    int start = shared.sums[threadIdx.x] - sum;
    for (int i = first; i < min(first + MINE, BUCKETS); ++i) {
        shared.starts[i] = start;
        start += shared.counts[i];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) list_drawn(
    const int* spikes, const int* count, const long long* seed, const long long* table, const int* row_counts,
    const unsigned char* delays, const int* classes, const int* members, const int* starts, const int* kinds,
    const int* radii, const int* cosines, const int* weights, int* ring, unsigned* lists, int* lengths,
    const long long* step, int n_inputs, int n_tiles, int most, int chunks, int room) {
    extern __shared__ int4 shared_memory[];
    Shared& shared = *(Shared*)shared_memory;
    const int tid = threadIdx.x, now = (int)step[0];
    const unsigned k0 = (unsigned)seed[0], k1 = (unsigned)((unsigned long long)seed[0] >> 32);
    for (int i = tid; i < CELLS; i += THREADS) {
        shared.radii[i] = (unsigned short)radii[i];
        shared.cosines[i] = cosines[i];
    }
    // This step's lists have been added; nothing that is drawn now arrives in this step.
    if (blockIdx.x == 0)
        for (int i = tid; i < n_tiles; i += THREADS) lengths[i * SLOTS + (now & (SLOTS - 1))] = 0;
    const long long n_pieces = (long long)count[0] * most * chunks;
    for (long long piece = blockIdx.x; piece < n_pieces; piece += gridDim.x) {
        const int source = spikes[piece / (most * chunks)], chunk = (int)(piece % chunks);
        const int kind = classes[source];
        if (kind < 0) continue;
        const int member = starts[kind] + (int)(piece / chunks % most);
        if (member >= starts[kind + 1]) continue;
        const int c = members[member];
        const long long* fields = table + 6 * c;
        const int n = fields[4] < 0 ? (int)fields[5] : row_counts[fields[4] + source - fields[1]];
        if (chunk * PIECE >= n) continue;
        const unsigned stream = (unsigned)fields[0], n_targets = (unsigned)fields[3];
        const int first_target = (int)fields[2], first_tile = first_target / TILE, table_of = kinds[c];
        __syncthreads();
        for (int i = tid; i < DELAY_LEVELS / 4; i += THREADS)
            ((int*)shared.delays)[i] = ((const int*)(delays + DELAY_LEVELS * (long long)c))[i];
        for (int i = tid; i < BUCKETS; i += THREADS) shared.counts[i] = 0;
        __syncthreads();

        unsigned entries[EACH];
        int places[EACH];  // bucket, and rank in it
#pragma unroll
        for (int u = 0; u < EACH / 4; ++u) {
            const int block = chunk * (PIECE / 4) + u * THREADS + tid;
            const uint4 words = philox(k0, k1, block, source, stream | TARGET_TAG);
            const uint4 deviates = philox(k0, k1, block, source, stream | DEVIATE_TAG);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const unsigned word = j == 0 ? words.x : j == 1 ? words.y : j == 2 ? words.z : words.w;
                const unsigned two =
                    j == 0 ? deviates.x : j == 1 ? deviates.y : j == 2 ? deviates.z : deviates.w;
                places[4 * u + j] = -1;
                if (4 * block + j >= n) continue;
                const int radius = shared.radii[two >> 20], angle = (int)((two >> 8) & 0xFFF);
                const int first = (radius * shared.cosines[angle]) >> 12;
                const int second = (radius * shared.cosines[(angle + 3072) & 0xFFF]) >> 12;
                const int level = min(max((first >> 10) + 256, 0), LEVELS - 1);
                const int delay = shared.delays[min(max((second >> 8) + 1024, 0), DELAY_LEVELS - 1)];
                const int target = first_target + (int)__umulhi(word, n_targets);
                const int bucket = (target / TILE - first_tile) * SLOTS + ((now + delay) & (SLOTS - 1));
                entries[4 * u + j] = (unsigned)(table_of * LEVELS + level) * TILE + (unsigned)(target % TILE);
                places[4 * u + j] = bucket << 16 | atomicAdd(&shared.counts[bucket], 1);
            }
        }
        __syncthreads();
        scan(shared);
        __syncthreads();
#pragma unroll
        for (int u = 0; u < EACH; ++u) {
            if (places[u] < 0) continue;
            const int bucket = places[u] >> 16, place = shared.starts[bucket] + (places[u] & 0xFFFF);
            shared.entries[place] = entries[u];
            shared.buckets[place] = (unsigned short)bucket;
        }
        int* own = lengths + (long long)first_tile * SLOTS;
        for (int i = tid; i < BUCKETS; i += THREADS)
            if (shared.counts[i] > 0) shared.counts[i] = atomicAdd(own + i, shared.counts[i]) - shared.starts[i];
        __syncthreads();
        for (int i = tid; i < min(PIECE, n - chunk * PIECE); i += THREADS) {
            const int bucket = shared.buckets[i], place = shared.counts[bucket] + i;
            const unsigned entry = shared.entries[i];
            if (place < room) {
                lists[((long long)first_tile * SLOTS + bucket) * room + place] = entry;
            } else {  // a full list: to the ring at once
                const int target = (first_tile + bucket / SLOTS) * TILE + (int)(entry % TILE);
                atomicAdd(ring + (long long)(bucket % SLOTS) * n_inputs + target, weights[entry / TILE]);
            }
        }
    }
}

// Adds the lists of this step, or of the steps of all slots, to the ring.
extern "C" __global__ void __launch_bounds__(THREADS) add_lists(
    const unsigned* lists, const int* lengths, const int* weights, int* ring, const long long* step, int all,
    int n_inputs, int room) {
    extern __shared__ int4 shared_memory[];
    int* total = (int*)shared_memory;
    constexpr int PARTS = TILE / PART;
    const int tile = blockIdx.x / PARTS % ((n_inputs + TILE - 1) / TILE), part = blockIdx.x % PARTS;
    const int slot = all ? blockIdx.x / (PARTS * ((n_inputs + TILE - 1) / TILE)) : (int)step[0] & (SLOTS - 1);
    const long long list = (long long)tile * SLOTS + slot, first_target = (long long)tile * TILE + part * PART;
    const int n = min(lengths[list], room), n_here = (int)min((long long)PART, n_inputs - first_target);
    if (n == 0 || n_here <= 0) return;
    for (int i = threadIdx.x; i < PART; i += THREADS) total[i] = 0;
    __syncthreads();
    const uint4* words = (const uint4*)(lists + list * room);
#pragma unroll 4
    for (int i = threadIdx.x; i < (n + 3) / 4; i += THREADS) {
        const uint4 four = words[i];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const unsigned entry = j == 0 ? four.x : j == 1 ? four.y : j == 2 ? four.z : four.w;
            const int target = (int)(entry % TILE);
            if (target / PART == part && 4 * i + j < n) atomicAdd(total + target % PART, weights[entry / TILE]);
        }
    }
    __syncthreads();
    int* row = ring + (long long)slot * n_inputs + first_target;
    for (int i = threadIdx.x; i < n_here; i += THREADS)
        if (total[i] != 0) row[i] += total[i];
}
