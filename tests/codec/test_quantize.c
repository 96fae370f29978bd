/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of blocks gives the same bits with every instruction set that it is compiled for: quantize.c once more for
 * each, whatever this CPU would choose. A set that this CPU lacks is skipped, and said. */
#include "cmocka_all.h"

#include "base/random.h"
#include "base/vector.h"
#include "codec/float_bits.h"
#include "codec/quantize.h"

#include <math.h>
#include <string.h>

#undef SGP_VECTOR
#define SGP_VECTOR /* the plain loops, for any CPU of this architecture */
#define SET(name)  plain_##name
#include "quantize_set.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_SETS 1
#undef SGP_VECTOR
#undef SET
#define SGP_VECTOR __attribute__((target("avx2"), optimize("O3")))
#define SET(name)  avx2_##name
#include "quantize_set.h"
#undef SGP_VECTOR
#undef SET
#define SGP_VECTOR __attribute__((target("avx512f"), optimize("O3")))
#define SET(name)  avx512_##name
#include "quantize_set.h"
#endif

typedef struct set {
    const char *name;
    bool here;
    uint32_t (*largest)(size_t n, const float *x);
    uint32_t (*quantize)(size_t n, int8_t *codes, const float *x, uint32_t largest, int levels);
    void (*dequantize)(size_t n, float *x, const int8_t *codes, uint32_t scale);
} set_t;

enum { MOST = 256 };

static void check_block(const set_t *set, size_t n, const float *x, int levels) {
    int8_t codes[2][MOST] = {{0}};
    float decoded[2][MOST];
    uint32_t largest = sgp_quantize_largest(n, x);
    assert_int_equal(set->largest(n, x), largest);
    uint32_t scale = sgp_quantize(n, codes[0], x, largest, levels);
    assert_int_equal(set->quantize(n, codes[1], x, largest, levels), scale);
    assert_memory_equal(codes[0], codes[1], n);
    sgp_dequantize(n, decoded[0], codes[0], scale);
    set->dequantize(n, decoded[1], codes[0], scale);
    assert_memory_equal(decoded[0], decoded[1], n * sizeof(float));
}

/* Random bits, and numbers of all sizes, in blocks of all lengths. */
static void check_set(const set_t *set) {
    sgp_random_t random;
    sgp_random_init(&random, 17, 0);
    if (!set->here) {
        print_message("%s: this CPU has not got it\n", set->name);
        return;
    }
    for (int round = 0; round < 2000; round++) {
        float x[MOST];
        size_t n = 1 + (size_t)sgp_random_below(&random, MOST);
        int exponent = (int)sgp_random_below(&random, 277) - 149;
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)ldexp(sgp_random_double(&random) * 2 - 1, exponent);
            if (round % 10 == 0) x[i] = float_of((uint32_t)sgp_random_u64(&random));
        }
        check_block(set, n, x, 127);
        check_block(set, n, x, 7);
    }
}

static void test_same_bits(void **state) {
    (void)state;
    check_set(&(set_t){"plain", true, plain_quantize_largest, plain_quantize, plain_dequantize});
#ifdef HAS_SETS
    check_set(&(set_t){"avx2", __builtin_cpu_supports("avx2"), avx2_quantize_largest, avx2_quantize,
                       avx2_dequantize});
    check_set(&(set_t){"avx512f", __builtin_cpu_supports("avx512f"), avx512_quantize_largest,
                       avx512_quantize, avx512_dequantize});
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
