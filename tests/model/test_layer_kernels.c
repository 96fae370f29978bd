/* SPDX-License-Identifier: Apache-2.0 */
/* Every width of vectors gives the same bits, and bfloat16 the rounded result of float32. */
#include "reference.h"

#include "model/layers/layer_kernels.h"

enum { ROWS = 70, CHANNELS = 48, COUNT = ROWS * CHANNELS };

static const int WIDTHS[] = {4, 8, 16};
enum { WIDTH_COUNT = sizeof WIDTHS / sizeof *WIDTHS };

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The definition: of the two neighbours in bfloat16 the nearer one, at equal distance the even. */
static uint16_t nearest(float value) {
    uint16_t below = (uint16_t)(bits_of(value) >> 16), above = (uint16_t)(below + 1);
    double low = (double)value - (double)widen(below), high = (double)widen(above) - (double)value;
    if (fabs(low) != fabs(high)) return fabs(low) < fabs(high) ? below : above;
    return below & 1 ? above : below;
}

static void rounds_to_the_nearest(void **state) {
    (void)state;
    enum { VALUES = 4096 + 5 };
    float *values = make_random(VALUES, 1, 3.0);
    uint16_t *rounded = make(VALUES, sizeof *rounded);
    /* Exact, ties to both sides, the largest that stays finite, and a very small one. */
    const float special[] = {0.0f, -0.0f, 1.0f, 1.00390625f, 1.01171875f, 3.38e38f, 1e-39f};
    memcpy(values, special, sizeof special);
    for (int w = 0; w < WIDTH_COUNT; w++) {
        if (!kernels_of(WIDTHS[w])) continue;
        kernels_of(WIDTHS[w])->round(VALUES, values, rounded);
        for (int i = 0; i < VALUES; i++) assert_int_equal(rounded[i], nearest(values[i]));
    }
    free(values), free(rounded);
}

/* Within a vector, and behind the last one. */
static void infinities_and_nans_stay(void **state) {
    (void)state;
    enum { WHOLE = 16, ODD = 4 };
    float values[WHOLE + ODD] = {INFINITY, -INFINITY, NAN};
    uint32_t all_ones = 0x7fffffff; /* a NaN that rounding would carry into the sign */
    memcpy(&values[3], &all_ones, sizeof all_ones);
    memcpy(values + WHOLE, values, ODD * sizeof *values);
    for (int w = 0; w < WIDTH_COUNT; w++) {
        if (!kernels_of(WIDTHS[w])) continue;
        uint16_t rounded[WHOLE + ODD];
        kernels_of(WIDTHS[w])->round(WHOLE + ODD, values, rounded);
        for (int i = 0; i <= WHOLE; i += WHOLE) {
            assert_true(widen(rounded[i]) == INFINITY && widen(rounded[i + 1]) == -INFINITY);
            assert_true(isnan(widen(rounded[i + 2])) && isnan(widen(rounded[i + 3])));
        }
    }
}

/* The arrays of one pass through all kernels. In bfloat16 they hold halves. */
typedef struct arrays {
    element_t element;
    size_t bytes; /* of COUNT elements */
    void *x, *more, *residual, *y, *dy, *dx, *pooled, *d_pooled, *mean_pooled;
    double moments[2 * CHANNELS * 2], sums[2 * CHANNELS * 2];
} arrays_t;

/* Values that are exact in bfloat16, as elements. */
static void *make_elements(element_t element, size_t count, uint64_t seed) {
    float *values = make_random(count, seed, 1.0);
    uint16_t *halves = make(count, sizeof *halves);
    kernels_of(4)->round(count, values, halves);
    for (size_t i = 0; i < count; i++) values[i] = widen(halves[i]);
    free(element == ELEMENT_BFLOAT16 ? (void *)values : (void *)halves);
    return element == ELEMENT_BFLOAT16 ? (void *)halves : (void *)values;
}

static const pooling_t POOLING = {.batch = 1,
                                  .height = 10,
                                  .width = 7,
                                  .channels = CHANNELS,
                                  .out_height = 5,
                                  .out_width = 3,
                                  .kernel = 2,
                                  .stride = 2,
                                  .relu = true};
enum { POOLED = 5 * 3 * CHANNELS };

static void set_up(arrays_t *a, element_t element) {
    *a = (arrays_t){.element = element, .bytes = COUNT * element_bytes(element)};
    void **all[] = {&a->x, &a->more, &a->residual, &a->y, &a->dy, &a->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = make_elements(element, COUNT, i + 1);
    a->pooled = make_elements(element, POOLED, 11);
    a->d_pooled = make_elements(element, POOLED, 12);
    a->mean_pooled = make_elements(element, POOLED, 13);
}

static void tear_down(arrays_t *a) {
    void *all[] = {a->x,  a->more,   a->residual, a->y,          a->dy,
                   a->dx, a->pooled, a->d_pooled, a->mean_pooled};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The variants of a batch norm's passes. */
typedef struct variant {
    bool relu, residual, more;
} variant_t;

static void run_norm(arrays_t *a, const kernels_t *kernels, variant_t v) {
    arena_t arena = {0};
    batch_norm_t norm;
    batch_norm_options_t options = {
        .rows = ROWS, .channels = CHANNELS, .relu = v.relu, .element = a->element};
    assert_int_equal(batch_norm_init(&norm, &arena, &options), SGP_OK);
    float *constants[] = {norm.mean, norm.factor, norm.offset, norm.slope, norm.constant};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        for (int c = 0; c < norm.columns; c++)
            constants[i][c] = 0.25f * (float)(c % CHANNELS % 7) - 0.125f * (float)(i + 1);
    const size_t columns = (size_t)norm.columns;
    kernels->norm_moments(&norm, a->x, a->moments, a->moments + columns);
    kernels->norm_apply(&norm, a->x, v.residual ? a->residual : NULL, a->y);
    upstream_t up = {a->dy, v.more ? a->more : NULL, v.relu && v.residual ? a->y : NULL};
    kernels->norm_sums(&norm, a->x, &up);
    memcpy(a->sums, norm.sums, 2 * columns * sizeof(double));
    kernels->norm_spread(&norm, a->x, &up, a->dx);
    arena_release(&arena);
}

static void run_pooling(arrays_t *a, const kernels_t *kernels) {
    pooling_t p = POOLING;
    p.element = a->element;
    kernels->max_forward(&p, a->x, a->pooled);
    kernels->max_backward(&p, a->x, a->pooled, a->d_pooled, a->dx);
    kernels->average_forward(&p, a->x, a->mean_pooled);
    kernels->average_backward(&p, a->mean_pooled, a->y);
}

static void run_elements(arrays_t *a, const kernels_t *kernels) {
    enum { ODD = COUNT - 3 };
    kernels->relu_forward(a->element, ODD, a->x, a->y);
    kernels->relu_backward(a->element, ODD, a->y, a->dy, a->dx);
    kernels->add(a->element, ODD, a->more, a->dy);
}

enum { NORMS = 8, CASES = NORMS + 2 };

static void run_case(arrays_t *a, const kernels_t *kernels, int index) {
    if (index < NORMS)
        run_norm(a, kernels, (variant_t){index & 1, (index & 2) != 0, (index & 4) != 0});
    else if (index == NORMS) run_pooling(a, kernels);
    else run_elements(a, kernels);
}

static void assert_same(const arrays_t *a, const arrays_t *b) {
    assert_memory_equal(a->y, b->y, a->bytes);
    assert_memory_equal(a->dy, b->dy, a->bytes);
    assert_memory_equal(a->dx, b->dx, a->bytes);
    assert_memory_equal(a->pooled, b->pooled, POOLED * element_bytes(a->element));
    assert_memory_equal(a->mean_pooled, b->mean_pooled, POOLED * element_bytes(a->element));
    assert_memory_equal(a->moments, b->moments, sizeof a->moments);
    assert_memory_equal(a->sums, b->sums, sizeof a->sums);
}

static void all_widths_give_the_same_bits(void **state) {
    (void)state;
    for (int half = 0; half < 2; half++) {
        for (int index = 0; index < CASES; index++) {
            arrays_t narrow;
            set_up(&narrow, half ? ELEMENT_BFLOAT16 : ELEMENT_FLOAT32);
            run_case(&narrow, kernels_of(4), index);
            for (int w = 1; w < WIDTH_COUNT; w++) {
                if (!kernels_of(WIDTHS[w])) continue;
                arrays_t wide;
                set_up(&wide, narrow.element);
                run_case(&wide, kernels_of(WIDTHS[w]), index);
                assert_same(&narrow, &wide);
                tear_down(&wide);
            }
            tear_down(&narrow);
        }
    }
}

static void assert_rounded(const void *halves, const void *floats, size_t count) {
    uint16_t *rounded = make(count, sizeof *rounded);
    kernels_of(4)->round(count, floats, rounded);
    assert_memory_equal(halves, rounded, count * sizeof *rounded);
    free(rounded);
}

/* Inputs that are exact in bfloat16 give the float32 result, rounded when it is stored. A gradient
 * that the first pass stores and the second one reads again is rounded in between. */
static void bfloat16_is_float32_rounded_once(void **state) {
    (void)state;
    for (int index = 0; index < CASES; index++) {
        arrays_t whole, half;
        set_up(&whole, ELEMENT_FLOAT32);
        set_up(&half, ELEMENT_BFLOAT16);
        run_case(&whole, kernels_best(), index);
        run_case(&half, kernels_best(), index);
        assert_memory_equal(half.moments, whole.moments, sizeof half.moments);
        assert_rounded(half.dy, whole.dy, COUNT);
        assert_rounded(half.pooled, whole.pooled, POOLED);
        assert_rounded(half.mean_pooled, whole.mean_pooled, POOLED);
        bool stored = index < NORMS && (index & 4);
        if (index != NORMS) assert_rounded(half.y, whole.y, COUNT);
        if (!stored) assert_rounded(half.dx, whole.dx, COUNT);
        if (index < NORMS) assert_memory_equal(half.sums, whole.sums, sizeof half.sums);
        tear_down(&whole);
        tear_down(&half);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_the_nearest),
        cmocka_unit_test(infinities_and_nans_stay),
        cmocka_unit_test(all_widths_give_the_same_bits),
        cmocka_unit_test(bfloat16_is_float32_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
