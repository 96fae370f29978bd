/* SPDX-License-Identifier: Apache-2.0 */
/* An optimizer of the program's own, here SGD with a running mean of gradients, while messages
 * travel during the next gradient.
 *
 * sgp run --nodes 4 -- ./own_optimizer
 *
 * Node r pulls the vector towards a target of its own; the best vector for all is the mean of the
 * targets. With an overlap a node holds less than its whole mass between steps (w < 1), so its
 * update is divided by w, as the library's own optimizers do. */
#include <sgp/sgp.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define P     300000 /* more than 1 MiB: a second thread copies the messages */
#define STEPS 300

static void must(sgp_status_t status) {
    if (status == SGP_OK) return;
    fprintf(stderr, "own_optimizer: %s: %s\n", sgp_status_name(status), sgp_last_error());
    exit(EXIT_FAILURE);
}

static float target_of(int rank, int element) {
    return (float)((rank * 7 + element) % 5);
}

/* Of 1/2 |z - target|^2. gradient: (P). */
static void gradient_at(const float *z /* (P) */, int rank, float *gradient) {
    for (int i = 0; i < P; i++) gradient[i] = z[i] - target_of(rank, i);
}

/* m <- 0.9 m + 0.1 g,  z <- z - rate m. running: (P) m. */
static void update(float *z, const float *gradient, float *running, float rate) {
    for (int i = 0; i < P; i++) {
        running[i] = 0.9f * running[i] + 0.1f * gradient[i];
        z[i] -= rate * running[i];
    }
}

/* Of the average from the mean of all targets, the largest over the elements. */
static double distance(const float *average, int nodes) {
    double largest = 0;
    for (int i = 0; i < P; i++) {
        double mean = 0;
        for (int r = 0; r < nodes; r++) mean += (double)target_of(r, i) / nodes;
        largest = fmax(largest, fabs((double)average[i] - mean));
    }
    return largest;
}

int main(void) {
    static float gradient[P], running[P], average[P];
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_mixer_consensus_t consensus;
    sgp_mixer_statistics_t statistics;

    must(sgp_group_join(&(sgp_group_options_t){0}, &group));
    int rank = sgp_group_rank(group), nodes = sgp_group_size(group);
    sgp_mixer_options_t options = {.count = P, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1};
    must(sgp_mixer_create(group, &options, NULL, &mixer));
    float *z = sgp_mixer_parameters(mixer);
    for (int step = 0; step < STEPS; step++) {
        gradient_at(z, rank, gradient); /* messages travel meanwhile; z is only read */
        must(sgp_mixer_hold(mixer));    /* from here on z may be changed */
        sgp_mixer_statistics(mixer, &statistics);
        float rate = 0.5f / (1.0f + 0.05f * (float)step);
        update(z, gradient, running, rate / (float)statistics.weight);
        must(sgp_mixer_step(mixer, NULL, NULL, 0)); /* push, absorb; the hold is over */
    }
    must(sgp_mixer_average(mixer, average, &consensus));
    if (rank == 0)
        printf("average of %d nodes: %.4f from the mean of the targets, total weight %g\n", nodes,
               distance(average, nodes), consensus.w_total);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return 0;
}
