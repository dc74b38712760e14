// Many steps of a network in one launch: each multiprocessor keeps a block of neurons, their state in
// registers, and their part of the ring in shared memory.
//
// Triton has no scatter into shared memory, and state that leaves the multiprocessor costs a trip to the
// second cache at every use. What remains on the way of a step is one exchange of words between all blocks and
// the fetch of synapses, and those two run side by side: arrivals move a synaptic current, and only one step
// later the potential, so that the spikes of a step are known as soon as the step before it is done. They are
// announced, and their synapses called into the second cache, while those of the step before are delivered.
//
// A word carries its step, so that reading it is the barrier: no fence, no shared counter. Each block reads a
// mailbox of its own. The first warps of a block wait for words, the others deliver.
//
// THREADS: of a block. CHANNELS: 1 or 2. POISSON, CURRENT, STORED, EXTERNAL, RECORD: 0 or 1. START: type of the
// rows' starts. PROFILE: 1 to count cycles. Products and sums are rounded one by one, as everywhere: the spikes
// are the CPU's.

#define IDS 7            // spikes that fit a pair of words; more are in a list
#define IDS_FIRST 3
#define LISTS 4          // lists of the steps that blocks may be reading or writing at a time
#define PREFIX 8         // see neuron_update/table.py
#define LEVELS 512
#define POISSON_TAG 0x40000000u

typedef unsigned long long word_t;

struct Synapses {
    const START* starts;
    const int* words;
    const int* weights;
    const int* classes;
    const int* table;  // of this block's population, in shared memory
    int* ring;
    int n_blocks, width, pitch, lane_bits, mask;
};

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

// Events of four neighbouring neurons: thresholds, ascending, below their words.
__device__ inline int4 count_poisson(
    word_t key, unsigned quad, unsigned step, const unsigned* limits, int n_limits) {
    uint4 u = make_uint4(quad, 0u, POISSON_TAG, step);
    philox(u, (unsigned)key, (unsigned)(key >> 32));
    const unsigned largest = max(max(u.x, u.y), max(u.z, u.w));
    int4 n = make_int4(0, 0, 0, 0);
    for (int j = 0; j < n_limits; ++j) {
        const unsigned limit = limits[j];
        if (!__any_sync(__activemask(), largest > limit)) break;
        n.x += u.x > limit;
        n.y += u.y > limit;
        n.z += u.z > limit;
        n.w += u.w > limit;
    }
    return n;
}

__device__ inline void add(const Synapses& s, int word, int k, int kind, int now) {
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
    const int weight = s.table[(kind * CHANNELS + channel) * LEVELS + (word & 511)];
#endif
    atomicAdd(s.ring + ((now + delay) & s.mask) * s.width + place, weight);
}

// Add the synapses of ``n`` sources onto this block; a warp takes two sources at a time.
__device__ inline void deliver(
    const Synapses& s, const int* sources, int base, int n, int b, int now, int warp, int n_warps) {
    const int lane = threadIdx.x & 31;
    for (int first = warp; first < n; first += 32 * n_warps) {
        const int mine = first + lane * n_warps;
        START start = 0;
        int length = 0, kind = 0;
        if (mine < n) {
            // Volatile: a list of another block may have an old copy in the first cache.
            const int source = base + ((const volatile int*)sources)[mine];
            const START* segment = s.starts + (long long)source * (s.n_blocks + 1) + b;
            start = segment[0];
            length = (int)(segment[1] - start);
            kind = s.classes[source];
        }
        const int many = __popc(__ballot_sync(~0u, mine < n));
        for (int j = 0; j < many; j += 2) {
            const START start0 = __shfl_sync(~0u, start, j), start1 = __shfl_sync(~0u, start, (j + 1) & 31);
            const int length0 = __shfl_sync(~0u, length, j), kind0 = __shfl_sync(~0u, kind, j);
            const int other = __shfl_sync(~0u, length, (j + 1) & 31);
            const int kind1 = __shfl_sync(~0u, kind, (j + 1) & 31), length1 = j + 1 < many ? other : 0;
            for (int k = lane; k < max(length0, length1); k += 64) {
                const bool a = k < length0, c = k + 32 < length0, d = k < length1, e = k + 32 < length1;
                const int wa = a ? s.words[start0 + k] : 0, wc = c ? s.words[start0 + k + 32] : 0;
                const int wd = d ? s.words[start1 + k] : 0, we = e ? s.words[start1 + k + 32] : 0;
                if (a) add(s, wa, start0 + k, kind0, now);
                if (c) add(s, wc, start0 + k + 32, kind0, now);
                if (d) add(s, wd, start1 + k, kind1, now);
                if (e) add(s, we, start1 + k + 32, kind1, now);
            }
        }
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

#if PROFILE
#define LAP(i) { const long long t = clock64(); spent[i] += t - mark; mark = t; }
#else
#define LAP(i)
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1) resident_steps(
    const int* blocks, const int* bases, const float* coefficients, const unsigned* thresholds,
    float* variables, int* free_at, const float* current, const word_t* seed, const START* starts,
    const int* words, const int* weights, const int* tables, const int* classes, int* ring, double quantum_,
    word_t* mail, int* more, word_t* tally, int* record, int* recorded, int room, const int* external,
    const int* external_rows, int external_origin, int first_step, int n_steps, int patience, int* failed,
    int n_blocks, int n_populations, int n_classes, int n_neurons, int n_inputs, int mask, int n_thresholds,
    int n_coefficients, int pitch, int lane_bits, long long* profile) {
    extern __shared__ int shared[];
    const int tid = threadIdx.x, b = blockIdx.x, width = CHANNELS * pitch;
    int* own_ring = shared;
    int* table = own_ring + (mask + 1) * width;
    int* events = table + n_classes * CHANNELS * LEVELS;
    unsigned* limits = (unsigned*)(events + pitch);
    int* own = (int*)limits + n_thresholds;
    int* heard = own + pitch;                       // for even and odd steps, as all below
    int* long_blocks = heard + 2 * IDS * n_blocks;
    int* long_counts = long_blocks + 2 * n_blocks;
    int* n_own = long_counts + 2 * n_blocks;
    int* n_heard = n_own + 2;
    int* n_long = n_own + 4;
    volatile int* gave_up = n_own + 6;

    const int* block = blocks + 6 * b;
    const int first = block[0], stop = block[1], population = block[2], channels = block[4];
    const int base = first / 4 * 4, neuron = base + tid;
    const bool inside = neuron >= first && neuron < stop;
    const float* c = coefficients + population * n_coefficients;
    const float threshold = c[0], reset = c[1], event_weight = c[5], quantum = (float)quantum_;
    const int refractory = (int)c[2];
    const bool events_first = c[6] == 0.0f;
    const float p22 = c[PREFIX], p11_0 = c[PREFIX + 1], p21_0 = c[PREFIX + 2];
    const float p11_1 = c[PREFIX + 3], p21_1 = c[PREFIX + 4];
    const word_t key = *seed;
    float v = 0.0f, i_0 = 0.0f, i_1 = 0.0f, push = c[3], moved = 0.0f;
    int free = 0, n_spikes = 0;
    const int *row_first = words, *row_last = words;
    bool can = false, will = false;
    if (inside) {
        v = variables[neuron];
        free = free_at[neuron];
        i_0 = variables[n_neurons + neuron];
        if (channels > 1) i_1 = variables[2 * n_neurons + neuron];
#if CURRENT
        push = __fadd_rn(push, __fmul_rn(c[4], current[neuron]));
#endif
        row_first += starts[(long long)neuron * (n_blocks + 1)];
        row_last += starts[(long long)neuron * (n_blocks + 1) + n_blocks];
    }
#if !STORED
    for (int j = tid; j < n_classes * CHANNELS * LEVELS; j += THREADS) {
        const int of = j / (CHANNELS * LEVELS), rest = j % (CHANNELS * LEVELS);
        table[j] = tables[(of * n_populations + population) * CHANNELS * LEVELS + rest];
    }
#endif
    for (int j = tid; j < (mask + 1) * width; j += THREADS) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        const bool mine = base + lane >= first && base + lane < stop;
        own_ring[j] = mine ? ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] : 0;
    }
    for (int j = tid; j < n_thresholds; j += THREADS) limits[j] = thresholds[population * n_thresholds + j];
    if (tid < 7) n_own[tid] = 0;
    __syncthreads();
    const Synapses synapses = {starts, words, weights, classes, table, own_ring, n_blocks, width, pitch,
                               lane_bits, mask};
    const int waiting = (n_blocks + 31) / 32, warp = tid / 32 - waiting, n_warps = THREADS / 32 - waiting;
    // The last threads draw the drive.
    const int quad = THREADS - 1 - tid;
    const int last_step = first_step + n_steps;
    int now = first_step - 1;
#if PROFILE
    long long spent[4] = {0, 0, 0, 0}, mark = clock64();
#endif
    for (; now < last_step; ++now) {
        const int odd = now & 1, next = odd ^ 1;
        if (tid == 0) n_heard[next] = n_long[next] = 0;
        if (inside) {
            if (now >= first_step) {
                int* slot = own_ring + (now & mask) * width + tid;
                float arrived = __fmul_rn((float)slot[0], quantum), second = 0.0f;
                slot[0] = 0;
#if CHANNELS > 1
                if (channels > 1) second = __fmul_rn((float)slot[pitch], quantum);
                slot[pitch] = 0;
#endif
#if POISSON
                const float extra = __fmul_rn(event_weight, (float)events[tid]);
                if (events_first) arrived = __fadd_rn(arrived, extra); else second = __fadd_rn(second, extra);
#endif
                i_0 = __fadd_rn(__fmul_rn(p11_0, i_0), arrived);
                if (channels > 1) i_1 = __fadd_rn(__fmul_rn(p11_1, i_1), second);
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
            if (channels > 1) moved = __fadd_rn(moved, __fmul_rn(p21_1, i_1));
            will = can && __fsub_rn(moved, threshold) >= 0.0f;
            if (will) {
                own[atomicAdd(n_own + next, 1)] = tid;
                const START* row = starts + (long long)neuron * (n_blocks + 1);
                call_up(row, row + n_blocks + 1);
                call_up(row_first, row_last);
            }
        }
        __syncthreads();
        LAP(0)
        const int found = n_own[next];
        const bool more_steps = now + 1 < last_step;
        if (found > IDS && more_steps) {
            int* list = more + (((now + 1) % LISTS) * n_blocks + b) * (1 << lane_bits);
            for (int j = tid; j < found; j += THREADS) list[j] = own[j];
            __threadfence();
            __syncthreads();
        }
        if (tid == 0) n_own[odd] = 0;
        if (warp < 0) {
            if (tid < n_blocks && more_steps) {
                const word_t step = (now + 1) & 0x7FFF;
                word_t one = step << 48 | (word_t)found << 36, two = step << 48;
                if (found <= IDS) {
#pragma unroll 1
                    for (int j = 0; j < found; ++j) {
                        const word_t place = own[j];
                        if (j < IDS_FIRST) one |= place << (12 * j); else two |= place << (12 * (j - IDS_FIRST));
                    }
                }
                send(mail + 2 * (((long long)next * n_blocks + tid) * n_blocks + b), one, two);
                const word_t* box = mail + 2 * (((long long)next * n_blocks + b) * n_blocks + tid);
                int tries = 0;
                do receive(box, one, two);
                while ((one >> 48 != step || two >> 48 != step) && ++tries < patience);
                if (one >> 48 != step || two >> 48 != step) *gave_up = 1;
                const int n = (int)(one >> 36) & 0xFFF;
                if (n > IDS) {
                    __threadfence();
                    const int at = next * n_blocks + atomicAdd(n_long + next, 1);
                    long_blocks[at] = tid;
                    long_counts[at] = n;
                } else if (n > 0) {
                    int* to = heard + next * IDS * n_blocks + atomicAdd(n_heard + next, n);
                    const int from = bases[tid];
#pragma unroll 1
                    for (int j = 0; j < n; ++j) {
                        const word_t shifted = j < IDS_FIRST ? one >> (12 * j) : two >> (12 * (j - IDS_FIRST));
                        to[j] = from + ((int)shifted & 0xFFF);
                    }
                }
            }
            LAP(1)
        } else {
#if POISSON
            if (quad < pitch / 4 && more_steps)
                ((int4*)events)[quad] = count_poisson(key, base / 4 + quad, now + 1, limits, n_thresholds);
#endif
            LAP(1)
            const int lists = n_long[odd] + 1 + EXTERNAL;
            for (int j = 0; j < lists; ++j) {
                const int* sources = heard + odd * IDS * n_blocks;
                int from = 0, n = n_heard[odd];
                if (j > 0 && j <= n_long[odd]) {
                    const int other = long_blocks[odd * n_blocks + j - 1];
                    sources = more + ((now % LISTS) * n_blocks + other) * (1 << lane_bits);
                    from = bases[other];
                    n = long_counts[odd * n_blocks + j - 1];
                }
#if EXTERNAL
                if (j > n_long[odd]) {
                    if (now < first_step) break;
                    const int* place = external + now - external_origin;
                    sources = external_rows + place[0];
                    n = place[1] - place[0];
                }
#endif
                deliver(synapses, sources, from, n, b, now, warp, n_warps);
            }
            LAP(2)
        }
        __syncthreads();
        LAP(3)
        if (*gave_up) break;
    }
    if (inside) {
        variables[neuron] = v;
        free_at[neuron] = free;
        variables[n_neurons + neuron] = i_0;
        if (channels > 1) variables[2 * n_neurons + neuron] = i_1;
    }
    for (int j = tid; j < (mask + 1) * width; j += THREADS) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        if (base + lane >= first && base + lane < stop)
            ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] = own_ring[j];
    }
    if (n_spikes) atomicAdd(tally + block[5], (word_t)n_spikes);
    if (tid == 0 && now < last_step) *failed = 1;
#if PROFILE
    if (tid == 0 || tid == 32 * waiting || tid == THREADS - 1)
        for (int j = 0; j < 4; ++j)
            profile[12 * b + 4 * (tid == 0 ? 0 : tid == THREADS - 1 ? 2 : 1) + j] += spent[j];
#endif
}
