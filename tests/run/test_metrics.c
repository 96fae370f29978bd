/* SPDX-License-Identifier: Apache-2.0 */
/* Lines cover every step of an epoch, each is a JSON object with the documented fields, and the
 * nodes compute their consensus distance. */
#include "data/support.h"

#include "group/group_internal.h"
#include "run/metrics.h"
#include "transport/loopback/loopback.h"

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

enum { PARAMETERS = 3 };

/* After step k, z = (k, 2 k, 3 k). */
static void add_steps(metrics_t *metrics, uint64_t first, uint64_t steps, bool last) {
    for (uint64_t s = 0; s < steps; s++) {
        float k = (float)(first + s), z[PARAMETERS] = {k, 2 * k, 3 * k};
        metrics_step_t step = step_of(first + s);
        metrics_add(metrics, &step, z, first + s);
        if (last && s + 1 == steps) metrics_end(metrics, z);
    }
}

static void add_epoch(metrics_t *metrics, uint64_t first, uint64_t steps) {
    add_steps(metrics, first, steps, true);
}

/* Whatever the number of steps: at most METRICS_PER_EPOCH lines, the last one at the last step, and
 * no step left out. */
static void lines_cover_the_epoch(void **state) {
    (void)state;
    for (uint64_t steps = 1; steps < 130; steps++) {
        metrics_t metrics;
        metrics_init(&metrics, steps, PARAMETERS);
        add_epoch(&metrics, 1, steps);
        assert_in_range(metrics.count, 1, METRICS_PER_EPOCH);
        double samples = 0;
        for (uint64_t i = 0; i < metrics.count; i++) samples += metrics.lines[i].mean.samples;
        assert_true(samples == 10.0 * (double)steps);
        assert_true(metrics.lines[metrics.count - 1].step == (double)steps);
        assert_int_equal(metrics.open_steps, 0);
    }
}

/* 40 steps give lines of two: steps 3 and 4 have mean loss 3.5 and mean time 3.5 ms. */
static void a_line_is_the_mean_of_its_steps(void **state) {
    (void)state;
    metrics_t metrics;
    metrics_init(&metrics, 40, PARAMETERS);
    add_epoch(&metrics, 1, 40);
    const metrics_record_t *line = &metrics.lines[1];
    assert_true(line->step == 4 && line->mean.loss_sum == 70 && line->mean.samples == 20);
    assert_true(line->mean.step_ms == 3.5 && line->mean.gradient_ms == 1.75);
    assert_true(line->mean.wait_ms == 0.875 && line->mean.lr == 0.004);
    assert_true(line->mean.seconds == 0.4);
    const float *probe = metrics.probes + metrics.probe.count;
    assert_true(probe[0] == 4 && probe[1] == 8 && probe[2] == 12);
}

static size_t bytes_of(const sgp_state_item_t *item) {
    return item->count * (item->kind == SGP_STATE_FLOAT32 ? sizeof(float) : sizeof(double));
}

/* Metrics that are saved and restored after any step give the same lines as uninterrupted ones. */
static void the_state_is_complete(void **state) {
    (void)state;
    enum { STEPS = 70 };
    for (uint64_t split = 0; split <= STEPS; split++) {
        metrics_t whole, before, after;
        sgp_state_t from = {0}, to = {0};
        metrics_init(&whole, STEPS, PARAMETERS);
        metrics_init(&before, STEPS, PARAMETERS);
        metrics_init(&after, STEPS, PARAMETERS);
        add_epoch(&whole, 1, STEPS);
        add_steps(&before, 1, split, split == STEPS);
        metrics_state(&before, &from);
        metrics_state(&after, &to);
        assert_int_equal(from.count, to.count);
        for (size_t i = 0; i < to.count; i++)
            memcpy(to.items[i].data, from.items[i].data, bytes_of(&from.items[i]));
        add_epoch(&after, split + 1, STEPS - split);
        assert_int_equal(after.count, whole.count);
        assert_memory_equal(after.lines, whole.lines, sizeof whole.lines);
        assert_memory_equal(after.probes, whole.probes, sizeof whole.probes);
    }
}

typedef struct node {
    sgp_loopback_t *hub;
    int rank;
    metrics_lines_t lines;
    pthread_t thread;
} node_t;

/* Node r is at (r + 1) (k, 2 k, 3 k) after step k; 5 steps, a line each. */
static void *gather_node(void *argument) {
    node_t *node = argument;
    sgp_group_t *group;
    metrics_t metrics;
    sgp_transport_t *transport = sgp_loopback_transport(node->hub, node->rank);
    if (sgp_group_create(transport, 0, &group)) abort();
    metrics_init(&metrics, 5, PARAMETERS);
    for (uint64_t k = 1; k <= 5; k++) {
        float x = (float)k * (float)(node->rank + 1), z[PARAMETERS] = {x, 2 * x, 3 * x};
        metrics_step_t step = step_of(k);
        metrics_add(&metrics, &step, z, k);
    }
    if (metrics_gather(&metrics, group, &node->lines)) abort();
    if (metrics.count != 0) abort();
    sgp_group_leave(group);
    return NULL;
}

/* 1, 2 and 3 times a vector: the mean is 2, the root mean square from it sqrt(2/3), whatever the
 * vector's length. */
static void the_nodes_find_their_distance(void **state) {
    (void)state;
    enum { NODES = 3 };
    node_t nodes[NODES];
    sgp_loopback_t *hub;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = NODES}, &hub), SGP_OK);
    for (int r = 0; r < NODES; r++) {
        nodes[r] = (node_t){.hub = hub, .rank = r};
        assert_int_equal(pthread_create(&nodes[r].thread, NULL, gather_node, &nodes[r]), 0);
    }
    for (int r = 0; r < NODES; r++) pthread_join(nodes[r].thread, NULL);
    sgp_loopback_destroy(hub);
    for (int r = 0; r < NODES; r++) {
        const metrics_lines_t *lines = &nodes[r].lines;
        assert_true(lines->size == NODES && lines->count == 5);
        for (int i = 0; i < 5; i++) {
            assert_true(fabs(lines->distances[i] - sqrt(2.0 / 3) / 2) < 1e-12);
            assert_true(lines->records[2 * 5 + i].step == i + 1);
        }
        metrics_release(&nodes[r].lines);
    }
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
    metrics_node_t nodes[2] = {{1, 2, 3, 0.25, 0.5, 0, 0}, {1.5, 2, 3, 0.75, 1, 4, 2}};
    double distances[2] = {0.125, (double)NAN};
    metrics_lines_t all = {.size = 2, .count = 2, .records = records[0], .distances = distances};
    char *text = metrics_text(&all, &epoch, nodes), *rest = text;
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
    assert_true(number(lines[0], "consensus_distance") == 0.125);
    assert_true(number(lines[1], "consensus_distance") == 0.125);
    assert_true(isnan(number(lines[2], "consensus_distance")));
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
        cmocka_unit_test(the_state_is_complete),
        cmocka_unit_test(the_nodes_find_their_distance),
        cmocka_unit_test(text_is_one_object_per_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
