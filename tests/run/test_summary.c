/* SPDX-License-Identifier: Apache-2.0 */
/* summary.json has all its fields, with the given values. */
#include "data/support.h"

#include "files/json.h"
#include "run/summary.h"
#include "run/train.h"

static train_join_t joins[] = {{.node = 4, .step = 20}, {.node = 1, .rejoined = 1, .step = 30}};

static train_summary_t example(void) {
    return (train_summary_t){.joins = joins,
                             .join_count = 2,
                             .parameters = 269322,
                             .steps = 94,
                             .seconds = 1.5,
                             .samples_per_second = 8000,
                             .step_ms = {3, 2, 9},
                             .wait_ms = 0.5,
                             .run_id = "00112233445566778899aabbccddeeff",
                             .train_loss = 0.25,
                             .test_accuracy = {0.8, 0.7, 0.9},
                             .average_model_accuracy = 0.85,
                             .consensus = {4, 1e-7, 0.01},
                             .parameters_hash = "0123456789abcdef0123456789abcdef",
                             .messages = {1, 2, 3, 4, 5, 6, 7}};
}

static void every_field_is_there(void **state) {
    (void)state;
    train_options_t options;
    train_options_init(&options);
    train_summary_t summary = example();
    json_t *found = train_summary_json(&options, &summary);
    json_t *expected = json_loads(
        "{\"run_id\": \"00112233445566778899aabbccddeeff\","
        " \"algorithm\": \"sgp\", \"graph\": \"exponential\", \"peers\": 1, \"overlap\": 0,"
        " \"nodes\": 4, \"epochs\": 5, \"steps\": 94, \"parameters\": 269322,"
        " \"data\": \"fashion-mnist\", \"seconds\": 1.5, \"samples_per_second\": 8000.0,"
        " \"step_ms\": {\"mean\": 3.0, \"p50\": 2.0, \"p99\": 9.0}, \"wait_ms\": 0.5,"
        " \"train_loss\": 0.25, \"test_accuracy\": {\"mean\": 0.8, \"min\": 0.7, \"max\": 0.9},"
        " \"average_model_accuracy\": 0.85, \"consensus_distance\": 0.01,"
        " \"joins\": [{\"node\": 4, \"step\": 20, \"rejoined\": false},"
        " {\"node\": 1, \"step\": 30, \"rejoined\": true}],"
        " \"mass\": {\"w_total\": 4.0, \"drift\": 1e-7},"
        " \"parameters_hash\": \"0123456789abcdef0123456789abcdef\","
        " \"messages\": {\"sent\": 1, \"received\": 2, \"late\": 3, \"refused\": 4, \"resent\": 5,"
        " \"reabsorbed\": 6, \"staleness\": 7}}",
        0, NULL);
    assert_non_null(expected);
    assert_string_equal(json_string_value(json_object_get(found, "model")), options.model);
    const char *name;
    json_t *value;
    json_object_foreach(expected, name, value) {
        if (!json_equal(value, json_object_get(found, name))) fail_msg("%s differs", name);
    }
    json_decref(expected);
    json_decref(found);
}

/* JSON has no NaN; a run without evaluation has no accuracy. A seed may need all 64 bits. */
static void nan_is_null_and_a_large_seed_a_string(void **state) {
    (void)state;
    train_options_t options;
    train_options_init(&options);
    options.seed = UINT64_MAX;
    train_summary_t summary = example();
    summary.train_loss = summary.test_accuracy.mean = NAN;
    json_t *found = train_summary_json(&options, &summary);
    char *text = json_dumps(found, FILES_JSON_FLAGS);
    assert_non_null(strstr(text, "\"train_loss\": null"));
    assert_non_null(strstr(text, "\"test_accuracy\": {\"mean\": null, \"min\": 0.7, "));
    assert_non_null(strstr(text, "\"seed\": \"18446744073709551615\""));
    free(text);
    json_decref(found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_there),
        cmocka_unit_test(nan_is_null_and_a_large_seed_a_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
