/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the steps of one node on its host: `network ALGORITHM OVERLAP ENCODING PARAMETERS
 * together|apart STEPS COMPUTE_MS REPORT`.
 *
 * OVERLAP: steps, "async", or "-" for the algorithm's own; or rounds=R (auto): a step of R rounds; or turns=R: R steps of one
 * round count as a step. Together: all nodes begin the measured
 * steps at a barrier and end them at another, after all messages have arrived. Apart: each node
 * begins after some more steps, when nodes that may run ahead have done so; a barrier would renew
 * their lead, and at the end wait for messages that travel during a gradient. A step sleeps for
 * COMPUTE_MS and exchanges the vector; like the programs it is compared with, it has no local step.
 * The group comes from the environment: SGP_RANK, SGP_SIZE, SGP_JOIN, ... The measurements go to
 * the folder REPORT, see network_times.h. bench/network starts this program and makes the
 * tables. */
#include "network_times.h"

#include <sgp/sgp.h>

#include <stdlib.h>

/* Steps before the measured ones, until the number of messages in flight is steady. */
enum { WARM_UP = 2, WARM_UP_APART = 7, OVERLAP_MOST = 8 };

typedef struct work {
    sgp_mixer_options_t options;
    bool together;
    int steps, turns;
    double compute; /* milliseconds */
    const char *report;
} work_t;

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "node %d: %s\n", rank, line);
}

/* Values that differ between nodes and between elements. */
static void fill(float *z, size_t count, int rank) {
    for (size_t i = 0; i < count; i++) z[i] = (float)((int)(i % 13) - 6 + rank) * 1e-3f;
}

static sgp_status_t run(sgp_mixer_t *mixer, const work_t *work, int steps) {
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < steps && status == SGP_OK; i++) {
        compute_for(work->compute);
        for (int t = 0; t < work->turns && status == SGP_OK; t++)
            status = sgp_mixer_step(mixer, NULL, NULL, 0);
    }
    return status;
}

static sgp_status_t measure(sgp_group_t *group, sgp_mixer_t *mixer, const work_t *work) {
    int late = work->options.overlap > 0 && work->options.overlap < OVERLAP_MOST
                   ? work->options.overlap
                   : 0;
    sgp_status_t status = run(mixer, work, (work->together ? WARM_UP : WARM_UP_APART) + late);
    if (status == SGP_OK && work->together) status = sgp_group_barrier(group);
    if (status != SGP_OK) return status;
    moment_t start = moment_now();
    status = run(mixer, work, work->steps);
    if (status != SGP_OK) return status;
    moment_t own = moment_now();
    status = sgp_group_barrier(group);
    moment_t end = moment_now();
    int rank = sgp_group_rank(group);
    if (status == SGP_OK && report(work->report, rank, work->steps, &start, &own, &end) != 0)
        return SGP_ERR_SYSTEM;
    return status;
}

static sgp_status_t run_node(const work_t *work) {
    sgp_group_t *group;
    sgp_mixer_t *mixer = NULL;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    sgp_status_t status = sgp_group_join(&(sgp_group_options_t){0}, &group);
    if (status != SGP_OK) return status;
    status = sgp_mixer_create(group, &work->options, NULL, &mixer);
    if (status == SGP_OK) {
        fill(sgp_mixer_parameters(mixer), work->options.count, sgp_group_rank(group));
        status = measure(group, mixer, work);
    }
    /* A barrier: no node leaves while another still needs an answer. */
    if (status == SGP_OK) status = sgp_mixer_average(mixer, NULL, NULL);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return status;
}

static sgp_status_t parse_overlap(const char *text, work_t *work) {
    sgp_mixer_options_t *options = &work->options;
    options->overlap = options->algorithm == SGP_ALGORITHM_OSGP;
    work->turns = 1;
    if (!strncmp(text, "turns=", 6)) work->turns = atoi(text + 6);
    else if (!strcmp(text, "rounds=auto")) options->rounds = SGP_ROUNDS_AUTO;
    else if (!strncmp(text, "rounds=", 7)) options->rounds = atoi(text + 7);
    else if (!strcmp(text, "async")) options->overlap = SGP_OVERLAP_ASYNC;
    else if (strcmp(text, "-") != 0) options->overlap = atoi(text);
    return SGP_OK;
}

int main(int argc, char **argv) {
    work_t work = {0};
    if (argc != 9 || sgp_algorithm_parse(argv[1], &work.options.algorithm) != SGP_OK ||
        parse_overlap(argv[2], &work) != SGP_OK ||
        sgp_encoding_parse(argv[3], &work.options.encoding) != SGP_OK) {
        fprintf(stderr,
                "usage: %s ALGORITHM OVERLAP|async|-|rounds=R|turns=R ENCODING PARAMETERS "
                "together|apart STEPS "
                "COMPUTE_MS REPORT\n",
                argv[0]);
        return 2;
    }
    work.options.count = strtoull(argv[4], NULL, 10);
    work.options.timeout_ms = 600000; /* slow links, slow nodes */
    work.together = strcmp(argv[5], "apart") != 0;
    work.steps = atoi(argv[6]);
    work.compute = atof(argv[7]);
    work.report = argv[8];
    return run_node(&work) != SGP_OK;
}
