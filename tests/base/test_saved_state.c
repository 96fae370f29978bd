/* SPDX-License-Identifier: Apache-2.0 */
/* A state as bytes: back as it was; anything else is refused and changes nothing. */
#include "cmocka_all.h"

#include "base/logging.h"
#include "base/saved_state.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct object {
    float values[5];
    double weight;
    uint64_t step;
} object_t;

static sgp_state_t places(object_t *object) {
    sgp_state_t state = {0};
    sgp_state_add(&state, "values", SGP_STATE_FLOAT32, object->values, 5);
    sgp_state_add(&state, "weight", SGP_STATE_FLOAT64, &object->weight, 1);
    sgp_state_add(&state, "step", SGP_STATE_UINT64, &object->step, 1);
    return state;
}

static const object_t saved = {{1, 2, 3, 4, 5}, 0.25, 7};
static const char description[] = "algorithm=sgp count=5 node=0/3";

static unsigned char *save(size_t *size) {
    object_t object = saved;
    sgp_state_t state = places(&object);
    *size = sgp_saved_state_size(description, &state);
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    sgp_saved_state_write(description, &state, bytes);
    return bytes;
}

static void test_comes_back_as_it_was(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = save(&size);
    object_t object = {0};
    sgp_state_t to = places(&object);
    assert_int_equal(sgp_saved_state_read("mixer", description, &to, bytes, size), SGP_OK);
    assert_memory_equal(object.values, saved.values, sizeof saved.values);
    assert_true(object.weight == saved.weight && object.step == saved.step);
    free(bytes);
}

/* Reads and expects a refusal with `text`; the object stays as it is. */
static void refused(const char *of, const unsigned char *bytes, size_t size, sgp_status_t status,
                    const char *text) {
    object_t object = {0}, before = {0};
    sgp_state_t to = places(&object);
    assert_int_equal(sgp_saved_state_read("mixer", of, &to, bytes, size), status);
    if (!strstr(sgp_last_error(), text)) fail_msg("%s", sgp_last_error());
    assert_memory_equal(&object, &before, sizeof object);
}

static void test_other_objects(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = save(&size);
    refused("algorithm=osgp count=5 node=0/3", bytes, size, SGP_ERR_MISMATCH,
            "is of one with algorithm=sgp, this one has algorithm=osgp");
    refused("algorithm=sgp count=5 node=1/3", bytes, size, SGP_ERR_MISMATCH, "node=0/3");
    refused("algorithm=sgp", bytes, size, SGP_ERR_MISMATCH, "algorithm=sgp");
    bytes[8] = 2;
    refused(description, bytes, size, SGP_ERR_MISMATCH, "version 2");
    object_t object = saved;
    sgp_state_t fewer = places(&object);
    fewer.count--;
    bytes[8] = 1;
    assert_int_equal(sgp_saved_state_read("mixer", description, &fewer, bytes, size),
                     SGP_ERR_MISMATCH);
    fewer = places(&object);
    fewer.items[0].count = 4;
    assert_int_equal(sgp_saved_state_read("mixer", description, &fewer, bytes, size),
                     SGP_ERR_MISMATCH);
    free(bytes);
}

/* Every bit counts, and every length but the right one is refused. */
static void test_damage(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = save(&size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        object_t object = {0}, before = {0};
        sgp_state_t to = places(&object);
        if (bit / 8 >= 12 && bit / 8 < 16) continue; /* the number of items: below */
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_not_equal(sgp_saved_state_read("mixer", description, &to, bytes, size), SGP_OK);
        assert_memory_equal(&object, &before, sizeof object);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    bytes[12]++;
    refused(description, bytes, size, SGP_ERR_MISMATCH, "has 4 items, this one has 3");
    bytes[12]--;
    for (size_t length = 0; length < size; length++)
        refused(description, bytes, length, SGP_ERR_INVALID,
                length < 40 ? "no saved state" : "are given");
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back_as_it_was),
        cmocka_unit_test(test_other_objects),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
