/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "graph/analysis.h"

#include "matrix.h"

static sgp_graph_t random_graph(int n, int peers, uint64_t seed) {
    return (sgp_graph_t){.kind = SGP_GRAPH_RANDOM, .size = n, .peers = peers, .seed = seed};
}

static void test_seed(void **state) {
    (void)state;
    check_seed(SGP_GRAPH_RANDOM);
}

/* Every node sends to p others and receives from p: rows sum to one like columns, and w stays 1. */
static void test_degrees(void **state) {
    (void)state;
    static matrix_t P;
    for (int n = 2; n <= MOST; n++)
        for (int peers = 1; peers < 4 && peers < n; peers++) {
            sgp_graph_t graph = random_graph(n, peers, 1);
            for (uint64_t step = 0; step < 10; step++) {
                sgp_edge_t edges[MOST];
                matrix_of(&graph, step, P);
                for (int rank = 0; rank < n; rank++) {
                    assert_int_equal(sgp_graph_out(&graph, rank, step, edges), peers);
                    assert_int_equal(sgp_graph_in(&graph, rank, step, edges), peers);
                    double w = 0;
                    for (int j = 0; j < n; j++) w += P[rank][j];
                    assert_true(fabs(w - 1) < 1e-12);
                }
            }
        }
}

/* Each of the five others is the receiver equally often: chi-square with 4 degrees of freedom stays
 * below 18.5 but for one seed in a thousand. */
static void test_receivers_are_uniform(void **state) {
    (void)state;
    enum { NODES = 6, STEPS = 20000, OTHERS = NODES - 1 };
    int drawn[NODES] = {0};
    sgp_graph_t graph = random_graph(NODES, 1, 5);
    for (uint64_t step = 0; step < STEPS; step++) {
        sgp_edge_t edges[NODES];
        sgp_graph_out(&graph, 2, step, edges);
        drawn[edges[0].peer]++;
    }
    double chi_square = 0, expected = (double)STEPS / OTHERS;
    for (int peer = 0; peer < NODES; peer++)
        if (peer != 2) chi_square += (drawn[peer] - expected) * (drawn[peer] - expected) / expected;
    assert_int_equal(drawn[2], 0);
    assert_true(chi_square < 18.5);
}

/* Where i sends to each of the others with the same probability, one step shrinks the variance of
 * the nodes by (n - 2) / (2 (n - 1)) on average; noise of variance 1 in each step then settles at
 * (n - 1)(n - 2) / n^2. The mean over 200 steps is within 3 % of it for most seeds. */
static void test_consensus_variance(void **state) {
    (void)state;
    const struct {
        int n;
        double variance;
    } known[] = {{6, 0.556}, {16, 0.820}, {32, 0.908}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double mean = 0;
        enum { SEEDS = 5 };
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            sgp_graph_t graph = random_graph(known[i].n, 1, seed);
            sgp_graph_analysis_t found;
            assert_int_equal(sgp_graph_analyze(&graph, 0, &found), SGP_OK);
            mean += found.variance / SEEDS;
        }
        assert_true(fabs(mean / known[i].variance - 1) < 0.02);
    }
}

static void test_reaches_the_mean(void **state) {
    (void)state;
    static matrix_t M;
    enum { NODES = 24 };
    sgp_graph_t graph = random_graph(NODES, 1, 9);
    product_of(&graph, 0, 100, M);
    assert_true(largest_deviation(NODES, M) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_degrees),
        cmocka_unit_test(test_receivers_are_uniform),
        cmocka_unit_test(test_consensus_variance),
        cmocka_unit_test(test_reaches_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
