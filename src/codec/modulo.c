/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/modulo.h"

#include "base/bytes.h"
#include "base/encoded.h"
#include "codec/float_bits.h"
#include "codec/modulo_kernels.h"

#include <assert.h>
#include <stdatomic.h>

static_assert(SGP_MODULO_BLOCK == MODULO_BLOCK && SGP_MODULO_BLOCK == SGP_BLOCK,
              "one size of a block");

enum { BLOCK = SGP_MODULO_BLOCK, EXPONENT_LEAST = 3, EXPONENT_MOST = 230, BIAS = 127 };

/* NULL: this CPU does not have them. */
static const sgp_modulo_kernels_t *kernels_for(sgp_modulo_cpu_t cpu) {
    switch (cpu) {
    case SGP_MODULO_AVX512:
        return sgp_modulo_avx512();
    case SGP_MODULO_AVX2:
        return sgp_modulo_avx2();
    case SGP_MODULO_FOUR:
        return sgp_modulo_four();
    case SGP_MODULO_BEST:
        for (sgp_modulo_cpu_t best = SGP_MODULO_AVX512; best > SGP_MODULO_PLAIN; best--)
            if (kernels_for(best)) return kernels_for(best);
        break;
    case SGP_MODULO_PLAIN:
        break;
    }
    return &sgp_modulo_plain;
}

static _Atomic(const sgp_modulo_kernels_t *) chosen; /* NULL: not yet */

bool sgp_modulo_use(sgp_modulo_cpu_t cpu) {
    const sgp_modulo_kernels_t *found = kernels_for(cpu);
    if (found) atomic_store(&chosen, found);
    return found != NULL;
}

/* The fastest of this CPU, or the choice of a test. */
static const sgp_modulo_kernels_t *kernels(void) {
    const sgp_modulo_kernels_t *found = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (found) return found;
    found = kernels_for(SGP_MODULO_BEST);
    atomic_store_explicit(&chosen, found, memory_order_relaxed);
    return found;
}

bool sgp_modulo_has_bits(int bits) {
    return bits == 8 || bits == 6 || bits == 5 || bits == 4;
}

float sgp_modulo_kappa(int bits) {
    return bits == 8 ? 8 : bits == 4 ? 2 : 4;
}

/* ---- blocks ---- */

/* One block of a run, with its numbers padded with zeros to a whole one in `padded` where it is short. */
typedef struct run {
    int bits;
    size_t count, at; /* elements of the run; the first of the block */
    size_t length;    /* of the block; 0: there is none left */
} run_t;

static run_t run_begin(int bits, size_t count) {
    assert(sgp_modulo_has_bits(bits));
    return (run_t){.bits = bits, .count = count, .length = count < BLOCK ? count : BLOCK};
}

static void run_next(run_t *run) {
    size_t left = run->count - (run->at += run->length);
    run->length = left < BLOCK ? left : BLOCK;
}

static size_t block_of(const run_t *run) {
    return run->at / BLOCK;
}

/* Of the block's bytes. */
static size_t offset_of(const run_t *run) {
    return block_of(run) * sgp_modulo_block_bytes(run->bits);
}

static const float *whole(const run_t *run, const float *x, float padded[BLOCK]) {
    if (run->length == BLOCK) return x + run->at;
    memcpy(padded, x + run->at, run->length * sizeof *x);
    memset(padded + run->length, 0, (BLOCK - run->length) * sizeof *x);
    return padded;
}

static void begin_set(unsigned char *set, size_t blocks) {
    if (set) memset(set, 0, (blocks + 7) / 8);
}

static void add_to_set(unsigned char *set, size_t block) {
    if (set) set[block / 8] |= (unsigned char)(1u << block % 8);
}

static modulo_scale_t scale_of(unsigned exponent) {
    return (modulo_scale_t){.delta = float_of(exponent << 23),
                            .inverse = float_of((2 * BIAS - exponent) << 23)};
}

/* 127 + ceil(log2(2 kappa r / M)), as far as it can be one of a block. The product is exact in a double. */
static int exponent_of_range(const sgp_modulo_t *code, float r) {
    double least = (double)r * ((double)code->kappa * 2 / (1 << code->bits));
    uint64_t bits;
    if (!(least > 0x1p-124)) return EXPONENT_LEAST;
    if (least > 0x1p103) return EXPONENT_MOST;
    memcpy(&bits, &least, sizeof bits);
    int up = (bits & ((UINT64_C(1) << 52) - 1)) != 0;
    return (int)(bits >> 52) - 1023 + BIAS + up;
}

/* |z| < (2^22 - 256) delta, where largest has the bits of |z|: 2^10 carries those above into the next power of two. */
static int exponent_of_size(uint32_t largest) {
    return (int)((largest + 1024) >> 23) - 21;
}

/* 0: a number cannot be encoded. */
static unsigned exponent_of(const sgp_modulo_t *code, const float *z, float r) {
    uint32_t largest = kernels()->largest(z);
    if (largest >= bits_of(SGP_MODULO_LIMIT)) return 0;
    int range = exponent_of_range(code, r), size = exponent_of_size(largest);
    return (unsigned)(range > size ? range : size);
}

static void put_head(unsigned char *block, uint32_t check, unsigned exponent) {
    sgp_bytes_put(block, check, 4);
    block[MODULO_AT_EXPONENT] = (unsigned char)exponent;
}

/* ---- sender ---- */

bool sgp_modulo_encode(const sgp_modulo_t *code, size_t count, void *s, const float *z,
                       const float *r) {
    float padded[BLOCK];
    bool finite = true;
    for (run_t run = run_begin(code->bits, count); run.length > 0; run_next(&run)) {
        unsigned char *block = (unsigned char *)s + offset_of(&run);
        const float *own = whole(&run, z, padded);
        unsigned exponent = exponent_of(code, own, r[block_of(&run)]);
        finite &= exponent != 0;
        if (exponent == 0) continue;
        put_head(block,
                 kernels()->encode(code->bits, block + MODULO_AT_CODES, own, scale_of(exponent)),
                 exponent);
    }
    return finite;
}

/* The rest of (M/2 - 1) delta once keeping has moved z. A quarter of delta pays for the rounding of z, whose unit is
 * delta/4 at most, and of sums of moves. */
static float reach_of(int bits, float delta, float moved) {
    return ((float)((1 << (bits - 1)) - 1) - 0.25f) * delta - moved;
}

bool sgp_modulo_encode_keep(const sgp_modulo_t *code, size_t count, void *s, float *z,
                            const float *r, float keep, float part, float *reach) {
    float padded[BLOCK];
    bool finite = true;
    for (run_t run = run_begin(code->bits, count); run.length > 0; run_next(&run)) {
        unsigned char *block = (unsigned char *)s + offset_of(&run);
        bool is_short = run.length < BLOCK;
        whole(&run, z, padded);
        float *own = is_short ? padded : z + run.at, error = 0;
        unsigned exponent = exponent_of(code, own, r[block_of(&run)]);
        finite &= exponent != 0;
        if (exponent == 0) continue;
        modulo_scale_t scale = scale_of(exponent);
        uint32_t check = kernels()->encode_keep(code->bits, block + MODULO_AT_CODES, own, scale,
                                                (modulo_keep_t){keep, part}, &error);
        put_head(block, check, exponent);
        if (is_short) memcpy(z + run.at, padded, run.length * sizeof *z);
        if (reach) reach[block_of(&run)] = reach_of(code->bits, scale.delta, part * error);
    }
    return finite;
}

void sgp_modulo_reach(int bits, size_t count, const void *s, float *reach) {
    for (run_t run = run_begin(bits, count); run.length > 0; run_next(&run)) {
        const unsigned char *block = (const unsigned char *)s + offset_of(&run);
        reach[block_of(&run)] = reach_of(bits, scale_of(block[MODULO_AT_EXPONENT]).delta, 0);
    }
}

/* ---- receiver ---- */

static bool is_exponent(unsigned exponent) {
    return exponent >= EXPONENT_LEAST && exponent <= EXPONENT_MOST;
}

/* Whether the numbers beyond the end of a short block, whose z are 0, are 0 too. */
static bool is_padded(const run_t *run, const float *y) {
    bool zero = true;
    for (size_t i = run->length; i < BLOCK; i++) zero &= y[i] == 0;
    return zero;
}

/* y <- a block's numbers near own. false: refused. */
static bool decode_block(const run_t *run, float y[BLOCK], const float *own, const void *s) {
    const unsigned char *block = (const unsigned char *)s + offset_of(run);
    unsigned exponent = block[MODULO_AT_EXPONENT];
    if (!is_exponent(exponent)) return false;
    modulo_scale_t scale = scale_of(exponent);
    uint32_t largest;
    uint32_t check = kernels()->decode(run->bits, y, own, block + MODULO_AT_CODES, scale, &largest);
    /* A sender's |q| are below 2^22 - 256, and ours within M/2 of them. */
    return check == sgp_bytes_get(block, 4) &&
           largest < bits_of((float)((1 << 22) - 128) * scale.delta) && is_padded(run, y);
}

bool sgp_modulo_valid(int bits, size_t count, const void *s, size_t bytes) {
    static const float zero[BLOCK];
    float y[BLOCK];
    if (bytes != sgp_modulo_bytes(bits, count)) return false;
    for (run_t run = run_begin(bits, count); run.length > 0; run_next(&run)) {
        const unsigned char *block = (const unsigned char *)s + offset_of(&run);
        unsigned exponent = block[MODULO_AT_EXPONENT];
        uint32_t largest;
        if (!is_exponent(exponent)) return false;
        if (run.length == BLOCK) continue;
        kernels()->decode(bits, y, zero, block + MODULO_AT_CODES, scale_of(exponent), &largest);
        if (!is_padded(&run, y)) return false;
    }
    return true;
}

size_t sgp_modulo_decode(int bits, size_t count, float *y, const float *z, const void *s,
                         unsigned char *refused) {
    float padded[BLOCK], found[BLOCK];
    size_t bad = 0;
    begin_set(refused, sgp_modulo_blocks(count));
    for (run_t run = run_begin(bits, count); run.length > 0; run_next(&run)) {
        if (decode_block(&run, found, whole(&run, z, padded), s)) {
            memcpy(y + run.at, found, run.length * sizeof *y);
            continue;
        }
        add_to_set(refused, block_of(&run));
        bad++;
    }
    return bad;
}

void sgp_modulo_keep_rounding(int bits, size_t count, float *z, const float *x, const void *s,
                              float part) {
    float padded[BLOCK], y[BLOCK];
    for (run_t run = run_begin(bits, count); run.length > 0; run_next(&run)) {
        bool same = decode_block(&run, y, whole(&run, x, padded), s);
        assert(same); /* these are the codes of x */
        for (size_t i = 0; same && i < run.length; i++)
            z[run.at + i] += part * (x[run.at + i] - y[i]);
    }
}

/* z <- z + a (y - z), r <- max(r, |y - z|) of one block; returns the latter. */
static float absorb_block(const run_t *run, float *z, float *r, const float *y, float a) {
    float padded[BLOCK];
    bool is_short = run->length < BLOCK;
    whole(run, z, padded);
    float away = kernels()->absorb(is_short ? padded : z + run->at, y, a);
    if (is_short) memcpy(z + run->at, padded, run->length * sizeof *z);
    if (away > r[block_of(run)]) r[block_of(run)] = away;
    return away;
}

size_t sgp_modulo_absorb(int bits, size_t count, float *z, float *r, const void *s, float a,
                         unsigned char *refused, unsigned char *away) {
    float padded[BLOCK], y[BLOCK];
    size_t bad = 0;
    begin_set(refused, sgp_modulo_blocks(count));
    for (run_t run = run_begin(bits, count); run.length > 0; run_next(&run)) {
        bool good = decode_block(&run, y, whole(&run, z, padded), s);
        float found = good ? absorb_block(&run, z, r, y, a) : 0;
        if (away) away[block_of(&run)] = (unsigned char)(bits_of(found) >> 23);
        if (good) continue;
        add_to_set(refused, block_of(&run));
        bad++;
    }
    return bad;
}

void sgp_modulo_absorb_exact(size_t count, float *z, float *r, const float *y, float a) {
    float padded[BLOCK];
    for (run_t run = run_begin(4, count); run.length > 0; run_next(&run))
        absorb_block(&run, z, r, whole(&run, y, padded), a);
}

/* ---- ranges ---- */

void sgp_modulo_forget(size_t blocks, float *r, float by) {
    for (size_t i = 0; i < blocks; i++) r[i] *= by;
}

void sgp_modulo_travel(size_t count, float *moved, const float *before, const float *after) {
    float padded_before[BLOCK], padded_after[BLOCK];
    for (run_t run = run_begin(4, count); run.length > 0; run_next(&run))
        moved[block_of(&run)] += kernels()->distance(whole(&run, before, padded_before),
                                                     whole(&run, after, padded_after));
}

void sgp_modulo_grow(size_t blocks, float *r, const float *moved, float factor) {
    for (size_t i = 0; i < blocks; i++) r[i] = factor * moved[i] > r[i] ? factor * moved[i] : r[i];
}

void sgp_modulo_hear(size_t blocks, float *r, const unsigned char *away) {
    for (size_t i = 0; i < blocks; i++) {
        if (away[i] == 0 || away[i] > EXPONENT_MOST) continue;
        float heard = 2 * float_of((uint32_t)away[i] << 23); /* no less than the distance */
        if (heard > r[i]) r[i] = heard;
    }
}

size_t sgp_modulo_beyond(size_t blocks, const float *moved, const float *reach,
                         unsigned char *beyond) {
    size_t found = 0;
    begin_set(beyond, blocks);
    for (size_t i = 0; i < blocks; i++) {
        if (moved[i] < reach[i]) continue;
        add_to_set(beyond, i);
        found++;
    }
    return found;
}
