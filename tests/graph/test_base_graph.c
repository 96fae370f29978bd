/* SPDX-License-Identifier: Apache-2.0 */
/* The Base-(k+1) graph: the exact mean after one period, for every n and k. */
#include "cmocka_all.h"

#include "matrix.h"

static sgp_graph_t base_graph(int n, int peers) {
    return (sgp_graph_t){.kind = SGP_GRAPH_BASE, .size = n, .peers = peers};
}

static void test_exact_after_a_period(void **state) {
    (void)state;
    static matrix_t M;
    for (int n = 2; n <= MOST; n++)
        for (int peers = 1; peers < n; peers += peers < 6 ? 1 : 5) {
            sgp_graph_t graph = base_graph(n, peers);
            product_of(&graph, 0, sgp_graph_period(&graph), M);
            assert_true(largest_deviation(n, M) < 1e-14);
        }
}

static void test_degree(void **state) {
    (void)state;
    for (int n = 1; n <= 200; n++)
        for (int peers = 1; peers < n && peers <= 5; peers++) {
            sgp_graph_t graph = base_graph(n, peers);
            for (int step = 0; step < sgp_graph_period(&graph); step++)
                for (int rank = 0; rank < n; rank++) {
                    sgp_edge_t edges[200];
                    int count = sgp_graph_out(&graph, rank, (uint64_t)step, edges);
                    assert_in_range(count, 0, peers);
                }
        }
}

/* Simple takes p_1 + 1 steps at most in phase 1, then 1 + p_1, and (k+1)^(p_1) <= n: no more than
 * the 2 log_{k+1} n + 2 of the paper. */
static void test_length(void **state) {
    (void)state;
    for (int n = 2; n <= 5000; n++)
        for (int peers = 1; peers < n && peers <= 5; peers++) {
            sgp_graph_t graph = base_graph(n, peers);
            double most = 2 * log(n) / log(peers + 1) + 2;
            assert_true(sgp_graph_period(&graph) <= most + 1e-9);
        }
}

/* Powers of k + 1, where no graph can be faster, and small cases by hand: 5 = 4 + 1 takes 2 + 1 + 2
 * steps; 6 = 2 * 3 takes 1 + 1 + 1 for three nodes, and one more; 22 = 4 * 5 + 2 takes 2 + 1 + 1,
 * and two rows of 11 = 2 * 5 + 1 would take 2 + 1 + 1 and one more. */
static void test_known_lengths(void **state) {
    (void)state;
    const struct {
        int n, peers, period;
    } cases[] = {{2, 1, 1}, {4, 1, 2}, {32, 1, 5}, {64, 1, 6}, {27, 2, 3}, {64, 3, 3},
                 {5, 1, 5}, {6, 1, 4}, {6, 2, 2},  {5, 4, 1},  {22, 4, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgp_graph_t graph = base_graph(cases[i].n, cases[i].peers);
        assert_int_equal(sgp_graph_period(&graph), cases[i].period);
    }
}

/* x after one period over many nodes: no matrix of them is needed. */
static void test_many_nodes(void **state) {
    (void)state;
    enum { NODES = 10007 }; /* a prime */
    static double x[NODES], y[NODES];
    for (int peers = 1; peers <= 3; peers++) {
        sgp_graph_t graph = base_graph(NODES, peers);
        for (int i = 0; i < NODES; i++) x[i] = i;
        for (int step = 0; step < sgp_graph_period(&graph); step++) {
            for (int i = 0; i < NODES; i++) {
                sgp_edge_t edges[3];
                int count = sgp_graph_in(&graph, i, (uint64_t)step, edges);
                y[i] = x[i];
                for (int e = 0; e < count; e++)
                    y[i] += edges[e].weight * (x[edges[e].peer] - x[i]); /* rows sum to one */
            }
            memcpy(x, y, sizeof x);
        }
        for (int i = 0; i < NODES; i++) assert_true(fabs(x[i] / ((NODES - 1) / 2.0) - 1) < 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_after_a_period),
        cmocka_unit_test(test_degree),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_known_lengths),
        cmocka_unit_test(test_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
