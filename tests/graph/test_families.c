/* SPDX-License-Identifier: Apache-2.0 */
/* The graphs as matrices. The numbers are from the method: derived from the definitions and computed independently. */
#include "cmocka_all.h"

#include "base/random.h"
#include "graph/families.h"

#include "matrix.h"

enum { KINDS = SGP_GRAPH_RANDOM_UNEVEN + 1 };

/* Largest singular value of (M - exact mean), by power iteration on its square. */
static double contraction(int n, matrix_t M) {
    double x[MOST], y[MOST], norm = 0;
    for (int i = 0; i < n; i++) x[i] = sin(1.0 + i);
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < n; i++) {
            y[i] = 0;
            for (int j = 0; j < n; j++) y[i] += (M[i][j] - 1.0 / n) * x[j];
        }
        norm = 0;
        for (int j = 0; j < n; j++) {
            x[j] = 0;
            for (int i = 0; i < n; i++) x[j] += (M[i][j] - 1.0 / n) * y[i];
            norm += x[j] * x[j];
        }
        norm = sqrt(norm);
        if (norm == 0) return 0;
        for (int j = 0; j < n; j++) x[j] /= norm;
    }
    return sqrt(norm);
}

static void for_every_graph(void (*body)(const sgp_graph_t *graph)) {
    for (int n = 1; n <= MOST; n++)
        for (int kind = SGP_GRAPH_EXPONENTIAL; kind < KINDS; kind++)
            for (int peers = 0; peers <= n; peers = peers < 4 ? peers + 1 : 2 * peers - 1) {
                sgp_graph_t graph = {
                    .kind = (sgp_graph_kind_t)kind, .size = n, .peers = peers, .seed = 3};
                if (sgp_graph_check(&graph) == SGP_OK) body(&graph);
            }
}

static void check_shape(const sgp_graph_t *graph) {
    static matrix_t P;
    for (uint64_t step = 0; step < 8; step++) {
        matrix_of(graph, step, P);
        for (int j = 0; j < graph->size; j++) {
            double column = 0;
            for (int i = 0; i < graph->size; i++) {
                assert_true(P[i][j] >= 0);
                column += P[i][j];
            }
            assert_true(fabs(column - 1) < 1e-15);
            assert_true(P[j][j] > 0 || graph->size == 1);
        }
    }
}

static void check_list(const sgp_graph_t *graph, int rank, const sgp_edge_t *edges, int count) {
    assert_in_range(count, 0, sgp_graph_max_degree(graph));
    for (int e = 0; e < count; e++) {
        assert_in_range(edges[e].peer, 0, graph->size - 1);
        assert_int_not_equal(edges[e].peer, rank);
        assert_true(edges[e].weight > 0 && edges[e].weight < 1);
        if (e) assert_true(edges[e - 1].peer < edges[e].peer);
    }
}

static void check_edges(const sgp_graph_t *graph) {
    static matrix_t P, Q;
    for (uint64_t step = 0; step < 8; step++) {
        matrix_of(graph, step, P);
        memset(Q, 0, sizeof Q);
        for (int i = 0; i < graph->size; i++) {
            sgp_edge_t in[MOST], out[MOST];
            int received = sgp_graph_in(graph, i, step, in);
            check_list(graph, i, in, received);
            check_list(graph, i, out, sgp_graph_out(graph, i, step, out));
            for (int e = 0; e < received; e++) Q[i][in[e].peer] = in[e].weight;
        }
        for (int i = 0; i < graph->size; i++)
            for (int j = 0; j < graph->size; j++)
                if (i != j) assert_true(P[i][j] == Q[i][j]);
    }
}

static bool is_symmetric(int n, matrix_t P) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (P[i][j] != P[j][i]) return false;
    return true;
}

/* sgp_graph_symmetric agrees with the matrices; those of a random graph of some size cannot all be symmetric by
 * chance. */
static void check_symmetry(const sgp_graph_t *graph) {
    static matrix_t P;
    bool symmetric = true;
    uint64_t steps = (uint64_t)sgp_graph_period(graph);
    if (sgp_graph_is_random(graph)) steps = 50;
    for (uint64_t step = 0; step < steps && symmetric; step++) {
        matrix_of(graph, step, P);
        symmetric = is_symmetric(graph->size, P);
    }
    assert_int_equal(symmetric, sgp_graph_symmetric(graph));
}

static void check_period(const sgp_graph_t *graph) {
    static matrix_t P, Q;
    uint64_t period = (uint64_t)sgp_graph_period(graph);
    for (uint64_t step = 0; step < period && !sgp_graph_is_random(graph); step++) {
        matrix_of(graph, step, P);
        matrix_of(graph, step + 1000 * period, Q);
        assert_memory_equal(P, Q, sizeof P);
    }
}

static void test_columns_sum_to_one(void **state) {
    (void)state;
    for_every_graph(check_shape);
}

static void test_in_and_out_agree(void **state) {
    (void)state;
    for_every_graph(check_edges);
}

static void test_symmetry(void **state) {
    (void)state;
    for_every_graph(check_symmetry);
}

static void test_period(void **state) {
    (void)state;
    for_every_graph(check_period);
}

static void test_exact_for_powers(void **state) {
    (void)state;
    static matrix_t M;
    const struct {
        int n, peers, steps;
    } cases[] = {{2, 1, 1},  {4, 1, 2}, {8, 1, 3},  {16, 1, 4}, {32, 1, 5},
                 {64, 1, 6}, {9, 2, 2}, {27, 2, 3}, {16, 3, 2}, {64, 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgp_graph_t graph = {.size = cases[i].n, .peers = cases[i].peers};
        product_of(&graph, 0, cases[i].steps, M);
        assert_true(largest_deviation(cases[i].n, M) < 1e-15);
        product_of(&graph, 0, cases[i].steps - 1, M);
        assert_true(largest_deviation(cases[i].n, M) > 1e-3);
    }
    sgp_graph_t complete = {.kind = SGP_GRAPH_COMPLETE, .size = 7};
    product_of(&complete, 0, 1, M);
    assert_true(largest_deviation(7, M) < 1e-15);
}

static void test_static_exponential(void **state) {
    (void)state;
    static matrix_t P;
    sgp_graph_t graph = {.kind = SGP_GRAPH_STATIC_EXPONENTIAL, .size = 12};
    const int hops[] = {1, 2, 4, 8};
    matrix_of(&graph, 5, P);
    for (int j = 0; j < 12; j++) {
        assert_true(fabs(P[j][j] - 0.2) < 1e-15);
        for (int h = 0; h < 4; h++) assert_true(P[(j + hops[h]) % 12][j] == 0.2);
    }
}

static void test_contraction_24_nodes(void **state) {
    (void)state;
    static matrix_t M;
    sgp_graph_t graph = {.size = 24, .peers = 1};
    product_of(&graph, 0, 5, M);
    assert_true(fabs(contraction(24, M) - 0.2073) < 5e-5);
    assert_true(fabs(largest_deviation(24, M) - 0.02083) < 5e-6);
}

static void test_contraction_32_nodes_2_peers(void **state) {
    (void)state;
    static matrix_t M;
    sgp_graph_t graph = {.size = 32, .peers = 2};
    product_of(&graph, 0, 4, M);
    assert_true(fabs(contraction(32, M) - 0.1253) < 5e-5);
    assert_true(fabs(largest_deviation(32, M) - 0.00656) < 5e-6);
}

/* Every node adds N(0, 1) in each step, then they mix; consensus variance per coordinate, after
 * mixing. */
static double simulate_noise(const sgp_graph_t *graph) {
    enum { SETTLE = 400, MEASURE = 1600, COORDINATES = 24 };
    static double x[MOST][COORDINATES], y[MOST][COORDINATES];
    memset(x, 0, sizeof x);
    sgp_random_t random;
    sgp_random_init(&random, 12345, (uint64_t)graph->kind);
    double variance = 0;
    int n = graph->size;
    for (uint64_t step = 0; step < SETTLE + MEASURE; step++) {
        for (int i = 0; i < n; i++)
            for (int c = 0; c < COORDINATES; c++) x[i][c] += sgp_random_normal(&random);
        memset(y, 0, sizeof y);
        for (int j = 0; j < n; j++) {
            sgp_edge_t edges[MOST];
            int count = sgp_graph_out(graph, j, step, edges);
            double kept = 1;
            for (int e = 0; e < count; e++) {
                kept -= edges[e].weight;
                for (int c = 0; c < COORDINATES; c++)
                    y[edges[e].peer][c] += edges[e].weight * x[j][c];
            }
            for (int c = 0; c < COORDINATES; c++) y[j][c] += kept * x[j][c];
        }
        memcpy(x, y, sizeof x);
        for (int c = 0; c < COORDINATES && step >= SETTLE; c++) {
            double mean = 0, squares = 0;
            for (int i = 0; i < n; i++) mean += x[i][c] / n;
            for (int i = 0; i < n; i++) squares += (x[i][c] - mean) * (x[i][c] - mean) / n;
            variance += squares / (MEASURE * COORDINATES);
        }
    }
    return variance;
}

static void test_steady_variance(void **state) {
    (void)state;
    const struct {
        sgp_graph_t graph;
        double expected;
    } cases[] = {
        {{.size = 32}, 0.8125},
        {{.size = 32, .peers = 2}, 0.398},
        {{.kind = SGP_GRAPH_RING, .size = 32, .peers = 2}, 3.45},
        {{.size = 8}, 1 - 4.0 / 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double found = simulate_noise(&cases[i].graph);
        assert_true(fabs(found / cases[i].expected - 1) < 0.03);
    }
}

static void test_check_refuses(void **state) {
    (void)state;
    const sgp_graph_t bad[] = {
        {.size = 0},
        {.size = 4, .peers = 4},
        {.size = 4, .peers = -1},
        {.kind = SGP_GRAPH_RING, .size = 8, .peers = 3},
        {.kind = SGP_GRAPH_RANDOM, .size = 4, .peers = 4},
        {.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL, .size = 8, .peers = 5},
        {.kind = (sgp_graph_kind_t)77, .size = 4},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sgp_graph_check(&bad[i]), SGP_ERR_INVALID);
}

static void check_resized(const sgp_graph_t *graph) {
    for (int n = 1; n <= MOST; n++) {
        sgp_graph_t resized = *graph;
        sgp_graph_resize(&resized, n);
        assert_int_equal(resized.size, n);
        assert_int_equal(sgp_graph_check(&resized), SGP_OK);
        if (n >= graph->size && graph->size > 1) assert_int_equal(resized.peers, graph->peers);
    }
}

/* Nodes leave a graph, and others come: it is a graph of any number of nodes. */
static void test_resize(void **state) {
    (void)state;
    for_every_graph(check_resized);
}

static void test_names(void **state) {
    (void)state;
    sgp_graph_kind_t kind = SGP_GRAPH_RING;
    assert_int_equal(sgp_graph_parse("complete", &kind), SGP_OK);
    assert_int_equal(kind, SGP_GRAPH_COMPLETE);
    assert_int_equal(sgp_graph_parse("star", &kind), SGP_ERR_NOT_FOUND);
    assert_int_equal(kind, SGP_GRAPH_COMPLETE);
    assert_string_equal(sgp_graph_name(SGP_GRAPH_EXPONENTIAL), "exponential");
    for (int number = SGP_GRAPH_EXPONENTIAL; number < KINDS; number++) {
        const char *name = sgp_graph_name((sgp_graph_kind_t)number);
        assert_int_equal(sgp_graph_parse(name, &kind), SGP_OK);
        assert_int_equal(kind, number);
    }
    assert_string_equal(sgp_graph_name((sgp_graph_kind_t)KINDS), "unknown");
    assert_string_equal(sgp_graph_names(),
                        "exponential, ring, complete, static-exponential, bipartite-exponential, "
                        "random, base, random-uneven");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_sum_to_one),
        cmocka_unit_test(test_in_and_out_agree),
        cmocka_unit_test(test_symmetry),
        cmocka_unit_test(test_static_exponential),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_exact_for_powers),
        cmocka_unit_test(test_contraction_24_nodes),
        cmocka_unit_test(test_contraction_32_nodes_2_peers),
        cmocka_unit_test(test_steady_variance),
        cmocka_unit_test(test_check_refuses),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
