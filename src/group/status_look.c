/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_look.h"

#include "base/constants.h"
#include "group/membership.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RATE_OVER   (2 * SGP_SECOND) /* of an edge */
#define MEANS_OVER  (5 * SGP_SECOND) /* of times, at least two steps */
#define MEMORY_EACH (2 * SGP_SECOND)
#define POINTS_EACH 0.5 /* seconds */

/* ---- vectors that have come ---- */

static void note_inflow(sgp_status_inflow_t *flow, uint64_t bytes, uint64_t now) {
    if (bytes < flow->bytes) *flow = (sgp_status_inflow_t){0}; /* another member has the seat */
    if (bytes != flow->bytes) flow->arrived = now;
    flow->bytes = bytes;
    if (flow->since == 0) flow->since = now, flow->base = bytes;
    if (now - flow->since < RATE_OVER) return;
    flow->rate = (double)(bytes - flow->base) * 1e9 / (double)(now - flow->since);
    flow->since = now;
    flow->base = bytes;
}

static void look_at_inflows(sgp_group_status_t *status, uint64_t now) {
    for (int r = 0; r < status->capacity; r++) {
        sgp_status_inflow_t *flow = &status->inflows[r];
        uint64_t bytes = sgp_inbox_heard(status->inbox, r)->bytes, before = flow->bytes;
        if (bytes == 0 && before == 0) continue;
        status->received += bytes < before ? bytes : bytes - before;
        note_inflow(flow, bytes, now);
    }
}

/* The one that came last, of those that are not in the row. */
static int latest_inflow(const sgp_group_status_t *status, const sgp_status_row_edge_t *edges,
                         int count) {
    int latest = -1;
    for (int r = 0; r < status->capacity; r++) {
        const sgp_status_inflow_t *flow = &status->inflows[r];
        bool taken = r == status->self || flow->arrived == 0;
        for (int e = 0; e < count && !taken; e++) taken = edges[e].src == r;
        if (!taken && (latest < 0 || flow->arrived > status->inflows[latest].arrived)) latest = r;
    }
    return latest;
}

static void fill_edges(const sgp_group_status_t *status, uint64_t now,
                       sgp_status_row_edge_t *edges) {
    int count = 0;
    for (; count < SGP_STATUS_ROW_EDGES; count++) {
        int src = latest_inflow(status, edges, count);
        if (src < 0) break;
        const sgp_status_inflow_t *flow = &status->inflows[src];
        uint64_t age = (now - flow->arrived) / SGP_MILLISECOND;
        edges[count] =
            (sgp_status_row_edge_t){.src = src,
                                    .bytes_per_second = (float)flow->rate,
                                    .age_ms = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX};
    }
    for (; count < SGP_STATUS_ROW_EDGES; count++)
        edges[count] = (sgp_status_row_edge_t){.src = SGP_STATUS_ROW_NONE};
}

/* ---- what it waits for ---- */

static bool has_come(const sgp_group_status_t *status, int seat) {
    const sgp_heard_t *heard = sgp_inbox_heard(status->inbox, seat);
    const sgp_status_mixing_t *mixing = &status->mixing;
    return heard->pushed && heard->push_channel == mixing->channel &&
           heard->push_step >= mixing->awaited;
}

static int waits_for(sgp_group_status_t *status) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    if (!mixing->in_step || !mixing->pushes || mixing->graph.size < 2 || mixing->place < 0 ||
        sgp_graph_max_degree(&mixing->graph) > status->capacity)
        return SGP_STATUS_ROW_NONE;
    int edges = sgp_graph_in(&mixing->graph, mixing->place, mixing->awaited, status->edges);
    for (int e = 0; e < edges; e++) {
        int seat = mixing->seats[status->edges[e].peer];
        if (!has_come(status, seat) && status->seats[seat].condition == SGP_STATUS_LIVE)
            return seat;
    }
    return SGP_STATUS_ROW_NONE;
}

/* ---- the members ---- */

static sgp_status_condition_t condition_of(sgp_member_condition_t condition) {
    switch (condition) {
    case SGP_CONDITION_SILENT:
        return SGP_STATUS_SILENT;
    case SGP_CONDITION_COMING:
        return SGP_STATUS_JOINING;
    case SGP_CONDITION_LEFT:
        return SGP_STATUS_LEFT;
    case SGP_CONDITION_DEAD:
        return SGP_STATUS_GONE;
    default:
        return SGP_STATUS_LIVE;
    }
}

static void look_at_seat(sgp_group_status_t *status, const sgp_member_t *member) {
    sgp_status_seat_t *seat = &status->seats[member->rank];
    sgp_fates_t *fates = status->transport->fates;
    sgp_status_condition_t condition = condition_of(member->condition);
    bool is_news =
        !seat->used || seat->condition != condition || seat->incarnation != member->incarnation;
    seat->used = true;
    seat->incarnation = member->incarnation;
    seat->condition = condition;
    seat->step = member->step;
    if (!is_news && (condition != SGP_STATUS_GONE || seat->reason[0])) return;
    seat->reason[0] = '\0';
    if (condition != SGP_STATUS_GONE) return;
    sgp_fates_why(fates, member->rank, seat->reason, sizeof seat->reason);
    if (!seat->reason[0])
        snprintf(seat->reason, sizeof seat->reason, "the others have struck it off");
}

static void look_at_seats(sgp_group_status_t *status) {
    bool elastic = sgp_group_membership(status->group) != NULL;
    sgp_membership_describe(status->group, status->members);
    for (int s = 0; s < status->capacity; s++) {
        const sgp_member_t *member = &status->members[s];
        bool used =
            elastic ? member->condition != SGP_CONDITION_UNUSED : s < status->transport->size;
        if (used) look_at_seat(status, member);
    }
}

/* ---- this node ---- */

/* 0: not known. */
static uint64_t resident_bytes(void) {
    char text[128];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    uint64_t pages = 0;
    if (length <= 0) return 0;
    text[length] = '\0';
    if (sscanf(text, "%*u %" SCNu64, &pages) != 1) return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void sgp_status_look_around(sgp_group_status_t *status, uint64_t now) {
    sgp_status_row_t *own = sgp_status_rows_own(&status->rows);
    look_at_inflows(status, now);
    look_at_seats(status);
    fill_edges(status, now, own->edge);
    own->waits_for = waits_for(status);
    if (status->memory_time == 0 || now - status->memory_time >= MEMORY_EACH) {
        status->memory = resident_bytes();
        status->memory_time = now;
    }
    own->memory = status->memory;
    own->wants = atomic_load(&status->asks);
    own->bytes_received = status->received;
    status->looked = now;
}

/* ---- means ---- */

static void add_sample(sgp_group_status_t *status) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    sgp_status_window_t *window = &status->window;
    sgp_status_sample_t sample = {.steps = mixing->steps,
                                  .step_ns = mixing->step_ns,
                                  .wait_ns = mixing->wait_ns,
                                  .ended = mixing->ended,
                                  .samples =
                                      sgp_status_number_get(&status->reports[SGP_REPORT_SAMPLES]),
                                  .samples_time = atomic_load(&status->samples_time)};
    const sgp_status_sample_t *last = window->count ? &window->of[window->count - 1] : NULL;
    if (last && sample.steps == last->steps && sample.samples_time == last->samples_time) return;
    bool again = last && (sample.steps < last->steps || sample.samples < last->samples);
    if (again) window->count = 0; /* another mixer, or another epoch of the caller's count */
    int drop = window->count == SGP_STATUS_SAMPLES;
    while (window->count - drop > 1 && sample.ended > window->of[drop].ended &&
           sample.ended - window->of[drop].ended > MEANS_OVER)
        drop++;
    memmove(window->of, window->of + drop, (size_t)(window->count - drop) * sizeof *window->of);
    window->count -= drop;
    window->of[window->count++] = sample;
}

static void fill_means(const sgp_status_window_t *window, sgp_status_row_t *row) {
    if (window->count < 2) return;
    const sgp_status_sample_t *from = &window->of[0], *to = &window->of[window->count - 1];
    double steps = (double)(to->steps - from->steps) * 1e6;
    double span = (double)(to->samples_time - from->samples_time) * 1e-9;
    if (to->samples_time > from->samples_time)
        row->samples_per_second = (float)((to->samples - from->samples) / span);
    if (steps <= 0 || to->ended <= from->ended) return;
    double all = (double)(to->ended - from->ended) / steps;
    double inside = (double)(to->step_ns - from->step_ns) / steps;
    double waits = (double)(to->wait_ns - from->wait_ns) / steps;
    row->step_ms = (float)all;
    row->wait_ms = (float)waits;
    row->update_ms = (float)(inside > waits ? inside - waits : 0);
    row->compute_ms = (float)(all > inside ? all - inside : 0);
}

static float reported(const sgp_group_status_t *status, sgp_status_report_t report) {
    return (float)sgp_status_number_get(&status->reports[report]);
}

void sgp_status_look_at_self(sgp_group_status_t *status) {
    const sgp_status_mixing_t *mixing = &status->mixing;
    sgp_status_row_t *row = sgp_status_rows_own(&status->rows);
    double epoch = sgp_status_number_get(&status->reports[SGP_REPORT_EPOCH]);
    row->step = mixing->step;
    row->epoch = epoch > 0 ? (uint32_t)epoch : 0;
    row->weight = mixing->ended ? mixing->weight : NAN;
    row->loss = reported(status, SGP_REPORT_LOSS);
    row->accuracy = reported(status, SGP_REPORT_ACCURACY);
    row->bytes_sent = mixing->bytes_sent;
    row->sent = mixing->sent;
    row->received = mixing->received;
    row->lost = mixing->lost;
    row->late = mixing->late;
    row->refused = mixing->refused;
    row->resent = mixing->resent;
    add_sample(status);
    fill_means(&status->window, row);
    uint64_t time = mixing->ended > status->looked ? mixing->ended : status->looked;
    sgp_status_rows_renew(&status->rows, time);
}

/* ---- curves ---- */

static double mean_of(const sgp_group_status_t *status, bool of_loss) {
    double sum = 0;
    int count = 0;
    for (int s = 0; s < status->capacity; s++) {
        const sgp_status_row_t *row = &status->rows.of[s].row;
        float value = of_loss ? row->loss : row->accuracy;
        if (row->version == 0 || !isfinite(value) || status->seats[s].condition > SGP_STATUS_SILENT)
            continue;
        sum += (double)value;
        count++;
    }
    return count ? sum / count : NAN;
}

static void add_point(sgp_group_status_t *status, sgp_status_history_t *history, uint64_t now,
                      double value, bool of_loss) {
    double seconds = (double)(now - status->start) * 1e-9, step = (double)status->mixing.step;
    const sgp_status_curve_t *curve = &history->curve;
    const sgp_status_point_t *last = curve->count ? &curve->point[curve->count - 1] : NULL;
    if (!isfinite(value)) return;
    if (last && (seconds - last->seconds < POINTS_EACH || step <= last->step)) return;
    if (last && !of_loss && value == last->value) return;
    sgp_status_history_add(history, seconds, step, value);
}

void sgp_status_look_at_curves(sgp_group_status_t *status, uint64_t now) {
    if (!status->loss) return;
    add_point(status, status->loss, now, mean_of(status, true), true);
    add_point(status, status->accuracy, now, mean_of(status, false), false);
}
