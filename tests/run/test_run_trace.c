/* SPDX-License-Identifier: Apache-2.0 */
/* The spans of all nodes are in the file of node 0, each once and on its track, whether they are
 * gathered often or node 0 writes its own. */
#include "data/support.h"

#include "base/logging.h"
#include "group/group_internal.h"
#include "run/run_trace.h"
#include "transport/loopback/loopback.h"

#include <jansson.h>
#include <math.h>

enum { NODES = 3, GATHERS = 3, ROOM = 50000 };

/* A node records `spans` times (node + 1) in each of its contexts before each gather; node 1 has
 * none in the agent's context. */
typedef struct node {
    sgp_loopback_t *hub;
    const char *directory;
    int rank, gathers;
    size_t spans;
    bool loses_file; /* of node 0, before the gather */
    sgp_status_t status;
    pthread_t thread;
} node_t;

/* Span i lasts 2 us and begins 10 i us after `origin`; its step is i. */
static void record(const node_t *node, sgp_trace_t *trace, uint64_t origin, size_t first) {
    size_t count = node->spans * (size_t)(node->rank + 1);
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        sgp_trace_context_t context = (sgp_trace_context_t)c;
        if (node->rank == 1 && context == SGP_TRACE_MESSAGES) continue;
        for (size_t i = first * count; i < (first + 1) * count; i++) {
            uint64_t start = origin + i * 10000;
            sgp_trace_step(trace, context, i);
            sgp_trace_span(trace, context, c ? SGP_TRACE_PUSH : SGP_TRACE_DATA, start,
                           start + 2000);
        }
        sgp_trace_flush(trace, context);
    }
}

static void remove_file(const char *directory) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", directory, RUN_TRACE_FILE);
    if (unlink(path) != 0) abort();
}

static void *run_node(void *argument) {
    node_t *node = argument;
    sgp_group_t *group;
    run_trace_t trace;
    sgp_log_set_rank(node->rank);
    if (sgp_group_create(sgp_loopback_transport(node->hub, node->rank), 0, &group)) abort();
    if (run_trace_begin(&trace, node->rank == 0 ? node->directory : NULL, ROOM, 1)) abort();
    node->status = sgp_group_barrier(group); /* the run begins with node 0's clock */
    uint64_t origin = sgp_clock_now();
    for (int i = 0; i < node->gathers && !node->status; i++) {
        record(node, trace.trace, origin, (size_t)i);
        if (node->loses_file && node->rank == 0) remove_file(node->directory);
        node->status = run_trace_gather(&trace, group);
    }
    record(node, trace.trace, origin, (size_t)node->gathers);
    if (!node->status) run_trace_write_own(&trace);
    run_trace_fini(&trace);
    sgp_group_leave(group);
    return NULL;
}

/* like: directory, gathers, spans and loses_file. */
static void run_nodes(node_t *nodes, const node_t *like) {
    sgp_loopback_t *hub;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = NODES}, &hub), SGP_OK);
    for (int r = 0; r < NODES; r++) {
        nodes[r] = *like;
        nodes[r].hub = hub;
        nodes[r].rank = r;
        assert_int_equal(pthread_create(&nodes[r].thread, NULL, run_node, &nodes[r]), 0);
    }
    for (int r = 0; r < NODES; r++) pthread_join(nodes[r].thread, NULL);
    sgp_loopback_destroy(hub);
}

static json_t *load(const char *directory) {
    char path[96];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s", directory, RUN_TRACE_FILE);
    json_t *json = json_load_file(path, 0, &error);
    if (!json) fail_msg("%s", error.text);
    return json;
}

static json_int_t integer(const json_t *event, const char *name) {
    return json_integer_value(json_object_get(event, name));
}

static bool is(const json_t *event, const char *name, const char *text) {
    const char *value = json_string_value(json_object_get(event, name));
    return value && strcmp(value, text) == 0;
}

/* Spans of a node's thread, which come in order: numbers 0, 1, 2, ... */
static size_t count_spans(const json_t *file, int node, const char *name) {
    size_t count = 0, i;
    double first = 0;
    json_t *event;
    json_array_foreach(json_object_get(file, "traceEvents"), i, event) {
        if (!is(event, "ph", "X") || !is(event, "name", name)) continue;
        if (integer(event, "pid") != node + 1) continue;
        double start = json_number_value(json_object_get(event, "ts"));
        if (count == 0) first = start;
        assert_int_equal(integer(json_object_get(event, "args"), "step"), count);
        assert_true(fabs(start - first - 10.0 * (double)count) < 1e-3);
        assert_true(fabs(json_number_value(json_object_get(event, "dur")) - 2) < 1e-3);
        count++;
    }
    return count;
}

static size_t count_events(const json_t *file, int node, const char *name) {
    size_t count = 0, i;
    json_t *event;
    json_array_foreach(json_object_get(file, "traceEvents"), i, event) count +=
        is(event, "name", name) && integer(event, "pid") == node + 1;
    return count;
}

/* More spans than one message takes, and a different number on each node. Spans after the last
 * gather are in the file for node 0 alone. */
static void every_span_is_there_once(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 100, 1500};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        char directory[64];
        node_t nodes[NODES];
        make_directory(directory);
        run_nodes(nodes, &(node_t){.directory = directory, .gathers = GATHERS, .spans = sizes[s]});
        json_t *file = load(directory);
        for (int r = 0; r < NODES; r++) {
            size_t expected = sizes[s] * (size_t)(r + 1) * (size_t)(r == 0 ? GATHERS + 1 : GATHERS);
            assert_int_equal(nodes[r].status, SGP_OK);
            assert_int_equal(count_spans(file, r, "data"), expected);
            assert_int_equal(count_spans(file, r, "push"), r == 1 ? 0 : expected);
            assert_int_equal(count_events(file, r, "thread_name"), r == 1 ? 1 : 2);
            assert_int_equal(count_events(file, r, "process_labels"), 0);
        }
        json_decref(file);
        remove_directory(directory);
    }
}

static void without_a_gather_node_0_is_there(void **state) {
    (void)state;
    char directory[64];
    node_t nodes[NODES];
    make_directory(directory);
    run_nodes(nodes, &(node_t){.directory = directory, .spans = 5});
    json_t *file = load(directory);
    assert_int_equal(count_spans(file, 0, "data"), 5);
    assert_int_equal(count_spans(file, 0, "push"), 5);
    assert_int_equal(count_spans(file, 1, "data"), 0);
    json_decref(file);
    remove_directory(directory);
}

/* Node 2 records three times as many spans as there is room for, and node 0, after the gather,
 * twice as many. */
static void a_full_trace_is_reported(void **state) {
    (void)state;
    char directory[64];
    node_t nodes[NODES];
    make_directory(directory);
    log_start();
    run_nodes(nodes, &(node_t){.directory = directory, .gathers = 1, .spans = ROOM});
    assert_logged(RUN_TRACE_FILE " is full", "50000", NULL);
    json_t *file = load(directory);
    for (int r = 0; r < NODES; r++) {
        assert_int_equal(count_spans(file, r, "data"), ROOM);
        assert_int_equal(count_events(file, r, "process_labels"), 1);
    }
    json_decref(file);
    remove_directory(directory);
}

/* On every node: none waits for node 0. */
static void a_file_that_is_gone_ends_all(void **state) {
    (void)state;
    char directory[64];
    node_t nodes[NODES];
    make_directory(directory);
    log_start();
    run_nodes(nodes,
              &(node_t){.directory = directory, .gathers = 1, .spans = 1, .loses_file = true});
    for (int r = 0; r < NODES; r++) assert_int_equal(nodes[r].status, SGP_ERR_IO);
    assert_true(captured.lines >= 1);
    remove_directory(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_span_is_there_once),
        cmocka_unit_test(without_a_gather_node_0_is_there),
        cmocka_unit_test(a_full_trace_is_reported),
        cmocka_unit_test(a_file_that_is_gone_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
