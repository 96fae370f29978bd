/* SPDX-License-Identifier: Apache-2.0 */
/* The analysis against the method's numbers, closed forms, and a plain simulation. */
#include "cmocka_all.h"

#include "base/random.h"
#include "graph/analysis.h"
#include "graph/families.h"

#include "matrix.h"

static sgp_graph_analysis_t analyze(sgp_graph_t graph, int steps) {
    sgp_graph_analysis_t analysis;
    assert_int_equal(sgp_graph_check(&graph), SGP_OK);
    assert_int_equal(sgp_graph_analyze(&graph, steps, &analysis), SGP_OK);
    return analysis;
}

#define GRAPH(name, n, p) ((sgp_graph_t){.kind = SGP_GRAPH_##name, .size = (n), .peers = (p)})

static bool near(double found, double expected, double tolerance) {
    if (fabs(found - expected) <= tolerance) return true;
    print_error("%.9g instead of %.9g\n", found, expected);
    return false;
}

static void test_numbers_of_the_method(void **state) {
    (void)state;
    sgp_graph_analysis_t found = analyze(GRAPH(EXPONENTIAL, 24, 1), 0);
    assert_int_equal(found.steps, 5);
    assert_int_equal(found.exact, -1);
    assert_true(near(found.contraction, 0.2073, 5e-5));
    assert_true(near(found.deviation, 0.02083, 5e-6));
    found = analyze(GRAPH(EXPONENTIAL, 32, 2), 0);
    assert_int_equal(found.steps, 4);
    assert_int_equal(found.exact, -1);
    assert_true(near(found.contraction, 0.1253, 5e-5));
    assert_true(near(found.deviation, 0.00656, 5e-6));
    assert_true(near(found.variance, 0.398, 5e-4));
    assert_true(near(analyze(GRAPH(EXPONENTIAL, 32, 1), 0).variance, 0.8125, 1e-12));
    assert_true(near(analyze(GRAPH(RING, 32, 2), 0).variance, 3.45, 5e-3));
}

/* One-peer exponential: exact after log2 n steps, variance 1 - (1 + log2 n) / n. */
static void test_powers_of_two(void **state) {
    (void)state;
    for (int levels = 1; levels <= 8; levels++) {
        int n = 1 << levels;
        sgp_graph_analysis_t found = analyze(GRAPH(EXPONENTIAL, n, 1), 0);
        assert_int_equal(found.exact, levels);
        assert_true(found.contraction == 0 && found.per_step == 0 && found.deviation == 0);
        assert_true(near(found.variance, 1 - (1.0 + levels) / n, 1e-12));
        assert_true(near(found.edges, n, 1e-9));
        found = analyze(GRAPH(EXPONENTIAL, n, 1), levels > 1 ? levels - 1 : 1);
        assert_true(levels == 1 || found.contraction > 0.1);
        assert_int_equal(found.exact, levels);
    }
}

/* Ring with two peers: eigenvalues (1 + 2 cos(2 pi m / n)) / 3; the variance of a mode is
 * l^2 / (1 - l^2). */
static void test_ring(void **state) {
    (void)state;
    const double turn = 6.283185307179586;
    for (int n = 3; n <= 100; n += 13) {
        double variance = 0, second = (1 + 2 * cos(turn / n)) / 3;
        for (int m = 1; m < n; m++) {
            double l = (1 + 2 * cos(turn * m / n)) / 3;
            variance += l * l / (1 - l * l) / n;
        }
        sgp_graph_analysis_t found = analyze(GRAPH(RING, n, 2), 7);
        assert_int_equal(found.exact, n == 3 ? 1 : -1);
        assert_true(near(found.contraction, n == 3 ? 0 : pow(second, 7), 1e-9));
        assert_true(near(found.per_step, n == 3 ? 0 : second, 1e-9));
        assert_true(near(found.variance / (1 + variance), variance / (1 + variance), 1e-9));
        assert_true(near(found.edges, 2 * n, 1e-9));
    }
}

static void test_exact(void **state) {
    (void)state;
    /* After 400 steps only rounding is left: still not exact. */
    assert_int_equal(analyze(GRAPH(RING, 8, 2), 400).exact, -1);
    for (int n = 2; n <= 40; n++)
        for (int peers = 1; peers <= 3 && peers < n; peers++) {
            sgp_graph_t graph = GRAPH(BASE, n, peers);
            sgp_graph_analysis_t found = analyze(graph, 0);
            assert_in_range(found.exact, 1, sgp_graph_period(&graph));
            assert_true(found.contraction == 0);
        }
    assert_int_equal(analyze(GRAPH(BIPARTITE_EXPONENTIAL, 4, 1), 0).exact, 2);
    assert_int_equal(analyze(GRAPH(COMPLETE, 9, 0), 0).exact, 1);
    assert_true(analyze(GRAPH(COMPLETE, 9, 0), 0).variance < 1e-12);
    assert_int_equal(analyze(GRAPH(STATIC_EXPONENTIAL, 12, 0), 0).exact, -1);
    assert_true(near(analyze(GRAPH(STATIC_EXPONENTIAL, 12, 0), 0).edges, 48, 1e-9));
    sgp_graph_analysis_t alone = analyze(GRAPH(EXPONENTIAL, 1, 1), 0);
    assert_int_equal(alone.exact, 0);
    assert_true(alone.contraction == 0 && alone.variance == 0 && alone.edges == 0);
}

/* Deviation and contraction of z = x / w, by the definition: each impulse, and for the singular
 * value |R x - mean| <= contraction |x|, which the worst of many random x comes near. */
static void test_random_uneven_is_debiased(void **state) {
    (void)state;
    enum { NODES = 12, STEPS = 6, TRIES = 20000 };
    static matrix_t M;
    sgp_graph_t graph = {.kind = SGP_GRAPH_RANDOM_UNEVEN, .size = NODES, .peers = 2, .seed = 4};
    sgp_graph_analysis_t found = analyze(graph, STEPS);
    product_of(&graph, 0, STEPS, M);
    double deviation = 0, largest = 0;
    for (int i = 0; i < NODES; i++) {
        double w = 0;
        for (int j = 0; j < NODES; j++) w += M[i][j];
        for (int j = 0; j < NODES; j++) M[i][j] = M[i][j] / w - 1.0 / NODES;
        for (int j = 0; j < NODES; j++) deviation = fmax(deviation, fabs(M[i][j]));
    }
    sgp_random_t random;
    sgp_random_init(&random, 1, 2);
    for (int try = 0; try < TRIES; try++) {
        double x[NODES], in = 0, out = 0;
        for (int j = 0; j < NODES; j++) {
            x[j] = sgp_random_normal(&random);
            in += x[j] * x[j];
        }
        for (int i = 0; i < NODES; i++) {
            double y = 0;
            for (int j = 0; j < NODES; j++) y += M[i][j] * x[j];
            out += y * y;
        }
        largest = fmax(largest, sqrt(out / in));
    }
    assert_true(near(found.deviation, deviation, 1e-12));
    assert_true(largest <= found.contraction && largest > 0.8 * found.contraction);
}

/* Mean over steps first, ..., of the variance of z when noise is simulated. */
static double simulate(const sgp_graph_t *graph, int first, int steps) {
    enum { COORDINATES = 3000 };
    static double x[MOST][COORDINATES], y[MOST][COORDINATES];
    double w[MOST], v[MOST], variance = 0;
    int n = graph->size;
    sgp_random_t random;
    sgp_random_init(&random, 77, 0);
    memset(x, 0, sizeof x);
    for (int i = 0; i < n; i++) w[i] = 1;
    for (int k = 0; k < first + steps; k++) {
        static matrix_t P;
        matrix_of(graph, (uint64_t)k, P);
        for (int i = 0; i < n; i++)
            for (int c = 0; c < COORDINATES; c++) x[i][c] += sgp_random_normal(&random);
        memset(y, 0, sizeof y);
        memset(v, 0, sizeof v);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                v[i] += P[i][j] * w[j];
                for (int c = 0; c < COORDINATES; c++) y[i][c] += P[i][j] * x[j][c];
            }
        memcpy(x, y, sizeof x);
        memcpy(w, v, sizeof w);
        for (int c = 0; c < COORDINATES && k >= first; c++) {
            double mean = 0, squares = 0;
            for (int i = 0; i < n; i++) mean += x[i][c] / w[i] / n;
            for (int i = 0; i < n; i++)
                squares += (x[i][c] / w[i] - mean) * (x[i][c] / w[i] - mean) / n;
            variance += squares / steps / COORDINATES;
        }
    }
    return variance;
}

static void test_variance_against_simulation(void **state) {
    (void)state;
    const sgp_graph_t graphs[] = {
        {.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL, .size = 9, .peers = 1},
        {.kind = SGP_GRAPH_BASE, .size = 7, .peers = 1},
        {.kind = SGP_GRAPH_EXPONENTIAL, .size = 6, .peers = 1},
        {.kind = SGP_GRAPH_RANDOM, .size = 6, .peers = 1, .seed = 5},
        {.kind = SGP_GRAPH_RANDOM_UNEVEN, .size = 6, .peers = 1, .seed = 5},
    };
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        bool random = sgp_graph_is_random(&graphs[i]);
        int period = sgp_graph_period(&graphs[i]);
        int first = 60, steps = random ? SGP_ANALYSIS_VARIANCE_STEPS : 20 * period;
        if (!random) first -= first % period;
        double expected = simulate(&graphs[i], first, steps);
        assert_true(near(analyze(graphs[i], 0).variance / expected, 1, 0.015));
    }
}

static void test_limits(void **state) {
    (void)state;
    sgp_graph_analysis_t found = {.steps = 12345};
    sgp_graph_t graph = GRAPH(EXPONENTIAL, SGP_ANALYSIS_NODES + 1, 1);
    assert_int_equal(sgp_graph_analyze(&graph, 0, &found), SGP_ERR_UNSUPPORTED);
    assert_int_equal(found.steps, 12345);
    found = analyze(GRAPH(EXPONENTIAL, SGP_ANALYSIS_VARIANCE_NODES + 1, 1), 0);
    assert_true(isnan(found.variance));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_the_method),
        cmocka_unit_test(test_powers_of_two),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_random_uneven_is_debiased),
        cmocka_unit_test(test_variance_against_simulation),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
