/* SPDX-License-Identifier: Apache-2.0 */
/* Lines cover every step of an epoch, and each is a JSON object with the promised fields. */
#include "data/support.h"

#include "train/metrics.h"

#include <jansson.h>
#include <math.h>

static metrics_step_t step_of(uint64_t number) {
    double k = (double)number;
    return (metrics_step_t){.loss_sum = 10 * k,
                            .samples = 10,
                            .lr = k / 1000,
                            .step_ms = k,
                            .gradient_ms = k / 2,
                            .wait_ms = k / 4,
                            .seconds = k / 10,
                            .weight = 1};
}

static void add_epoch(metrics_t *metrics, uint64_t first, uint64_t steps) {
    for (uint64_t s = 0; s < steps; s++) {
        metrics_step_t step = step_of(first + s);
        metrics_add(metrics, &step, first + s, s + 1 == steps);
    }
}

/* Whatever the number of steps: at most METRICS_PER_EPOCH lines, the last one at the last step, and
 * no step left out. */
static void lines_cover_the_epoch(void **state) {
    (void)state;
    for (uint64_t steps = 1; steps < 130; steps++) {
        metrics_t metrics;
        metrics_init(&metrics, steps);
        add_epoch(&metrics, 1, steps);
        assert_in_range(metrics.count, 1, METRICS_PER_EPOCH);
        double samples = 0;
        for (int i = 0; i < metrics.count; i++) samples += metrics.lines[i].mean.samples;
        assert_true(samples == 10.0 * (double)steps);
        assert_true(metrics.lines[metrics.count - 1].step == (double)steps);
        assert_int_equal(metrics.open_steps, 0);
    }
}

/* 40 steps give lines of two: steps 3 and 4 have mean loss 3.5 and mean time 3.5 ms. */
static void a_line_is_the_mean_of_its_steps(void **state) {
    (void)state;
    metrics_t metrics;
    metrics_init(&metrics, 40);
    add_epoch(&metrics, 1, 40);
    const metrics_record_t *line = &metrics.lines[1];
    assert_true(line->step == 4 && line->mean.loss_sum == 70 && line->mean.samples == 20);
    assert_true(line->mean.step_ms == 3.5 && line->mean.gradient_ms == 1.75);
    assert_true(line->mean.wait_ms == 0.875 && line->mean.lr == 0.004);
    assert_true(line->mean.seconds == 0.4);
}

static double number(json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    assert_non_null(value);
    return json_is_null(value) ? (double)NAN : json_number_value(value);
}

static void text_is_one_object_per_line(void **state) {
    (void)state;
    metrics_record_t records[2][2] = {{{3, step_of(3)}, {6, step_of(6)}},
                                      {{3, step_of(4)}, {6, step_of(7)}}};
    records[1][1].mean.loss_sum = (double)NAN;
    metrics_epoch_t epoch = {
        .epoch = 2, .step = 6, .average_model_accuracy = 0.5, .consensus = {2, 1e-9, 0.25}};
    metrics_node_t nodes[2] = {{1, 2, 3, 0.25}, {1.5, 2, 3, 0.75}};
    char *text = metrics_text(records[0], 2, 2, &epoch, nodes), *rest = text;
    static const int order[6][2] = {{3, 0}, {3, 1}, {6, 0}, {6, 1}, {6, 0}, {6, 1}};
    json_t *lines[6];
    for (int i = 0; i < 6; i++) {
        lines[i] = json_loads(strsep(&rest, "\n"), 0, NULL);
        assert_true(json_is_object(lines[i]));
        assert_true(number(lines[i], "step") == order[i][0]);
        assert_true(number(lines[i], "node") == order[i][1]);
        assert_true(number(lines[i], "epoch") == 2);
    }
    assert_string_equal(rest, "");
    assert_true(number(lines[1], "loss") == 4 && number(lines[1], "lr") == 0.004);
    assert_true(number(lines[1], "weight") == 1 && isnan(number(lines[3], "loss")));
    assert_true(number(lines[5], "test_accuracy") == 0.75 && number(lines[5], "drift") == 1e-9);
    assert_true(number(lines[4], "average_model_accuracy") == 0.5);
    assert_true(number(lines[4], "w_total") == 2 && number(lines[5], "seconds") == 1.5);
    assert_true(number(lines[4], "consensus_distance") == 0.25);
    for (int i = 0; i < 6; i++) json_decref(lines[i]);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_cover_the_epoch),
        cmocka_unit_test(a_line_is_the_mean_of_its_steps),
        cmocka_unit_test(text_is_one_object_per_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
