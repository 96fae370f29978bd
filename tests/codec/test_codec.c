/* SPDX-License-Identifier: Apache-2.0 */
/* The 16-bit encodings against arithmetic in double, by the definition of the formats: all their numbers, the numbers
 * between these, and random bits. */
#include "cmocka_all.h"

#include "base/random.h"
#include "codec/codec.h"
#include "wire/header.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 200000

typedef struct format {
    sgp_encoding_t encoding;
    int fraction; /* bits of it */
    int lowest;   /* exponent of the smallest normal number */
    int highest;  /* of the largest */
} format_t;

static const format_t formats[] = {
    {SGP_ENCODING_BFLOAT16, 7, -126, 127},
    {SGP_ENCODING_FLOAT16, 10, -14, 15},
};

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The number of 16 bits: sign, exponent, fraction. NaN: any. */
static double meaning(const format_t *format, uint16_t s) {
    int fraction = s & ((1 << format->fraction) - 1), exponent = (s & 0x7fff) >> format->fraction;
    int bias = 1 - format->lowest;
    double sign = s & 0x8000 ? -1 : 1;
    if (exponent == format->highest + bias + 1) return fraction ? (double)NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, format->lowest - format->fraction);
    return sign * ldexp(fraction + (1 << format->fraction), exponent - bias - format->fraction);
}

/* A finite number rounded to the nearest that the format has, ties to even, no larger than its
 * largest. */
static double rounded(const format_t *format, double x) {
    int exponent = 0;
    frexp(x, &exponent); /* x = m 2^exponent, m from 1/2 to 1 */
    exponent = x == 0 || exponent - 1 < format->lowest ? format->lowest : exponent - 1;
    double unit = ldexp(1, exponent - format->fraction), largest = ldexp(2, format->highest);
    double near = rint(x / unit) * unit;
    largest -= ldexp(1, format->highest - format->fraction);
    return copysign(fmin(fabs(near), largest), x);
}

static bool same(double a, double b) {
    return a == b && signbit(a) == signbit(b);
}

static void check_one(const format_t *format, float x, uint16_t s) {
    double expected = isfinite(x) ? rounded(format, (double)x) : (double)x;
    bool fits = isnan(x) ? isnan(meaning(format, s)) && (s >> 15) == (bits_of(x) >> 31)
                         : same(meaning(format, s), expected);
    if (!fits)
        fail_msg("%s of %a (%08x) is %04x, which means %a", sgp_encoding_name(format->encoding),
                 (double)x, bits_of(x), s, meaning(format, s));
}

/* With and without instructions that only some CPUs have; the tails have odd lengths. */
static void check_encode(const format_t *format, size_t count, const float *x) {
    uint16_t *s = calloc(count, sizeof *s), *plain = calloc(count, sizeof *plain);
    assert_true(s && plain);
    sgp_encode(format->encoding, count, s, x);
    sgp_encoding_only_plain(true);
    sgp_encode(format->encoding, count, plain, x);
    sgp_encoding_only_plain(false);
    assert_memory_equal(s, plain, count * sizeof *s);
    for (size_t i = 0; i < count; i++) check_one(format, x[i], s[i]);
    free(s);
    free(plain);
}

static void test_all_numbers_are_decoded(void **state) {
    (void)state;
    static uint16_t s[65536], back[65536];
    static float x[65536], plain[65536];
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < 65536; i++) s[i] = (uint16_t)i;
        sgp_decode(formats[f].encoding, 65536, x, s);
        sgp_encoding_only_plain(true);
        sgp_decode(formats[f].encoding, 65536, plain, s);
        sgp_encoding_only_plain(false);
        assert_memory_equal(x, plain, sizeof x);
        for (int i = 0; i < 65536; i++)
            assert_true(isnan(x[i]) ? isnan(meaning(&formats[f], s[i]))
                                    : same((double)x[i], meaning(&formats[f], s[i])));
        /* They come back unchanged, a NaN quiet. */
        sgp_encode(formats[f].encoding, 65536, back, x);
        for (int i = 0; i < 65536; i++)
            assert_int_equal(back[i], isnan(x[i]) ? s[i] | 1 << (formats[f].fraction - 1) : s[i]);
    }
}

/* At, just below and just above the middle between any two neighbours, and at the numbers themselves. */
static void test_ties_and_their_neighbours(void **state) {
    (void)state;
    static float x[65536 * 4];
    for (int f = 0; f < 2; f++) {
        size_t count = 0;
        for (int i = 0; i < 65536; i++) {
            double a = meaning(&formats[f], (uint16_t)i),
                   b = meaning(&formats[f], (uint16_t)(i + 1));
            if (!isfinite(a) || !isfinite(b) || (i & 0x7fff) == 0x7fff) continue;
            float middle = (float)((a + b) / 2);
            x[count++] = (float)a;
            x[count++] = middle;
            x[count++] = nextafterf(middle, INFINITY);
            x[count++] = nextafterf(middle, -INFINITY);
        }
        assert_true(count > 200000);
        check_encode(&formats[f], count, x);
    }
}

static void test_random_and_special_numbers(void **state) {
    (void)state;
    static float x[MANY];
    sgp_random_t random;
    sgp_random_init(&random, 11, 0);
    for (size_t i = 0; i < MANY; i++) x[i] = float_of((uint32_t)sgp_random_u64(&random));
    const float special[] = {
        0,         -0.0f,   INFINITY,         -INFINITY, NAN,      -NAN,       65504,    65519,
        65520,     65536,   -70000,           0x1p-24f,  0x1p-25f, 0x1.8p-25f, 0x1p-14f, 0x1p-126f,
        0x1p-149f, 3.4e38f, -3.402823466e38f, 1,         -1};
    memcpy(x + 7, special, sizeof special);
    x[100] = float_of(0x7f800001); /* a signalling NaN whose payload does not fit */
    x[101] = float_of(0xffbfffff);
    for (int f = 0; f < 2; f++) {
        check_encode(&formats[f], MANY - 3, x);
        for (size_t count = 1; count < 40; count++) check_encode(&formats[f], count, x + count);
    }
    /* From IEEE 754 and other documents. */
    uint16_t s[4];
    sgp_encode(SGP_ENCODING_FLOAT16, 4, s, (const float[]){1, -2, 65504, 0x1p-24f});
    assert_memory_equal(s, ((const uint16_t[]){0x3c00, 0xc000, 0x7bff, 0x0001}), sizeof s);
    sgp_encode(SGP_ENCODING_BFLOAT16, 4, s, (const float[]){1, -2, 3.14159265f, INFINITY});
    assert_memory_equal(s, ((const uint16_t[]){0x3f80, 0xc000, 0x4049, 0x7f80}), sizeof s);
}

/* ---- the passes of the mixing ---- */

enum { LENGTH = 2500 }; /* blocks and a rest */

typedef struct arrays {
    float x[LENGTH], y[LENGTH], decoded[LENGTH];
    uint16_t s[LENGTH], t[LENGTH];
} arrays_t;

static arrays_t *arrays_of(const format_t *format, uint64_t seed) {
    static arrays_t a;
    sgp_random_t random;
    sgp_random_init(&random, seed, 0);
    for (int i = 0; i < LENGTH; i++) {
        a.x[i] = (float)(sgp_random_double(&random) * 6 - 3);
        a.y[i] = (float)(sgp_random_double(&random) * 6 - 3);
    }
    sgp_encode(format->encoding, LENGTH, a.s, a.y);
    sgp_decode(format->encoding, LENGTH, a.decoded, a.s);
    return &a;
}

static void test_sent_and_kept_parts_add_up(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        sgp_encoding_t encoding = formats[f].encoding;
        arrays_t *a = arrays_of(&formats[f], 3);
        float z[LENGTH], later[LENGTH], r[LENGTH], sent[LENGTH];
        memcpy(z, a->x, sizeof z);
        sgp_encode_keep(encoding, LENGTH, a->t, z, 1, 2);
        sgp_decode(encoding, LENGTH, sent, a->t);
        memcpy(later, a->x, sizeof later);
        sgp_keep_rounding(encoding, LENGTH, later, later, 2);
        assert_memory_equal(z, later, sizeof z);
        bool rounds = false;
        for (int i = 0; i < LENGTH; i++) {
            /* w = 3, kept 1, sent 2: x = 3 x_before = z + 2 sent. */
            assert_true(fabsf(z[i] + 2 * sent[i] - 3 * a->x[i]) < 1e-5f);
            rounds |= fabsf(sent[i] - a->x[i]) > 1e-4f;
        }
        assert_true(rounds);
        memcpy(r, a->y, sizeof r);
        sgp_encode_feedback(encoding, LENGTH, a->t, a->x, r);
        sgp_decode(encoding, LENGTH, sent, a->t);
        for (int i = 0; i < LENGTH; i++)
            assert_true(fabsf(sent[i] + r[i] - (a->x[i] + a->y[i])) < 1e-6f);
        memcpy(z, a->x, sizeof z);
        sgp_encode_mean(encoding, LENGTH, a->t, z, r, 4);
        sgp_decode(encoding, LENGTH, sent, a->t);
        assert_memory_equal(z, sent, sizeof z);
        for (int i = 0; i < LENGTH; i++) assert_true(r[i] == 4 * (a->x[i] - sent[i]));
    }
}

static void test_decoding_passes(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        sgp_encoding_t encoding = formats[f].encoding;
        arrays_t *a = arrays_of(&formats[f], 4);
        float z[LENGTH], d[LENGTH];
        memcpy(z, a->x, sizeof z);
        sgp_decode_absorb(encoding, LENGTH, z, a->s, 0.25f);
        for (int i = 0; i < LENGTH; i++)
            assert_true(z[i] == a->x[i] + 0.25f * (a->decoded[i] - a->x[i]));
        memcpy(z, a->x, sizeof z);
        sgp_decode_add(encoding, LENGTH, z, a->s, 0.25f);
        for (int i = 0; i < LENGTH; i++) assert_true(z[i] == a->x[i] + 0.25f * a->decoded[i]);
        memcpy(z, a->x, sizeof z);
        sgp_encode_pair(encoding, LENGTH, z, a->s, a->t);
        sgp_decode(encoding, LENGTH, d, a->t);
        for (int i = 0; i < LENGTH; i++) {
            assert_true(z[i] == a->x[i] - d[i]);
            double half = rounded(&formats[f], (double)(0.5f * (a->x[i] - a->decoded[i])));
            assert_true((double)d[i] == half);
        }
    }
}

static void test_names_and_sizes(void **state) {
    (void)state;
    sgp_encoding_t encoding = SGP_ENCODING_DEFAULT;
    for (int e = SGP_ENCODING_FLOAT32; e <= SGP_ENCODING_INT5; e++) {
        assert_int_equal(sgp_encoding_parse(sgp_encoding_name((sgp_encoding_t)e), &encoding),
                         SGP_OK);
        assert_int_equal(encoding, e);
    }
    assert_int_equal(sgp_encoding_parse("float8", &encoding), SGP_ERR_NOT_FOUND);
    assert_string_equal(sgp_encoding_name(SGP_ENCODING_DEFAULT), "float32");
    assert_string_equal(sgp_encoding_name((sgp_encoding_t)99), "unknown");
    assert_string_equal(sgp_encoding_names(),
                        "float32, bfloat16, float16, int8, int4, int8m, int6, int5");
    assert_string_equal(sgp_encoding_name(SGP_ENCODING_INT4M), "int4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_numbers_are_decoded),
        cmocka_unit_test(test_ties_and_their_neighbours),
        cmocka_unit_test(test_random_and_special_numbers),
        cmocka_unit_test(test_sent_and_kept_parts_add_up),
        cmocka_unit_test(test_decoding_passes),
        cmocka_unit_test(test_names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
