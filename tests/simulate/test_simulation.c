/* SPDX-License-Identifier: Apache-2.0 */
/* A simulation's row, against the times that the definitions give, where all gradients take the same time. */
#include "simulate/simulation.h"

#include "cluster_child.h"

#include <math.h>

#define RATE     1e8   /* bytes per second */
#define GRADIENT 100.0 /* ms */
#define LATENCY  20.0  /* ms */
#define PUSH     160.0 /* ms: 16 MB */

typedef struct run {
    simulation_settings_t settings;
    const char *algorithm;
    int nodes;
    int told; /* the last step that was told */
    void (*check)(const struct run *run, const simulation_row_t *row);
} run_t;

static simulation_settings_t settings_of(void) {
    return (simulation_settings_t){
        .parameters = 4e6,
        .compute = {.mean_ms = GRADIENT},
        .workers = 2,
        .batch_size = 32,
        .encoding = SGP_ENCODING_FLOAT32,
        .network = {.name = "test", .bytes_per_second = RATE, .latency_ms = LATENCY},
        .peers = 1,
        .overlap = 1,
        .slow = {.rank = -1},
        .steps = 10,
        .warmup = 2,
        .seed = 1,
    };
}

static bool is_near(double found, double expected) {
    if (fabs(found - expected) <= 0.01 * expected) return true;
    fprintf(stderr, "%g, expected %g\n", found, expected);
    return false;
}

static void note_step(int step, void *user) {
    int *told = user;
    CHECK(step == *told + 1);
    *told = step;
}

static void simulate(void *context) {
    run_t *run = context;
    simulation_row_t row;
    const char *platform = platform_of(&run->settings.network, run->nodes);
    CHECK(simulation_run(&run->settings, simulation_algorithm_find(run->algorithm), run->nodes,
                         platform, note_step, &run->told, &row) == SGP_OK);
    run->check(run, &row);
}

static void check_sgp(const run_t *run, const simulation_row_t *row) {
    double step = GRADIENT + PUSH + LATENCY;
    CHECK(is_near(row->step_ms, step));
    CHECK(is_near(row->node_ms, step));
    CHECK(is_near(row->gradient_ms, GRADIENT));
    CHECK(is_near(row->wait_ms, PUSH + LATENCY));
    CHECK(is_near(row->samples_per_second, run->nodes * 2 * 32 / (step * 1e-3)));
    CHECK(is_near(row->bytes_per_step, 16e6));
    CHECK(is_near(row->seconds, 10 * step * 1e-3));
    CHECK(row->steps == 10 && run->told == 10);
    CHECK(row->failed == 0);
    CHECK(is_near(row->longest_ms, step));
    CHECK(isnan(row->distance_at));
    CHECK((row->distance > 1e-4) == (run->nodes > 2)); /* two nodes agree after each push */
}

static void test_sgp(void **state) {
    (void)state;
    for (int nodes = 2; nodes <= 5; nodes++) {
        run_t run = {settings_of(), "sgp", nodes, 0, check_sgp};
        run_in_child(simulate, &run);
    }
}

static void check_allreduce(const run_t *run, const simulation_row_t *row) {
    double bytes = 2.0 * (run->nodes - 1) / run->nodes * 16e6;
    CHECK(is_near(row->step_ms, GRADIENT + bytes / RATE * 1e3 + 2 * LATENCY));
    CHECK(is_near(row->bytes_per_step, bytes));
    CHECK(row->distance < 1e-4);
}

static void test_allreduce(void **state) {
    (void)state;
    run_t run = {settings_of(), "allreduce", 4, 0, check_allreduce};
    run_in_child(simulate, &run);
}

/* The slow node delays no other node, and a step lasts until it has made its own. */
static void check_slow(const run_t *run, const simulation_row_t *row) {
    CHECK(is_near(row->fastest_ms, GRADIENT));
    CHECK(is_near(row->slowest_ms, 4 * GRADIENT));
    CHECK(is_near(row->step_ms, 4 * GRADIENT));
    CHECK(is_near(row->node_ms, (run->nodes + 3) * GRADIENT / run->nodes));
    CHECK(row->wait_ms == 0);
}

static void test_slow_node(void **state) {
    (void)state;
    run_t run = {settings_of(), "osgp-async", 4, 0, check_slow};
    run.settings.slow.rank = 2;
    run.settings.slow.factor = 4;
    run_in_child(simulate, &run);
}

/* Nodes fail in a second after the warm-up, most of them while they compute. Nobody waits for one half a second later: a node that
 * would have had its message 180 ms after the gradient has lost 220 to 320 ms by then. Those that do not wait for it lose less, and
 * later all gain: nobody waits for a node that is not there. */
static void check_failures(const run_t *run, const simulation_row_t *row) {
    double step = GRADIENT + PUSH + LATENCY;
    double without = (run->settings.steps - run->settings.warmup) * step * 1e-3;
    CHECK(row->failed == simulation_failing(run->nodes));
    CHECK(row->steps == run->settings.steps);
    CHECK(row->longest_ms > step + 100 && row->longest_ms < step + 600);
    CHECK(row->others_s > 0.4 * without && row->others_s < without + row->failed * 0.5);
    CHECK((row->distance > 0) == (run->nodes > 2) && row->distance < 10);
}

static void test_failures(void **state) {
    (void)state;
    for (int nodes = 2; nodes <= 32; nodes *= 2) {
        run_t run = {settings_of(), "sgp", nodes, 0, check_failures};
        run.settings.failures_s = 20;
        run.settings.steps = 30;
        run.settings.failing.from_s = 1;
        run.settings.failing.to_s = 2;
        run_in_child(simulate, &run);
    }
}

typedef struct probed {
    int hosts;
    double rate;
    sgp_status_t expected;
} probed_t;

static void probe(void *context) {
    const probed_t *probed = context;
    simulation_network_t network = {.bytes_per_second = probed->rate};
    CHECK(simulation_probe(platform_of(&network, probed->hosts), 3) == probed->expected);
}

/* A platform needs a host for each of three nodes, and a rate above 0 on its links. */
static void test_probe(void **state) {
    (void)state;
    probed_t all[] = {
        {2, RATE, SGP_ERR_INVALID}, {3, RATE, SGP_OK}, {4, RATE, SGP_OK}, {3, 0, SGP_ERR_INVALID}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) run_in_child(probe, &all[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgp),       cmocka_unit_test(test_allreduce),
        cmocka_unit_test(test_slow_node), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_probe),
    };
    if (!have_simgrid()) return 0;
    return cmocka_run_group_tests_name("simulation", tests, NULL, NULL);
}
