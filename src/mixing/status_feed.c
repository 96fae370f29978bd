/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/status_feed.h"

#include "group/group_status.h"
#include "mixing/algorithm_table.h"
#include "mixing/round_graph.h"

/* The round whose messages this step waits for. */
static uint64_t awaited_round(const sgp_mixer_t *mixer) {
    uint64_t last = mixer->round + (uint64_t)mixer->options.rounds - 1;
    uint64_t late = mixer->options.overlap > 0 ? (uint64_t)mixer->options.overlap : 0;
    late *= (uint64_t)mixer->options.rounds;
    return last > late ? last - late : 0;
}

/* Whether it has a graph, and waits for its in-edges. */
static bool has_graph(const sgp_mixer_t *mixer) {
    return mixer->options.algorithm != SGP_ALGORITHM_ALLREDUCE &&
           mixer->options.algorithm != SGP_ALGORITHM_SERVER;
}

static bool waits_for_pushes(const sgp_mixer_t *mixer) {
    return has_graph(mixer) && !sgp_algorithm_info(mixer->options.algorithm)->unpaced &&
           mixer->options.overlap != SGP_OVERLAP_ASYNC && mixer->exchanges;
}

void sgp_status_feed_begin(sgp_mixer_t *mixer) {
    sgp_group_status_t *status = sgp_group_status(mixer->group);
    if (!sgp_status_is_on(status)) return;
    sgp_status_mixing_t *of = sgp_status_open(status, mixer, false);
    if (!of) return;
    of->algorithm = sgp_algorithm_name(mixer->options.algorithm);
    of->encoding = sgp_encoding_name(mixer->options.encoding);
    of->in_step = true;
    of->pushes = waits_for_pushes(mixer);
    of->begun = sgp_transport_now(mixer->transport);
    of->graph = (sgp_graph_t){.size = 0};
    of->place = -1;
    if (has_graph(mixer)) {
        int nodes = sgp_round_seats(mixer, of->seats, &of->place);
        of->graph = mixer->graph;
        if (of->graph.size != nodes) of->graph.size = 0; /* the plan has changed since */
    }
    of->round = mixer->round;
    of->awaited = awaited_round(mixer);
    of->channel = mixer->channel;
    sgp_status_close(status);
}

void sgp_status_feed_end(sgp_mixer_t *mixer, bool waits) {
    sgp_group_status_t *status = sgp_group_status(mixer->group);
    if (!sgp_status_is_on(status)) return;
    sgp_transport_lock(mixer->transport); /* a progress thread counts, too */
    const sgp_mixer_statistics_t copy = mixer->statistics, *statistics = &copy;
    sgp_transport_unlock(mixer->transport);
    sgp_status_mixing_t *of = sgp_status_open(status, mixer, waits);
    if (!of) return;
    of->in_step = false;
    of->ended = sgp_transport_now(mixer->transport);
    of->step = mixer->step;
    of->steps = statistics->steps;
    of->step_ns = statistics->step_ns;
    of->wait_ns = statistics->wait_ns;
    of->bytes_sent = statistics->bytes_sent;
    of->sent = statistics->sent;
    of->received = statistics->received;
    of->lost = statistics->torn + mixer->transport->counters.lost;
    of->late = statistics->late;
    of->refused = mixer->transport->counters.refused;
    of->resent = mixer->transport->counters.resent;
    of->weight = mixer->w;
    sgp_status_close(status);
}

void sgp_status_feed_stop(sgp_mixer_t *mixer) {
    sgp_status_give_up(sgp_group_status(mixer->group), mixer);
}
