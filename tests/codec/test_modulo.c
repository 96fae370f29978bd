/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes against an oracle that follows the rules of codec/modulo.h in double and int64, for every set of
 * instructions that this CPU has. */
#include "codec/modulo.h"

#include "base/random.h"
#include "codec/modulo_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    BLOCK = SGP_MODULO_BLOCK,
    BLOCKS = 5,
    COUNT = BLOCK * (BLOCKS - 1) + 77,
    MOST = BLOCK * BLOCKS
};

static const int widths[] = {8, 6, 5, 4};

typedef struct block {
    int exponent;
    int64_t q[BLOCK];
    uint32_t check;
} block_t;

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* sum of h_i (q_i div M) mod 2^32 */
static uint32_t check_of(int bits, const int64_t *q) {
    uint64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += (uint64_t)sgp_modulo_weights[i] * (uint64_t)floor_div(q[i], 1 << bits);
    return (uint32_t)sum;
}

static block_t oracle_encode(sgp_modulo_t code, size_t count, const float *z, float r) {
    block_t block = {.exponent = -124};
    double largest = 0, least = 2.0 * (double)code.kappa * (double)r / (1 << code.bits);
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)z[i]));
    while (ldexp(1, block.exponent) < least && block.exponent < 103) block.exponent++;
    while (ldexp(largest, -block.exponent) >= 4194304 - 256) block.exponent++;
    for (size_t i = 0; i < count; i++)
        block.q[i] = (int64_t)rint(ldexp((double)z[i], -block.exponent));
    block.check = check_of(code.bits, block.q);
    return block;
}

/* Code i, by the layout in the header. */
static unsigned plane_code(const unsigned char *plane, int width, int i) {
    int word_bits = width == 1 ? 16 : 32, n = word_bits / width;
    int l = i % 16, vector = i / 16, group = vector / n, j = vector % n;
    const unsigned char *at = plane + (16 * group + l) * word_bits / 8;
    uint32_t word = 0;
    for (int k = 0; k < word_bits / 8; k++) word |= (uint32_t)at[k] << (8 * k);
    return word >> (width * j) & ((1u << width) - 1);
}

static unsigned code_at(int bits, const unsigned char *block, int i) {
    if (bits == 8) return plane_code(block + 5, 8, i);
    unsigned low = plane_code(block + 5, 4, i);
    return bits == 4 ? low : low | plane_code(block + 133, bits - 4, i) << 4;
}

static void assert_block(int bits, const unsigned char *s, const block_t *expected) {
    assert_int_equal(s[0] | s[1] << 8 | s[2] << 16 | (int)((uint32_t)s[3] << 24),
                     (int)expected->check);
    assert_int_equal(s[4], expected->exponent + 127);
    for (int i = 0; i < BLOCK; i++)
        assert_int_equal(code_at(bits, s, i), (unsigned)expected->q[i] & ((1u << bits) - 1));
}

/* y for a block as it arrives, or false: refused. */
static bool oracle_decode(int bits, size_t count, const unsigned char *s, const float *z,
                          float *y) {
    int64_t q[BLOCK] = {0}, m = 1 << bits;
    int exponent = s[4] - 127;
    bool good = exponent >= -124 && exponent <= 103;
    for (int i = 0; i < BLOCK; i++) {
        double own = (size_t)i < count ? rint(ldexp((double)z[i], -exponent)) : 0;
        good = good && isfinite(own) &&
               fabs(ldexp((size_t)i < count ? (double)z[i] : 0, -exponent)) < 4194304 - 128;
        if (!good) return false;
        int64_t p = (int64_t)own;
        q[i] = p - m / 2;
        while ((unsigned)(q[i] & (m - 1)) != code_at(bits, s, i)) q[i]++;
        if ((size_t)i >= count && q[i] != 0) return false;
        if ((size_t)i < count) y[i] = (float)ldexp((double)q[i], exponent);
    }
    uint32_t check = check_of(bits, q);
    for (int i = 0; i < 4; i++) good = good && s[i] == (check >> (8 * i) & 0xff);
    return good;
}

/* ---- numbers ---- */

static sgp_random_t rng;

static double between(double low, double high) {
    return low + (high - low) * sgp_random_double(&rng);
}

/* z (MOST) and ranges: blocks of many sizes, with special numbers among them. */
static void make_numbers(float *z, float *r) {
    static const float special[] = {0,         -0.0f,     0x1p-149f,  -0x1.8p-130f,
                                    0x1p-126f, 0x1p-125f, -0x1p-125f, 0x1.8p-125f};
    for (int b = 0; b < BLOCKS; b++) {
        double size = exp2(between(-130, 123)), spread = between(-24, 2);
        if (b == 0) size = 1;
        r[b] = (float)(size * exp2(spread));
        for (int i = 0; i < BLOCK; i++) z[b * BLOCK + i] = (float)(size * between(-1, 1));
        if (b % 2 == 0) memcpy(z + b * BLOCK + 3, special, sizeof special);
        /* Ties of a step that is a power of two. */
        for (int i = 20; i < 40; i++)
            z[b * BLOCK + i] = (float)ldexp((double)(i - 30) + 0.5, (int)floor(log2(size)) - 5);
    }
    if (sgp_random_below(&rng, 4) == 0) r[1] = 0;
    if (sgp_random_below(&rng, 4) == 0) r[2] = INFINITY;
}

static size_t length_of(size_t count, size_t block) {
    size_t left = count - block * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

static bool same_bits(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

/* ---- each property, for every set of instructions ---- */

static void for_all(void (*property)(sgp_modulo_t code, int trials)) {
    for (sgp_modulo_cpu_t cpu = SGP_MODULO_PLAIN; cpu <= SGP_MODULO_AVX512; cpu++)
        for (int w = 0; w < 4; w++) {
            if (!sgp_modulo_use(cpu)) continue;
            sgp_random_init(&rng, 7, (uint64_t)w);
            property((sgp_modulo_t){widths[w], w == 1 ? 1.5f : 4},
                     cpu == SGP_MODULO_PLAIN ? 10 : 60);
        }
    assert_true(sgp_modulo_use(SGP_MODULO_BEST));
}

static void encodes(sgp_modulo_t code, int trials) {
    static float z[MOST], kept[MOST], r[BLOCKS], reach[BLOCKS];
    static unsigned char s[BLOCKS * 261], again[sizeof s];
    size_t size = sgp_modulo_block_bytes(code.bits);
    for (int t = 0; t < trials; t++) {
        make_numbers(z, r);
        size_t count = t == 0   ? MOST
                       : t < 30 ? COUNT - (size_t)t
                                : 1 + sgp_random_below(&rng, MOST);
        memset(s, 0xee, sizeof s);
        memcpy(kept, z, sizeof z);
        assert_true(sgp_modulo_encode(&code, count, s, z, r));
        assert_true(sgp_modulo_valid(code.bits, count, s, sgp_modulo_bytes(code.bits, count)));
        assert_true(sgp_modulo_encode_keep(&code, count, again, kept, r, 0.75f, 2, reach));
        assert_memory_equal(s, again, sgp_modulo_bytes(code.bits, count));
        for (size_t b = 0; b < sgp_modulo_blocks(count); b++) {
            block_t expected = oracle_encode(code, length_of(count, b), z + b * BLOCK, r[b]);
            assert_block(code.bits, s + b * size, &expected);
            for (size_t i = 0; i < length_of(count, b); i++) {
                float own = z[b * BLOCK + i],
                      y = (float)ldexp((double)expected.q[i], expected.exponent);
                assert_true(same_bits(kept[b * BLOCK + i], 0.75f * own + 2 * (own - y)));
                assert_true(fabs((double)own - (double)y) <= ldexp(0.5, expected.exponent));
            }
        }
        if (sgp_modulo_bytes(code.bits, count) < sizeof s)
            assert_int_equal(s[sgp_modulo_bytes(code.bits, count)], 0xee);
        for (size_t i = count; i < MOST; i++) assert_true(same_bits(kept[i], z[i]));
    }
}

static void test_encoding_follows_the_rules(void **state) {
    (void)state;
    for_all(encodes);
}

/* Numbers near z by `steps` of delta. */
static void make_near(float *near, const float *z, size_t count, const unsigned char *s,
                      size_t size, double steps) {
    for (size_t i = 0; i < count; i++) {
        double delta = ldexp(1, s[i / BLOCK * size + 4] - 127);
        near[i] = (float)((double)z[i] + between(-steps, steps) * delta);
    }
}

static void check_absorbed(size_t count, const float *before, const float *after, const float *y,
                           const float *r, const unsigned char *refused,
                           const unsigned char *away) {
    for (size_t b = 0; b < sgp_modulo_blocks(count); b++) {
        float range = 0.25f, most = 0;
        for (size_t i = b * BLOCK; i < b * BLOCK + length_of(count, b); i++) {
            float expected = before[i] + 0.375f * (y[i] - before[i]);
            bool left = sgp_modulo_in_set(refused, b);
            assert_true(same_bits(after[i], left ? before[i] : expected));
            if (!left) most = fmaxf(most, fabsf(y[i] - before[i]));
        }
        range = fmaxf(range, most);
        assert_true(r[b] == range);
        assert_int_equal(away[b], most < 0x1p-126f ? 0 : 127 + ilogbf(most));
    }
}

static void decodes(sgp_modulo_t code, int trials) {
    static float z[MOST], r[BLOCKS], near[MOST], y[MOST], found[MOST], after[MOST];
    static unsigned char s[BLOCKS * 261];
    size_t size = sgp_modulo_block_bytes(code.bits), refusals = 0;
    for (int t = 0; t < trials; t++) {
        size_t count = t % 2 ? MOST : COUNT;
        unsigned char refused[1], again[1], away[BLOCKS];
        make_numbers(z, r);
        assert_true(sgp_modulo_encode(&code, count, s, z, r));
        make_near(near, z, count, s, size, (1 << code.bits) * (t % 3 ? 0.49 : 0.53));
        if (t % 5 == 4) s[2 * size + 7] ^= 0x10; /* damage: most numbers still decode */
        memset(found, 0x55, sizeof found);
        memcpy(after, near, sizeof near);
        for (size_t b = 0; b < BLOCKS; b++) r[b] = 0.25f;
        size_t bad = sgp_modulo_decode(code.bits, count, found, near, s, refused);
        assert_int_equal(bad,
                         sgp_modulo_absorb(code.bits, count, after, r, s, 0.375f, again, away));
        assert_int_equal(refused[0], again[0]);
        for (size_t b = 0; b < BLOCKS; b++) {
            size_t length = length_of(count, b), at = b * BLOCK;
            bool good = oracle_decode(code.bits, length, s + b * size, near + at, y + at);
            assert_int_equal(good, !sgp_modulo_in_set(refused, b));
            if (good) assert_memory_equal(found + at, y + at, length * sizeof *y);
            else assert_int_equal(*(unsigned char *)&found[at], 0x55);
            refusals += !good;
            bad -= !good;
        }
        assert_int_equal(bad, 0);
        check_absorbed(count, near, after, y, r, refused, away);
    }
    assert_true(refusals > 0);
}

static void test_decoding_follows_the_rules(void **state) {
    (void)state;
    for_all(decodes);
}

/* |z_sender - z_receiver| < (M/2 - 1) delta: the same y, and the sender finds it too. */
static void agrees_when_near(sgp_modulo_t code, int trials) {
    static float z[MOST], r[BLOCKS], near[MOST], y[MOST], own[MOST];
    static unsigned char s[BLOCKS * 261];
    size_t size = sgp_modulo_block_bytes(code.bits);
    for (int t = 0; t < trials; t++) {
        make_numbers(z, r);
        assert_true(sgp_modulo_encode(&code, MOST, s, z, r));
        assert_int_equal(sgp_modulo_decode(code.bits, MOST, own, z, s, NULL), 0);
        for (int i = 0; i < MOST; i++) {
            double reach =
                ((1 << (code.bits - 1)) - 1) * ldexp(1, s[(size_t)i / BLOCK * size + 4] - 127);
            double way = i % 3 ? i % 3 == 1 ? 1 : -1 : between(-1, 1);
            do near[i] = (float)((double)z[i] + way * reach), way *= 1 - 0x1p-12;
            while (fabs((double)near[i] - (double)z[i]) >= reach);
        }
        assert_int_equal(sgp_modulo_decode(code.bits, MOST, y, near, s, NULL), 0);
        assert_memory_equal(y, own, sizeof y);
        memcpy(near, z, sizeof z);
        assert_int_equal(sgp_modulo_decode(code.bits, MOST, near, near, s, NULL), 0);
        assert_memory_equal(near, own, sizeof y);
    }
}

static void test_near_nodes_agree_bit_for_bit(void **state) {
    (void)state;
    for_all(agrees_when_near);
}

/* A range that is far too small: accepted blocks still have the sender's y. */
static void never_wrong(sgp_modulo_t code, int trials) {
    static float z[MOST], r[BLOCKS], far[MOST], y[MOST], own[MOST];
    static unsigned char s[BLOCKS * 261];
    size_t refusals = 0, accepted = 0;
    code.kappa = 0.5f;
    for (int t = 0; t < 60 * trials; t++) {
        unsigned char refused[1];
        double apart = exp2(between(-3, 1.5));
        for (int b = 0; b < BLOCKS; b++) r[b] = 1;
        for (int i = 0; i < MOST; i++) {
            z[i] = (float)between(-9, 9);
            bool moves = t % 2 ? i % 97 == t % 97 : true; /* few wraps, or many */
            far[i] = z[i] + (moves ? (float)between(-apart, apart) : 0);
        }
        assert_true(sgp_modulo_encode(&code, MOST, s, z, r));
        sgp_modulo_decode(code.bits, MOST, own, z, s, NULL);
        sgp_modulo_decode(code.bits, MOST, y, far, s, refused);
        for (size_t b = 0; b < BLOCKS; b++) {
            refusals += sgp_modulo_in_set(refused, b);
            if (sgp_modulo_in_set(refused, b)) continue;
            accepted++;
            assert_memory_equal(y + b * BLOCK, own + b * BLOCK, BLOCK * sizeof *y);
        }
    }
    assert_true(refusals > 100 && accepted > 100);
}

static void test_a_wrong_number_is_never_accepted(void **state) {
    (void)state;
    for_all(never_wrong);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* No sum of one to four factors with signs is 0: the sums of two or fewer, each up to order, are distinct. */
static void test_up_to_four_wraps_are_always_found(void **state) {
    (void)state;
    enum { SIGNED = 2 * BLOCK, SUMS = 1 + SIGNED + SIGNED * (SIGNED + 1) / 2 - BLOCK };
    static uint32_t sums[SUMS], with_sign[SIGNED];
    size_t count = 0;
    uint32_t all = 0;
    for (int i = 0; i < BLOCK; i++) {
        all += sgp_modulo_weights[i];
        assert_true(sgp_modulo_weights[i] & 1);
        with_sign[2 * i] = sgp_modulo_weights[i];
        with_sign[2 * i + 1] = -sgp_modulo_weights[i];
    }
    assert_true(all == MODULO_WEIGHTS_SUM);
    sums[count++] = 0;
    for (int i = 0; i < SIGNED; i++) {
        sums[count++] = with_sign[i];
        for (int j = i; j < SIGNED; j++)
            if (i / 2 != j / 2 || i == j) sums[count++] = with_sign[i] + with_sign[j];
    }
    assert_int_equal(count, SUMS);
    qsort(sums, SUMS, sizeof *sums, compare);
    for (size_t i = 1; i < SUMS; i++) assert_true(sums[i] != sums[i - 1]);
}

/* A sender that has moved less than its reach still finds y; where moved >= reach it is told. */
static void knows_its_own(sgp_modulo_t code, int trials) {
    static float z[MOST], before[MOST], r[BLOCKS], y[MOST], own[MOST], reach[BLOCKS], moved[BLOCKS];
    static unsigned char s[BLOCKS * 261];
    size_t lost = 0;
    for (int t = 0; t < trials; t++) {
        unsigned char beyond[1], refused[1];
        make_numbers(z, r);
        r[2] = 1; /* finite */
        assert_true(sgp_modulo_encode(&code, COUNT, s, z, r));
        sgp_modulo_decode(code.bits, COUNT, own, z, s, NULL);
        assert_true(sgp_modulo_encode_keep(&code, COUNT, s, z, r, 1, 1.5f, reach));
        memset(moved, 0, sizeof moved);
        for (int step = 0; step < 3; step++) {
            memcpy(before, z, sizeof z);
            for (size_t i = 0; i < COUNT; i++)
                z[i] += (float)between(-0.45, 0.45) * reach[i / BLOCK];
            sgp_modulo_travel(COUNT, moved, before, z);
        }
        size_t told = sgp_modulo_beyond(BLOCKS, moved, reach, beyond);
        sgp_modulo_decode(code.bits, COUNT, y, z, s, refused);
        for (size_t b = 0; b < BLOCKS; b++) {
            size_t length = length_of(COUNT, b);
            told -= sgp_modulo_in_set(beyond, b);
            lost += sgp_modulo_in_set(beyond, b);
            if (sgp_modulo_in_set(beyond, b)) continue;
            assert_false(sgp_modulo_in_set(refused, b));
            assert_memory_equal(y + b * BLOCK, own + b * BLOCK, length * sizeof *y);
        }
        assert_int_equal(told, 0);
    }
    assert_true(lost > 0);
}

static void test_a_sender_knows_its_own_numbers(void **state) {
    (void)state;
    for_all(knows_its_own);
}

static void pays_later(sgp_modulo_t code, int trials) {
    static float z[MOST], later[MOST], r[BLOCKS], reach[BLOCKS];
    static unsigned char s[BLOCKS * 261];
    for (int t = 0; t < trials; t++) {
        make_numbers(z, r);
        memcpy(later, z, sizeof z);
        assert_true(sgp_modulo_encode(&code, COUNT, s, later, r));
        sgp_modulo_reach(code.bits, COUNT, s, reach);
        for (size_t b = 0; b < BLOCKS; b++) {
            double delta = ldexp(1, s[b * sgp_modulo_block_bytes(code.bits) + 4] - 127);
            assert_true((double)reach[b] > 0.7 * ((1 << (code.bits - 1)) - 1) * delta);
            assert_true((double)reach[b] < ((1 << (code.bits - 1)) - 1) * delta);
        }
        sgp_modulo_keep_rounding(code.bits, COUNT, later, later, s, 2);
        assert_true(sgp_modulo_encode_keep(&code, COUNT, s, z, r, 1, 2, reach));
        assert_memory_equal(z, later, sizeof z);
    }
}

static void test_rounding_may_be_paid_later(void **state) {
    (void)state;
    for_all(pays_later);
}

/* ---- what must not pass ---- */

static void refuses_what_is_no_number(sgp_modulo_t code, int trials) {
    static float z[MOST], before[MOST], r[BLOCKS];
    static unsigned char s[BLOCKS * 261];
    const float bad[] = {INFINITY, -INFINITY, NAN, -NAN, SGP_MODULO_LIMIT, -0x1.fffffep127f};
    size_t size = sgp_modulo_block_bytes(code.bits);
    (void)trials;
    for (int t = 0; t < 12; t++) {
        size_t at = t < 6 ? BLOCK + 17 : COUNT - 1, block = at / BLOCK;
        unsigned char refused[1];
        make_numbers(z, r);
        z[at] = nextafterf(SGP_MODULO_LIMIT, 0);
        assert_true(sgp_modulo_encode(&code, COUNT, s, z, r));
        assert_int_equal(sgp_modulo_decode(code.bits, COUNT, z, z, s, refused), 0);
        for (size_t i = 0; i < COUNT; i++) assert_true(isfinite(z[i]));
        z[at] = bad[t % 6];
        memcpy(before, z, sizeof z);
        assert_false(sgp_modulo_encode(&code, COUNT, s, z, r));
        assert_false(sgp_modulo_encode_keep(&code, COUNT, s, z, r, 1, 1, NULL));
        assert_memory_equal(z + block * BLOCK, before + block * BLOCK, length_of(COUNT, block) * 4);
        /* The same at a receiver. */
        before[at] = 1;
        assert_true(sgp_modulo_encode(&code, COUNT, s, before, r));
        s[block * size + 4] = 127; /* z = 1 or another whole number is encoded alike */
        memcpy(z, before, sizeof z);
        z[at] = bad[t % 6];
        sgp_modulo_absorb(code.bits, COUNT, z, r, s, 0.5f, refused, NULL);
        assert_true(sgp_modulo_in_set(refused, block));
        assert_memory_equal(z + block * BLOCK + 40, before + block * BLOCK + 40, 30);
    }
}

static void test_infinite_and_large_numbers_are_refused(void **state) {
    (void)state;
    for_all(refuses_what_is_no_number);
}

static void refuses_damage(sgp_modulo_t code, int trials) {
    static float z[MOST], before[MOST], r[BLOCKS];
    static unsigned char s[BLOCKS * 261];
    size_t size = sgp_modulo_block_bytes(code.bits), bytes = sgp_modulo_bytes(code.bits, COUNT);
    (void)trials;
    make_numbers(z, r);
    r[2] = 1;
    assert_true(sgp_modulo_encode(&code, COUNT, s, z, r));
    assert_false(sgp_modulo_valid(code.bits, COUNT, s, bytes - 1));
    assert_false(sgp_modulo_valid(code.bits, COUNT + BLOCK, s, bytes));
    assert_false(sgp_modulo_valid(code.bits, 0, s, bytes));
    assert_true(sgp_modulo_valid(code.bits, 0, s, 0));
    for (int exponent = 0; exponent < 256; exponent++) {
        unsigned char right = s[size + 4], refused[1];
        bool exists = exponent >= 3 && exponent <= 230;
        s[size + 4] = (unsigned char)exponent;
        assert_int_equal(sgp_modulo_valid(code.bits, COUNT, s, bytes), exists);
        memcpy(before, z, sizeof z);
        sgp_modulo_absorb(code.bits, COUNT, before, r, s, 0, refused, NULL);
        if (!exists) assert_int_equal(refused[0], 1 << 1);
        s[size + 4] = right;
    }
    /* Each code beyond the end, one after the other. */
    for (size_t bit = 0; bit < 8 * (size - 5); bit++) {
        unsigned char *block = s + (BLOCKS - 1) * size, refused[1];
        int changed = -1;
        block[5 + bit / 8] ^= (unsigned char)(1u << bit % 8);
        for (int i = COUNT % BLOCK; i < BLOCK; i++)
            if (code_at(code.bits, block, i)) changed = i;
        assert_int_equal(sgp_modulo_valid(code.bits, COUNT, s, bytes), changed < 0);
        sgp_modulo_decode(code.bits, COUNT, before, z, s, refused);
        if (changed >= 0) assert_int_equal(refused[0], 1 << (BLOCKS - 1));
        block[5 + bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void test_damaged_bytes_are_refused(void **state) {
    (void)state;
    for_all(refuses_damage);
}

/* ---- instructions, ranges and sizes ---- */

/* Flushes denormals to zero, in what is read and written; where the CPU has such a switch. */
#if defined(__x86_64__)
#include <xmmintrin.h>
static unsigned flush_denormals(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static void restore(unsigned before) {
    _mm_setcsr(before);
}
#else
static unsigned flush_denormals(void) {
    return 0;
}
static void restore(unsigned before) {
    (void)before;
}
#endif

static void test_denormals_make_no_difference(void **state) {
    (void)state;
    static float z[MOST], r[BLOCKS], y[MOST], flushed_y[MOST];
    static unsigned char s[BLOCKS * 261], flushed[sizeof s];
    sgp_random_init(&rng, 9, 0);
    for (int t = 0; t < 200; t++) {
        sgp_modulo_t code = {widths[t % 4], 2};
        sgp_modulo_use(1 + (sgp_modulo_cpu_t)(t / 4 % 4));
        make_numbers(z, r);
        assert_true(sgp_modulo_encode(&code, COUNT, s, z, r));
        assert_int_equal(sgp_modulo_decode(code.bits, COUNT, y, z, s, NULL), 0);
        unsigned before = flush_denormals();
        sgp_modulo_encode(&code, COUNT, flushed, z, r);
        sgp_modulo_decode(code.bits, COUNT, flushed_y, z, s, NULL);
        restore(before);
        assert_memory_equal(s, flushed, sgp_modulo_bytes(code.bits, COUNT));
        assert_memory_equal(y, flushed_y, COUNT * sizeof *y);
    }
    assert_true(sgp_modulo_use(SGP_MODULO_BEST));
}

static void test_ranges(void **state) {
    (void)state;
    float a[600], b[600], r[3] = {1, 2, 3}, moved[3] = {0, 0.5f, 0};
    for (int i = 0; i < 600; i++) a[i] = (float)i, b[i] = (float)i;
    b[7] -= 3;
    b[300] += 1;
    b[599] -= 4;
    for (sgp_modulo_cpu_t cpu = SGP_MODULO_PLAIN; cpu <= SGP_MODULO_AVX512; cpu++) {
        float way[3];
        memcpy(way, moved, sizeof way);
        if (!sgp_modulo_use(cpu)) continue;
        sgp_modulo_travel(600, way, a, b);
        sgp_modulo_travel(599, way, a, b);
        assert_memory_equal(way, ((const float[]){6, 2.5f, 4}), sizeof way);
    }
    assert_true(sgp_modulo_use(SGP_MODULO_BEST));
    sgp_modulo_travel(600, moved, a, b);
    sgp_modulo_forget(3, r, 0.5f);
    assert_memory_equal(r, ((const float[]){0.5f, 1, 1.5f}), sizeof r);
    sgp_modulo_grow(3, r, moved, 0.5f);
    assert_memory_equal(r, ((const float[]){1.5f, 1, 2}), sizeof r);
    sgp_modulo_absorb_exact(600, a, r, b, 0.25f);
    assert_memory_equal(r, ((const float[]){3, 1, 4}), sizeof r);
    for (int i = 0; i < 600; i++) assert_true(a[i] == (float)i + 0.25f * (b[i] - (float)i));
    sgp_modulo_hear(3, r, (const unsigned char[]){0, 128, 255});
    assert_memory_equal(r, ((const float[]){3, 4, 4}), sizeof r);
    sgp_modulo_hear(3, r, (const unsigned char[]){128, 127, 129});
    assert_memory_equal(r, ((const float[]){4, 4, 8}), sizeof r);
    r[1] = 1;
    unsigned char beyond[1];
    assert_int_equal(sgp_modulo_beyond(3, r, (const float[]){4.5f, 1, 8.5f}, beyond), 1);
    assert_int_equal(beyond[0], 2);
}

static void test_sizes(void **state) {
    (void)state;
    static const size_t block[] = {261, 197, 165, 133};
    for (int w = 0; w < 4; w++) {
        assert_true(sgp_modulo_has_bits(widths[w]));
        assert_int_equal(sgp_modulo_block_bytes(widths[w]), block[w]);
        assert_true(sgp_modulo_kappa(widths[w]) * 8 <= (float)(1 << widths[w]));
        assert_int_equal(sgp_modulo_bytes(widths[w], 0), 0);
        assert_int_equal(sgp_modulo_bytes(widths[w], 256), block[w]);
        assert_int_equal(sgp_modulo_bytes(widths[w], 257), 2 * block[w]);
        assert_int_equal(sgp_modulo_room(widths[w], 3 * block[w] - 1), 512);
        assert_int_equal(sgp_modulo_room(widths[w], sgp_modulo_bytes(widths[w], 5120)), 5120);
    }
    assert_false(sgp_modulo_has_bits(7) || sgp_modulo_has_bits(0) || sgp_modulo_has_bits(16));
    assert_int_equal(sgp_modulo_set_bytes(256 * 8), 1);
    assert_int_equal(sgp_modulo_set_bytes(256 * 8 + 1), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoding_follows_the_rules),
        cmocka_unit_test(test_decoding_follows_the_rules),
        cmocka_unit_test(test_near_nodes_agree_bit_for_bit),
        cmocka_unit_test(test_a_wrong_number_is_never_accepted),
        cmocka_unit_test(test_up_to_four_wraps_are_always_found),
        cmocka_unit_test(test_a_sender_knows_its_own_numbers),
        cmocka_unit_test(test_rounding_may_be_paid_later),
        cmocka_unit_test(test_infinite_and_large_numbers_are_refused),
        cmocka_unit_test(test_damaged_bytes_are_refused),
        cmocka_unit_test(test_denormals_make_no_difference),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
