/* SPDX-License-Identifier: Apache-2.0 */
/* An optimizer that is saved and loaded goes on bit for bit; other states are refused and change nothing. */
#include "cmocka_all.h"

#include <sgp/log.h>
#include <sgp/optimizer.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 500, STEPS = 8 };

static const sgp_range_t ranges[] = {{3, 7}, {100, 50}};
static const sgp_range_t others[] = {{3, 7}, {100, 51}};

static const sgp_optimizer_options_t kinds[] = {
    {.count = COUNT},
    {.count = COUNT, .momentum = 0.9f, .weight_decay = 0.01f},
    {.count = COUNT, .momentum = 0.9f, .heavy_ball = true},
    {.count = COUNT, .kind = SGP_OPTIMIZER_ADAM},
    {.count = COUNT,
     .kind = SGP_OPTIMIZER_ADAM,
     .weight_decay = 0.1f,
     .no_decay = ranges,
     .no_decay_count = 2},
    {.count = COUNT, .kind = SGP_OPTIMIZER_ADAMW, .weight_decay = 0.5f},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static sgp_optimizer_t *make(const sgp_optimizer_options_t *options) {
    sgp_optimizer_t *optimizer = NULL;
    assert_int_equal(sgp_optimizer_create(options, &optimizer), SGP_OK);
    return optimizer;
}

static void step(sgp_optimizer_t *optimizer, float *z, int steps) {
    float gradient[COUNT];
    for (int k = 0; k < steps; k++) {
        for (int i = 0; i < COUNT; i++) gradient[i] = z[i] - (float)(i % 7);
        sgp_optimizer_step(optimizer, z, gradient, 0.01f);
    }
}

static unsigned char *save(const sgp_optimizer_t *optimizer, size_t *size) {
    *size = sgp_optimizer_state_size(optimizer);
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(sgp_optimizer_state_save(optimizer, bytes, *size), SGP_OK);
    return bytes;
}

static void test_goes_on(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        float z[COUNT] = {0}, other[COUNT];
        size_t size;
        sgp_optimizer_t *first = make(&kinds[k]), *second = make(&kinds[k]);
        step(first, z, STEPS);
        unsigned char *bytes = save(first, &size);
        memcpy(other, z, sizeof z);
        assert_int_equal(sgp_optimizer_state_load(second, bytes, size), SGP_OK);
        step(first, z, STEPS);
        step(second, other, STEPS);
        assert_memory_equal(z, other, sizeof z);
        sgp_optimizer_destroy(first);
        sgp_optimizer_destroy(second);
        free(bytes);
    }
}

/* The optimizer then makes the steps of a new one. */
static void refused(const sgp_optimizer_options_t *options, const void *bytes, size_t size,
                    sgp_status_t status, const char *text) {
    float *z = calloc(options->count, sizeof *z), *fresh = calloc(options->count, sizeof *fresh);
    sgp_optimizer_t *optimizer = make(options), *new = make(options);
    assert_int_equal(sgp_optimizer_state_load(optimizer, bytes, size), status);
    if (!strstr(sgp_last_error(), text)) fail_msg("%s", sgp_last_error());
    if (options->count == COUNT) step(optimizer, z, 2), step(new, fresh, 2);
    assert_memory_equal(z, fresh, options->count * sizeof *z);
    sgp_optimizer_destroy(optimizer);
    sgp_optimizer_destroy(new);
    free(z);
    free(fresh);
}

static void test_refused(void **state) {
    (void)state;
    size_t size;
    float z[COUNT] = {0};
    sgp_optimizer_t *optimizer = make(&kinds[4]);
    step(optimizer, z, 3);
    unsigned char *bytes = save(optimizer, &size);
    sgp_optimizer_options_t other = kinds[4];
    assert_int_equal(sgp_optimizer_state_save(optimizer, bytes, size + 1), SGP_ERR_INVALID);
    assert_non_null(strstr(sgp_last_error(), "the state has"));
    assert_int_equal(sgp_optimizer_state_save(optimizer, NULL, size), SGP_ERR_INVALID);
    assert_int_equal(sgp_optimizer_state_load(optimizer, bytes, size), SGP_ERR_INVALID);
    assert_non_null(strstr(sgp_last_error(), "has made 3 steps"));
    refused(&kinds[1], bytes, size, SGP_ERR_MISMATCH, "kind=adam, this one has kind=sgd");
    other.beta1 = 0.8f;
    refused(&other, bytes, size, SGP_ERR_MISMATCH, "one has beta1=0.8");
    other = kinds[4];
    other.no_decay = others;
    refused(&other, bytes, size, SGP_ERR_MISMATCH, "no_decay=");
    other = kinds[4];
    other.count = COUNT - 1;
    refused(&other, bytes, size, SGP_ERR_MISMATCH, "count=500, this one has count=499");
    refused(&kinds[4], NULL, size, SGP_ERR_INVALID, "no state");
    refused(&kinds[4], bytes, size - 4, SGP_ERR_INVALID, "are given");
    bytes[size - 20] ^= 1;
    refused(&kinds[4], bytes, size, SGP_ERR_INVALID, "damaged");
    sgp_optimizer_destroy(optimizer);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
