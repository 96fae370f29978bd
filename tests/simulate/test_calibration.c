/* SPDX-License-Identifier: Apache-2.0 */
/* A calibration of `sgp bench`, read from its JSON. */
#include "cmocka_all.h"

#include "simulate/calibration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sgp_status_t read_text(const char *text, simulation_calibration_t *calibration,
                              const char **wrong) {
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    sgp_status_t status = simulation_calibration_read(json, calibration, wrong);
    json_decref(json);
    return status;
}

static void test_all_members(void **state) {
    (void)state;
    simulation_calibration_t found = {0};
    const char *wrong;
    const char *text =
        "{\"rate_mbps\": 800, \"latency_ms\": 0.5, \"parameters\": 1000, \"gradient_ms\": 50,"
        " \"gradient_spread\": 0.25, \"update_ms\": 1, \"copy_ms\": 2, \"absorb_ms\": 3,"
        " \"pass_parameters\": 4000, \"model\": \"lenet\", \"batch_size\": 64}";
    assert_int_equal(read_text(text, &found, &wrong), SGP_OK);
    assert_null(wrong);
    assert_string_equal(found.network.name, "calibration");
    assert_true(found.network.bytes_per_second == 1e8);
    assert_true(found.network.latency_ms == 0.5);
    assert_true(found.parameters == 1000);
    assert_true(found.compute.mean_ms == 50);
    assert_true(found.compute.spread == 0.25);
    assert_true(found.local.update_ms == 1);
    assert_true(found.local.copy_ms == 2);
    assert_true(found.local.absorb_ms == 3);
    assert_true(found.pass_parameters == 4000);
    assert_int_equal(found.batch_size, 64);
    assert_string_equal(found.model, "lenet");
    free(found.model);
}

/* So do null members, which bench writes for missing measurements, and a batch size out of range. */
static void test_missing_members_keep_their_values(void **state) {
    (void)state;
    simulation_calibration_t found = {
        .network = {.name = "wan", .bytes_per_second = 7, .latency_ms = 25}, .batch_size = 32};
    const char *wrong;
    const char *text = "{\"rate_mbps\": null, \"batch_size\": 65537, \"gradient_ms\": 50}";
    assert_int_equal(read_text(text, &found, &wrong), SGP_OK);
    assert_string_equal(found.network.name, "wan");
    assert_true(found.network.bytes_per_second == 7);
    assert_true(found.network.latency_ms == 25);
    assert_int_equal(found.batch_size, 32);
    assert_null(found.model);
    assert_true(found.compute.mean_ms == 50);
}

static void test_wrong_members_are_named(void **state) {
    (void)state;
    static const char *const members[] = {
        "rate_mbps", "latency_ms", "parameters", "gradient_ms",     "gradient_spread",
        "update_ms", "copy_ms",    "absorb_ms",  "pass_parameters",
    };
    static const char *const values[] = {"-1", "\"1\"", "[]"};
    for (size_t m = 0; m < sizeof members / sizeof *members; m++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            char text[128];
            simulation_calibration_t found = {0};
            const char *wrong = NULL;
            snprintf(text, sizeof text, "{\"%s\": %s, \"model\": \"lenet\"}", members[m],
                     values[v]);
            assert_int_equal(read_text(text, &found, &wrong), SGP_ERR_FORMAT);
            assert_string_equal(wrong, members[m]);
            assert_null(found.model);
        }
}

static void test_no_object(void **state) {
    (void)state;
    simulation_calibration_t found = {0};
    const char *wrong = NULL;
    assert_int_equal(read_text("[1]", &found, &wrong), SGP_ERR_FORMAT);
    assert_string_equal(wrong, "the whole");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members),
        cmocka_unit_test(test_missing_members_keep_their_values),
        cmocka_unit_test(test_wrong_members_are_named),
        cmocka_unit_test(test_no_object),
    };
    return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
