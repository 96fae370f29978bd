/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_gossip.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/status_look.h"

#include <stdlib.h>

#define SEND_EACH    (500 * SGP_MILLISECOND)
#define WANTED_FOR   (60 * SGP_SECOND) /* by a node that is not heard again */
#define UNDER_WAY    6                 /* messages to a node */
#define WAY_FOR      (20 * SGP_SECOND) /* without news by it */
#define ROOM_LEAST   32                /* messages under way to all */
#define ROOM_MOST    64
#define TURNS        3 /* messages, of which one is not on the way to a node that wants rows */
#define LATE_ANSWER  3 /* messages of a node that does not know that they were taken */
#define ROWS_LEAST   4 /* of a message */
#define NODES_OF_ROW 4 /* and one for so many nodes */

/* ---- on and off ---- */

static uint32_t room_of(const sgp_group_status_t *status) {
    uint32_t room = (uint32_t)status->transport->size;
    if (room < ROOM_LEAST) return ROOM_LEAST;
    return room < ROOM_MOST ? room : ROOM_MOST;
}

static sgp_status_t allocate(sgp_group_status_t *status) {
    size_t size = (size_t)status->capacity;
    status->seats = calloc(size, sizeof *status->seats);
    status->peers = calloc(size, sizeof *status->peers);
    status->inflows = calloc(size, sizeof *status->inflows);
    status->members = calloc(size, sizeof *status->members);
    status->edges = calloc(size, sizeof *status->edges);
    status->mixing.seats = calloc(size, sizeof *status->mixing.seats);
    if (!status->seats || !status->peers || !status->inflows || !status->members ||
        !status->edges || !status->mixing.seats)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the status of %zu members", size);
    sgp_status_t result = sgp_status_rows_init(&status->rows, status->capacity, status->self,
                                               status->transport->incarnation);
    if (result != SGP_OK) return result;
    memcpy(sgp_status_rows_own(&status->rows)->host, status->host, sizeof status->host);
    for (size_t r = 0; r < size; r++) status->peers[r].toward = -1;
    result = sgp_transport_prepare(status->transport, SGP_STATUS_MESSAGE_BYTES, room_of(status));
    if (result != SGP_OK) return result;
    return sgp_post_init(&status->post, status->group, SGP_KIND_STATUS, SGP_STATUS_MESSAGE_BYTES);
}

sgp_status_t sgp_status_switch_on(sgp_group_status_t *status) {
    if (status->failed) return SGP_ERR_NO_MEMORY;
    if (!status->ready) {
        pthread_mutex_lock(
            &status->lock); /* nobody has it for long while there is nothing to read */
        sgp_status_t result = allocate(status);
        status->ready = result == SGP_OK;
        status->failed = !status->ready;
        pthread_mutex_unlock(&status->lock);
        if (result != SGP_OK) return result;
    }
    atomic_store(&status->on, true);
    return SGP_OK;
}

static bool is_wanted(const sgp_group_status_t *status, uint64_t now) {
    for (int s = 0; s < status->capacity && !status->wants; s++) {
        const sgp_status_known_t *known = &status->rows.of[s];
        if (known->row.wants && now < known->time + WANTED_FOR) return true;
    }
    return status->wants;
}

/* ---- receiving ---- */

/* A seat has another member: what was counted of the earlier one is over. */
static void look_for_newcomers(sgp_group_status_t *status) {
    for (int r = 0; r < status->capacity; r++) {
        uint32_t incarnation = sgp_fates_incarnation(status->transport->fates, r);
        if (incarnation == status->peers[r].incarnation) continue;
        status->peers[r] = (sgp_status_peer_t){.incarnation = incarnation, .toward = -1};
        sgp_post_restart(&status->post, r);
    }
}

static void note_way(sgp_status_peer_t *wanter, const sgp_status_row_t *row, int src,
                     uint64_t now) {
    bool stale = wanter->toward < 0 || now - wanter->toward_time > WAY_FOR;
    if (!stale && src != wanter->toward && row->hops >= wanter->hops) return;
    wanter->toward = src;
    wanter->hops = row->hops;
    wanter->toward_time = now;
}

/* Nodes that want rows, and to which a way is known. */
static int ways_of(const sgp_group_status_t *status) {
    int ways = 0;
    for (int r = 0; r < status->capacity; r++) ways += status->peers[r].toward >= 0;
    return ways;
}

static void hear(sgp_group_status_t *status, int src, uint64_t now) {
    const sgp_status_message_t *message = &status->message;
    sgp_status_peer_t *peer = &status->peers[src];
    peer->sends = true;
    uint32_t left = (uint32_t)sgp_post_sent(&status->post, src) - message->taken;
    if (left <= UNDER_WAY) peer->taken = message->taken; /* else it makes no sense */
    int ways = message->towards ? ways_of(status) : 0;
    for (int i = 0; i < message->rows; i++) {
        const sgp_status_row_t *row = &message->row[i];
        bool merged = sgp_status_rows_merge(&status->rows, row, ways, now);
        if (row->wants) note_way(&status->peers[row->seat], row, src, now);
        else if (merged) status->peers[row->seat].toward = -1;
    }
}

static void take_messages(sgp_group_status_t *status, uint64_t now) {
    const unsigned char *bytes;
    const char *reason;
    size_t count;
    for (int src = 0; sgp_post_take(&status->post, &src, &bytes, &count);) {
        if (sgp_status_message_decode(bytes, count, status->capacity, &status->message, &reason) ==
            SGP_OK)
            hear(status, src, now);
        else sgp_post_refuse(&status->post, src, reason);
    }
}

/* ---- sending ---- */

static bool is_present(const sgp_group_status_t *status, int rank) {
    return sgp_fates_of(status->transport->fates, rank).state == SGP_FATE_PRESENT;
}

static int next_present(const sgp_group_status_t *status) {
    for (int i = 1; i < status->capacity; i++) {
        int rank = (status->self + i) % status->capacity;
        if (is_present(status, rank)) return rank;
    }
    return -1;
}

static uint32_t under_way(const sgp_group_status_t *status, int rank) {
    return (uint32_t)sgp_post_sent(&status->post, rank) - status->peers[rank].taken;
}

/* Of one that is gone nothing is under way. */
static bool has_room(const sgp_group_status_t *status) {
    uint32_t all = 0;
    for (int r = 0; r < status->capacity; r++)
        if (is_present(status, r)) all += under_way(status, r);
    return all < room_of(status);
}

static bool may_send(const sgp_group_status_t *status, int rank) {
    return rank >= 0 && rank != status->self && under_way(status, rank) < UNDER_WAY &&
           is_present(status, rank) && !sgp_fates_silence(status->transport->fates, rank);
}

/* One that sends much, and must know that it was taken. */
static int choose_answer(const sgp_group_status_t *status) {
    uint32_t most = LATE_ANSWER;
    int chosen = -1;
    for (int r = 0; r < status->capacity; r++) {
        uint32_t late = (uint32_t)sgp_post_taken(&status->post, r) - status->peers[r].told;
        if (late < most || !may_send(status, r)) continue;
        most = late;
        chosen = r;
    }
    return chosen;
}

/* On the way to the next node that wants rows. */
static int choose_way(sgp_group_status_t *status) {
    for (int i = 1; i <= status->capacity; i++) {
        int wanter = (status->last_wanter + i) % status->capacity;
        if (!may_send(status, status->peers[wanter].toward)) continue;
        status->last_wanter = wanter;
        return status->peers[wanter].toward;
    }
    return -1;
}

/* Where nodes push to few others, such as in a ring, rows take short cuts: to the nodes 1, 2, 4, 8, ... seats on. */
static bool is_short_cut(const sgp_group_status_t *status, int rank) {
    unsigned distance = (unsigned)((rank - status->self + status->capacity) % status->capacity);
    return distance > 0 && (distance & (distance - 1)) == 0;
}

static int choose_in_turn(sgp_group_status_t *status) {
    int next = next_present(status);
    for (int i = 1; i <= status->capacity; i++) {
        int rank = (status->last_peer + i) % status->capacity;
        bool edge = rank == next || is_short_cut(status, rank) || status->peers[rank].sends ||
                    sgp_inbox_heard(status->inbox, rank)->sent;
        if (!edge || !may_send(status, rank)) continue;
        status->last_peer = rank;
        return rank;
    }
    return -1;
}

/* -1: none. */
static int choose_peer(sgp_group_status_t *status, sgp_status_lane_t *lane) {
    *lane = SGP_STATUS_AROUND;
    if (!has_room(status)) return -1;
    int dst = choose_answer(status);
    status->turn = (status->turn + 1) % TURNS;
    if (dst < 0 && status->turn) {
        dst = choose_way(status);
        if (dst >= 0) *lane = SGP_STATUS_TOWARDS;
    }
    return dst < 0 ? choose_in_turn(status) : dst;
}

static int rows_of_message(const sgp_group_status_t *status) {
    int rows = status->transport->size / NODES_OF_ROW;
    if (rows < ROWS_LEAST) return ROWS_LEAST;
    return rows < SGP_STATUS_ROWS_MOST ? rows : SGP_STATUS_ROWS_MOST;
}

static void send_row(sgp_group_status_t *status, uint64_t now) {
    sgp_status_lane_t lane;
    int dst = choose_peer(status, &lane);
    if (dst < 0) return;
    sgp_status_message_t *message = &status->message;
    message->towards = lane == SGP_STATUS_TOWARDS;
    message->taken = (uint32_t)sgp_post_taken(&status->post, dst);
    message->rows = sgp_status_rows_choose(&status->rows, lane, dst, now, rows_of_message(status),
                                           message->row);
    size_t bytes = sgp_status_message_encode(message, status->bytes);
    if (sgp_post_send(&status->post, dst, status->bytes, bytes) == SGP_OK)
        status->peers[dst].told = message->taken;
}

/* ---- the service ---- */

/* Lock held. */
static void serve(sgp_group_status_t *status, uint64_t now) {
    look_for_newcomers(status);
    take_messages(status, now);
    if (!is_wanted(status, now)) {
        atomic_store(&status->on, false);
        return;
    }
    if (now >= status->next_send) {
        sgp_status_look_around(status, now);
        sgp_status_look_at_self(status);
        sgp_status_look_at_curves(status, now);
        send_row(status, now);
        status->next_send = now + SEND_EACH;
    }
    sgp_inbox_set_alarm(status->inbox, SGP_KIND_STATUS, status->next_send);
}

static bool has_message(const sgp_group_status_t *status) {
    for (int r = 0; r < status->capacity; r++) {
        sgp_inbox_key_t key = {.kind = SGP_KIND_STATUS, .src = r, .step = 0};
        if (sgp_inbox_peek(status->inbox, &key)) return true;
    }
    return false;
}

/* An off status is switched on by the first message, and again by a later one. */
bool sgp_status_serve(void *context) {
    sgp_group_status_t *status = context;
    uint64_t now = sgp_transport_now(status->transport);
    bool asked = status->wants || status->ready || has_message(status);
    if (!asked || now == UINT64_MAX) return false;
    if (sgp_status_switch_on(status) != SGP_OK) return false;
    if (pthread_mutex_trylock(&status->lock) != 0) return true; /* at the next look */
    serve(status, now);
    pthread_mutex_unlock(&status->lock);
    return false;
}
