/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/round_graph.h"

#include "base/logging.h"
#include "group/agree_call.h"
#include "group/seats.h"
#include "graph/families.h"

#include <stdlib.h>
#include <string.h>

sgp_status_t sgp_round_graphs_init(sgp_mixer_t *mixer) {
    size_t size = (size_t)mixer->size;
    sgp_round_graphs_t *graphs = mixer->graphs = calloc(1, sizeof *graphs);
    bool all = graphs && (graphs->struck = calloc(size, sizeof *graphs->struck)) != NULL;
    for (int i = 0; i < SGP_ROUND_GRAPHS && all; i++)
        all = (graphs->of[i].seats = calloc(size, sizeof *graphs->of[i].seats)) != NULL;
    if (all) graphs->nodes = mixer->founders;
    if (all) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the graph of %d nodes", mixer->size);
}

void sgp_round_graphs_fini(sgp_mixer_t *mixer) {
    if (!mixer->graphs) return;
    free(mixer->graphs->struck);
    for (int i = 0; i < SGP_ROUND_GRAPHS; i++) free(mixer->graphs->of[i].seats);
    free(mixer->graphs);
}

sgp_moment_t sgp_round_moment(const sgp_mixer_t *mixer) {
    return (sgp_moment_t){.channel = mixer->channel,
                          .step = mixer->step,
                          .round = mixer->round,
                          .local_steps = (uint64_t)mixer->options.local_steps,
                          .rounds = (uint64_t)mixer->options.rounds,
                          .by_pair = mixer->options.overlap == SGP_OVERLAP_ASYNC};
}

/* Forms the graph over the plan of a step. */
static void form(const sgp_mixer_t *mixer, sgp_round_graph_t *formed, uint64_t step,
                 uint64_t version) {
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    int nodes = 0;
    int planned = sgp_membership_plan(membership, step, formed->seats, &formed->until);
    formed->place = -1;
    for (int i = 0; i < planned; i++) {
        int seat = formed->seats[i];
        if (mixer->graphs->struck[seat]) continue;
        if (seat == mixer->rank) formed->place = nodes;
        formed->seats[nodes++] = seat;
    }
    formed->from = step;
    formed->version = version + 1;
    formed->graph = mixer->options.graph;
    if (nodes > 0) sgp_graph_resize(&formed->graph, nodes);
}

static const sgp_round_graph_t *graph_of(const sgp_mixer_t *mixer, uint64_t round) {
    sgp_round_graphs_t *graphs = mixer->graphs;
    sgp_moment_t moment = sgp_round_moment(mixer);
    uint64_t step = sgp_moment_step(&moment, round);
    uint64_t version = sgp_membership_version(sgp_group_membership(mixer->group));
    for (int i = 0; i < SGP_ROUND_GRAPHS; i++) {
        sgp_round_graph_t *at = &graphs->of[(graphs->newest + i) % SGP_ROUND_GRAPHS];
        if (at->version == version + 1 && at->from <= step && step < at->until) return at;
    }
    graphs->newest = (graphs->newest + 1) % SGP_ROUND_GRAPHS;
    form(mixer, &graphs->of[graphs->newest], step, version);
    return &graphs->of[graphs->newest];
}

static int with_ranks(const sgp_round_graph_t *of, sgp_edge_t *edges, int count) {
    for (int i = 0; i < count; i++) edges[i].peer = of->seats[edges[i].peer];
    return count;
}

int sgp_holes_out(const sgp_mixer_t *mixer, uint64_t round, sgp_edge_t *edges) {
    if (!mixer->holes.elastic) return sgp_graph_out(&mixer->graph, mixer->rank, round, edges);
    const sgp_round_graph_t *of = graph_of(mixer, round);
    if (of->place < 0) return 0;
    return with_ranks(of, edges, sgp_graph_out(&of->graph, of->place, round, edges));
}

int sgp_holes_in(const sgp_mixer_t *mixer, uint64_t round, sgp_edge_t *edges) {
    if (!mixer->holes.elastic) return sgp_graph_in(&mixer->graph, mixer->rank, round, edges);
    const sgp_round_graph_t *of = graph_of(mixer, round);
    if (of->place < 0) return 0;
    return with_ranks(of, edges, sgp_graph_in(&of->graph, of->place, round, edges));
}

int sgp_round_seats(const sgp_mixer_t *mixer, int *seats, int *place) {
    if (!mixer->holes.elastic) {
        for (int r = 0; r < mixer->size; r++) seats[r] = r;
        *place = mixer->rank;
        return mixer->size;
    }
    const sgp_round_graph_t *of = graph_of(mixer, mixer->round);
    memcpy(seats, of->seats, (size_t)of->graph.size * sizeof *seats);
    *place = of->place;
    return of->graph.size;
}

size_t sgp_holes_degree(const sgp_mixer_t *mixer) {
    if (mixer->transport->elastic) return (size_t)mixer->size;
    return (size_t)sgp_graph_max_degree(&mixer->graph);
}

void sgp_round_graph_begin(sgp_mixer_t *mixer) {
    mixer->graph = graph_of(mixer, mixer->round)->graph;
}

void sgp_holes_shrink_graph(sgp_mixer_t *mixer) {
    if (!mixer->holes.elastic) return;
    for (int i = 0; i < SGP_ROUND_GRAPHS; i++) mixer->graphs->of[i].version = 0;
    sgp_round_graph_begin(mixer);
}

/* It may still come: a newcomer that has taken part in no collective call. */
static bool is_awaited(const sgp_mixer_t *mixer, int rank) {
    const sgp_agree_call_t *call = sgp_group_agreement(mixer->group);
    return !sgp_seats_has(sgp_agree_call_seats(call), rank) &&
           sgp_fates_of(mixer->transport->fates, rank).state == SGP_FATE_PRESENT;
}

void sgp_holes_reform(sgp_mixer_t *mixer, const bool *there) {
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    mixer->graphs->nodes = 0;
    mixer->reducer.changed = false;
    for (int r = 0; r < mixer->size; r++) {
        bool planned = sgp_membership_state(membership, r, mixer->step) != SGP_SEAT_ABSENT ||
                       sgp_membership_end_step(membership, r) > 0; /* it was, and may still push */
        mixer->graphs->struck[r] = !there[r] && planned && !is_awaited(mixer, r);
        mixer->graphs->nodes += there[r];
    }
    sgp_holes_shrink_graph(mixer);
}
