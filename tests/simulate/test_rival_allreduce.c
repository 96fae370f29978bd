/* SPDX-License-Identifier: Apache-2.0 */
/* The rival all-reduces really add: every node ends a step with the mean of all nodes' gradients, for any number of
 * nodes. */
#include "simulate/rival_allreduce.h"

#include "cluster_child.h"

#include "base/memory.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define THREADS true
#else
#define THREADS false
#endif

enum { STEPS = 3 };

typedef struct exchange {
    simulation_settings_t settings;
    const char *name;
    const simulation_method_t *method;
    int nodes;
    double tolerance;
    int finished; /* nodes */
    simulation_work_t work;
} exchange_t;

/* Small integers, different for each node, step and place. */
static float gradient_of(int rank, int step, size_t i) {
    return (float)((rank * 7 + step * 5 + (int)(i % 11) * (rank + 1)) % 64 - 20);
}

/* The plain reference: minus the mean gradients of all steps. */
static double expected_of(const exchange_t *exchange, size_t i) {
    double sum = 0;
    for (int step = 0; step < STEPS; step++)
        for (int rank = 0; rank < exchange->nodes; rank++) sum += gradient_of(rank, step, i);
    return -sum / exchange->nodes;
}

static void make_steps(exchange_t *exchange, simulation_node_t *node) {
    size_t length = exchange->work.length;
    for (int step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < length; i++) node->gradient[i] = gradient_of(node->rank, step, i);
        CHECK(exchange->method->step(node, (uint64_t)step, 1000000u * (uint64_t)(node->rank + 1)) ==
              SGP_OK);
    }
    double worst = 0;
    for (size_t i = 0; i < length; i++)
        worst = fmax(worst, fabs(node->z[i] - expected_of(exchange, i)));
    CHECK(worst <= exchange->tolerance);
}

static void node_main(sgp_transport_t *transport, void *context) {
    exchange_t *exchange = context;
    simulation_node_t node = {
        .work = &exchange->work, .rank = transport->rank, .transport = transport};
    CHECK(sgp_group_create(transport, INT_MAX, &node.group) == SGP_OK);
    node.gradient = sgp_memory_alloc(exchange->work.length * sizeof *node.gradient);
    CHECK(exchange->method->create(&node) == SGP_OK);
    make_steps(exchange, &node);
    exchange->method->destroy(&node);
    sgp_memory_free(node.gradient);
    sgp_group_leave(node.group);
    exchange->finished++;
}

static void run_exchange(void *context) {
    exchange_t *exchange = context;
    simulation_network_t network;
    sgp_simulated_t *cluster = NULL;
    CHECK(simulation_network_find("ethernet-10g", &network));
    const simulation_algorithm_t *algorithm = simulation_algorithm_find(exchange->name);
    exchange->work = (simulation_work_t){
        .settings = &exchange->settings,
        .algorithm = algorithm,
        .method = exchange->method,
        .nodes = exchange->nodes,
        .length = simulation_length(&exchange->settings, algorithm, exchange->nodes)};
    sgp_simulated_options_t options = {.platform = platform_of(&network, exchange->nodes),
                                       .size = exchange->nodes,
                                       .chunk_bytes =
                                           (exchange->work.length * sizeof(float) + 63) / 64 * 64,
                                       .latency_seconds = 1e-4,
                                       .threads = THREADS};
    CHECK(sgp_simulated_create(&options, &cluster) == SGP_OK);
    for (int r = 0; cluster && r < exchange->nodes; r++)
        sgp_simulated_actor(cluster, r, node_main, exchange);
    if (cluster) sgp_simulated_run(cluster);
    CHECK(exchange->finished == exchange->nodes);
    sgp_simulated_destroy(cluster);
}

/* bfloat16 rounds to 8 bits: a sum of up to 9 nodes below 512 by at most 1 per message. */
static void check_method(const char *name, const simulation_method_t *method) {
    static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        exchange_t exchange = {
            .settings = {.parameters = 25557032, .encoding = SGP_ENCODING_FLOAT32},
            .name = name,
            .method = method,
            .nodes = sizes[i],
            .tolerance = 1e-3};
        run_in_child(run_exchange, &exchange);
        exchange.settings.encoding = SGP_ENCODING_BFLOAT16;
        exchange.tolerance = STEPS * 4;
        run_in_child(run_exchange, &exchange);
    }
}

static void test_buckets(void **state) {
    (void)state;
    check_method("allreduce-buckets", &simulation_method_buckets);
}

static void test_ring(void **state) {
    (void)state;
    check_method("allreduce-ring", &simulation_method_ring);
}

static void test_halving(void **state) {
    (void)state;
    check_method("allreduce-halving", &simulation_method_halving);
}

static void test_tree(void **state) {
    (void)state;
    check_method("allreduce-tree", &simulation_method_tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_halving),
        cmocka_unit_test(test_tree),
    };
    if (!have_simgrid()) return 0;
    return cmocka_run_group_tests_name("rival_allreduce", tests, NULL, NULL);
}
