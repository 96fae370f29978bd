/* SPDX-License-Identifier: Apache-2.0 */
/* int8 and int4 against plain loops over one block, and their properties: the error is at most half a scale, every block of
 * finite numbers works, the largest and the smallest too, and bytes that no sender can have written are refused. */
#include "cmocka_all.h"

#include "base/random.h"
#include "codec/codec.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

typedef struct format {
    sgp_encoding_t encoding;
    int levels;
} format_t;

static const format_t formats[] = {{SGP_ENCODING_INT8, 127}, {SGP_ENCODING_INT4, 7}};

enum { FORMATS = 2, MOST = 3 * SGP_BLOCK };

/* ---- the oracle: one block, by its documents ---- */

typedef struct block {
    float scale;
    int codes[SGP_BLOCK];
} block_t;

static float largest_of(size_t n, const float *x) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    return largest;
}

/* Of numbers that are neither tiny nor next to the largest float. */
static block_t block_of(size_t n, const float *x, int levels) {
    float largest = largest_of(n, x);
    block_t block = {.scale = largest / (float)levels};
    for (size_t i = 0; i < n && largest > 0; i++)
        block.codes[i] = (int)nearbyintf(x[i] * ((float)levels / largest));
    return block;
}

/* The bytes of base/encoded.h. Returns how many. */
static size_t write_block(const format_t *format, const block_t *block, size_t n,
                          unsigned char *bytes) {
    size_t half = (n + 1) / 2;
    memcpy(bytes, &block->scale, 4);
    for (size_t i = 0; i < n && format->levels == 127; i++)
        bytes[4 + i] = (unsigned char)block->codes[i];
    if (format->levels == 127) return 4 + n;
    for (size_t i = 0; i < half; i++) {
        int upper = half + i < n ? block->codes[half + i] : 0;
        bytes[4 + i] = (unsigned char)((block->codes[i] & 15) | (upper & 15) << 4);
    }
    return 4 + half;
}

static size_t write_all(const format_t *format, size_t n, const float *x, unsigned char *bytes) {
    size_t written = 0;
    for (size_t i = 0; i < n; i += SGP_BLOCK) {
        size_t count = n - i < SGP_BLOCK ? n - i : SGP_BLOCK;
        block_t block = block_of(count, x + i, format->levels);
        written += write_block(format, &block, count, bytes + written);
    }
    return written;
}

/* ---- inputs ---- */

static void draw(sgp_random_t *random, size_t n, float *x, double size) {
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((sgp_random_double(random) * 2 - 1) * size *
                       exp(-4 * sgp_random_double(random)));
}

static void test_bytes_are_those_of_plain_loops(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 3, 0);
    for (int f = 0; f < FORMATS; f++)
        for (size_t n = 1; n <= MOST; n += n < 20 ? 1 : 13) {
            float x[MOST], decoded[MOST];
            unsigned char expected[MOST * 2], found[MOST * 2];
            draw(&random, n, x, pow(10, sgp_random_double(&random) * 60 - 30));
            if (n % 3 == 0) memset(x, 0, (n < SGP_BLOCK ? n : SGP_BLOCK) * sizeof *x);
            size_t bytes = write_all(&formats[f], n, x, expected);
            assert_int_equal(sgp_encoding_bytes(formats[f].encoding, n), bytes);
            memset(found, 0xa5, sizeof found);
            sgp_encode(formats[f].encoding, n, found, x);
            assert_memory_equal(found, expected, bytes);
            assert_int_equal(found[bytes], 0xa5);
            assert_true(sgp_encoded_finite(formats[f].encoding, n, found));
            assert_true(sgp_encoded_valid(formats[f].encoding, n, found));
            sgp_decode(formats[f].encoding, n, decoded, found);
            for (size_t i = 0; i < n; i++) {
                size_t begin = i / SGP_BLOCK * SGP_BLOCK;
                size_t count = n - begin < SGP_BLOCK ? n - begin : SGP_BLOCK;
                block_t block = block_of(count, x + begin, formats[f].levels);
                assert_true(decoded[i] == (float)block.codes[i - begin] * block.scale);
            }
        }
}

/* Ties go to the even code: x and the scale are exact. */
static void test_ties(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        int levels = formats[f].levels;
        float x[SGP_BLOCK] = {(float)levels}, decoded[SGP_BLOCK];
        unsigned char s[SGP_BLOCK * 2];
        for (int i = 1; i < 2 * levels; i++) x[i] = ((float)i - (float)levels) + 0.5f;
        sgp_encode(formats[f].encoding, SGP_BLOCK, s, x);
        sgp_decode(formats[f].encoding, SGP_BLOCK, decoded, s);
        for (int i = 1; i < 2 * levels; i++) {
            assert_true(fabsf(decoded[i] - x[i]) == 0.5f);
            assert_true(fmodf(decoded[i], 2) == 0);
        }
    }
}

/* Sizes of numbers from the smallest to the largest, blocks of one size and of all. */
static void check_errors(const format_t *format, size_t n, const float *x) {
    float decoded[SGP_BLOCK];
    unsigned char s[SGP_BLOCK * 2];
    double largest = (double)largest_of(n, x), half = largest / format->levels / 2;
    sgp_encode(format->encoding, n, s, x);
    assert_true(sgp_encoded_finite(format->encoding, n, s));
    assert_true(sgp_encoded_valid(format->encoding, n, s));
    sgp_decode(format->encoding, n, decoded, s);
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)decoded[i] - (double)x[i]);
        if (!isfinite(decoded[i]) || error > half * (1 + 1e-5) + 0x1p-149)
            fail_msg("%s: %a of a block up to %a became %a", sgp_encoding_name(format->encoding),
                     (double)x[i], largest, (double)decoded[i]);
        assert_true(decoded[i] == 0 || signbit(decoded[i]) == signbit(x[i]));
    }
}

static void test_every_size_of_numbers(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 5, 0);
    for (int f = 0; f < FORMATS; f++)
        for (int exponent = -149; exponent < 128; exponent++)
            for (int way = 0; way < 4; way++) {
                float x[SGP_BLOCK];
                size_t n = way == 1 ? 5 : way == 2 ? 255 : SGP_BLOCK;
                for (size_t i = 0; i < n; i++) {
                    double size = ldexp(2 - 0x1p-23, way == 3 ? exponent - (int)i : exponent);
                    x[i] = (float)(size * (sgp_random_double(&random) * 2 - 1));
                }
                x[n / 2] = (float)ldexp(way % 2 ? 2 - 0x1p-23 : 1, exponent);
                check_errors(&formats[f], n, x);
            }
    for (int f = 0; f < FORMATS; f++) {
        float largest[] = {FLT_MAX, -FLT_MAX, FLT_MAX / 3, 1, 0}, least[] = {0x1p-149f, -0.0f, 0};
        check_errors(&formats[f], 5, largest);
        check_errors(&formats[f], 3, least);
    }
}

/* A number that the codes have comes back as it is, whatever its size; so does a block of one value. */
static void test_exact_numbers(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++)
        for (int exponent = -149; exponent < 120; exponent++) {
            float x[SGP_BLOCK], decoded[SGP_BLOCK];
            unsigned char s[SGP_BLOCK * 2];
            int levels = formats[f].levels;
            for (int i = 0; i < SGP_BLOCK; i++)
                x[i] = (float)ldexp(i % (2 * levels + 1) - levels, exponent);
            sgp_encode(formats[f].encoding, SGP_BLOCK, s, x);
            sgp_decode(formats[f].encoding, SGP_BLOCK, decoded, s);
            for (int i = 0; i < SGP_BLOCK; i++) assert_true(decoded[i] == x[i]);
        }
}

/* However the float unit treats denormals. */
static void test_denormals_do_not_depend_on_the_cpus_mode(void **state) {
    (void)state;
#if defined(__SSE2__)
    sgp_random_t random;
    sgp_random_init(&random, 7, 0);
    for (int f = 0; f < FORMATS; f++)
        for (int exponent = -149; exponent < -90; exponent++) {
            float x[SGP_BLOCK], decoded[2][SGP_BLOCK];
            unsigned char s[2][SGP_BLOCK * 2] = {{0}};
            for (int i = 0; i < SGP_BLOCK; i++)
                x[i] = (float)ldexp(sgp_random_double(&random) * 2 - 1, exponent);
            for (int flushes = 0; flushes < 2; flushes++) {
                unsigned before = _mm_getcsr();
                if (flushes) _mm_setcsr(before | 0x8040);
                sgp_encode(formats[f].encoding, SGP_BLOCK, s[flushes], x);
                sgp_decode(formats[f].encoding, SGP_BLOCK, decoded[flushes], s[flushes]);
                _mm_setcsr(before);
            }
            assert_memory_equal(s[0], s[1], sizeof s[0]);
            assert_memory_equal(decoded[0], decoded[1], sizeof decoded[0]);
        }
#endif
}

static void test_what_is_not_finite_shows(void **state) {
    (void)state;
    const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
    for (int f = 0; f < FORMATS; f++)
        for (int b = 0; b < 4; b++)
            for (size_t at = 0; at < MOST; at += 101) {
                float x[MOST], decoded[MOST];
                unsigned char s[MOST * 2];
                for (size_t i = 0; i < MOST; i++) x[i] = (float)i;
                x[at] = bad[b];
                sgp_encode(formats[f].encoding, MOST, s, x);
                assert_false(sgp_encoded_finite(formats[f].encoding, MOST, s));
                assert_false(sgp_encoded_valid(formats[f].encoding, MOST, s));
                sgp_decode(formats[f].encoding, MOST, decoded, s);
                assert_true(isnan(decoded[at]));
            }
}

/* ---- bytes from elsewhere ---- */

static void set_scale(unsigned char *s, uint32_t bits) {
    memcpy(s, &bits, sizeof bits);
}

static void test_damaged_blocks_are_refused(void **state) {
    (void)state;
    const uint32_t bad[] = {0x80000000, 0xbf800000, 0x7f800000, 0x7f800001, 0xff800000,
                            0x7fc00000, 0xffffffff, 0x7f7fffff, 0x80000001};
    for (int f = 0; f < FORMATS; f++)
        for (size_t n = SGP_BLOCK + 1; n <= MOST; n += 57)
            for (size_t block = 0; block * SGP_BLOCK < n; block++) {
                sgp_encoding_t encoding = formats[f].encoding;
                float x[MOST];
                unsigned char good[MOST * 2], s[MOST * 2];
                for (size_t i = 0; i < n; i++) x[i] = (float)i - 300;
                sgp_encode(encoding, n, good, x);
                size_t begin = sgp_encoding_bytes(encoding, block * SGP_BLOCK);
                size_t end = block * SGP_BLOCK + SGP_BLOCK < n
                                 ? sgp_encoding_bytes(encoding, block * SGP_BLOCK + SGP_BLOCK)
                                 : sgp_encoding_bytes(encoding, n);
                for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
                    memcpy(s, good, sizeof s);
                    set_scale(s + begin, bad[b]);
                    assert_false(sgp_encoded_valid(encoding, n, s));
                }
                for (size_t at = begin + 4; at < end; at++) {
                    memcpy(s, good, sizeof s);
                    s[at] =
                        formats[f].levels == 127 ? 0x80 : (unsigned char)(0x08 | (s[at] & 0xf0));
                    assert_false(sgp_encoded_valid(encoding, n, s));
                    if (formats[f].levels == 127) continue;
                    s[at] = (unsigned char)(0x80 | (good[at] & 0x0f));
                    assert_false(sgp_encoded_valid(encoding, n, s));
                }
                if (formats[f].levels == 127 || n % 2 == 0 || n - block * SGP_BLOCK > SGP_BLOCK)
                    continue;
                memcpy(s, good, sizeof s);
                s[end - 1] |= 0x10; /* a number that is not there */
                assert_false(sgp_encoded_valid(encoding, n, s));
            }
}

/* The largest scale that is accepted gives finite numbers, and the next one would not. */
static void test_the_largest_scale(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        unsigned char s[8] = {0};
        uint32_t low = 0, high = 0x7f800000;
        s[4] = formats[f].levels == 127 ? 0x7f : 0x07;
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            set_scale(s, middle);
            if (sgp_encoded_valid(formats[f].encoding, 1, s)) low = middle;
            else high = middle;
        }
        float x;
        set_scale(s, low);
        sgp_decode(formats[f].encoding, 1, &x, s);
        assert_true(isfinite(x));
        set_scale(s, high);
        sgp_decode(formats[f].encoding, 1, &x, s);
        assert_false(isfinite(x));
    }
}

/* ---- sizes ---- */

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_FLOAT32, 10), 40);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_BFLOAT16, 10), 20);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_BYTES, 10), 10);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT8, 0), 0);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT8, 1), 5);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT8, 257), 260 + 5);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT4, 512), 264);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT4, 3), 6);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT8M, 257), 2 * 261);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT6, 256), 197);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT5, 1), 165);
    assert_int_equal(sgp_encoding_bytes(SGP_ENCODING_INT4M, 512), 2 * 133);
    for (sgp_encoding_t e = SGP_ENCODING_BYTES; e <= SGP_ENCODING_LAST; e++)
        for (size_t chunk = 64; chunk < 70000; chunk += chunk < 5000 ? 64 : 6400) {
            size_t most = sgp_encoding_fit(e, chunk), count = 3 * most + 7;
            if (sgp_encoding_modulo_bits(e) > 0 && chunk < 1024)
                continue; /* the mixer refuses it */
            uint64_t sum = 0;
            assert_true(most > 0 && sgp_encoding_bytes(e, most) <= chunk);
            assert_true(most * sgp_encoding_room(e) <= chunk);
            if (sgp_encoding_has_blocks(e) && chunk >= 1024) assert_int_equal(most % SGP_BLOCK, 0);
            for (size_t left = count; left > 0;) {
                size_t now = left < most ? left : most;
                sum += sgp_encoding_bytes(e, now);
                left -= now;
            }
            assert_int_equal(sgp_encoding_message(e, chunk, count), sum);
        }
}

/* ---- a part of a block ---- */

/* z and later differ only in that some numbers of a block have been changed before the rounding error of others was kept. */
static void test_parts_of_a_block(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 9, 0);
    for (int f = 0; f < FORMATS; f++)
        for (size_t cut = 0; cut <= SGP_BLOCK; cut += 31) {
            float x[SGP_BLOCK], whole[SGP_BLOCK], parts[SGP_BLOCK];
            draw(&random, SGP_BLOCK, x, 3);
            memcpy(whole, x, sizeof x);
            memcpy(parts, x, sizeof x);
            sgp_keep_rounding(formats[f].encoding, SGP_BLOCK, whole, whole, 2);
            uint32_t largest = sgp_block_largest(SGP_BLOCK, parts);
            sgp_keep_rounding_within(formats[f].encoding, cut, parts, parts, 2, largest);
            sgp_keep_rounding_within(formats[f].encoding, SGP_BLOCK - cut, parts + cut, parts + cut,
                                     2, largest);
            assert_memory_equal(whole, parts, sizeof whole);
        }
}

/* ---- the passes of the mixing, against one step after the other ---- */

enum { LENGTH = 2500 }; /* several pieces, and a short block */

typedef struct arrays {
    float x[LENGTH], y[LENGTH], sent[LENGTH], arrived[LENGTH]; /* the last two: dec(s), dec(u) */
    unsigned char s[2 * LENGTH], t[2 * LENGTH], u[2 * LENGTH]; /* enc(x); results; enc(y) */
    size_t bytes;
} arrays_t;

static void fill(arrays_t *a, sgp_encoding_t e) {
    sgp_random_t random;
    sgp_random_init(&random, 13, (uint64_t)e);
    draw(&random, LENGTH, a->x, 3);
    draw(&random, LENGTH, a->y, 3);
    a->bytes = sgp_encoding_bytes(e, LENGTH);
    sgp_encode(e, LENGTH, a->s, a->x);
    sgp_decode(e, LENGTH, a->sent, a->s);
    sgp_encode(e, LENGTH, a->u, a->y);
    sgp_decode(e, LENGTH, a->arrived, a->u);
}

static void test_the_sender_keeps_the_rest(void **state) {
    (void)state;
    static arrays_t a;
    for (int f = 0; f < FORMATS; f++) {
        sgp_encoding_t e = formats[f].encoding;
        float z[LENGTH], r[LENGTH];
        fill(&a, e);
        memcpy(z, a.x, sizeof z);
        sgp_encode_keep(e, LENGTH, a.t, z, 1, 2);
        assert_memory_equal(a.t, a.s, a.bytes);
        for (int i = 0; i < LENGTH; i++) assert_true(z[i] == a.x[i] + 2 * (a.x[i] - a.sent[i]));
        memcpy(r, a.x, sizeof r);
        sgp_keep_rounding(e, LENGTH, r, r, 2);
        assert_memory_equal(r, z, sizeof r);
        memcpy(z, a.x, sizeof z);
        sgp_encode_mean(e, LENGTH, a.t, z, r, 4);
        assert_memory_equal(a.t, a.s, a.bytes);
        assert_memory_equal(z, a.sent, sizeof z);
        for (int i = 0; i < LENGTH; i++) assert_true(r[i] == 4 * (a.x[i] - a.sent[i]));
    }
}

static void test_the_receiver_absorbs_the_decoded(void **state) {
    (void)state;
    static arrays_t a;
    for (int f = 0; f < FORMATS; f++) {
        sgp_encoding_t e = formats[f].encoding;
        float z[LENGTH];
        fill(&a, e);
        memcpy(z, a.x, sizeof z);
        sgp_decode_absorb(e, LENGTH, z, a.u, 0.25f);
        for (int i = 0; i < LENGTH; i++)
            assert_true(z[i] == a.x[i] + 0.25f * (a.arrived[i] - a.x[i]));
        memcpy(z, a.x, sizeof z);
        sgp_decode_add(e, LENGTH, z, a.u, 0.25f);
        for (int i = 0; i < LENGTH; i++) assert_true(z[i] == a.x[i] + 0.25f * a.arrived[i]);
    }
}

static void test_feedback_and_pairs(void **state) {
    (void)state;
    static arrays_t a;
    for (int f = 0; f < FORMATS; f++) {
        sgp_encoding_t e = formats[f].encoding;
        float z[LENGTH], r[LENGTH];
        fill(&a, e);
        for (int i = 0; i < LENGTH; i++) z[i] = a.x[i] + a.y[i];
        memcpy(r, a.y, sizeof r);
        sgp_encode_feedback(e, LENGTH, a.t, a.x, r);
        sgp_encode(e, LENGTH, a.s, z);
        assert_memory_equal(a.t, a.s, a.bytes);
        sgp_decode(e, LENGTH, a.sent, a.s);
        for (int i = 0; i < LENGTH; i++) assert_true(r[i] == z[i] - a.sent[i]);
        for (int i = 0; i < LENGTH; i++) r[i] = 0.5f * (a.x[i] - a.arrived[i]);
        memcpy(z, a.x, sizeof z);
        sgp_encode_pair(e, LENGTH, z, a.u, a.t);
        sgp_encode(e, LENGTH, a.s, r);
        assert_memory_equal(a.t, a.s, a.bytes);
        sgp_decode(e, LENGTH, a.sent, a.s);
        for (int i = 0; i < LENGTH; i++) assert_true(z[i] == a.x[i] - a.sent[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_those_of_plain_loops),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_every_size_of_numbers),
        cmocka_unit_test(test_exact_numbers),
        cmocka_unit_test(test_denormals_do_not_depend_on_the_cpus_mode),
        cmocka_unit_test(test_what_is_not_finite_shows),
        cmocka_unit_test(test_damaged_blocks_are_refused),
        cmocka_unit_test(test_the_largest_scale),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_parts_of_a_block),
        cmocka_unit_test(test_the_sender_keeps_the_rest),
        cmocka_unit_test(test_the_receiver_absorbs_the_decoded),
        cmocka_unit_test(test_feedback_and_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
