// Drawn synapses by way of lists: what arrives in a later step is written down, and added when that step comes.
//
// An addition to the ring at once moves two sectors of memory, as the next one lies anywhere in it. A list for
// each step and tile of targets is written and read from end to end, 4 bytes an arrival each way, and the
// additions of a step happen in shared memory.
//
// SLOTS: of the ring. TILE: targets of a list, as a power of two; PART: those that a block adds. SPAN: most tiles
// that a connection's targets lie in. EACH: synapses that a thread draws before any is written, a multiple of 4.
// TABLES: of weights. An entry is the target within its tile, and above it table and level of the weight.

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
    int counts[BUCKETS];  // entries of the piece in each bucket; then from their places to those in the list
    int starts[BUCKETS];  // their first place
    int3 pieces[THREADS];  // source, connection, first synapse: looked up by a thread each
    int n_pieces, n_entries;
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

struct Rows {
    const long long* table;
    const int* counts;
    const unsigned char* delays;
    const int* kinds;  // table of weights of each connection
    unsigned k0, k1;
};

struct Lists {
    unsigned* entries;
    int* lengths;
    int room;
    int* ring;
    const int* weights;
    int n_inputs, now;
};

// Synapses of a row of one connection.
__device__ inline int n_synapses(const Rows& rows, int source, int c) {
    const long long* fields = rows.table + 6 * c;
    return fields[4] < 0 ? (int)fields[5] : rows.counts[fields[4] + source - fields[1]];
}

// Draws up to PIECE synapses of a row, from ``first`` on, and writes them to the lists.
__device__ inline void draw_piece(
    Shared& shared, const Rows& rows, const Lists& lists, int source, int c, int first) {
    const int tid = threadIdx.x, n = n_synapses(rows, source, c), table_of = rows.kinds[c];
    const unsigned stream = (unsigned)rows.table[6 * c], n_targets = (unsigned)rows.table[6 * c + 3];
    const int first_target = (int)rows.table[6 * c + 2], first_tile = first_target / TILE;
    __syncthreads();
    for (int i = tid; i < DELAY_LEVELS / 4; i += THREADS)
        ((int*)shared.delays)[i] = ((const int*)(rows.delays + DELAY_LEVELS * (long long)c))[i];
    for (int i = tid; i < BUCKETS; i += THREADS) shared.counts[i] = 0;
    if (tid == 0) shared.n_entries = 0;
    __syncthreads();

    unsigned entries[EACH];
    int places[EACH];  // bucket, and rank in it
#pragma unroll
    for (int u = 0; u < EACH / 4; ++u) {
        const int block = first / 4 + u * THREADS + tid;
        const uint4 words = philox(rows.k0, rows.k1, block, source, stream | TARGET_TAG);
        const uint4 deviates = philox(rows.k0, rows.k1, block, source, stream | DEVIATE_TAG);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const unsigned word = j == 0 ? words.x : j == 1 ? words.y : j == 2 ? words.z : words.w;
            const unsigned two =
                j == 0 ? deviates.x : j == 1 ? deviates.y : j == 2 ? deviates.z : deviates.w;
            places[4 * u + j] = -1;
            if (4 * block + j >= n) continue;
            const int radius = shared.radii[two >> 20], angle = (int)((two >> 8) & 0xFFF);
            const int one = (radius * shared.cosines[angle]) >> 12;
            const int other = (radius * shared.cosines[(angle + 3072) & 0xFFF]) >> 12;
            const int level = min(max((one >> 10) + 256, 0), LEVELS - 1);
            const int delay = shared.delays[min(max((other >> 8) + 1024, 0), DELAY_LEVELS - 1)];
            const int target = first_target + (int)__umulhi(word, n_targets);
            const int bucket = (target / TILE - first_tile) * SLOTS + ((lists.now + delay) & (SLOTS - 1));
            entries[4 * u + j] = (unsigned)(table_of * LEVELS + level) * TILE + (unsigned)(target % TILE);
            places[4 * u + j] = bucket << 16 | atomicAdd(&shared.counts[bucket], 1);
        }
    }
    __syncthreads();
    int* lengths = lists.lengths + (long long)first_tile * SLOTS;
    for (int i = tid; i < BUCKETS; i += THREADS) {
        const int count = shared.counts[i];
        if (count == 0) continue;
        const int start = atomicAdd(&shared.n_entries, count);  // buckets in any order
        shared.starts[i] = start;
        shared.counts[i] = atomicAdd(lengths + i, count) - start;
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < EACH; ++u) {
        if (places[u] < 0) continue;
        const int bucket = places[u] >> 16, place = shared.starts[bucket] + (places[u] & 0xFFFF);
        shared.entries[place] = entries[u];
        shared.buckets[place] = (unsigned short)bucket;
    }
    __syncthreads();
    for (int i = tid; i < min(PIECE, n - first); i += THREADS) {
        const int bucket = shared.buckets[i], place = shared.counts[bucket] + i;
        const unsigned entry = shared.entries[i];
        if (place < lists.room) {
            lists.entries[((long long)first_tile * SLOTS + bucket) * lists.room + place] = entry;
        } else {  // a full list: to the ring at once
            const int target = (first_tile + bucket / SLOTS) * TILE + (int)(entry % TILE);
            atomicAdd(lists.ring + (long long)(bucket % SLOTS) * lists.n_inputs + target, lists.weights[entry / TILE]);
        }
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
    const unsigned long long key = (unsigned long long)seed[0];
    const Rows rows = {table, row_counts, delays, kinds, (unsigned)key, (unsigned)(key >> 32)};
    const Lists into = {lists, lengths, room, ring, weights, n_inputs, now};
    for (int i = tid; i < CELLS; i += THREADS) {
        shared.radii[i] = (unsigned short)radii[i];
        shared.cosines[i] = cosines[i];
    }
    // This step's lists have been added; nothing that is drawn now arrives in this step.
    if (blockIdx.x == 0)
        for (int i = tid; i < n_tiles; i += THREADS) lengths[i * SLOTS + (now & (SLOTS - 1))] = 0;
    const int n_spikes = count[0];
    const long long n_pieces = (long long)n_spikes * most * chunks;
    for (long long batch = blockIdx.x; batch < n_pieces; batch += (long long)gridDim.x * THREADS) {
        __syncthreads();
        if (tid == 0) shared.n_pieces = 0;
        __syncthreads();
        const long long piece = batch + (long long)tid * gridDim.x;
        if (piece < n_pieces) {
            // All spikes, then the next part of their rows: a block gets long and short ones.
            const int source = spikes[piece % n_spikes], part = (int)(piece / n_spikes), kind = classes[source];
            const int member = kind < 0 ? 0 : starts[kind] + part / chunks;
            if (kind >= 0 && member < starts[kind + 1]) {
                const int c = members[member], first = part % chunks * PIECE;
                if (first < n_synapses(rows, source, c))
                    shared.pieces[atomicAdd(&shared.n_pieces, 1)] = make_int3(source, c, first);
            }
        }
        __syncthreads();
        for (int p = 0; p < shared.n_pieces; ++p)
            draw_piece(shared, rows, into, shared.pieces[p].x, shared.pieces[p].y, shared.pieces[p].z);
    }
}

// Adds the lists of this step, or of the steps of all slots, to the ring.
extern "C" __global__ void __launch_bounds__(THREADS) add_lists(
    const unsigned* lists, const int* lengths, const int* weights, int* ring, const long long* step, int all,
    int n_inputs, int room) {
    extern __shared__ int4 shared_memory[];
    int *total = (int*)shared_memory, *table = total + PART;
    constexpr int PARTS = TILE / PART;
    const int tile = blockIdx.x / PARTS % ((n_inputs + TILE - 1) / TILE), part = blockIdx.x % PARTS;
    const int slot = all ? blockIdx.x / (PARTS * ((n_inputs + TILE - 1) / TILE)) : (int)step[0] & (SLOTS - 1);
    const long long list = (long long)tile * SLOTS + slot, first_target = (long long)tile * TILE + part * PART;
    const int n = min(lengths[list], room), n_here = (int)min((long long)PART, n_inputs - first_target);
    if (n == 0 || n_here <= 0) return;
    for (int i = threadIdx.x; i < PART; i += THREADS) total[i] = 0;
    for (int i = threadIdx.x; i < TABLES * LEVELS; i += THREADS) table[i] = weights[i];
    __syncthreads();
    const uint4* words = (const uint4*)(lists + list * room);
#pragma unroll 4
    for (int i = threadIdx.x; i < (n + 3) / 4; i += THREADS) {
        const uint4 four = words[i];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const unsigned entry = j == 0 ? four.x : j == 1 ? four.y : j == 2 ? four.z : four.w;
            const int target = (int)(entry % TILE);
            if (target / PART == part && 4 * i + j < n) atomicAdd(total + target % PART, table[entry / TILE]);
        }
    }
    __syncthreads();
    int* row = ring + (long long)slot * n_inputs + first_target;
    for (int i = threadIdx.x; i < n_here; i += THREADS)
        if (total[i] != 0) row[i] += total[i];
}
