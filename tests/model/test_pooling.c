/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

static pooling_t sized(pooling_t p) {
    p.out_height = (p.height + 2 * p.padding - p.kernel) / p.stride + 1;
    p.out_width = (p.width + 2 * p.padding - p.kernel) / p.stride + 1;
    return p;
}

static size_t inputs(const pooling_t *p) {
    return (size_t)(p->batch * p->height * p->width * p->channels);
}

static size_t outputs(const pooling_t *p) {
    return (size_t)(p->batch * p->out_height * p->out_width * p->channels);
}

/* steps: number of values of x, so that windows contain equal pixels; 0: any values. */
static void check_max(pooling_t p, int steps) {
    p = sized(p);
    float *x = make_random(inputs(&p), 1, 1.0), *dy = make_random(outputs(&p), 2, 1.0);
    float *y = make_random(outputs(&p), 3, 1.0), *dx = make_random(inputs(&p), 4, 1.0);
    for (size_t i = 0; steps && i < inputs(&p); i++)
        x[i] = roundf(x[i] * (float)steps) / (float)steps;
    double *x2 = to_doubles(x, inputs(&p)), *dy2 = to_doubles(dy, outputs(&p));
    double *y2 = make_doubles(outputs(&p)), *dx2 = make_doubles(inputs(&p));
    pooling_max_forward(&p, x, y);
    reference_max_pool(&p, x2, y2, NULL, NULL);
    assert_close("output", y, y2, outputs(&p), 0.0);
    pooling_max_backward(&p, x, y, dy, dx);
    reference_max_pool(&p, x2, y2, dy2, dx2);
    assert_close("input gradient", dx, dx2, inputs(&p), 1e-6);
    free(x), free(dy), free(y), free(dx), free(x2), free(dy2), free(y2), free(dx2);
}

static void max_agrees_with_the_reference(void **state) {
    (void)state;
    static const pooling_t cases[] = {
        {.batch = 3, .height = 8, .width = 6, .kernel = 2, .stride = 2}, /* tiles */
        {.batch = 2, .height = 9, .width = 6, .kernel = 3, .stride = 3},
        {.batch = 2, .height = 7, .width = 9, .kernel = 2, .stride = 2}, /* an edge left over */
        {.batch = 2, .height = 8, .width = 7, .kernel = 3, .stride = 2, .padding = 1}, /* overlap */
        {.batch = 2, .height = 9, .width = 8, .kernel = 2, .stride = 3},               /* gaps */
    };
    static const int channels[] = {1, 3, 8, 16, 20, 33};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++) {
            for (int relu = 0; relu < 2; relu++) {
                pooling_t p = cases[i];
                p.channels = channels[c];
                p.relu = relu;
                check_max(p, 0);
                check_max(p, 1);
            }
        }
    }
}

/* The built-in ReLU equals a ReLU before the pooling. */
static void relu_and_max_commute(void **state) {
    (void)state;
    pooling_t p = sized(
        (pooling_t){.batch = 2, .height = 6, .width = 6, .channels = 8, .kernel = 2, .stride = 2});
    float *x = make_random(inputs(&p), 1, 1.0), *rectified = make_floats(inputs(&p));
    float *a = make_floats(outputs(&p)), *b = make_floats(outputs(&p));
    for (size_t i = 0; i < inputs(&p); i++) rectified[i] = x[i] > 0.0f ? x[i] : 0.0f;
    pooling_max_forward(&p, rectified, a);
    p.relu = true;
    pooling_max_forward(&p, x, b);
    assert_memory_equal(a, b, outputs(&p) * sizeof *a);
    free(x), free(rectified), free(a), free(b);
}

static void max_agrees_with_finite_differences(void **state) {
    (void)state;
    const float width = 1e-4f; /* no pixel overtakes another */
    pooling_t p = sized((pooling_t){.batch = 2,
                                    .height = 6,
                                    .width = 5,
                                    .channels = 9,
                                    .kernel = 3,
                                    .stride = 2,
                                    .padding = 1,
                                    .relu = true});
    float *x = make_random(inputs(&p), 1, 10.0), *dy = make_random(outputs(&p), 2, 1.0);
    float *y = make_floats(outputs(&p)), *dx = make_floats(inputs(&p));
    double *dy2 = to_doubles(dy, outputs(&p));
    pooling_max_forward(&p, x, y);
    pooling_max_backward(&p, x, y, dy, dx);
    for (size_t i = 0; i < inputs(&p); i += 3) {
        float before = x[i], above = before + width, below = before - width;
        x[i] = above;
        pooling_max_forward(&p, x, y);
        double right = dot(y, dy2, outputs(&p));
        x[i] = below;
        pooling_max_forward(&p, x, y);
        double left = dot(y, dy2, outputs(&p));
        x[i] = before;
        double slope = (right - left) / ((double)above - (double)below);
        assert_true(fabs(slope - (double)dx[i]) < 1e-4);
    }
    free(x), free(dy), free(y), free(dx), free(dy2);
}

/* y_c = mean over pixels of x_c, so d x_c = d y_c / pixels. */
static void average_agrees_with_the_definition(void **state) {
    (void)state;
    enum { BATCH = 3, PIXELS = 12, CHANNELS = 37 }; /* two vectors of 16 and a rest */
    float *x = make_random(BATCH * PIXELS * CHANNELS, 1, 1.0);
    float *dx = make_random(BATCH * PIXELS * CHANNELS, 2, 1.0);
    float y[BATCH * CHANNELS];
    double expected[BATCH * CHANNELS] = {0}, spread[BATCH * PIXELS * CHANNELS];
    float *dy = make_random(BATCH * CHANNELS, 3, 1.0);
    for (size_t i = 0; i < BATCH * PIXELS * CHANNELS; i++) {
        size_t o = i / (PIXELS * CHANNELS) * CHANNELS + i % CHANNELS;
        expected[o] += (double)x[i] / PIXELS;
        spread[i] = (double)dy[o] / PIXELS;
    }
    pooling_t p = {.batch = BATCH, .height = 3, .width = PIXELS / 3, .channels = CHANNELS};
    pooling_average_forward(&p, x, y);
    pooling_average_backward(&p, dy, dx);
    assert_close("mean", y, expected, BATCH * CHANNELS, 1e-6);
    assert_close("gradient", dx, spread, BATCH * PIXELS * CHANNELS, 1e-6);
    free(x), free(dx), free(dy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_agrees_with_the_reference),
        cmocka_unit_test(relu_and_max_commute),
        cmocka_unit_test(max_agrees_with_finite_differences),
        cmocka_unit_test(average_agrees_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
