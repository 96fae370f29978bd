/* SPDX-License-Identifier: Apache-2.0 */
/* A step in parts: each layer leaves as soon as its gradient is there, and is awaited only before
 * the next forward pass needs it.
 *
 * sgp run --nodes 4 -- ./step_in_parts
 *
 * A linear network of two layers, y = B (A x), learns a map from points of which each node has its
 * own. The backward pass gives B's gradient first; the forward pass needs A first. The same loop
 * with whole steps gives the same bits. */
#include <sgp/sgp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN     8
#define HIDDEN 16
#define OUT    4
#define A      0             /* where A (HIDDEN, IN) begins in the vector */
#define B      (HIDDEN * IN) /* where B (OUT, HIDDEN) begins */
#define P      (B + OUT * HIDDEN)
#define STEPS  300

static void must(sgp_status_t status) {
    if (status == SGP_OK) return;
    fprintf(stderr, "step_in_parts: %s: %s\n", sgp_status_name(status), sgp_last_error());
    exit(EXIT_FAILURE);
}

/* Uniform in [-1, 1); a small generator that gives the same numbers everywhere. */
static float draw(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* y <- M x. matrix: (rows, columns). */
static void multiply(const float *matrix, int rows, int columns, const float *x, float *y) {
    for (int r = 0; r < rows; r++) {
        y[r] = 0;
        for (int c = 0; c < columns; c++) y[r] += matrix[r * columns + c] * x[c];
    }
}

/* The map to learn: output o is the sum of inputs o and o + 1, minus input o + 4. */
static void wanted(const float *x /* (IN) */, float *y /* (OUT) */) {
    for (int o = 0; o < OUT; o++) y[o] = x[o] + x[o + 1] - x[(o + 4) % IN];
}

/* Gradient of B for one point: error hidden^T. */
static void backward_b(const float *error, const float *hidden, float *gradient) {
    for (int o = 0; o < OUT; o++)
        for (int h = 0; h < HIDDEN; h++) gradient[B + o * HIDDEN + h] = error[o] * hidden[h];
}

/* Gradient of A: (B^T error) x^T. */
static void backward_a(const float *through /* (HIDDEN) B^T error */, const float *x,
                       float *gradient) {
    for (int h = 0; h < HIDDEN; h++)
        for (int i = 0; i < IN; i++) gradient[A + h * IN + i] = through[h] * x[i];
}

/* B^T error, read before B is updated. */
static void through_b(const float *z, const float *error, float *through) {
    for (int h = 0; h < HIDDEN; h++) {
        through[h] = 0;
        for (int o = 0; o < OUT; o++) through[h] += z[B + o * HIDDEN + h] * error[o];
    }
}

/* Returns the last loss. whole: by sgp_mixer_step. average: (P). */
static float train(sgp_group_t *group, int whole, float *average) {
    float initial[P], gradient[P], x[IN], hidden[HIDDEN], y[OUT], target[OUT], error[OUT];
    float through[HIDDEN], loss = 0;
    unsigned seed = 1, points = 1000u + (unsigned)sgp_group_rank(group);
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    for (int p = 0; p < P; p++) initial[p] = 0.3f * draw(&seed);
    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, initial, &mixer));
    must(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = P}, &optimizer));
    const float *z = sgp_mixer_parameters(mixer);

    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < IN; i++) x[i] = draw(&points);
        wanted(x, target);
        if (!whole && step > 0) must(sgp_mixer_wait(mixer, A, B - A));
        multiply(z + A, HIDDEN, IN, x, hidden);
        if (!whole && step > 0) must(sgp_mixer_wait(mixer, B, P - B));
        multiply(z + B, OUT, HIDDEN, hidden, y);
        loss = 0;
        for (int o = 0; o < OUT; o++) {
            error[o] = y[o] - target[o];
            loss += error[o] * error[o] / OUT;
        }

        if (!whole) must(sgp_mixer_begin(mixer, optimizer, gradient, 0.05f));
        backward_b(error, hidden, gradient);
        through_b(z, error, through);
        if (!whole) must(sgp_mixer_part(mixer, B, P - B));
        backward_a(through, x, gradient);
        if (!whole) must(sgp_mixer_part(mixer, A, B - A));
        must(whole ? sgp_mixer_step(mixer, optimizer, gradient, 0.05f) : sgp_mixer_end(mixer));
    }
    must(sgp_mixer_average(mixer, average, NULL)); /* waits for the last step's parts */
    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
    return loss;
}

int main(void) {
    float in_parts[P], whole[P];
    sgp_group_t *group;
    must(sgp_group_join(&(sgp_group_options_t){0}, &group));
    float loss = train(group, 0, in_parts);
    train(group, 1, whole);
    printf("node %d: loss %.4f, %s bits as whole steps\n", sgp_group_rank(group), (double)loss,
           memcmp(in_parts, whole, sizeof whole) == 0 ? "the same" : "other");
    sgp_group_leave(group);
    return 0;
}
