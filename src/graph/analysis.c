/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/analysis.h"

#include "base/logging.h"
#include "base/random.h"
#include "graph/families.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A smaller deviation counts as none. */
#define ROUNDING 1e-13

/* All matrices: (n, n), row by row. */
typedef struct work {
    const sgp_graph_t *graph;
    size_t n;
    sgp_edge_t *edges; /* of the step that was loaded, by sender */
    size_t *first;     /* (n + 1) of each sender's */
    double *kept;      /* (n) */
    double *w;         /* (n) push-sum weights */
    double *left;      /* (n) vectors of the power iteration */
    double *right;
    double *a, *b, *c, *s; /* matrices */
} work_t;

static void work_release(work_t *work) {
    free(work->edges);
    free(work->first);
    free(work->kept); /* and the vectors and matrices behind it */
}

static sgp_status_t work_init(work_t *work, const sgp_graph_t *graph) {
    size_t n = (size_t)graph->size;
    *work = (work_t){.graph = graph, .n = n};
    work->edges = calloc(n * (size_t)sgp_graph_max_degree(graph) + 1, sizeof *work->edges);
    work->first = calloc(n + 1, sizeof *work->first);
    double *numbers = work->kept = calloc(4 * n + 4 * n * n, sizeof *numbers);
    if (!work->edges || !work->first || !numbers) {
        work_release(work);
        return sgp_fail(SGP_ERR_NO_MEMORY, "graph: no memory to analyze %zu nodes", n);
    }
    work->w = numbers + n;
    work->left = numbers + 2 * n;
    work->right = numbers + 3 * n;
    work->a = numbers + 4 * n;
    work->b = work->a + n * n;
    work->c = work->b + n * n;
    work->s = work->c + n * n;
    return SGP_OK;
}

/* P of a step; returns its edges. */
static size_t load(work_t *work, uint64_t step) {
    size_t total = 0;
    for (size_t j = 0; j < work->n; j++) {
        work->first[j] = total;
        int count = sgp_graph_out(work->graph, (int)j, step, work->edges + total);
        work->kept[j] = 1;
        for (int e = 0; e < count; e++) work->kept[j] -= work->edges[total++].weight;
    }
    return work->first[work->n] = total;
}

/* out <- P in, of `columns` columns. */
static void mix(const work_t *work, size_t columns, const double *restrict in,
                double *restrict out) {
    for (size_t j = 0; j < work->n; j++)
        for (size_t c = 0; c < columns; c++)
            out[j * columns + c] = work->kept[j] * in[j * columns + c];
    for (size_t j = 0; j < work->n; j++)
        for (size_t e = work->first[j]; e < work->first[j + 1]; e++) {
            double *row = out + (size_t)work->edges[e].peer * columns;
            double weight = work->edges[e].weight;
            for (size_t c = 0; c < columns; c++) row[c] += weight * in[j * columns + c];
        }
}

static void swap(double **a, double **b) {
    double *held = *a;
    *a = *b;
    *b = held;
}

static void set_identity(const work_t *work, double *A) {
    memset(A, 0, work->n * work->n * sizeof *A);
    for (size_t i = 0; i < work->n; i++) A[i * work->n + i] = 1;
}

/* b <- R - 1 1^T / n, with M in a. Returns the largest deviation. */
static double center(work_t *work) {
    size_t n = work->n;
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double w = 0;
        for (size_t j = 0; j < n; j++) w += work->a[i * n + j];
        for (size_t j = 0; j < n; j++) {
            double off = work->a[i * n + j] / w - 1.0 / (double)n;
            work->b[i * n + j] = off;
            largest = fmax(largest, fabs(off));
        }
    }
    return largest;
}

static double normalize(size_t n, double *x) {
    double norm = 0;
    for (size_t i = 0; i < n; i++) norm += x[i] * x[i];
    norm = sqrt(norm);
    for (size_t i = 0; i < n && norm > 0; i++) x[i] /= norm;
    return norm;
}

/* Largest singular value of b: power iteration on b^T b. */
static double largest_singular_value(work_t *work) {
    enum { ROUNDS = 2000 };
    size_t n = work->n;
    double found = 0;
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (size_t i = 0; i < n; i++) work->right[i] = sgp_random_normal(&random);
    normalize(n, work->right);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++) {
            work->left[i] = 0;
            for (size_t j = 0; j < n; j++) work->left[i] += work->b[i * n + j] * work->right[j];
        }
        double before = found;
        found = normalize(n, work->left);
        if (found <= before * (1 + 1e-13)) break; /* it falls by rounding only */
        memset(work->right, 0, n * sizeof *work->right);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) work->right[j] += work->b[i * n + j] * work->left[i];
        normalize(n, work->right);
    }
    return found;
}

static void measure_product(work_t *work, sgp_graph_analysis_t *analysis) {
    int steps = analysis->steps, twice = 2 * sgp_graph_period(work->graph);
    set_identity(work, work->a);
    analysis->exact = center(work) < ROUNDING ? 0 : -1; /* 0: alone */
    for (int k = 0; k < steps || k < twice; k++) {
        size_t edges = load(work, (uint64_t)k);
        mix(work, work->n, work->a, work->b);
        swap(&work->a, &work->b);
        if (k < steps) analysis->edges += (double)edges / steps;
        if (k >= twice && k + 1 != steps) continue;
        double deviation = center(work);
        if (analysis->exact < 0 && k < twice && deviation < ROUNDING) analysis->exact = k + 1;
        if (k + 1 != steps) continue;
        analysis->deviation = deviation < ROUNDING ? 0 : deviation;
        analysis->contraction = analysis->deviation > 0 ? largest_singular_value(work) : 0;
        analysis->per_step = pow(analysis->contraction, 1.0 / steps);
    }
}

/* One step of the covariance s of y_i = x_i - w_i (mean x), the part that is not averaged yet:
 * noise e moves y by e - w (mean e), then y and w mix. Returns the variance of z = x / w. */
static double covariance_step(work_t *work, uint64_t step) {
    size_t n = work->n;
    double *w = work->w, share = 1.0 / (double)n, variance = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            work->s[i * n + j] += (double)(i == j) + share * (w[i] * w[j] - w[i] - w[j]);
    load(work, step);
    mix(work, n, work->s, work->b);
    for (size_t i = 0; i < n; i++) /* (P s)^T = s P^T */
        for (size_t j = 0; j < n; j++) work->c[j * n + i] = work->b[i * n + j];
    mix(work, n, work->c, work->s);
    mix(work, 1, w, work->left);
    memcpy(w, work->left, n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        double row = 0; /* covariance of z_i with the mean of z */
        for (size_t j = 0; j < n; j++) row += share * work->s[i * n + j] / w[j];
        variance += share * (work->s[i * n + i] / w[i] - row) / w[i];
    }
    return variance;
}

/* C <- A B^T, or C += */
static void multiply_transposed(size_t n, const double *A, const double *B, bool add, double *C) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double part[4] = {0};
            size_t k = 0;
            for (; k + 4 <= n; k += 4)
                for (size_t lane = 0; lane < 4; lane++)
                    part[lane] += A[i * n + k + lane] * B[j * n + k + lane];
            for (; k < n; k++) part[0] += A[i * n + k] * B[j * n + k];
            double sum = part[0] + part[1] + part[2] + part[3];
            C[i * n + j] = add ? C[i * n + j] + sum : sum;
        }
}

static void transpose(size_t n, const double *A, double *B) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) B[j * n + i] = A[i * n + j];
}

/* s is the covariance after a period that began with none, and A the period's matrix less the exact
 * mean; on return s is that after infinitely many, sum over t of A^t s A^tT, by doubling:
 * s <- s + A s A^T, A <- A^2. */
static void repeat_for_ever(work_t *work) {
    enum { DOUBLINGS = 60 };
    size_t n = work->n;
    for (int i = 0; i < DOUBLINGS; i++) {
        double size = 0; /* of A: the next addend is at most its square times s */
        for (size_t e = 0; e < n * n; e++) size += work->a[e] * work->a[e];
        if (size < 1e-16) return;
        multiply_transposed(n, work->a, work->s, false, work->b); /* A s, for s^T = s */
        multiply_transposed(n, work->b, work->a, true, work->s);
        transpose(n, work->a, work->b);
        multiply_transposed(n, work->a, work->b, false, work->c);
        swap(&work->a, &work->c);
    }
}

static double periodic_variance(work_t *work) {
    int period = sgp_graph_period(work->graph);
    double variance = 0;
    set_identity(work, work->a);
    for (int k = 0; k < period; k++) {
        covariance_step(work, (uint64_t)k);
        mix(work, work->n, work->a, work->b);
        swap(&work->a, &work->b);
    }
    for (size_t e = 0; e < work->n * work->n; e++) work->a[e] -= 1.0 / (double)work->n;
    repeat_for_ever(work);
    for (int k = 0; k < period; k++) variance += covariance_step(work, (uint64_t)k) / period;
    return variance;
}

static double sampled_variance(work_t *work) {
    uint64_t settle = 20 * (uint64_t)sgp_graph_levels((int)work->n, 2);
    double variance = 0;
    for (uint64_t k = 0; k < settle; k++) covariance_step(work, k);
    for (uint64_t k = 0; k < SGP_ANALYSIS_VARIANCE_STEPS; k++)
        variance += covariance_step(work, settle + k) / SGP_ANALYSIS_VARIANCE_STEPS;
    return variance;
}

static double variance_of(work_t *work) {
    if (work->n > SGP_ANALYSIS_VARIANCE_NODES) return NAN;
    memset(work->s, 0, work->n * work->n * sizeof *work->s);
    for (size_t i = 0; i < work->n; i++) work->w[i] = 1;
    if (sgp_graph_is_random(work->graph)) return sampled_variance(work);
    return periodic_variance(work);
}

sgp_status_t sgp_graph_analyze(const sgp_graph_t *graph, int steps,
                               sgp_graph_analysis_t *analysis) {
    if (graph->size > SGP_ANALYSIS_NODES)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "graph: %d nodes, at most %d can be analyzed",
                        graph->size, SGP_ANALYSIS_NODES);
    work_t work;
    sgp_status_t status = work_init(&work, graph);
    if (status != SGP_OK) return status;
    sgp_graph_analysis_t found = {.steps = steps ? steps : sgp_graph_period(graph)};
    measure_product(&work, &found);
    found.variance = variance_of(&work);
    if (found.variance < ROUNDING) found.variance = 0;
    work_release(&work);
    *analysis = found;
    return SGP_OK;
}
