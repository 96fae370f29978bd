/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "matrix.h"

static sgp_graph_t random_graph(int n, int peers, uint64_t seed) {
    return (sgp_graph_t){.kind = SGP_GRAPH_RANDOM_UNEVEN, .size = n, .peers = peers, .seed = seed};
}

static void test_seed(void **state) {
    (void)state;
    check_seed(SGP_GRAPH_RANDOM_UNEVEN);
}

static void test_out_degree_is_fixed_in_degree_is_not(void **state) {
    (void)state;
    for (int n = 4; n <= MOST; n++)
        for (int peers = 1; peers < 4 && peers < n - 1; peers++) {
            sgp_graph_t graph = random_graph(n, peers, 1);
            bool differ = false;
            for (uint64_t step = 0; step < 10; step++)
                for (int rank = 0; rank < n; rank++) {
                    sgp_edge_t edges[MOST];
                    assert_int_equal(sgp_graph_out(&graph, rank, step, edges), peers);
                    differ |= sgp_graph_in(&graph, rank, step, edges) != peers;
                }
            assert_true(differ);
        }
}

/* Each of the C(5, 2) = 10 sets of receivers is drawn as often: chi-square with 9 degrees of
 * freedom stays below 27.9 but for one seed in a thousand. */
static void test_sets_are_uniform(void **state) {
    (void)state;
    enum { NODES = 6, STEPS = 20000, SETS = 10 };
    int drawn[NODES][NODES] = {{0}};
    sgp_graph_t graph = random_graph(NODES, 2, 5);
    for (uint64_t step = 0; step < STEPS; step++) {
        sgp_edge_t edges[NODES];
        sgp_graph_out(&graph, 2, step, edges);
        drawn[edges[0].peer][edges[1].peer]++;
    }
    double chi_square = 0, expected = (double)STEPS / SETS;
    for (int a = 0; a < NODES; a++)
        for (int b = a + 1; b < NODES; b++)
            if (a != 2 && b != 2)
                chi_square += (drawn[a][b] - expected) * (drawn[a][b] - expected) / expected;
    assert_true(chi_square < 27.9);
}

/* Independent draws of n - 1 others give in-degrees that are binomial, with variance
 * 1 - 1 / (n - 1). */
static void test_nodes_draw_independently(void **state) {
    (void)state;
    enum { NODES = 64, STEPS = 400 };
    double squares = 0;
    sgp_graph_t graph = random_graph(NODES, 1, 2);
    for (uint64_t step = 0; step < STEPS; step++)
        for (int rank = 0; rank < NODES; rank++) {
            sgp_edge_t edges[NODES];
            double off = sgp_graph_in(&graph, rank, step, edges) - 1;
            squares += off * off / (NODES * STEPS);
        }
    assert_true(fabs(squares - (1 - 1.0 / (NODES - 1))) < 0.05);
}

/* PushSum over it: the masses differ, and their ratio reaches the mean. */
static void test_pushsum_reaches_the_mean(void **state) {
    (void)state;
    static matrix_t M;
    enum { NODES = 24 };
    sgp_graph_t graph = random_graph(NODES, 1, 9);
    product_of(&graph, 0, 200, M);
    double least = 1, most = 1;
    for (int i = 0; i < NODES; i++) {
        double x = 0, w = 0;
        for (int j = 0; j < NODES; j++) x += M[i][j] * j, w += M[i][j];
        assert_true(fabs(x / w - (NODES - 1) / 2.0) < 1e-9);
        least = fmin(least, w);
        most = fmax(most, w);
    }
    assert_true(most > 2 * least);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_out_degree_is_fixed_in_degree_is_not),
        cmocka_unit_test(test_sets_are_uniform),
        cmocka_unit_test(test_nodes_draw_independently),
        cmocka_unit_test(test_pushsum_reaches_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
