/* SPDX-License-Identifier: Apache-2.0 */
/* A mixer's state as bytes: what must agree between the mixer that saved it and the one that goes on, and the rules of
 * when. mixer.c lists the places. */
#include "base/logging.h"
#include "base/saved_state.h"
#include "base/state_description.h"
#include "mixing/algorithm.h"
#include "mixing/mixer_internal.h"

#include <inttypes.h>

/* All that its next bits depend on, but for the state itself. */
static void describe(const sgp_mixer_t *mixer, sgp_state_description_t *to) {
    const sgp_mixer_options_t *options = &mixer->options;
    const sgp_group_t *workers = mixer->workers.group;
    *to = (sgp_state_description_t){.length = 0};
    sgp_describe_text(to, "algorithm", sgp_algorithm_name(options->algorithm));
    sgp_describe_size(to, "count", mixer->all_count);
    sgp_describe_size(to, "buffers", mixer->all_length - mixer->all_count);
    sgp_describe_place(to, "node", mixer->rank, mixer->founders);
    sgp_describe_place(to, "worker", workers ? sgp_group_rank(workers) : 0,
                       workers ? sgp_group_size(workers) : 1);
    sgp_describe_text(to, "graph", sgp_graph_name(mixer->graph.kind));
    sgp_describe_integer(to, "peers", mixer->graph.peers);
    sgp_describe_size(to, "seed", mixer->graph.seed);
    sgp_describe_integer(to, "overlap", options->overlap);
    sgp_describe_text(to, "encoding", sgp_encoding_name(options->encoding));
    sgp_describe_integer(to, "biased", options->biased);
    sgp_describe_integer(to, "local_steps", options->local_steps);
    sgp_describe_float(to, "slow_momentum", options->slow_momentum);
    sgp_describe_integer(to, "slow_every", options->slow_every);
    sgp_describe_integer(to, "slow_alone", options->slow_alone);
    sgp_describe_integer(to, "library_allreduce", options->library_allreduce);
    if (options->outer_lr > 0) {
        sgp_describe_float(to, "outer_lr", options->outer_lr);
        sgp_describe_float(to, "outer_momentum", options->outer_momentum);
    }
    if (options->rounds > 1) sgp_describe_integer(to, "rounds", (int)options->rounds);
}

size_t sgp_mixer_do_state_size(sgp_mixer_t *mixer) {
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_mixer_state(mixer, &state);
    describe(mixer, &description);
    return sgp_saved_state_size(description.text, &state);
}

static sgp_status_t check_save(sgp_mixer_t *mixer, const void *bytes, size_t size) {
    size_t needed = sgp_mixer_do_state_size(mixer);
    if (!bytes) return sgp_fail(SGP_ERR_INVALID, "state_save: there is no place for the state");
    if (size != needed)
        return sgp_fail(SGP_ERR_INVALID, "state_save: a place of %zu bytes: the state has %zu",
                        size, needed);
    return sgp_mixer_refuse_held(mixer, "state_save");
}

sgp_status_t sgp_mixer_do_state_save(sgp_mixer_t *mixer, void *bytes, size_t size) {
    sgp_status_t status = check_save(mixer, bytes, size);
    if (status == SGP_OK) status = sgp_mixer_check_losses(mixer);
    if (status == SGP_OK) status = sgp_mixer_settle(mixer);
    if (status != SGP_OK) return status;
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_algorithm_forget_outer(mixer);
    sgp_mixer_state(mixer, &state);
    describe(mixer, &description);
    sgp_saved_state_write(description.text, &state, bytes);
    return sgp_mixer_resume(mixer);
}

static sgp_status_t check_load(const sgp_mixer_t *mixer, const void *bytes) {
    if (!bytes) return sgp_fail(SGP_ERR_INVALID, "state_load: there is no state");
    if (mixer->step > 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "state_load: the mixer has made %" PRIu64
                        " steps: a state is loaded before the first",
                        mixer->step);
    return sgp_mixer_refuse_held(mixer, "state_load");
}

/* The progress thread rests meanwhile. */
sgp_status_t sgp_mixer_do_state_load(sgp_mixer_t *mixer, const void *bytes, size_t size) {
    sgp_status_t status = check_load(mixer, bytes);
    if (status != SGP_OK) return status;
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    status = sgp_algorithm_hold(mixer, deadline);
    if (status != SGP_OK) return status;
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_mixer_state(mixer, &state);
    describe(mixer, &description);
    status = sgp_saved_state_read("mixer", description.text, &state, bytes, size);
    if (status == SGP_OK) return sgp_mixer_restored(mixer);
    sgp_algorithm_resume(mixer);
    return status;
}
