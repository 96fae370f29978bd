/* SPDX-License-Identifier: Apache-2.0 */
/* Names, and the small vectors that stand for a model. */
#include "cmocka_all.h"

#include "simulate/simulated_algorithms.h"

#include <stdlib.h>
#include <string.h>

static const simulation_settings_t settings = {
    .parameters = 25557032, .encoding = SGP_ENCODING_FLOAT32, .peers = 1, .overlap = 3};

static void test_names(void **state) {
    (void)state;
    int count = 0;
    char *copy = strdup(simulation_algorithm_names()), *rest = copy;
    for (char *name; (name = strsep(&rest, ",")); count++) {
        name += strspn(name, " ");
        const simulation_algorithm_t *found = simulation_algorithm_find(name);
        assert_non_null(found);
        assert_string_equal(found->name, name);
    }
    free(copy);
    assert_int_equal(count, 11);
    assert_null(simulation_algorithm_find("sgd"));
}

/* All segments of an all-reduce have the same length, as those of a large vector nearly have. */
static void test_lengths(void **state) {
    (void)state;
    static const char *const cut[] = {"allreduce", "allreduce-buckets", "allreduce-ring",
                                      "allreduce-halving"};
    for (int nodes = 1; nodes <= 65; nodes++)
        for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
            size_t length = simulation_length(&settings, simulation_algorithm_find(cut[i]), nodes);
            assert_true(length > 0);
            assert_int_equal(length % (size_t)nodes, 0);
        }
}

/* 102 MB are four buckets of 25 MiB. */
static void test_buckets(void **state) {
    (void)state;
    assert_int_equal(simulation_buckets(25557032 * 4.0), 4);
    assert_int_equal(simulation_buckets(1), 1);
    size_t length = simulation_length(&settings, simulation_algorithm_find("allreduce-buckets"), 8);
    assert_int_equal(length % (4 * 8), 0);
}

static void test_bytes(void **state) {
    (void)state;
    simulation_settings_t half = settings;
    half.encoding = SGP_ENCODING_BFLOAT16;
    assert_true(simulation_bytes(&settings) == 4 * settings.parameters);
    assert_true(simulation_bytes(&half) == 2 * settings.parameters);
}

static sgp_mixer_options_t options_of(const char *name) {
    return simulation_mixer_options(&settings, simulation_algorithm_find(name), 8);
}

static void test_mixer_options(void **state) {
    (void)state;
    assert_int_equal(options_of("sgp").overlap, 0);
    assert_int_equal(options_of("osgp").overlap, 3);
    assert_int_equal(options_of("osgp-async").overlap, SGP_OVERLAP_ASYNC);
    assert_int_equal(options_of("sgp").graph.kind, SGP_GRAPH_EXPONENTIAL);
    assert_int_equal(options_of("adpsgd").graph.kind, SGP_GRAPH_BIPARTITE_EXPONENTIAL);
    assert_int_equal(options_of("sgp").graph.size, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_buckets),       cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_mixer_options),
    };
    return cmocka_run_group_tests_name("simulated_algorithms", tests, NULL, NULL);
}
