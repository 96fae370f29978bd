/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

typedef struct variant {
    size_t rows;
    int channels;
    bool relu, residual, more, in_place;
    double offset; /* of x: its mean far from zero */
    int lanes;     /* of the kernels; 0: the widest */
} variant_t;

typedef struct fixture {
    variant_t v;
    size_t count, channels;
    arena_t arena;
    batch_norm_t norm;
    float *x, *scale, *shift, *residual, *y, *mean, *variance;
    float *dy, *more, *dx, *d_scale, *d_shift;
} fixture_t;

static void set_up(fixture_t *f, variant_t v) {
    *f = (fixture_t){.v = v, .count = v.rows * (size_t)v.channels, .channels = (size_t)v.channels};
    batch_norm_options_t options = {.rows = v.rows, .channels = v.channels, .relu = v.relu};
    assert_int_equal(batch_norm_init(&f->norm, &f->arena, &options), SGP_OK);
    if (v.lanes) f->norm.kernels = kernels_of(v.lanes);
    f->x = make_random(f->count, 1, 2.0);
    for (size_t i = 0; i < f->count; i++) f->x[i] += (float)v.offset;
    f->scale = make_random(f->channels, 2, 1.0);
    f->shift = make_random(f->channels, 3, 1.0);
    f->residual = v.residual ? make_random(f->count, 4, 1.0) : NULL;
    f->mean = make_random(f->channels, 5, 1.0);
    f->variance = make_floats(f->channels);
    for (size_t c = 0; c < f->channels; c++) f->variance[c] = 1.0f + 0.1f * (float)c;
    f->y = make_random(f->count, 6, 1.0);
    f->dy = make_random(f->count, 7, 1.0);
    f->more = v.more ? make_random(f->count, 8, 1.0) : NULL;
    f->dx = make_random(f->count, 9, 1.0);
    f->d_scale = make_random(f->channels, 10, 1.0);
    f->d_shift = make_random(f->channels, 11, 1.0);
}

static void tear_down(fixture_t *f) {
    arena_release(&f->arena);
    float *all[] = {f->x,        f->scale, f->shift, f->residual, f->y,       f->mean,
                    f->variance, f->dy,    f->more,  f->dx,       f->d_scale, f->d_shift};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* y from mean and variance, and the same in `expected`. */
static reference_norm_t reference_of(const fixture_t *f) {
    return (reference_norm_t){.rows = f->v.rows,
                              .channels = f->v.channels,
                              .relu = f->v.relu,
                              .mean = make_doubles(f->channels),
                              .variance = make_doubles(f->channels)};
}

static void check_forward(fixture_t *f, const reference_norm_t *n, bool training) {
    double *x = to_doubles(f->x, f->count), *y = make_doubles(f->count);
    double *scale = to_doubles(f->scale, f->channels), *shift = to_doubles(f->shift, f->channels);
    double *residual = f->residual ? to_doubles(f->residual, f->count) : NULL;
    if (training)
        batch_norm_train(&f->norm, f->x, f->scale, f->shift, f->residual, f->y, f->mean,
                         f->variance);
    else
        batch_norm_evaluate(&f->norm, f->x, f->scale, f->shift, f->residual, f->y, f->mean,
                            f->variance);
    reference_norm_forward(n, x, scale, shift, residual, y);
    assert_close("output", f->y, y, f->count, 2e-5);
    free(x), free(y), free(scale), free(shift), free(residual);
}

/* Running statistics: 0.9 of the old and 0.1 of the new, the variance over rows - 1. */
static void check_running(fixture_t *f, const reference_norm_t *n, const double *old_mean,
                          const double *old_variance) {
    double unbias = f->v.rows > 1 ? (double)f->v.rows / ((double)f->v.rows - 1.0) : 1.0;
    double *mean = make_doubles(f->channels), *variance = make_doubles(f->channels);
    for (size_t c = 0; c < f->channels; c++) {
        mean[c] = 0.9 * old_mean[c] + 0.1 * n->mean[c];
        variance[c] = 0.9 * old_variance[c] + 0.1 * n->variance[c] * unbias;
    }
    assert_close("running mean", f->mean, mean, f->channels, 1e-6);
    assert_close("running variance", f->variance, variance, f->channels, 1e-6);
    free(mean), free(variance);
}

static void check_backward(fixture_t *f, const reference_norm_t *n) {
    size_t count = f->count;
    double *x = to_doubles(f->x, count), *y = to_doubles(f->y, count);
    double *scale = to_doubles(f->scale, f->channels), *dy = to_doubles(f->dy, count);
    double *g = make_doubles(count), *dx = make_doubles(count);
    double *d_scale = make_doubles(f->channels), *d_shift = make_doubles(f->channels);
    for (size_t i = 0; f->more && i < count; i++) dy[i] += (double)f->more[i];
    reference_norm_backward(n, x, y, scale, dy, g, dx, d_scale, d_shift);
    float *written = f->v.in_place ? (f->v.residual ? f->more : f->dy) : f->dx;
    batch_norm_gradients_t gradients = {.d_y = f->dy,
                                        .d_y_more = f->more,
                                        .keep_residual = f->v.residual,
                                        .d_x = written,
                                        .d_scale = f->d_scale,
                                        .d_shift = f->d_shift};
    batch_norm_backward(&f->norm, f->x, f->y, &gradients);
    assert_close("input gradient", written, dx, count, 2e-5);
    if (f->v.residual) assert_close("residual gradient", f->dy, g, count, 1e-6);
    double tolerance = 2e-5 * (1.0 + fabs(f->v.offset)); /* of sums of g (x - mean) in float */
    assert_close("scale gradient", f->d_scale, d_scale, f->channels, tolerance);
    assert_close("shift gradient", f->d_shift, d_shift, f->channels, 2e-5);
    double *all[] = {x, y, scale, dy, g, dx, d_scale, d_shift};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void check(variant_t v) {
    fixture_t f;
    set_up(&f, v);
    reference_norm_t n = reference_of(&f);
    double *x = to_doubles(f.x, f.count);
    double *old_mean = to_doubles(f.mean, f.channels);
    double *old_variance = to_doubles(f.variance, f.channels);
    reference_norm_moments(&n, x);
    check_forward(&f, &n, true);
    check_running(&f, &n, old_mean, old_variance);
    check_backward(&f, &n);
    for (size_t c = 0; c < f.channels; c++) {
        n.mean[c] = (double)f.mean[c];
        n.variance[c] = (double)f.variance[c];
    }
    check_forward(&f, &n, false);
    free(x), free(old_mean), free(old_variance), free(n.mean), free(n.variance);
    tear_down(&f);
}

static void agrees_with_the_reference(void **state) {
    (void)state;
    static const struct {
        size_t rows;
        int channels;
    } shapes[] = {{2 * 8 * 8, 16}, {3 * 5 * 5, 16}, {130, 32}, {67, 48}, {9, 64}, {1, 16}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned flags = 0; flags < 8; flags++)
            check((variant_t){.rows = shapes[i].rows,
                              .channels = shapes[i].channels,
                              .relu = flags & 1,
                              .residual = flags & 2,
                              .more = flags & 4});
}

/* d_x may overwrite arrays that are read for the last time, as plan.c arranges it. */
static void works_in_place(void **state) {
    (void)state;
    for (unsigned relu = 0; relu < 2; relu++) {
        check((variant_t){.rows = 70, .channels = 16, .relu = relu, .in_place = true});
        check(
            (variant_t){.rows = 70, .channels = 32, .relu = relu, .more = true, .in_place = true});
        check((variant_t){.rows = 70,
                          .channels = 16,
                          .relu = relu,
                          .residual = true,
                          .more = true,
                          .in_place = true});
    }
}

/* Here a variance computed as mean of squares minus square of mean would consist of rounding
 * error. */
static void survives_a_mean_far_from_zero(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, (variant_t){.rows = 4096, .channels = 16, .offset = 5000.0});
    reference_norm_t n = reference_of(&f);
    double *x = to_doubles(f.x, f.count);
    reference_norm_moments(&n, x);
    batch_norm_train(&f.norm, f.x, f.scale, f.shift, NULL, f.y, f.mean, f.variance);
    for (size_t c = 0; c < f.channels; c++) {
        double deviation = (double)f.norm.deviation[c];
        assert_true(fabs(1.0 / (deviation * deviation) / n.variance[c] - 1.0) < 1e-4);
    }
    free(x), free(n.mean), free(n.variance);
    tear_down(&f);
}

static double loss_at(fixture_t *f, const double *dy) {
    batch_norm_train(&f->norm, f->x, f->scale, f->shift, f->residual, f->y, f->mean, f->variance);
    return dot(f->y, dy, f->count);
}

static void check_difference(fixture_t *f, float *moved, const float *gradient, size_t index,
                             const double *dy) {
    const float width = 1e-2f;
    float before = moved[index];
    moved[index] = before + width;
    double right = loss_at(f, dy);
    moved[index] = before - width;
    double left = loss_at(f, dy);
    moved[index] = before;
    double slope = (right - left) / (2.0 * (double)width);
    assert_true(fabs(slope - (double)gradient[index]) < 5e-3 * (1.0 + fabs(slope)));
}

static void agrees_with_finite_differences(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, (variant_t){.rows = 24, .channels = 16, .residual = true});
    double *dy = to_doubles(f.dy, f.count);
    loss_at(&f, dy);
    batch_norm_gradients_t gradients = {.d_y = f.dy,
                                        .keep_residual = true,
                                        .d_x = f.dx,
                                        .d_scale = f.d_scale,
                                        .d_shift = f.d_shift};
    batch_norm_backward(&f.norm, f.x, f.y, &gradients);
    for (size_t i = 0; i < 40; i++) {
        check_difference(&f, f.x, f.dx, i * 31 % f.count, dy);
        check_difference(&f, f.residual, f.dy, i * 31 % f.count, dy);
        check_difference(&f, f.scale, f.d_scale, i % f.channels, dy);
        check_difference(&f, f.shift, f.d_shift, i % f.channels, dy);
    }
    free(dy);
    tear_down(&f);
}

static void a_nan_passes_the_relu(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, (variant_t){.rows = 8, .channels = 16, .relu = true});
    f.x[5] = NAN;
    batch_norm_evaluate(&f.norm, f.x, f.scale, f.shift, NULL, f.y, f.mean, f.variance);
    assert_true(isnan(f.y[5]));
    tear_down(&f);
}

static void odd_channels_are_refused(void **state) {
    (void)state;
    arena_t arena = {0};
    batch_norm_t norm;
    batch_norm_options_t options = {.rows = 8, .channels = 8};
    assert_int_equal(batch_norm_init(&norm, &arena, &options), SGP_ERR_INVALID);
    options.channels = 0;
    assert_int_equal(batch_norm_init(&norm, &arena, &options), SGP_ERR_INVALID);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(works_in_place),
        cmocka_unit_test(survives_a_mean_far_from_zero),
        cmocka_unit_test(agrees_with_finite_differences),
        cmocka_unit_test(a_nan_passes_the_relu),
        cmocka_unit_test(odd_channels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
