/* SPDX-License-Identifier: Apache-2.0 */
/* The bipartite exponential graph, beyond its symmetry. */
#include "cmocka_all.h"

#include "matrix.h"

static sgp_graph_t bipartite(int n, int peers) {
    return (sgp_graph_t){.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL, .size = n, .peers = peers};
}

/* Whether `hop` is an odd one of +-1, +-(1 + 2^i), modulo m. */
static bool is_hop(int hop, int m) {
    for (int length = 1; length < m; length = length == 1 ? 3 : 2 * length - 1)
        if (hop == length || hop == m - length) return true;
    return false;
}

static void test_pairs_of_even_and_odd(void **state) {
    (void)state;
    for (int n = 2; n <= MOST; n++) {
        sgp_graph_t graph = bipartite(n, 1);
        int idle[MOST] = {0}, m = n + n % 2;
        bool seen[MOST + 1] = {false};
        for (int step = 0; step < sgp_graph_period(&graph); step++) {
            int alone = 0;
            for (int rank = 0; rank < n; rank++) {
                sgp_edge_t edges[1];
                int count = sgp_graph_out(&graph, rank, (uint64_t)step, edges);
                idle[rank] += !count;
                alone += !count;
                if (!count) continue;
                int even = rank % 2 ? edges[0].peer : rank, odd = rank % 2 ? rank : edges[0].peer;
                assert_int_equal(even % 2, 0);
                assert_int_equal(odd % 2, 1);
                assert_true(is_hop((odd - even + m) % m, m));
                seen[(odd - even + m) % m] = true;
            }
            assert_int_equal(alone, n % 2); /* one node idles if n is odd */
        }
        for (int rank = 0; rank < n; rank++) assert_in_range(idle[rank], 0, n % 2);
        for (int hop = 0; hop < m; hop++) assert_int_equal(seen[hop], is_hop(hop, m));
    }
}

static void test_steps_of_a_period_differ(void **state) {
    (void)state;
    static matrix_t P, Q;
    for (int n = 2; n <= MOST; n++) {
        sgp_graph_t graph = bipartite(n, 1);
        for (int a = 0; a < sgp_graph_period(&graph); a++)
            for (int b = 0; b < a; b++) {
                matrix_of(&graph, (uint64_t)a, P);
                matrix_of(&graph, (uint64_t)b, Q);
                assert_memory_not_equal(P, Q, sizeof P);
            }
    }
}

/* With many peers most of the mass changes sides in every step, 1 - 2/(p+1) of it (0.846 at most
 * here): slow, but it converges. */
static void test_consensus_for_every_size(void **state) {
    (void)state;
    static matrix_t M;
    for (int n = 2; n <= MOST; n++)
        for (int peers = 1;; peers++) {
            sgp_graph_t graph = bipartite(n, peers);
            if (sgp_graph_check(&graph) != SGP_OK) {
                assert_true(peers > 1);
                break;
            }
            int period = sgp_graph_period(&graph);
            product_of(&graph, 1, (200 + period) / period * period, M);
            assert_true(largest_deviation(n, M) < 1e-9);
        }
}

static void test_several_peers(void **state) {
    (void)state;
    static matrix_t P;
    sgp_graph_t graph = bipartite(16, 3);
    for (uint64_t step = 0; step < 8; step++) {
        matrix_of(&graph, step, P);
        for (int j = 0; j < 16; j++) {
            int partners = 0;
            for (int i = 0; i < 16; i++) partners += i != j && P[i][j] == 0.25;
            assert_int_equal(partners, 3);
        }
    }
}

/* Pairs (r, r + 1), then (r, r - 1): four nodes are done. Two have one pairing. */
static void test_small(void **state) {
    (void)state;
    static matrix_t M;
    sgp_graph_t graph = bipartite(4, 1);
    product_of(&graph, 0, 2, M);
    assert_true(largest_deviation(4, M) == 0);
    graph = bipartite(2, 1);
    assert_int_equal(sgp_graph_period(&graph), 1);
    product_of(&graph, 0, 1, M);
    assert_true(largest_deviation(2, M) == 0);
    graph = bipartite(1, 1);
    assert_int_equal(sgp_graph_check(&graph), SGP_OK);
    assert_int_equal(sgp_graph_out(&graph, 0, 0, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_of_even_and_odd),
        cmocka_unit_test(test_steps_of_a_period_differ),
        cmocka_unit_test(test_consensus_for_every_size),
        cmocka_unit_test(test_several_peers),
        cmocka_unit_test(test_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
