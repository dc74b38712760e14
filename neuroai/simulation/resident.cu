// Many steps of a network in one launch: each multiprocessor keeps a block of neurons, their state in
// registers, and their part of the ring in shared memory.
//
// Triton has no scatter into shared memory, and state that leaves the multiprocessor costs a trip to the
// second cache at every use. What remains on the way of a step is one exchange of words between all blocks
// (see gpu_kernels.py: a word carries its step, so that reading it is the barrier) and the synapses' fetch.
//
// THREADS: of a block. CHANNELS: 1 or 2. POISSON, CURRENT, STORED, EXTERNAL, RECORD: 0 or 1. START: type of the rows' starts.
// Products and sums are rounded one by one, as everywhere: the spikes are the CPU's.

#define IDS 3            // spikes that fit a word; more are in a list
#define PREFIX 8         // see neuron_update/table.py
#define LEVELS 512
#define DELTA 0
#define EXPONENTIAL 1
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
__device__ inline void deliver(const Synapses& s, const int* sources, int base, int n, int b, int now) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_warps = blockDim.x >> 5;
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
        const int many = min(32, (n - first + n_warps - 1) / n_warps);
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
    int* heard = (int*)limits + n_thresholds;
    int* long_blocks = heard + IDS * n_blocks;
    int* long_counts = long_blocks + n_blocks;
    int* own = long_counts + n_blocks;
    int* counts = own + pitch;  // own spikes, spikes heard, long lists, each for even and odd steps; gave up
    volatile int* seen = counts;

    const int* block = blocks + 6 * b;
    const int first = block[0], stop = block[1], population = block[2], kind = block[3], channels = block[4];
    const int base = first / 4 * 4, neuron = base + tid;
    const bool inside = neuron >= first && neuron < stop;
    const float* c = coefficients + population * n_coefficients;
    const float threshold = c[0], reset = c[1], event_weight = c[5], quantum = (float)quantum_;
    const int refractory = (int)c[2];
    const bool events_first = c[6] == 0.0f;
    const float p22 = c[PREFIX], p11_0 = c[PREFIX + 1], p21_0 = c[PREFIX + 2];
    const float p11_1 = c[PREFIX + 3], p21_1 = c[PREFIX + 4];
    const word_t key = *seed;
    float v = 0.0f, i_0 = 0.0f, i_1 = 0.0f, push = c[3];
    int free = 0;
    if (inside) {
        v = variables[neuron];
        free = free_at[neuron];
        if (kind == EXPONENTIAL) i_0 = variables[n_neurons + neuron];
        if (kind == EXPONENTIAL && channels > 1) i_1 = variables[2 * n_neurons + neuron];
#if CURRENT
        push = __fadd_rn(push, __fmul_rn(c[4], current[neuron]));
#endif
    }
    for (int j = tid; j < n_classes * CHANNELS * LEVELS; j += blockDim.x) {
#if !STORED
        const int of = j / (CHANNELS * LEVELS), rest = j % (CHANNELS * LEVELS);
        table[j] = tables[(of * n_populations + population) * CHANNELS * LEVELS + rest];
#endif
    }
    for (int j = tid; j < (mask + 1) * width; j += blockDim.x) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        const bool mine = base + lane >= first && base + lane < stop;
        own_ring[j] = mine ? ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] : 0;
    }
    for (int j = tid; j < n_thresholds; j += blockDim.x) limits[j] = thresholds[population * n_thresholds + j];
    if (tid < 7) counts[tid] = 0;
    __syncthreads();
    const Synapses synapses = {starts, words, weights, classes, table, own_ring, n_blocks, width, pitch,
                               lane_bits, mask};
    // The last threads draw the drive, the first ones wait for words.
    const int quad = blockDim.x - 1 - tid;
#if POISSON
    if (quad < pitch / 4)
        ((int4*)events)[quad] = count_poisson(key, base / 4 + quad, first_step, limits, n_thresholds);
    __syncthreads();
#endif
    long long n_spikes = 0;
    const int last_step = first_step + n_steps;
    int now = first_step;
#if PROFILE
    long long spent[4] = {0, 0, 0, 0}, mark = clock64();
#define LAP(i) { const long long t = clock64(); spent[i] += t - mark; mark = t; }
#else
#define LAP(i)
#endif
    for (; now < last_step; ++now) {
        const int odd = now & 1;
        if (inside) {
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
            const bool can = free <= now;
            float moved;
            if (kind == DELTA) {
                moved = __fadd_rn(__fadd_rn(__fmul_rn(p22, v), push), arrived);
            } else {
                moved = __fadd_rn(__fadd_rn(__fmul_rn(p22, v), push), __fmul_rn(p21_0, i_0));
                i_0 = __fadd_rn(__fmul_rn(p11_0, i_0), arrived);
                if (channels > 1) {
                    moved = __fadd_rn(moved, __fmul_rn(p21_1, i_1));
                    i_1 = __fadd_rn(__fmul_rn(p11_1, i_1), second);
                }
            }
            if (!can) moved = v;
            const bool spiking = can && __fsub_rn(moved, threshold) >= 0.0f;
            v = spiking ? reset : moved;
            if (spiking) {
                free = now + 1 + refractory;
                own[atomicAdd(counts + odd, 1)] = tid;
#if RECORD
                const int at = atomicAdd(recorded, 1);
                if (at < room) {
                    record[at] = now;
                    record[room + at] = neuron;
                }
#endif
            }
        }
        __syncthreads();
        const int found = seen[odd];
        int* list = more + (odd * n_blocks + b) * (1 << lane_bits);
        if (found > IDS) {
            for (int j = tid; j < found; j += blockDim.x) list[j] = own[j];
            __threadfence();
            __syncthreads();
        }
        LAP(0)
        if (tid < n_blocks) {
            const word_t step = now & 0x7FFF;
            word_t word = step << 48 | (word_t)found << 36;
            if (found <= IDS)
                for (int j = 0; j < found; ++j) word |= (word_t)own[j] << (12 * j);
            word_t* sent = mail + ((long long)odd * n_blocks + tid) * n_blocks + b;
            asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(sent), "l"(word) : "memory");
            const word_t* box = mail + ((long long)odd * n_blocks + b) * n_blocks + tid;
            int tries = 0;
            do {
                asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(box) : "memory");
            } while (word >> 48 != step && ++tries < patience);
            if (word >> 48 != step) seen[6] = 1;
            const int n = (int)(word >> 36) & 0xFFF;
            if (n > IDS) {
                __threadfence();
                const int at = atomicAdd(counts + 4 + odd, 1);
                long_blocks[at] = tid;
                long_counts[at] = n;
            } else if (n > 0) {
                const int at = atomicAdd(counts + 2 + odd, n), from = bases[tid];
                for (int j = 0; j < n; ++j) heard[at + j] = from + ((int)(word >> (12 * j)) & 0xFFF);
            }
        }
#if POISSON
        if (quad < pitch / 4)
            ((int4*)events)[quad] = count_poisson(key, base / 4 + quad, now + 1, limits, n_thresholds);
#endif
        if (tid == 0) {
            n_spikes += found;
            counts[odd ^ 1] = 0;
        }
        __syncthreads();
        LAP(1)
        if (seen[6]) break;
        deliver(synapses, heard, 0, seen[2 + odd], b, now);
        for (int j = 0; j < seen[4 + odd]; ++j) {
            const int other = long_blocks[j];
            deliver(synapses, more + (odd * n_blocks + other) * (1 << lane_bits), bases[other],
                    long_counts[j], b, now);
        }
#if EXTERNAL
        const int* place = external + now - external_origin;
        deliver(synapses, external_rows + place[0], 0, place[1] - place[0], b, now);
#endif
        if (tid == 0) counts[2 + (odd ^ 1)] = counts[4 + (odd ^ 1)] = 0;
        LAP(2)
        __syncthreads();
        LAP(3)
    }
    if (inside) {
        variables[neuron] = v;
        free_at[neuron] = free;
        if (kind == EXPONENTIAL) variables[n_neurons + neuron] = i_0;
        if (kind == EXPONENTIAL && channels > 1) variables[2 * n_neurons + neuron] = i_1;
    }
    __syncthreads();
    for (int j = tid; j < (mask + 1) * width; j += blockDim.x) {
        const int slot = j / width, place = j % width, lane = place % pitch;
        if (base + lane >= first && base + lane < stop)
            ring[(long long)slot * n_inputs + place / pitch * n_neurons + base + lane] = own_ring[j];
    }
    if (tid == 0) {
        atomicAdd(tally + b, (word_t)n_spikes);
        if (now < last_step) *failed = 1;
#if PROFILE
        for (int j = 0; j < 4; ++j) profile[4 * b + j] += spent[j];
#endif
    }
}
