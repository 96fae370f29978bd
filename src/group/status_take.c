/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_take.h"

#include "base/constants.h"
#include "base/log_ring.h"
#include "base/logging.h"
#include "group/status_look.h"

#include <stdio.h>
#include <stdlib.h>

#define EDGES_MOST 16384 /* of the graph; of a larger one only this node's are shown */

static double seconds_between(uint64_t start, uint64_t end) {
    return end > start ? (double)(end - start) * 1e-9 : 0;
}

/* ---- members ---- */

/* The silence is the transport's word, which is newer than the last look of a node that hangs. */
static sgp_status_condition_t condition_of(const sgp_group_status_t *status, int seat,
                                           unsigned *silence) {
    sgp_status_condition_t condition = status->seats[seat].condition;
    *silence = sgp_fates_silence(status->transport->fates, seat);
    if (condition == SGP_STATUS_LIVE && *silence) return SGP_STATUS_SILENT;
    return condition;
}

static void say_why(const sgp_group_status_t *status, const sgp_status_row_t *row, int seat,
                    unsigned silence, sgp_status_member_t *member) {
    char *text = member->reason;
    size_t room = sizeof member->reason;
    if (member->condition == SGP_STATUS_GONE)
        snprintf(text, room, "%s", status->seats[seat].reason);
    else if (silence & SGP_SILENCE_UNHEARD) snprintf(text, room, "nothing is heard of it");
    else if (silence & SGP_SILENCE_HUNG) snprintf(text, room, "its step stands still");
    else if (silence & SGP_SILENCE_TOLD) snprintf(text, room, "it does not hear this node");
    else if (member->condition == SGP_STATUS_LIVE && row && row->waits_for != SGP_STATUS_ROW_NONE)
        snprintf(text, room, "waits for node %d", row->waits_for);
}

static void fill_from_row(const sgp_status_row_t *row, sgp_status_member_t *member) {
    memcpy(member->host, row->host, sizeof row->host);
    if (row->step > member->step) member->step = row->step;
    member->epoch = row->epoch;
    member->samples_per_second = (double)row->samples_per_second;
    member->step_ms = (double)row->step_ms;
    member->compute_ms = (double)row->compute_ms;
    member->update_ms = (double)row->update_ms;
    member->wait_ms = (double)row->wait_ms;
    member->weight = row->weight;
    member->loss = (double)row->loss;
    member->accuracy = (double)row->accuracy;
    member->bytes_sent = (double)row->bytes_sent;
    member->bytes_received = (double)row->bytes_received;
    member->sent = row->sent;
    member->received = row->received;
    member->lost = row->lost;
    member->late = row->late;
    member->refused = row->refused;
    member->resent = row->resent;
    member->memory = row->memory;
}

/* The row of the seat's newest member; NULL: there is none. */
static const sgp_status_known_t *known_of(const sgp_group_status_t *status, int seat) {
    const sgp_status_known_t *known = &status->rows.of[seat];
    bool newest = known->row.incarnation >= status->seats[seat].incarnation;
    return known->row.version > 0 && newest ? known : NULL;
}

static void fill_member(const sgp_group_status_t *status, int seat, uint64_t now,
                        sgp_status_member_t *member) {
    const sgp_status_known_t *known = known_of(status, seat);
    unsigned silence;
    *member = (sgp_status_member_t){.seat = seat,
                                    .incarnation = status->seats[seat].incarnation,
                                    .step = status->seats[seat].step,
                                    .age = NAN,
                                    .samples_per_second = NAN,
                                    .step_ms = NAN,
                                    .compute_ms = NAN,
                                    .update_ms = NAN,
                                    .wait_ms = NAN,
                                    .weight = NAN,
                                    .loss = NAN,
                                    .accuracy = NAN,
                                    .bytes_sent = NAN,
                                    .bytes_received = NAN};
    member->condition = condition_of(status, seat, &silence);
    uint64_t pulse = sgp_fates_pulse(status->transport->fates, seat).step;
    if (pulse > member->step && member->condition <= SGP_STATUS_SILENT) member->step = pulse;
    if (known) {
        fill_from_row(&known->row, member);
        member->incarnation = known->row.incarnation;
        member->age = seconds_between(known->time, now);
    }
    if (member->condition >= SGP_STATUS_LEFT) member->gone_step = member->step;
    if (seat == status->self) silence = 0;
    say_why(status, known ? &known->row : NULL, seat, silence, member);
}

static size_t count_used(const sgp_group_status_t *status) {
    size_t used = 0;
    for (int s = 0; s < status->capacity; s++) used += status->seats[s].used;
    return used;
}

/* NULL: no memory. */
static sgp_status_member_t *make_members(const sgp_group_status_t *status, uint64_t now,
                                         size_t *count) {
    sgp_status_member_t *members = malloc((count_used(status) + 1) * sizeof *members);
    *count = 0;
    for (int s = 0; s < status->capacity && members; s++)
        if (status->seats[s].used) fill_member(status, s, now, &members[(*count)++]);
    return members;
}

/* ---- edges ---- */

typedef struct edges {
    sgp_status_edge_t *of; /* (room) */
    size_t count, room;
} edges_t;

static void add_edge(edges_t *edges, sgp_status_edge_t edge) {
    if (edges->count < edges->room) edges->of[edges->count++] = edge;
}

static size_t degree_of(const sgp_group_status_t *status) {
    const sgp_graph_t *graph = &status->mixing.graph;
    return graph->size > 1 ? (size_t)sgp_graph_max_degree(graph) : 0;
}

/* Those into one node of the graph. scratch: (degree) */
static void add_of_graph(const sgp_group_status_t *status, int place, edges_t *edges,
                         sgp_edge_t *scratch) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    int count = sgp_graph_in(&mixing->graph, place, mixing->round, scratch);
    for (int e = 0; e < count; e++)
        add_edge(edges, (sgp_status_edge_t){.src = mixing->seats[scratch[e].peer],
                                            .dst = mixing->seats[place],
                                            .in_step = true,
                                            .bytes_per_second = NAN,
                                            .age = NAN});
}

/* from: where the edges of the graph into dst begin. */
static void add_of_row(const sgp_group_status_t *status, int dst, uint64_t now, size_t from,
                       edges_t *edges) {
    const sgp_status_known_t *known = known_of(status, dst);
    for (int e = 0; known && e < SGP_STATUS_ROW_EDGES; e++) {
        const sgp_status_row_edge_t *told = &known->row.edge[e];
        if (told->src == SGP_STATUS_ROW_NONE) return;
        size_t at = from;
        while (at < edges->count && (edges->of[at].src != told->src || edges->of[at].dst != dst))
            at++;
        if (at == edges->count) add_edge(edges, (sgp_status_edge_t){.src = told->src, .dst = dst});
        if (at == edges->count) return; /* no room */
        edges->of[at].bytes_per_second = (double)told->bytes_per_second;
        edges->of[at].age = seconds_between(known->time, now) + told->age_ms * 1e-3;
    }
}

/* The edges into a seat stand together, those of the graph first. place_of: (capacity) -1: not in the graph. */
static void fill_in_edges(const sgp_group_status_t *status, uint64_t now, const int *place_of,
                          edges_t *edges, sgp_edge_t *scratch) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    size_t nodes = (size_t)(mixing->graph.size > 0 ? mixing->graph.size : 0);
    bool whole = nodes * degree_of(status) <= EDGES_MOST;
    for (int s = 0; s < status->capacity; s++) {
        size_t from = edges->count;
        if (place_of[s] >= 0 && (whole || s == status->self))
            add_of_graph(status, place_of[s], edges, scratch);
        if (status->seats[s].used) add_of_row(status, s, now, from, edges);
    }
}

/* NULL: no memory. */
static sgp_status_edge_t *make_edges(const sgp_group_status_t *status, uint64_t now,
                                     size_t *count) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    size_t capacity = (size_t)status->capacity, degree = degree_of(status);
    size_t of_graph = capacity * degree < EDGES_MOST ? capacity * degree : EDGES_MOST + degree;
    edges_t edges = {.room = of_graph + capacity * SGP_STATUS_ROW_EDGES};
    int *place_of = malloc(capacity * sizeof *place_of);
    sgp_edge_t *scratch = malloc((degree + 1) * sizeof *scratch);
    edges.of = malloc(edges.room * sizeof *edges.of);
    bool all = place_of && scratch && edges.of;
    for (size_t s = 0; s < capacity && all; s++) place_of[s] = -1;
    for (int i = 0; degree > 0 && i < mixing->graph.size && all; i++)
        place_of[mixing->seats[i]] = i;
    if (all) fill_in_edges(status, now, place_of, &edges, scratch);
    free(place_of);
    free(scratch);
    *count = edges.count;
    if (all) return edges.of;
    free(edges.of);
    return NULL;
}

/* ---- the rest ---- */

static void fill_lines(const sgp_group_status_t *status, sgp_status_snapshot_t *snapshot) {
    _Static_assert((int)SGP_STATUS_LINES == (int)SGP_LOG_RING_LINES &&
                       (int)SGP_STATUS_LINE == (int)SGP_LOG_RING_TEXT,
                   "the ring has the lines that are shown");
    sgp_log_kept_t kept[SGP_LOG_RING_LINES];
    snapshot->lines = sgp_log_ring_read(kept);
    for (size_t i = 0; i < snapshot->lines; i++) {
        sgp_status_line_t *line = &snapshot->line[i];
        line->seconds = seconds_between(status->began, kept[i].time);
        line->level = (int)kept[i].level;
        memcpy(line->text, kept[i].text, sizeof line->text);
    }
}

static void copy_text(char to[SGP_STATUS_TEXT], const char *text) {
    snprintf(to, SGP_STATUS_TEXT, "%s", text ? text : "");
}

static void fill_run(const sgp_group_status_t *status, uint64_t now,
                     sgp_status_snapshot_t *snapshot) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    double epochs = sgp_status_number_get(&status->reports[SGP_REPORT_EPOCHS]);
    copy_text(snapshot->run, status->name);
    copy_text(snapshot->algorithm, mixing->algorithm);
    copy_text(snapshot->encoding, mixing->encoding);
    copy_text(snapshot->graph, mixing->graph.size ? sgp_graph_name(mixing->graph.kind) : "");
    copy_text(snapshot->transport, status->transport->ops->name);
    snapshot->run_id = status->run;
    snapshot->self = status->self;
    snapshot->seconds = seconds_between(status->start, now);
    snapshot->seconds_left = sgp_status_number_get(&status->reports[SGP_REPORT_SECONDS_LEFT]);
    snapshot->epochs = epochs > 0 ? (uint64_t)epochs : 0;
    snapshot->distance = status->distance;
    snapshot->distance_step = status->distance_step;
    snapshot->finished = false;
    if (status->loss) snapshot->loss = status->loss->curve;
    if (status->accuracy) snapshot->accuracy = status->accuracy->curve;
}

/* Lock held. */
static sgp_status_t fill(sgp_group_status_t *status, sgp_status_snapshot_t *snapshot) {
    uint64_t now = sgp_transport_now(status->transport);
    size_t members, edges;
    sgp_status_look_at_self(status);
    sgp_status_member_t *member = make_members(status, now, &members);
    sgp_status_edge_t *edge = make_edges(status, now, &edges);
    if (!member || !edge) {
        free(member);
        free(edge);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to show the status of %d members",
                        status->capacity);
    }
    free(snapshot->member);
    free(snapshot->edge);
    snapshot->member = member;
    snapshot->members = members;
    snapshot->edge = edge;
    snapshot->edges = edges;
    fill_run(status, now, snapshot);
    return SGP_OK;
}

/* With a group that was split, what its part knows. */
sgp_status_t sgp_group_status_take(sgp_group_status_t *status, sgp_status_snapshot_t *snapshot) {
    sgp_status_t result = SGP_OK;
    pthread_mutex_lock(&status->handing);
    sgp_group_status_t *of = status->to ? status->to : status;
    pthread_mutex_lock(&of->lock);
    if (of->ready) result = fill(of, snapshot);
    pthread_mutex_unlock(&of->lock);
    if (result == SGP_OK) fill_lines(of, snapshot);
    pthread_mutex_unlock(&status->handing);
    return result;
}

void sgp_group_status_release(sgp_status_snapshot_t *snapshot) {
    free(snapshot->member);
    free(snapshot->edge);
    *snapshot = (sgp_status_snapshot_t){.members = 0};
}
