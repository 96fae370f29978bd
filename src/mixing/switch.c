/* SPDX-License-Identifier: Apache-2.0 */
/* From one algorithm to another between two steps, on all nodes or on none: each node makes the new one beside the old
 * one, the nodes tell each other whether that worked, and only then the old one ends. */
#include "base/logging.h"
#include "mixing/mixer_internal.h"
#include "mixing/algorithm.h"
#include "mixing/exact_average.h"
#include "mixing/outer.h"
#include "mixing/progress_thread.h"
#include "mixing/workers.h"

#include <string.h>

/* This rank's failure, else that of the first rank that failed. */
static sgp_status_t share_status(sgp_group_t *group, sgp_status_t mine) {
    int size = sgp_group_transport(group)->capacity;
    int32_t own = mine, all[size];
    char why[SGP_LOG_LINE];
    sgp_rank_name_t name;
    memcpy(why, sgp_last_error(), sizeof why);
    sgp_status_t status = sgp_group_gather(group, &own, sizeof own, all);
    if (mine != SGP_OK) {
        sgp_set_last_error(why);
        return mine;
    }
    if (status != SGP_OK) return status;
    for (int r = 0; r < size; r++)
        if (all[r] != SGP_OK)
            return sgp_fail((sgp_status_t)all[r], "mixer: no node switches, as %s cannot: %s",
                            sgp_transport_name(sgp_group_transport(group), r, &name),
                            sgp_status_message((sgp_status_t)all[r]));
    return SGP_OK;
}

/* Over the nodes first, then over the workers: so each process learns the status of every other one. */
static sgp_status_t share_with_all(const sgp_mixer_t *mixer, sgp_status_t mine) {
    sgp_status_t status = share_status(mixer->group, mine);
    return mixer->workers.group ? share_status(mixer->workers.group, status) : status;
}

/* With the time limit of a collective call. */
static sgp_status_t agree(sgp_mixer_t *mixer) {
    uint64_t timeout = sgp_group_timeout(mixer->group);
    return sgp_mixer_agree(mixer, sgp_transport_now(mixer->transport) + timeout);
}

/* All nodes must have the same anchor. */
static bool begins_by_mean(const sgp_mixer_t *mixer, const sgp_mixer_options_t *wanted) {
    return sgp_outer_kind_of(wanted) == SGP_OUTER_BY_MEAN && !sgp_outer_by_mean(mixer);
}

/* *refused: the mixer is unchanged. */
static sgp_status_t replace(sgp_mixer_t *mixer, const sgp_mixer_options_t *wanted, bool *refused) {
    bool agrees = wanted->algorithm != mixer->options.algorithm || begins_by_mean(mixer, wanted);
    sgp_algorithm_saved_t saved;
    sgp_algorithm_save(mixer, &saved);
    sgp_status_t status = share_with_all(mixer, sgp_algorithm_make(mixer, wanted));
    *refused = status != SGP_OK;
    if (*refused) {
        sgp_algorithm_restore(mixer, &saved);
        sgp_algorithm_resume(mixer);
        return status;
    }
    sgp_algorithm_discard(mixer, &saved);
    sgp_algorithm_start(mixer);
    if (agrees) status = agree(mixer);
    sgp_algorithm_begin_outer(mixer);
    return status == SGP_OK ? sgp_algorithm_resume(mixer) : status;
}

sgp_status_t sgp_mixer_do_switch(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    sgp_mixer_options_t wanted;
    sgp_status_t status = sgp_mixer_refuse_held(mixer, "switch");
    if (status == SGP_OK) status = sgp_algorithm_check(mixer, options, &wanted);
    if (status != SGP_OK) return status;
    bool taken, refused = false; /* taken: from the progress thread of another mixer */
    status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    if (status == SGP_OK) status = sgp_algorithm_settle(mixer);
    if (status == SGP_OK) status = replace(mixer, &wanted, &refused);
    if (taken) sgp_group_give(mixer->group);
    if (status != SGP_OK && !refused) return status;
    if (!sgp_mixer_has_workers(mixer)) return status;
    sgp_status_t shared = sgp_workers_share(mixer); /* settling has changed each segment */
    return status == SGP_OK ? shared : status;
}
