// Many steps of a network in one launch: each multiprocessor keeps a block of neurons, their state in
// registers, and their part of the ring in shared memory.
//
// Triton has no scatter into shared memory, and state that leaves the multiprocessor costs a trip to the
// second cache at every use. What remains on the way of a step is one exchange of words between all blocks and
// the fetch of synapses, and those two run side by side: arrivals move a synaptic current, and only one step
// later the potential, so that the spikes of a step are known as soon as the step before it is done. They are
// announced, and their synapses called into the second cache, while those of the step before are delivered.
//
// The first warps of a block announce, listen, and cut the rows that they hear of into pieces; the others hold
// the neurons and deliver the pieces. A word carries its step, so that reading it is the barrier: no fence, no
// shared counter. Each block reads a mailbox of its own.
//
// THREADS: of a block. LISTENING: those of the first warps. CHANNELS: 1 or 2. POISSON, CURRENT, STORED,
// EXTERNAL, RECORD: 0 or 1. START: type of the rows' starts. PROFILE: 1 to count cycles. Products and sums are
// rounded one by one, as everywhere: the spikes are the CPU's.

#define IDS 7            // spikes that fit a pair of words; more are in a list
#define IDS_FIRST 3
#define LISTS 4          // lists of the steps that blocks may be reading or writing at a time
#define PIECES 1024      // of up to 32 synapses, that are listed at a time
#define AHEAD 4          // pieces that a warp fetches before it adds the first
#define BATCH 256        // sources that workers cut at a time
#define PREFIX 8         // see neuron_update/table.py
#define LEVELS 512
#define POISSON_TAG 0x40000000u
#define WORKING (THREADS - LISTENING)

typedef unsigned long long word_t;

struct Synapses {
    const START* starts;
    const int* words;
    const int* weights;
    const int* classes;
    const int* table;  // of this block's population, in shared memory
    int* ring;         // in shared memory
    int n_blocks, width, pitch, lane_bits, mask;
};

// What a block has in shared memory besides, each twice: for even and odd steps.
struct Lists {
    int* own;            // places in the block of the neurons that spike
    int* heard;          // sources, of all blocks
    START* piece_starts;
    int* pieces;         // place in the table, times 64, and number of synapses
    int* uncut;          // sources that found no room among the pieces
    int* long_blocks;    // blocks with more spikes than fit their words, and their numbers
    int* long_counts;
    int *n_own, *n_heard, *n_pieces, *n_uncut, *n_long;
    volatile int* gave_up;
};

__device__ inline void workers_meet() { asm volatile("bar.sync 1, %0;" ::"n"(WORKING) : "memory"); }

__device__ inline void listeners_meet() { asm volatile("bar.sync 2, %0;" ::"n"(LISTENING) : "memory"); }

__device__ inline void philox(uint4& c, unsigned k0, unsigned k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
        const unsigned high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
        c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

__device__ inline int above(unsigned word, uint4 limit) {
    return (word > limit.x) + (word > limit.y) + (word > limit.z) + (word > limit.w);
}

// Events of four neighbouring neurons: thresholds, ascending, below their words.
__device__ inline int4 count_poisson(
    word_t key, unsigned quad, unsigned step, const unsigned* limits, int n_limits) {
    uint4 u = make_uint4(quad, 0u, POISSON_TAG, step);
    philox(u, (unsigned)key, (unsigned)(key >> 32));
    const unsigned largest = max(max(u.x, u.y), max(u.z, u.w));
    int4 n = make_int4(0, 0, 0, 0);
#pragma unroll 1
    for (int j = 0; j < n_limits; j += 4) {
        const uint4 limit = *(const uint4*)(limits + j);
        if (largest <= limit.x) break;
        n.x += above(u.x, limit);
        n.y += above(u.y, limit);
        n.z += above(u.z, limit);
        n.w += above(u.w, limit);
    }
    return n;
}

__device__ inline void add(const Synapses& s, int word, START k, int kind, int now) {
    const int local = (word >> 9) & 0xFFF, delay = (word >> 21) & 0xFF;
#if CHANNELS > 1
    const int channel = local >> s.lane_bits;
    const int place = channel * s.pitch + local - (channel << s.lane_bits);
#else
    const int channel = 0, place = local;
#endif
#if STORED
    const int weight = s.weights[k];
#else
    const int weight = s.table[kind + channel * LEVELS + (word & (LEVELS - 1))];
#endif
    atomicAdd(s.ring + ((now + delay) & s.mask) * s.width + place, weight);
}

// List a source's synapses onto this block in pieces; whether they found room.
__device__ inline bool cut_row(const Synapses& s, const Lists& lists, int source, int b, int odd) {
    const START* segment = s.starts + (long long)source * (s.n_blocks + 1) + b;
    const START start = segment[0];
    const int length = (int)(segment[1] - start);
    const int kind = s.classes[source] * CHANNELS * LEVELS, pieces = (length + 31) / 32;
    const int at = atomicAdd(lists.n_pieces + odd, pieces), room = min(pieces, PIECES - at);
    const bool fits = room == pieces;
#pragma unroll 1
    for (int j = 0; j < room; ++j) {
        lists.piece_starts[odd * PIECES + at + j] = start + 32 * j;
        lists.pieces[odd * PIECES + at + j] = fits ? kind << 6 | min(32, length - 32 * j) : 0;
    }
    return fits;
}

// Add the listed pieces; called by all workers.
__device__ inline void add_pieces(const Synapses& s, const Lists& lists, int odd, int now, int worker) {
    const int lane = worker & 31, total = min(*(volatile int*)(lists.n_pieces + odd), PIECES);
    for (int c = worker / 32; c < total; c += AHEAD * WORKING / 32) {
        int word[AHEAD], piece[AHEAD];
        START at[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            const int place = c + j * (WORKING / 32);
            piece[j] = place < total ? lists.pieces[odd * PIECES + place] : 0;
            at[j] = place < total ? lists.piece_starts[odd * PIECES + place] + lane : 0;
            word[j] = lane < (piece[j] & 63) ? s.words[at[j]] : 0;
        }
#pragma unroll
        for (int j = 0; j < AHEAD; ++j)
            if (lane < (piece[j] & 63)) add(s, word[j], at[j], piece[j] >> 6, now);
    }
}

// Add the synapses of ``n`` sources that are not cut yet; called by all workers.
__device__ inline void deliver(
    const Synapses& s, const Lists& lists, const int* sources, int base, int n, int b, int now, int worker) {
    const int odd = now & 1;
#pragma unroll 1
    for (int first = 0; first < n; first += BATCH) {
        workers_meet();
        if (worker == 0) lists.n_pieces[odd] = 0;
        workers_meet();
        if (worker < BATCH && first + worker < n) {
            // Volatile: a list of another block may have an old copy in the first cache.
            const int source = base + ((const volatile int*)sources)[first + worker];
            if (!cut_row(s, lists, source, b, odd)) {
                const START* segment = s.starts + (long long)source * (s.n_blocks + 1) + b;
                const int kind = s.classes[source] * CHANNELS * LEVELS;
#pragma unroll 1
                for (START k = segment[0]; k < segment[1]; ++k) add(s, s.words[k], k, kind, now);
            }
        }
        workers_meet();
        add_pieces(s, lists, odd, now, worker);
    }
}

// Call bytes [from, to) into the second cache.
__device__ inline void call_up(const void* from, const void* to) {
    const word_t first = (word_t)from & ~15ull, last = (word_t)to & ~15ull;
#if __CUDA_ARCH__ >= 900
    if (last > first)
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(first), "r"((unsigned)(last - first)));
#else
    for (word_t at = first; at < last; at += 128) asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}

__device__ inline void send(word_t* box, word_t one, word_t two) {
    asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(box), "l"(one), "l"(two) : "memory");
}

__device__ inline void receive(const word_t* box, word_t& one, word_t& two) {
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(one), "=l"(two) : "l"(box) : "memory");
}

__device__ inline void fence() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

// Tell all blocks which neurons of this one spike in step ``tag``, hear the same from them, and cut the rows.
__device__ inline void exchange(
    const Synapses& s, const Lists& lists, word_t* mail, int* more, const int* bases, int tag, int b,
    int patience) {
    const int tid = threadIdx.x, odd = tag & 1, found = lists.n_own[odd], n_blocks = s.n_blocks;
    const int* own = lists.own + odd * s.pitch;
    int* heard = lists.heard + odd * IDS * n_blocks;
    const word_t step = tag & 0x7FFF;
    word_t one = step << 48 | (word_t)found << 36, two = step << 48;
    if (found > IDS) {
        int* list = more + ((tag % LISTS) * n_blocks + b) * (1 << s.lane_bits);
        for (int j = tid; j < found; j += LISTENING) list[j] = own[j];
        fence();
        listeners_meet();
    } else {
#pragma unroll 1
        for (int j = 0; j < found; ++j) {
            const word_t place = own[j];
            if (j < IDS_FIRST) one |= place << (12 * j); else two |= place << (12 * (j - IDS_FIRST));
        }
    }
    if (tid < n_blocks) {
        send(mail + 2 * (((long long)odd * n_blocks + tid) * n_blocks + b), one, two);
        const word_t* box = mail + 2 * (((long long)odd * n_blocks + b) * n_blocks + tid);
        const int from = bases[tid];
        int tries = 0;
        do receive(box, one, two);
        while ((one >> 48 != step || two >> 48 != step) && ++tries < patience);
        if (one >> 48 != step || two >> 48 != step) lists.gave_up[odd] = 1;
        const int n = (int)(one >> 36) & 0xFFF;
        if (n > IDS) {
            fence();
            const int at = odd * n_blocks + atomicAdd(lists.n_long + odd, 1);
            lists.long_blocks[at] = tid;
            lists.long_counts[at] = n;
        } else if (n > 0) {
            int* to = heard + atomicAdd(lists.n_heard + odd, n);
#pragma unroll 1
            for (int j = 0; j < n; ++j) {
                const word_t shifted = j < IDS_FIRST ? one >> (12 * j) : two >> (12 * (j - IDS_FIRST));
                to[j] = from + ((int)shifted & 0xFFF);
            }
        }
    }
    listeners_meet();
    if (tid == 0) lists.n_heard[odd ^ 1] = 0;
    for (int j = tid; j < lists.n_heard[odd]; j += LISTENING)
        if (!cut_row(s, lists, heard[j], b, odd))
            lists.uncut[odd * IDS * n_blocks + atomicAdd(lists.n_uncut + odd, 1)] = heard[j];
}

#if PROFILE
// The branch on what was just read makes the clock wait for it.
#define LAP(i, read) { if ((read) == 0x7FFFFFFF) __trap(); const int t = clock(); spent[i] += t - mark; mark = t; }
#else
#define LAP(i, read)
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1) resident_steps(
    const int* blocks, const int* bases, const float* coefficients, const unsigned* thresholds,
    float* variables, int* free_at, const float* current, const word_t* seed, const START* starts,
    const int* words, const int* weights, const int* tables, const int* classes, int* ring, int quantum_bits,
    word_t* mail, int* more, word_t* tally, int* record, int* recorded, int room, const int* external,
    const int* external_rows, int external_origin, int first_step, int n_steps, int patience, int* failed,
    int n_blocks, int n_populations, int n_classes, int n_neurons, int n_inputs, int mask, int n_thresholds,
    int n_coefficients, int pitch, int lane_bits, int* profile) {
    extern __shared__ int shared[];
    const int tid = threadIdx.x, b = blockIdx.x, width = CHANNELS * pitch;
    START* piece_starts = (START*)shared;
    int* own_ring = (int*)(piece_starts + 2 * PIECES);
    int* table = own_ring + (mask + 1) * width;
    int* events = table + n_classes * CHANNELS * LEVELS;
    unsigned* limits = (unsigned*)(events + pitch);
    int* pieces = (int*)limits + n_thresholds;
    int* own = pieces + 2 * PIECES;
    int* heard = own + 2 * pitch;
    int* uncut = heard + 2 * IDS * n_blocks;
    int* long_blocks = uncut + 2 * IDS * n_blocks;
    int* long_counts = long_blocks + 2 * n_blocks;
    int* counts = long_counts + 2 * n_blocks;
    const Lists lists = {own, heard, piece_starts, pieces, uncut, long_blocks, long_counts, counts, counts + 2,
                         counts + 4, counts + 6, counts + 8, counts + 10};
    const Synapses synapses = {starts, words, weights, classes, table, own_ring, n_blocks, width, pitch,
                               lane_bits, mask};

    const int* block = blocks + 6 * b;
    const int first = block[0], stop = block[1], population = block[2];
    const int base = first / 4 * 4, worker = tid - LISTENING, neuron = base + worker;
    const bool inside = neuron >= first && neuron < stop;
    const float* c = coefficients + population * n_coefficients;
    const float threshold = c[0], reset = c[1], event_weight = c[5], quantum = __int_as_float(quantum_bits);
    const int refractory = (int)c[2];
    const bool events_first = c[6] == 0.0f;
    const float p22 = c[PREFIX], p11_0 = c[PREFIX + 1], p21_0 = c[PREFIX + 2];
#if CHANNELS > 1
    const int channels = block[4];
    const float p11_1 = c[PREFIX + 3], p21_1 = c[PREFIX + 4];
    float i_1 = 0.0f;
#endif
    const word_t key = *seed;
    float v = 0.0f, i_0 = 0.0f, push = c[3], moved = 0.0f;
    int free = 0, n_spikes = 0;
    START row_first = 0, row_last = 0;
    bool can = false, will = false;
    if (inside) {
        v = variables[neuron];
        free = free_at[neuron];
        i_0 = variables[n_neurons + neuron];
#if CHANNELS > 1
        if (channels > 1) i_1 = variables[2 * n_neurons + neuron];
#endif
#if CURRENT
        push = __fadd_rn(push, __fmul_rn(c[4], current[neuron]));
#endif
        row_first = starts[(long long)neuron * (n_blocks + 1)];
        row_last = starts[(long long)neuron * (n_blocks + 1) + n_blocks];
    }
#if !STORED
#pragma unroll 1
    for (int j = tid; j < n_classes * CHANNELS * LEVELS; j += THREADS) {
        const int of = j / (CHANNELS * LEVELS), rest = j % (CHANNELS * LEVELS);
        table[j] = tables[(of * n_populations + population) * CHANNELS * LEVELS + rest];
    }
#endif
#pragma unroll 1
    for (int j = tid; j < (mask + 1) * width; j += THREADS) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        const bool mine = base + lane >= first && base + lane < stop;
        own_ring[j] = mine ? ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] : 0;
    }
#pragma unroll 1
    for (int j = tid; j < n_thresholds; j += THREADS) limits[j] = thresholds[population * n_thresholds + j];
    if (tid < 12) counts[tid] = 0;
    __syncthreads();
    const int last_step = first_step + n_steps;
    int now = first_step - 1;
#if PROFILE
    int spent[4] = {0, 0, 0, 0}, mark = clock();
#endif
    for (; now < last_step; ++now) {
        const int odd = now & 1, next = odd ^ 1;
        if (inside) {
            if (now >= first_step) {
                int* slot = own_ring + (now & mask) * width + worker;
                float arrived = __fmul_rn((float)slot[0], quantum), second = 0.0f;
                slot[0] = 0;
#if CHANNELS > 1
                if (channels > 1) second = __fmul_rn((float)slot[pitch], quantum);
                slot[pitch] = 0;
#endif
#if POISSON
                const float extra = __fmul_rn(event_weight, (float)events[worker]);
                if (events_first) arrived = __fadd_rn(arrived, extra); else second = __fadd_rn(second, extra);
#endif
                i_0 = __fadd_rn(__fmul_rn(p11_0, i_0), arrived);
#if CHANNELS > 1
                if (channels > 1) i_1 = __fadd_rn(__fmul_rn(p11_1, i_1), second);
#endif
                if (can) v = will ? reset : moved;
                if (will) {
                    free = now + 1 + refractory;
                    ++n_spikes;
#if RECORD
                    const int at = atomicAdd(recorded, 1);
                    if (at < room) {
                        record[at] = now;
                        record[room + at] = neuron;
                    }
#endif
                }
            }
            can = free <= now + 1;
            moved = __fadd_rn(__fadd_rn(__fmul_rn(p22, v), push), __fmul_rn(p21_0, i_0));
#if CHANNELS > 1
            if (channels > 1) moved = __fadd_rn(moved, __fmul_rn(p21_1, i_1));
#endif
            will = can && __fsub_rn(moved, threshold) >= 0.0f;
            if (will) {
                own[next * pitch + atomicAdd(lists.n_own + next, 1)] = worker;
                const START* row = starts + (long long)neuron * (n_blocks + 1);
                call_up(row, row + n_blocks + 1);
                call_up(words + row_first, words + row_last);
            }
        }
        if (worker == 0) lists.n_pieces[next] = lists.n_uncut[next] = lists.n_long[next] = 0;
        __syncthreads();
        LAP(0, lists.gave_up[odd])
        if (lists.gave_up[odd]) break;
        const bool more_steps = now + 1 < last_step;
        if (worker < 0) {
            if (more_steps) exchange(synapses, lists, mail, more, bases, now + 1, b, patience);
            LAP(1, *(volatile int*)(lists.n_pieces + next))
            continue;
        }
        if (worker == 0) lists.n_own[odd] = 0;
#if POISSON
        // The last threads draw the drive.
        const int quad = WORKING - 1 - worker;
        if (quad < pitch / 4 && more_steps)
            ((int4*)events)[quad] = count_poisson(key, base / 4 + quad, now + 1, limits, n_thresholds);
#endif
        LAP(1, 0)
        add_pieces(synapses, lists, odd, now, worker);
        const int n_long = lists.n_long[odd];
#pragma unroll 1
        for (int j = -1; j < n_long + EXTERNAL; ++j) {
            const int* sources = uncut + odd * IDS * n_blocks;
            int from = 0, n = lists.n_uncut[odd];
            if (j >= 0 && j < n_long) {
                const int other = long_blocks[odd * n_blocks + j];
                sources = more + ((now % LISTS) * n_blocks + other) * (1 << lane_bits);
                from = bases[other];
                n = long_counts[odd * n_blocks + j];
            }
#if EXTERNAL
            if (j == n_long) {
                if (now < first_step) break;
                const int* place = external + now - external_origin;
                sources = external_rows + place[0];
                n = place[1] - place[0];
            }
#endif
            deliver(synapses, lists, sources, from, n, b, now, worker);
        }
        LAP(2, 0)
        workers_meet();
        LAP(3, *(volatile int*)(lists.n_own + odd))
    }
    __syncthreads();
    if (inside) {
        variables[neuron] = v;
        free_at[neuron] = free;
        variables[n_neurons + neuron] = i_0;
#if CHANNELS > 1
        if (channels > 1) variables[2 * n_neurons + neuron] = i_1;
#endif
    }
#pragma unroll 1
    for (int j = tid; j < (mask + 1) * width; j += THREADS) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        if (base + lane >= first && base + lane < stop)
            ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] = own_ring[j];
    }
    if (n_spikes) atomicAdd(tally + block[5], (word_t)n_spikes);
    if (tid == 0 && now < last_step) *failed = 1;
#if PROFILE
    if (tid == 0 || worker == 0 || tid == THREADS - 1)
        for (int j = 0; j < 4; ++j)
            profile[12 * b + 4 * (tid == 0 ? 0 : tid == THREADS - 1 ? 2 : 1) + j] += spent[j];
#endif
}
