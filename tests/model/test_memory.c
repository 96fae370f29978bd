/* SPDX-License-Identifier: Apache-2.0 */
/* This program replaces the library's sgp_memory_alloc by its own, which counts and can fail. */
#include "reference.h"

#include "base/memory.h"
#include "model/model.h"

#include <sgp/log.h>

static size_t live_bytes, live_blocks, allocations;
static size_t fail_at; /* the allocation that fails, from 1; 0: none */

typedef struct block {
    void *memory;
    size_t bytes;
} block_t;

static block_t blocks[64];

void *sgp_memory_alloc(size_t bytes) {
    allocations++;
    if (allocations == fail_at) return NULL;
    size_t i = 0;
    while (blocks[i].memory) assert_true(++i < sizeof blocks / sizeof *blocks);
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, SGP_ALIGNMENT, bytes ? bytes : 1), 0);
    memset(memory, 0, bytes);
    blocks[i] = (block_t){memory, bytes};
    live_bytes += bytes;
    live_blocks++;
    return memory;
}

void sgp_memory_free(void *memory) {
    if (!memory) return;
    size_t i = 0;
    while (blocks[i].memory != memory) assert_true(++i < sizeof blocks / sizeof *blocks);
    live_bytes -= blocks[i].bytes;
    live_blocks--;
    blocks[i].memory = NULL;
    free(memory);
}

static model_options_t options_of(const char *name, int batch) {
    return (model_options_t){
        .name = name, .batch = batch, .height = 28, .width = 28, .channels = 1, .classes = 10};
}

static void bytes_are_those_allocated(void **state) {
    (void)state;
    static const char *const names[] = {"mlp", "lenet", "resnet20"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        model_options_t options = options_of(names[i], 16);
        model_t *model;
        assert_int_equal(model_create(&options, &model), SGP_OK);
        assert_true(model_memory_bytes(model) > 0);
        assert_int_equal(model_memory_bytes(model), live_bytes);
        model_destroy(model);
        assert_int_equal(live_bytes, 0);
        assert_int_equal(live_blocks, 0);
    }
}

static void a_step_allocates_nothing(void **state) {
    (void)state;
    model_options_t options = options_of("resnet20", 4);
    model_t *model;
    assert_int_equal(model_create(&options, &model), SGP_OK);
    float *parameters = make_floats(model_parameter_count(model));
    float *gradient = make_floats(model_parameter_count(model));
    float *buffers = make_floats(model_buffer_count(model));
    float *images = make_random(4 * 28 * 28, 1, 1.0);
    model_result_t result;
    size_t before = allocations;
    model_init_parameters(model, 1, parameters, buffers);
    assert_int_equal(
        model_train(model, parameters, buffers, images, (int32_t[4]){0}, 3, 3, gradient, &result),
        SGP_OK);
    assert_int_equal(
        model_evaluate(model, parameters, buffers, images, (int32_t[4]){0}, 4, &result), SGP_OK);
    assert_int_equal(allocations, before);
    free(parameters), free(gradient), free(buffers), free(images);
    model_destroy(model);
}

/* Whichever allocation fails, the call returns the error and frees everything. */
static void failure_leaves_nothing(void **state) {
    (void)state;
    model_options_t options = options_of("resnet20", 16);
    size_t failures = 0;
    for (size_t next = 1;; next++) {
        model_t *model = NULL;
        allocations = 0;
        fail_at = next;
        sgp_status_t status = model_create(&options, &model);
        fail_at = 0;
        if (status == SGP_OK) {
            model_destroy(model);
            break;
        }
        failures++;
        assert_int_equal(status, SGP_ERR_NO_MEMORY);
        assert_null(model);
        assert_int_equal(live_blocks, 0);
    }
    assert_true(failures >= 2); /* of the layers, of the activations */
}

/* Gradients of activations share a few buffers, which are smaller than the activations. */
static void gradients_share_memory(void **state) {
    (void)state;
    model_options_t options = options_of("resnet20", 32);
    model_t *model;
    assert_int_equal(model_create(&options, &model), SGP_OK);
    /* Outputs of convolutions and batch norms: 14 of each of three sizes, halved twice. */
    size_t first = 32 * 28 * 28 * 16 * sizeof(float), activations = first * (2 * 14 + 14 + 7) / 2;
    assert_true(model_memory_bytes(model) < activations * 3 / 2);
    model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_allocated),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(failure_leaves_nothing),
        cmocka_unit_test(gradients_share_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
