/* SPDX-License-Identifier: Apache-2.0 */
/* What each process did when its file was written, and where the chains of waits end. */
#include "flight/flight_view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A wait whose context last looked at what has arrived so long before the file was written has ended. */
#define RECENT INT64_C(250000000)

/* A message that was sent so long before the wait was written down is held up under way. */
#define SLOW INT64_C(250000000)

static int64_t written(const flight_source_t *source) {
    return source->node.clocks[1].monotonic;
}

static double seconds_before(int64_t end, int64_t time) {
    return end > time ? (double)(end - time) / 1e9 : 0;
}

/* ---- a process with a file ---- */

static bool lasts(const flight_source_t *source, const flight_wait_t *wait) {
    return wait->there && (wait->asleep || written(source) - wait->woke < RECENT);
}

/* The wait of a group's call; NULL: it waits for nothing. A progress thread without work waits for nobody. */
static const flight_wait_t *wait_of(const flight_source_t *source, const flight_group_t *group) {
    const flight_wait_t *caller = &group->caller, *messages = &group->messages;
    bool thread = caller->what == SGP_FLIGHT_FOR_THREAD;
    if (strcmp(source->node.why, "failure") == 0 && group->failed.there) return &group->failed;
    if (lasts(source, caller) && !(thread && lasts(source, messages))) return caller;
    return lasts(source, messages) ? messages : NULL;
}

/* Of several groups the wait that began last: the caller is inside of it. */
static void find_wait(flight_look_t *look) {
    const flight_node_t *node = &look->source->node;
    for (size_t g = 0; g < node->group_count; g++) {
        const flight_wait_t *wait = wait_of(look->source, &node->groups[g]);
        if (!wait || (look->wait && look->wait->since >= wait->since)) continue;
        look->wait = wait;
        look->group = &node->groups[g];
    }
}

/* The call that runs, or the last one that has ended. */
static const flight_group_t *find_call(const flight_node_t *node, bool running) {
    const flight_group_t *last = NULL;
    for (size_t g = 0; g < node->group_count; g++) {
        const flight_group_t *group = &node->groups[g];
        if (running && !group->call[0]) continue;
        if (!last || (running ? group->called > last->called : group->returned > last->returned))
            last = group;
    }
    return last;
}

static void look_at_file(flight_look_t *look) {
    const flight_node_t *node = &look->source->node;
    int64_t end = written(look->source);
    const flight_group_t *inside = find_call(node, true);
    bool failed = strcmp(node->why, "failure") == 0;
    for (size_t g = 0; g < node->group_count; g++)
        if (node->groups[g].steps > look->steps) look->steps = node->groups[g].steps;
    look->group = inside ? inside : find_call(node, false);
    if (inside || failed) find_wait(look);
    look->state = look->wait ? FLIGHT_WAITS : inside ? FLIGHT_INSIDE : FLIGHT_OUTSIDE;
    int64_t since = look->wait ? look->wait->since
                    : inside   ? inside->called
                               : look->group->returned;
    look->seconds = since ? seconds_before(end, since) : 0;
}

/* ---- a process without one ---- */

/* What another process knows of it. */
static void hear_of(flight_look_t *look, const flight_source_t *source, const flight_peer_t *peer) {
    double heard = peer->arrived ? seconds_before(written(source), peer->arrived) : INFINITY;
    uint64_t steps = peer->step;
    if (peer->arrived && peer->arrived_step + 1 > steps) steps = peer->arrived_step + 1;
    if (steps > look->steps) look->steps = steps;
    if (look->state == FLIGHT_NOBODY && peer->fate != FLIGHT_ABSENT) look->state = FLIGHT_UNKNOWN;
    if (peer->fate == FLIGHT_LOST || peer->fate == FLIGHT_LEFT) look->state = FLIGHT_GONE;
    if (peer->fate == FLIGHT_LOST) {
        look->lost = true;
        snprintf(look->why, sizeof look->why, "%s", peer->why);
    }
    if (isinf(heard) || (look->heard_by >= 0 && heard >= look->heard)) return;
    look->heard_by = source->node.process;
    look->heard = heard;
}

/* Any message, also one of a collective call. */
static void hear_message(flight_looks_t *looks, const flight_source_t *source,
                         const flight_event_t *event) {
    bool arrives = event->kind == SGP_FLIGHT_ARRIVING || event->kind == SGP_FLIGHT_ARRIVED;
    if (!arrives || event->peer < 0 || event->peer >= looks->processes) return;
    flight_look_t *look = &looks->of[event->peer];
    double heard = seconds_before(written(source), event->time);
    if (look->source || (look->heard_by >= 0 && heard >= look->heard)) return;
    look->heard_by = source->node.process;
    look->heard = heard;
}

static void hear_of_all(const flight_files_t *files, flight_looks_t *looks) {
    for (size_t i = 0; i < files->count; i++) {
        const flight_source_t *source = &files->sources[i];
        for (size_t g = 0; g < source->node.group_count; g++) {
            const flight_group_t *group = &source->node.groups[g];
            for (size_t p = 0; p < group->peer_count; p++) {
                flight_look_t *look = &looks->of[group->peers[p].process];
                if (!look->source) hear_of(look, source, &group->peers[p]);
            }
            for (size_t e = 0; e < group->event_count[SGP_FLIGHT_MESSAGES]; e++)
                hear_message(looks, source, &group->events[SGP_FLIGHT_MESSAGES][e]);
        }
    }
}

/* ---- the chain ---- */

/* The lower, the likelier it holds others up. */
static int order_of(const flight_look_t *look) {
    if (look->state == FLIGHT_UNKNOWN || (look->state == FLIGHT_GONE && look->lost)) return 0;
    if (look->state == FLIGHT_OUTSIDE) return 1;
    if (look->state == FLIGHT_INSIDE) return 2;
    return look->state == FLIGHT_WAITS ? 3 : 4;
}

static bool is_likelier(const flight_look_t *look, const flight_look_t *than) {
    int order = order_of(look) - order_of(than);
    return order ? order < 0 : look->steps < than->steps;
}

/* Whom a wait is for, where it does not say so: who does not wait, or is behind this one. */
static int find_likeliest(const flight_looks_t *looks, int process) {
    const flight_look_t *self = &looks->of[process];
    int found = -1;
    for (int p = 0; p < looks->processes; p++) {
        const flight_look_t *look = &looks->of[p];
        bool ahead = look->source && look->steps > self->steps;
        bool waits_too = look->state == FLIGHT_WAITS && look->steps == self->steps;
        if (p == process || order_of(look) == 4 || ahead || waits_too) continue;
        if (found < 0 || is_likelier(look, &looks->of[found])) found = p;
    }
    return found;
}

static bool is_for_several(sgp_flight_what_t what) {
    return what == SGP_FLIGHT_FOR_ROOM || what == SGP_FLIGHT_FOR_PARTS ||
           what == SGP_FLIGHT_FOR_REST || what == SGP_FLIGHT_FOR_HALT ||
           what == SGP_FLIGHT_FOR_AGREEMENT || what == SGP_FLIGHT_FOR_QUORUM;
}

static int choose_next(const flight_looks_t *looks, int process) {
    const flight_wait_t *wait = looks->of[process].wait;
    size_t count;
    const int *peers = flight_wait_peers(wait, &count);
    int found = -1;
    for (size_t i = 0; i < count; i++) {
        if (peers[i] >= looks->processes || peers[i] == process) continue;
        if (found < 0 || is_likelier(&looks->of[peers[i]], &looks->of[found])) found = peers[i];
    }
    return found >= 0 || !is_for_several(wait->what) ? found : find_likeliest(looks, process);
}

/* When the awaited message has left, by its sender's clock; 0: it has not, as far as its ring goes. */
static int64_t sent_at(const flight_look_t *sender, int receiver, uint64_t step) {
    const flight_node_t *node = &sender->source->node;
    for (size_t g = 0; g < node->group_count; g++) {
        const flight_group_t *group = &node->groups[g];
        for (size_t i = group->event_count[SGP_FLIGHT_MESSAGES]; i-- > 0;) {
            const flight_event_t *event = &group->events[SGP_FLIGHT_MESSAGES][i];
            if (event->kind == SGP_FLIGHT_SENT && event->step == step &&
                (event->peer == receiver || event->peer < 0) &&
                strcmp(node->names[event->name], "push") == 0)
                return event->time;
        }
    }
    return 0;
}

static void look_under_way(const flight_looks_t *looks, int process) {
    flight_look_t *look = &looks->of[process];
    const flight_look_t *sender = look->next >= 0 ? &looks->of[look->next] : NULL;
    if (look->wait->what != SGP_FLIGHT_FOR_MESSAGE || !sender || !sender->source) return;
    int64_t sent = sent_at(sender, process, look->wait->step);
    if (!sent) return;
    int64_t before = written(look->source) + look->source->offset - sent - sender->source->offset;
    if (before > SLOW) look->under_way = (double)before / 1e9;
}

/* Where it ends: after at most `processes` waits it is in a circle. */
static void follow(const flight_looks_t *looks, int process) {
    flight_look_t *look = &looks->of[process];
    int at = process;
    for (look->distance = 0; look->distance <= looks->processes; look->distance++) {
        const flight_look_t *here = &looks->of[at];
        if (here->state != FLIGHT_WAITS || !isnan(here->under_way) || here->next < 0) {
            look->root = at;
            return;
        }
        at = here->next;
    }
    look->circle = at; /* it is in the circle now */
    for (int p = looks->of[at].next; p != at; p = looks->of[p].next)
        if (p < look->circle) look->circle = p;
    for (look->distance = 0, at = process; at != look->circle && look->distance < looks->processes;
         look->distance++)
        at = looks->of[at].next;
}

/* ---- all ---- */

static int count_processes(const flight_files_t *files) {
    int most = 0;
    for (size_t i = 0; i < files->count; i++) {
        const flight_node_t *node = &files->sources[i].node;
        if (node->process > most) most = node->process;
        for (size_t g = 0; g < node->group_count; g++)
            for (size_t p = 0; p < node->groups[g].peer_count; p++)
                if (node->groups[g].peers[p].process > most)
                    most = node->groups[g].peers[p].process;
    }
    return most + 1;
}

bool flight_looks_take(const flight_files_t *files, flight_looks_t *looks) {
    looks->processes = count_processes(files);
    looks->of = calloc((size_t)looks->processes, sizeof *looks->of);
    if (!looks->of) return false;
    for (int p = 0; p < looks->processes; p++)
        looks->of[p] = (flight_look_t){
            .next = -1, .root = -1, .circle = -1, .heard_by = -1, .under_way = (double)NAN};
    /* Of a seat that several had the last one counts. */
    for (size_t i = 0; i < files->count; i++)
        looks->of[files->sources[i].node.process].source = &files->sources[i];
    hear_of_all(files, looks);
    for (int p = 0; p < looks->processes; p++)
        if (looks->of[p].source) look_at_file(&looks->of[p]);
    for (int p = 0; p < looks->processes; p++) {
        if (looks->of[p].state != FLIGHT_WAITS) continue;
        looks->of[p].next = choose_next(looks, p);
        look_under_way(looks, p);
    }
    for (int p = 0; p < looks->processes; p++)
        if (looks->of[p].state == FLIGHT_WAITS) follow(looks, p);
    return true;
}

void flight_looks_release(flight_looks_t *looks) {
    free(looks->of);
    *looks = (flight_looks_t){.processes = 0};
}
