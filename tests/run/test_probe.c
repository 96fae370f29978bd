/* SPDX-License-Identifier: Apache-2.0 */
/* A probe is spread over the parameters, the same everywhere, and its distance is close to that of
 * the whole vectors. */
#include "cmocka_all.h"

#include "base/random.h"
#include "run/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One coordinate out of each of PROBE_MAX equal parts, for odd sizes as well. */
static void it_is_spread_evenly(void **state) {
    (void)state;
    static const size_t sizes[] = {PROBE_MAX, PROBE_MAX + 1, 61706, 11173962};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        probe_t probe, again;
        probe_init(&probe, sizes[s]);
        probe_init(&again, sizes[s]);
        assert_int_equal(probe.count, PROBE_MAX);
        assert_memory_equal(&probe, &again, sizeof probe);
        for (size_t i = 0; i < probe.count; i++) {
            assert_true(probe.at[i] >= sizes[s] * i / PROBE_MAX);
            assert_true(probe.at[i] < sizes[s] * (i + 1) / PROBE_MAX);
        }
    }
}

static void a_short_vector_is_taken_whole(void **state) {
    (void)state;
    const float z[3] = {5, 6, 7};
    float values[3] = {0};
    probe_t probe;
    probe_init(&probe, 3);
    assert_int_equal(probe.count, 3);
    probe_take(&probe, z, values);
    assert_memory_equal(values, z, sizeof z);
}

/* Mean (2, 0); distances from it 1, 1, 2 and 2: sqrt(2.5) / 2. The third column is not read. */
static void the_distance_is_its_definition(void **state) {
    (void)state;
    const float values[4][3] = {{1, 0, 9}, {3, 0, -9}, {2, 2, 1}, {2, -2, 0}};
    assert_true(fabs(probe_distance(values[0], 4, 3, 2) - sqrt(2.5) / 2) < 1e-12);
    assert_true(probe_distance(values[0], 1, 3, 2) == 0);
    const float zeros[2] = {0, 0};
    assert_true(isnan(probe_distance(zeros, 2, 1, 1)));
}

/* Four nodes around a common vector: 512 of 50,000 coordinates give the distance within a few
 * percent. */
static void a_sample_is_enough(void **state) {
    (void)state;
    enum { NODES = 4, LENGTH = 50000 };
    float *z = malloc(sizeof(float[NODES][LENGTH])), values[NODES][PROBE_MAX];
    sgp_random_t random;
    probe_t probe;
    sgp_random_init(&random, 1, 0);
    for (size_t i = 0; i < LENGTH; i++) {
        double common = sgp_random_normal(&random);
        for (size_t node = 0; node < NODES; node++)
            z[node * LENGTH + i] = (float)(common + 0.01 * sgp_random_normal(&random));
    }
    probe_init(&probe, LENGTH);
    for (size_t node = 0; node < NODES; node++) probe_take(&probe, z + node * LENGTH, values[node]);
    double whole = probe_distance(z, NODES, LENGTH, LENGTH);
    assert_true(fabs(whole / (0.01 * sqrt(0.75)) - 1) < 0.02);
    assert_true(fabs(probe_distance(values[0], NODES, PROBE_MAX, PROBE_MAX) / whole - 1) < 0.1);
    free(z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_spread_evenly),
        cmocka_unit_test(a_short_vector_is_taken_whole),
        cmocka_unit_test(the_distance_is_its_definition),
        cmocka_unit_test(a_sample_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
