/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions of sgp/mixer.h: sizes of the caller's structs, the group's log, and calls that can be left in the
 * middle. Their bodies are in mixer.c, switch.c and exact_average.c. */
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include "base/abi.h"
#include "base/logging.h"

/* Of version 1.0. */
#define LEAST_OPTIONS    (offsetof(sgp_mixer_options_t, workers) + sizeof(sgp_group_t *))
#define LEAST_STATISTICS (offsetof(sgp_mixer_statistics_t, weight) + sizeof(double))
#define LEAST_CONSENSUS  (offsetof(sgp_mixer_consensus_t, distance) + sizeof(double))

/* ---- create, destroy ---- */

typedef struct create {
    sgp_group_t *group;
    const sgp_mixer_options_t *options;
    size_t size;
    const float *initial;
    sgp_mixer_t **mixer;
} create_t;

static sgp_status_t create(void *argument) {
    const create_t *create = argument;
    sgp_mixer_options_t ours;
    sgp_status_t status = sgp_abi_read("mixer options", create->options, create->size, &ours,
                                       sizeof ours, LEAST_OPTIONS);
    return status == SGP_OK
               ? sgp_mixer_do_create(create->group, &ours, create->initial, create->mixer)
               : status;
}

sgp_status_t sgp_mixer_create_sized(sgp_group_t *group, const sgp_mixer_options_t *options,
                                    size_t size, const float *initial, sgp_mixer_t **mixer) {
    create_t argument = {group, options, size, initial, mixer};
    return sgp_group_run(group, "sgp_mixer_create", create, &argument, sizeof argument);
}

void sgp_mixer_destroy(sgp_mixer_t *mixer) {
    if (!mixer) return;
    sgp_group_cancel(mixer->group);
    sgp_mixer_do_destroy(mixer);
}

/* ---- switch ---- */

typedef struct change {
    sgp_mixer_t *mixer;
    const sgp_mixer_options_t *options;
    size_t size;
} change_t;

static sgp_status_t change(void *argument) {
    const change_t *change = argument;
    sgp_mixer_options_t ours;
    sgp_status_t status = sgp_abi_read("mixer options", change->options, change->size, &ours,
                                       sizeof ours, LEAST_OPTIONS);
    return status == SGP_OK ? sgp_mixer_do_switch(change->mixer, &ours) : status;
}

sgp_status_t sgp_mixer_switch_sized(sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                    size_t size) {
    change_t argument = {mixer, options, size};
    return sgp_group_run(mixer->group, "sgp_mixer_switch", change, &argument, sizeof argument);
}

/* ---- step ---- */

typedef struct step {
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    const float *gradient;
    float learning_rate;
} step_t;

static sgp_status_t step(void *argument) {
    const step_t *step = argument;
    return sgp_mixer_do_step(step->mixer, step->optimizer, step->gradient, step->learning_rate);
}

sgp_status_t sgp_mixer_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                            float learning_rate) {
    step_t argument = {mixer, optimizer, gradient, learning_rate};
    return sgp_group_run(mixer->group, "sgp_mixer_step", step, &argument, sizeof argument);
}

/* ---- add ---- */

typedef struct add {
    sgp_mixer_t *mixer;
    size_t offset, count;
    const float *change;
} add_t;

static sgp_status_t add(void *argument) {
    const add_t *add = argument;
    return sgp_mixer_do_add(add->mixer, add->offset, add->count, add->change);
}

sgp_status_t sgp_mixer_add(sgp_mixer_t *mixer, size_t offset, size_t count, const float *change) {
    add_t argument = {mixer, offset, count, change};
    return sgp_group_run(mixer->group, "sgp_mixer_add", add, &argument, sizeof argument);
}

/* ---- average, statistics ---- */

typedef struct average {
    sgp_mixer_t *mixer;
    float *average;
    sgp_mixer_consensus_t *consensus;
    size_t size;
} average_t;

static sgp_status_t average(void *argument) {
    const average_t *average = argument;
    sgp_mixer_consensus_t ours;
    sgp_status_t status = SGP_OK;
    if (average->consensus) status = sgp_abi_check("consensus", average->size, LEAST_CONSENSUS);
    if (status == SGP_OK)
        status = sgp_mixer_do_average(average->mixer, average->average,
                                      average->consensus ? &ours : NULL);
    if (status == SGP_OK && average->consensus)
        sgp_abi_write(&ours, sizeof ours, average->consensus, average->size);
    return status;
}

sgp_status_t sgp_mixer_average_sized(sgp_mixer_t *mixer, float *values,
                                     sgp_mixer_consensus_t *consensus, size_t size) {
    average_t argument = {mixer, values, consensus, size};
    return sgp_group_run(mixer->group, "sgp_mixer_average", average, &argument, sizeof argument);
}

sgp_status_t sgp_mixer_statistics_sized(const sgp_mixer_t *mixer,
                                        sgp_mixer_statistics_t *statistics, size_t size) {
    sgp_mixer_statistics_t ours;
    sgp_status_t status = sgp_abi_check("statistics", size, LEAST_STATISTICS);
    if (status != SGP_OK) return status;
    sgp_mixer_do_statistics(mixer, &ours);
    sgp_abi_write(&ours, sizeof ours, statistics, size);
    return SGP_OK;
}
