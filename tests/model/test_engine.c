/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <sgp/log.h>

typedef struct fixture {
    affine_options_t options;
    affine_sizes_t sizes;
    arena_t arena;
    engine_t *engine;
    affine_t *affine;
    float *x, *w, *b, *dy, *y, *dw, *db, *dx;
} fixture_t;

/* Sets the output's size too. */
static void set_up(fixture_t *f, affine_options_t o) {
    *f = (fixture_t){0};
    o.name = "layer";
    if (o.kernel) {
        o.out_height = (o.in_height + 2 * o.padding - o.kernel) / o.stride + 1;
        o.out_width = (o.in_width + 2 * o.padding - o.kernel) / o.stride + 1;
    } else {
        o.out_height = o.out_width = 1;
    }
    f->options = o;
    f->sizes = affine_sizes(&o);
    assert_int_equal(engine_create(&f->arena, 0, &f->engine), SGP_OK);
    assert_int_equal(affine_create(f->engine, &o, &f->affine), SGP_OK);
    assert_int_equal(engine_allocate_scratchpad(f->engine), SGP_OK);
    size_t channels = (size_t)o.out_channels;
    f->x = make_random(f->sizes.input, 1, 1.0);
    f->w = make_random(f->sizes.weight, 2, 0.3);
    f->b = make_random(channels, 3, 1.0);
    f->dy = make_random(f->sizes.output, 4, 1.0);
    f->y = make_random(f->sizes.output, 5, 1.0); /* stale values: all are overwritten */
    f->dw = make_random(f->sizes.weight, 6, 1.0);
    f->db = make_random(channels, 7, 1.0);
    f->dx = make_random(f->sizes.input, 8, 1.0);
}

static void tear_down(fixture_t *f) {
    affine_destroy(f->affine);
    engine_destroy(f->engine);
    arena_release(&f->arena);
    float *all[] = {f->x, f->w, f->b, f->dy, f->y, f->dw, f->db, f->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void run(fixture_t *f) {
    float *dx = f->options.input_gradient ? f->dx : NULL;
    assert_int_equal(affine_forward(f->affine, f->x, f->w, f->b, f->y), SGP_OK);
    assert_int_equal(affine_backward(f->affine, f->x, f->w, f->dy, f->dw, f->db, dx), SGP_OK);
}

static void compare_with_reference(fixture_t *f) {
    const affine_options_t *o = &f->options;
    const affine_sizes_t *s = &f->sizes;
    size_t channels = (size_t)o->out_channels;
    double *x = to_doubles(f->x, s->input), *w = to_doubles(f->w, s->weight);
    double *b = to_doubles(f->b, channels), *dy = to_doubles(f->dy, s->output);
    double *y = make_doubles(s->output), *dw = make_doubles(s->weight);
    double *db = make_doubles(channels), *dx = make_doubles(s->input);
    reference_affine_forward(o, x, w, b, y);
    reference_affine_backward(o, x, w, dy, dw, db, dx);
    run(f);
    assert_close("output", f->y, y, s->output, 1e-5);
    assert_close("weight gradient", f->dw, dw, s->weight, 1e-5);
    if (o->bias) assert_close("bias gradient", f->db, db, channels, 1e-5);
    if (o->input_gradient) assert_close("input gradient", f->dx, dx, s->input, 1e-5);
    double *all[] = {x, w, b, dy, y, dw, db, dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* L = dy . y is linear in each of x, w and b, so that a difference is exact but for rounding,
 * whatever its width. */
static void compare_with_difference(fixture_t *f, float *moved, const float *gradient,
                                    size_t index) {
    const float width = 2.0f;
    float before = moved[index];
    double *dy = to_doubles(f->dy, f->sizes.output);
    double values[2];
    for (int side = 0; side < 2; side++) {
        moved[index] = before + (side ? width : -width);
        assert_int_equal(affine_forward(f->affine, f->x, f->w, f->b, f->y), SGP_OK);
        values[side] = dot(f->y, dy, f->sizes.output);
    }
    moved[index] = before;
    double slope = (values[1] - values[0]) / (2.0 * (double)width);
    assert_true(fabs(slope - (double)gradient[index]) < 1e-3 * (1.0 + fabs(slope)));
    free(dy);
}

static void check(affine_options_t options) {
    fixture_t f;
    set_up(&f, options);
    compare_with_reference(&f);
    for (size_t i = 0; i < 5; i++) {
        compare_with_difference(&f, f.w, f.dw, i * 7919 % f.sizes.weight);
        if (options.input_gradient)
            compare_with_difference(&f, f.x, f.dx, i * 7919 % f.sizes.input);
        if (options.bias)
            compare_with_difference(&f, f.b, f.db, i * 7919 % (size_t)options.out_channels);
    }
    tear_down(&f);
}

static const affine_options_t convolution_cases[] = {
    /* the first layers: few channels, no input gradient */
    {.batch = 4,
     .in_channels = 1,
     .in_height = 12,
     .in_width = 10,
     .out_channels = 16,
     .kernel = 5,
     .stride = 1,
     .padding = 2,
     .bias = true},
    {.batch = 3,
     .in_channels = 3,
     .in_height = 9,
     .in_width = 9,
     .out_channels = 16,
     .kernel = 3,
     .stride = 1,
     .padding = 1},
    /* inner layers */
    {.batch = 5,
     .in_channels = 16,
     .in_height = 7,
     .in_width = 6,
     .out_channels = 32,
     .kernel = 5,
     .stride = 1,
     .padding = 2,
     .bias = true,
     .input_gradient = true},
    {.batch = 3,
     .in_channels = 16,
     .in_height = 8,
     .in_width = 8,
     .out_channels = 16,
     .kernel = 3,
     .stride = 1,
     .padding = 1,
     .input_gradient = true},
    {.batch = 3,
     .in_channels = 16,
     .in_height = 9,
     .in_width = 7,
     .out_channels = 32,
     .kernel = 3,
     .stride = 2,
     .padding = 1,
     .input_gradient = true},
    {.batch = 2,
     .in_channels = 32,
     .in_height = 8,
     .in_width = 8,
     .out_channels = 64,
     .kernel = 1,
     .stride = 2,
     .padding = 0,
     .input_gradient = true},
    {.batch = 1,
     .in_channels = 64,
     .in_height = 3,
     .in_width = 3,
     .out_channels = 64,
     .kernel = 3,
     .stride = 1,
     .padding = 1,
     .bias = true,
     .input_gradient = true},
};

static void convolutions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof convolution_cases / sizeof *convolution_cases; i++)
        check(convolution_cases[i]);
}

static void dense_layers(void **state) {
    (void)state;
    static const affine_options_t cases[] = {
        {.batch = 7,
         .in_channels = 1,
         .in_height = 6,
         .in_width = 5,
         .out_channels = 24,
         .bias = true},
        {.batch = 4,
         .in_channels = 3,
         .in_height = 5,
         .in_width = 5,
         .out_channels = 8,
         .bias = true},
        {.batch = 6,
         .in_channels = 32,
         .in_height = 3,
         .in_width = 4,
         .out_channels = 10,
         .bias = true,
         .input_gradient = true},
        {.batch = 3,
         .in_channels = 40,
         .in_height = 1,
         .in_width = 1,
         .out_channels = 17,
         .bias = true,
         .input_gradient = true},
        {.batch = 1,
         .in_channels = 64,
         .in_height = 1,
         .in_width = 1,
         .out_channels = 10,
         .input_gradient = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(cases[i]);
}

/* The caller's vectors are read and written in place, aligned or not. */
static void unaligned_weights(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, (affine_options_t){.batch = 2,
                                  .in_channels = 16,
                                  .in_height = 5,
                                  .in_width = 5,
                                  .out_channels = 16,
                                  .kernel = 3,
                                  .stride = 1,
                                  .padding = 1,
                                  .bias = true,
                                  .input_gradient = true});
    run(&f);
    size_t count = f.sizes.weight;
    float *w = make_floats(count + 1), *dw = make_floats(count + 1),
          *y = make_floats(f.sizes.output);
    memcpy(w + 1, f.w, count * sizeof *w);
    assert_int_equal(affine_forward(f.affine, f.x, w + 1, f.b, y), SGP_OK);
    assert_memory_equal(y, f.y, f.sizes.output * sizeof *y);
    assert_int_equal(affine_backward(f.affine, f.x, w + 1, f.dy, dw + 1, f.db, f.dx), SGP_OK);
    assert_memory_equal(dw + 1, f.dw, count * sizeof *dw);
    free(w), free(dw), free(y);
    tear_down(&f);
}

static void keep_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank;
    snprintf(user, 256, "%s", line);
}

static void reference_implementations_are_refused(void **state) {
    (void)state;
    char line[256] = "";
    sgp_log_set(keep_line, line, SGP_LOG_ERROR);
    assert_int_equal(engine_check_implementation("conv7", "forward", "jit:avx512_core"), SGP_OK);
    assert_int_equal(engine_check_implementation("conv7", "forward", "brgconv:avx512_core"),
                     SGP_OK);
    assert_string_equal(line, "");
    assert_int_equal(engine_check_implementation("conv7", "forward", "ref:any"),
                     SGP_ERR_UNSUPPORTED);
    assert_non_null(strstr(line, "conv7"));
    assert_non_null(strstr(line, "ref:any"));
    assert_int_equal(engine_check_implementation("conv7", "forward", "gemm:ref"),
                     SGP_ERR_UNSUPPORTED);
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(dense_layers),
        cmocka_unit_test(unaligned_weights),
        cmocka_unit_test(reference_implementations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
