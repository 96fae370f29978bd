/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as dense matrices, computed plainly. */
#ifndef SGP_TESTS_GRAPH_MATRIX_H
#define SGP_TESTS_GRAPH_MATRIX_H

#include "cmocka_all.h"

#include <sgp/graph.h>

#include <math.h>
#include <string.h>

enum { MOST = 64 };

typedef double matrix_t[MOST][MOST];

/* P[i][j]: the share of j's mass that i gets. */
static inline void matrix_of(const sgp_graph_t *graph, uint64_t step, matrix_t P) {
    memset(P, 0, sizeof(matrix_t));
    for (int j = 0; j < graph->size; j++) {
        sgp_edge_t edges[MOST];
        int count = sgp_graph_out(graph, j, step, edges);
        P[j][j] = 1;
        for (int e = 0; e < count; e++) {
            P[edges[e].peer][j] += edges[e].weight;
            P[j][j] -= edges[e].weight;
        }
    }
}

static inline void multiply(int n, matrix_t A, matrix_t B, matrix_t C) {
    static matrix_t product;
    memset(product, 0, sizeof product);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            for (int j = 0; j < n && A[i][k] != 0; j++) product[i][j] += A[i][k] * B[k][j];
    memcpy(C, product, sizeof product);
}

/* Of steps first, first + 1, ..., `steps` of them. */
static inline void product_of(const sgp_graph_t *graph, uint64_t first, int steps,
                              matrix_t product) {
    static matrix_t P;
    memset(product, 0, sizeof(matrix_t));
    for (int i = 0; i < graph->size; i++) product[i][i] = 1;
    for (int k = 0; k < steps; k++) {
        matrix_of(graph, first + (uint64_t)k, P);
        multiply(graph->size, P, product, product);
    }
}

static inline bool same_matrix(const sgp_graph_t *a, const sgp_graph_t *b, uint64_t step_a,
                               uint64_t step_b) {
    static matrix_t P, Q;
    matrix_of(a, step_a, P);
    matrix_of(b, step_b, Q);
    return memcmp(P, Q, sizeof P) == 0;
}

/* The same seed gives the same matrices in every step; another seed, and another step, give others. */
static inline void check_seed(sgp_graph_kind_t kind) {
    sgp_graph_t a = {.kind = kind, .size = 32, .peers = 2, .seed = 7}, b = a, c = a;
    c.seed = 8;
    for (uint64_t step = 0; step < 20; step++) {
        assert_true(same_matrix(&a, &b, step, step));
        assert_false(same_matrix(&a, &c, step, step));
        assert_false(same_matrix(&a, &a, step, step + 1));
    }
}

static inline double largest_deviation(int n, matrix_t M) {
    double largest = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) largest = fmax(largest, fabs(M[i][j] - 1.0 / n));
    return largest;
}

#endif
