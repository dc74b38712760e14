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
// THREADS: of a block. LISTENING: those of the first warps. BLOCKS, CHANNELS, SLOTS: of the network and its ring.
// PITCH: most neurons of a block, from a multiple of four on. LANES: of a block as words know it. CLASSES: of
// sources, as tables of weights know them. LIMITS: thresholds of the drive, 0 without. CURRENT, STORED, EXTERNAL,
// RECORD: 0 or 1. START: type of the rows' starts. PROFILE: 1 to count cycles. Products and sums are rounded one
// by one, as everywhere: the spikes are the CPU's.

#define IDS 7            // spikes that fit a pair of words; more are in a list
#define IDS_FIRST 3
#define LISTS 4          // lists of the steps that blocks may be reading or writing at a time
#define PIECES 1024      // of up to 32 synapses, that are listed at a time
#define AHEAD 2          // pieces that a warp fetches before it adds the first
#define BATCH 256        // sources that workers cut at a time
#define CLASS_SHIFT 20   // above the source in an entry of ``heard``
#define PREFIX 8         // see neuron_update/table.py
#define LEVELS 512
#define POISSON_TAG 0x40000000u
#define WORKING (THREADS - LISTENING)

typedef unsigned long long word_t;

// What a block keeps in shared memory. Pairs are for even and odd steps.
struct Shared {
    int ring[SLOTS][CHANNELS][PITCH];
    int table[CLASSES][CHANNELS][LEVELS];  // weights onto this block's population
    int events[PITCH];
    unsigned limits[LIMITS + 4];
    START piece_starts[2][PIECES];
    int pieces[2][PIECES];                 // class, times 64, and number of synapses
    int own[2][PITCH];                     // places in the block of the neurons that spike
    int heard[2][IDS * BLOCKS];            // sources of all blocks, with their class
    int uncut[2][IDS * BLOCKS];            // those that found no room among the pieces
    int long_blocks[2][BLOCKS];            // blocks with more spikes than fit their words, and how many
    int long_counts[2][BLOCKS];
    int n_own[2], n_heard[2], n_pieces[2], n_uncut[2], n_long[2];
    volatile int gave_up[2];
};

struct Synapses {
    const START* starts;
    const int* words;
    const int* weights;
    const int* classes;
};

__device__ inline void workers_meet() { asm volatile("bar.sync 1, %0;" ::"n"(WORKING) : "memory"); }

__device__ inline void listeners_meet() { asm volatile("bar.sync 2, %0;" ::"n"(LISTENING) : "memory"); }

__device__ inline void fence() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

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
__device__ inline int4 count_poisson(word_t key, unsigned quad, unsigned step, const unsigned* limits) {
    uint4 u = make_uint4(quad, 0u, POISSON_TAG, step);
    philox(u, (unsigned)key, (unsigned)(key >> 32));
    const unsigned largest = max(max(u.x, u.y), max(u.z, u.w));
    int4 n = make_int4(0, 0, 0, 0);
#pragma unroll 1
    for (int j = 0; j < LIMITS; j += 4) {
        const uint4 limit = *(const uint4*)(limits + j);
        if (largest <= limit.x) break;
        n.x += above(u.x, limit);
        n.y += above(u.y, limit);
        n.z += above(u.z, limit);
        n.w += above(u.w, limit);
    }
    return n;
}

__device__ inline void add(const Synapses& all, Shared& s, START k, int word, int kind, int now) {
    const int local = (word >> 9) & 0xFFF, delay = (word >> 21) & 0xFF;
    const int channel = CHANNELS > 1 ? local / LANES : 0, place = CHANNELS > 1 ? local % LANES : local;
#if STORED
    const int weight = all.weights[k];
#else
    const int weight = s.table[kind][channel][word & (LEVELS - 1)];
#endif
    atomicAdd(&s.ring[(now + delay) & (SLOTS - 1)][channel][place], weight);
}

// List a source's synapses onto this block in pieces; whether they found room.
__device__ inline bool cut_row(const Synapses& all, Shared& s, int source, int kind, int b, int odd) {
    const START* segment = all.starts + (long long)source * (BLOCKS + 1) + b;
    const START start = segment[0];
    const int length = (int)(segment[1] - start), pieces = (length + 31) / 32;
    const int at = atomicAdd(&s.n_pieces[odd], pieces), room = min(pieces, PIECES - at);
    const bool fits = room == pieces;
#pragma unroll 1
    for (int j = 0; j < room; ++j) {
        s.piece_starts[odd][at + j] = start + 32 * j;
        s.pieces[odd][at + j] = fits ? kind << 6 | min(32, length - 32 * j) : 0;
    }
    return fits;
}

// Add the listed pieces; called by all workers.
__device__ inline void add_pieces(const Synapses& all, Shared& s, int odd, int now, int worker) {
    const int lane = worker & 31, total = min(*(volatile int*)&s.n_pieces[odd], PIECES);
#pragma unroll 1
    for (int c = worker / 32; c < total; c += AHEAD * WORKING / 32) {
        int word[AHEAD], piece[AHEAD];
        START at[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            const int place = c + j * (WORKING / 32);
            piece[j] = place < total ? s.pieces[odd][place] : 0;
            at[j] = place < total ? s.piece_starts[odd][place] + lane : 0;
            word[j] = lane < (piece[j] & 63) ? all.words[at[j]] : 0;
        }
#pragma unroll
        for (int j = 0; j < AHEAD; ++j)
            if (lane < (piece[j] & 63)) add(all, s, at[j], word[j], piece[j] >> 6, now);
    }
}

// Add the synapses of ``n`` sources that are not cut yet; called by all workers.
__device__ inline void deliver(
    const Synapses& all, Shared& s, const int* sources, int base, int n, int b, int now, int worker) {
    const int odd = now & 1;
#pragma unroll 1
    for (int first = 0; first < n; first += BATCH) {
        workers_meet();
        if (worker == 0) s.n_pieces[odd] = 0;
        workers_meet();
        if (worker < BATCH && first + worker < n) {
            // Volatile: a list of another block may have an old copy in the first cache.
            const int source = base + ((const volatile int*)sources)[first + worker];
            const int kind = all.classes[source];
            if (!cut_row(all, s, source, kind, b, odd)) {
                const START* segment = all.starts + (long long)source * (BLOCKS + 1) + b;
#pragma unroll 1
                for (START k = segment[0]; k < segment[1]; ++k) add(all, s, k, all.words[k], kind, now);
            }
        }
        workers_meet();
        add_pieces(all, s, odd, now, worker);
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

// Tell all blocks which neurons of this one spike in step ``tag``, hear the same from them, and cut the rows.
__device__ inline void exchange(
    const Synapses& all, Shared& s, word_t* mail, int* more, int tag, int b, int from, int kind, int patience) {
    const int tid = threadIdx.x, odd = tag & 1, found = s.n_own[odd];
    const word_t step = tag & 0x7FFF;
    word_t one = step << 48 | (word_t)found << 36, two = step << 48;
    if (found > IDS) {
        int* list = more + ((tag % LISTS) * BLOCKS + b) * LANES;
        for (int j = tid; j < found; j += LISTENING) list[j] = s.own[odd][j];
        fence();
        listeners_meet();
    } else {
#pragma unroll 1
        for (int j = 0; j < found; ++j) {
            const word_t place = s.own[odd][j];
            if (j < IDS_FIRST) one |= place << (12 * j); else two |= place << (12 * (j - IDS_FIRST));
        }
    }
    if (tid < BLOCKS) {
        send(mail + 2 * ((odd * BLOCKS + tid) * BLOCKS + b), one, two);
        const word_t* box = mail + 2 * ((odd * BLOCKS + b) * BLOCKS + tid);
        int tries = 0;
        do receive(box, one, two);
        while ((one >> 48 != step || two >> 48 != step) && ++tries < patience);
        if (one >> 48 != step || two >> 48 != step) s.gave_up[odd] = 1;
        const int n = (int)(one >> 36) & 0xFFF;
        if (n > IDS) {
            fence();
            const int at = atomicAdd(&s.n_long[odd], 1);
            s.long_blocks[odd][at] = tid;
            s.long_counts[odd][at] = n;
        } else if (n > 0) {
            const int at = atomicAdd(&s.n_heard[odd], n);
#pragma unroll 1
            for (int j = 0; j < n; ++j) {
                const word_t shifted = j < IDS_FIRST ? one >> (12 * j) : two >> (12 * (j - IDS_FIRST));
                s.heard[odd][at + j] = kind << CLASS_SHIFT | (from + ((int)shifted & 0xFFF));
            }
        }
    }
    listeners_meet();
    if (tid == 0) s.n_heard[odd ^ 1] = 0;
    for (int j = tid; j < s.n_heard[odd]; j += LISTENING) {
        const int source = s.heard[odd][j] & ((1 << CLASS_SHIFT) - 1);
        if (!cut_row(all, s, source, s.heard[odd][j] >> CLASS_SHIFT, b, odd))
            s.uncut[odd][atomicAdd(&s.n_uncut[odd], 1)] = source;
    }
}

#if PROFILE
// The branch on what was just read makes the clock wait for it.
#define LAP(i, read) { if ((read) == 0x7FFFFFFF) __trap(); const int t = clock(); spent[i] += t - mark; mark = t; }
#else
#define LAP(i, read)
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1) resident_steps(
    const int* blocks, const float* coefficients, const unsigned* thresholds, float* variables, int* free_at,
    const float* current, const word_t* seed, const START* starts, const int* words, const int* weights,
    const int* tables, const int* classes, int* ring, int quantum_bits, word_t* mail, int* more, word_t* tally,
    int* record, int* recorded, int room, const int* external, const int* external_rows, int external_origin,
    int first_step, int n_steps, int patience, int* failed, int n_populations, int n_neurons,
    int n_coefficients, int* profile) {
    extern __shared__ int4 shared[];
    Shared& s = *(Shared*)shared;
    const Synapses all = {starts, words, weights, classes};
    const int tid = threadIdx.x, b = blockIdx.x;
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
        row_first = starts[(long long)neuron * (BLOCKS + 1)];
        row_last = starts[(long long)neuron * (BLOCKS + 1) + BLOCKS];
    }
    // What a listener knows of the block that it listens to.
    const int other = tid < BLOCKS ? tid : 0, from = blocks[6 * other] / 4 * 4, kind = blocks[6 * other + 2];
#if !STORED
#pragma unroll 1
    for (int j = tid; j < CLASSES * CHANNELS * LEVELS; j += THREADS) {
        const int of = j / (CHANNELS * LEVELS), rest = j % (CHANNELS * LEVELS);
        s.table[of][rest / LEVELS][rest % LEVELS] = tables[(of * n_populations + population) * CHANNELS * LEVELS + rest];
    }
#endif
#pragma unroll 1
    for (int j = tid; j < SLOTS * CHANNELS * PITCH; j += THREADS) {
        const int at = base + j % PITCH, row = j / PITCH;
        const bool mine = at >= first && at < stop;
        s.ring[row / CHANNELS][row % CHANNELS][j % PITCH] = mine ? ring[(long long)row * n_neurons + at] : 0;
    }
#pragma unroll 1
    for (int j = tid; j < LIMITS; j += THREADS) s.limits[j] = thresholds[population * LIMITS + j];
    if (tid < 2)
        s.n_own[tid] = s.n_heard[tid] = s.n_pieces[tid] = s.n_uncut[tid] = s.n_long[tid] = s.gave_up[tid] = 0;
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
                const int slot = now & (SLOTS - 1);
                float arrived = __fmul_rn((float)s.ring[slot][0][worker], quantum);
                s.ring[slot][0][worker] = 0;
#if CHANNELS > 1
                float second = 0.0f;
                if (channels > 1) second = __fmul_rn((float)s.ring[slot][1][worker], quantum);
                s.ring[slot][1][worker] = 0;
#endif
#if LIMITS
                const float extra = __fmul_rn(event_weight, (float)s.events[worker]);
                if (events_first) arrived = __fadd_rn(arrived, extra);
#if CHANNELS > 1
                else second = __fadd_rn(second, extra);
#endif
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
                s.own[next][atomicAdd(&s.n_own[next], 1)] = worker;
                const START* row = starts + (long long)neuron * (BLOCKS + 1);
                call_up(row, row + BLOCKS + 1);
                call_up(words + row_first, words + row_last);
            }
        }
        if (worker == 0) s.n_pieces[next] = s.n_uncut[next] = s.n_long[next] = 0;
        __syncthreads();
        LAP(0, s.gave_up[odd])
        if (s.gave_up[odd]) break;
        const bool more_steps = now + 1 < last_step;
        if (worker < 0) {
            if (more_steps) exchange(all, s, mail, more, now + 1, b, from, kind, patience);
            LAP(1, *(volatile int*)&s.n_pieces[next])
            continue;
        }
        if (worker == 0) s.n_own[odd] = 0;
#if LIMITS
        // The last threads draw the drive.
        const int quad = WORKING - 1 - worker;
        if (quad < PITCH / 4 && more_steps)
            ((int4*)s.events)[quad] = count_poisson(key, base / 4 + quad, now + 1, s.limits);
#endif
        LAP(1, 0)
        add_pieces(all, s, odd, now, worker);
        const int n_long = s.n_long[odd];
#pragma unroll 1
        for (int j = -1; j < n_long + EXTERNAL; ++j) {
            const int* sources = s.uncut[odd];
            int before = 0, n = s.n_uncut[odd];
            if (j >= 0 && j < n_long) {
                sources = more + ((now % LISTS) * BLOCKS + s.long_blocks[odd][j]) * LANES;
                before = blocks[6 * s.long_blocks[odd][j]] / 4 * 4;
                n = s.long_counts[odd][j];
            }
#if EXTERNAL
            if (j == n_long) {
                if (now < first_step) break;
                const int* place = external + now - external_origin;
                sources = external_rows + place[0];
                n = place[1] - place[0];
            }
#endif
            deliver(all, s, sources, before, n, b, now, worker);
        }
        LAP(2, 0)
        workers_meet();
        LAP(3, *(volatile int*)&s.n_own[odd])
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
    for (int j = tid; j < SLOTS * CHANNELS * PITCH; j += THREADS) {
        const int at = base + j % PITCH, row = j / PITCH;
        if (at >= first && at < stop)
            ring[(long long)row * n_neurons + at] = s.ring[row / CHANNELS][row % CHANNELS][j % PITCH];
    }
    if (n_spikes) atomicAdd(tally + block[5], (word_t)n_spikes);
    if (tid == 0 && now < last_step) *failed = 1;
#if PROFILE
    if (tid == 0 || worker == 0 || tid == THREADS - 1)
        for (int j = 0; j < 4; ++j)
            profile[12 * b + 4 * (tid == 0 ? 0 : tid == THREADS - 1 ? 2 : 1) + j] += spent[j];
#endif
}
