/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/scheduler.h"

/* Windows for which the line is open when it was found idle; doubled while it stays so. */
enum { OPEN_FIRST = 2, OPEN_MOST = 64 };

/* Less than that part of what the line can carry is an idle line. */
#define IDLE 0.25

/* Of what is known of the line in a window: it may have become slower. */
#define FORGET (1.0 / 32)

sgp_turn_t sgp_turns_begin(sgp_turns_t *turns, uint64_t step) {
    return (sgp_turn_t){.order = ++turns->begun, .step = step};
}

void sgp_turns_look(sgp_turns_t *turns) {
    turns->first = (sgp_turn_t){0};
}

void sgp_turns_see(sgp_turns_t *turns, const sgp_turn_t *turn) {
    if (!turn->order) return;
    if (!turns->first.order) {
        turns->first = *turn;
        turns->lowest = turns->highest = turn->step;
        return;
    }
    if (turn->order < turns->first.order) turns->first = *turn;
    if (turn->step < turns->lowest) turns->lowest = turn->step;
    if (turn->step > turns->highest) turns->highest = turn->step;
}

bool sgp_turns_contended(const sgp_turns_t *turns) {
    return turns->first.order && turns->lowest != turns->highest;
}

bool sgp_turns_may(const sgp_turns_t *turns, const sgp_turn_t *turn) {
    return !turn->order || turns->open || !turns->first.order || turn->step == turns->first.step;
}

void sgp_turns_moved(sgp_turns_t *turns, const sgp_turn_t *turn, uint64_t bytes) {
    turns->moved += bytes;
    if (turn->order && turn->step == turns->first.step) turns->moved_first += bytes;
}

static void begin_window(sgp_turns_t *turns, uint64_t now) {
    turns->since = now;
    turns->moved = turns->moved_first = 0;
}

static void open_for(sgp_turns_t *turns, unsigned windows) {
    turns->open = true;
    turns->windows = windows;
}

/* The line was kept for those whose turn it is. */
static void judge(sgp_turns_t *turns, double first, uint64_t now, uint64_t most_held) {
    if (first <= IDLE * turns->line) {
        open_for(turns, turns->patience);
        if (turns->patience < OPEN_MOST) turns->patience *= 2;
        return;
    }
    turns->patience = OPEN_FIRST;
    if (now - turns->held_since > most_held) open_for(turns, 1);
}

bool sgp_turns_watch(sgp_turns_t *turns, uint64_t now, uint64_t most_held) {
    if (!turns->since) {
        turns->held_since = now;
        turns->patience = OPEN_FIRST;
        begin_window(turns, now);
        return false;
    }
    if (now - turns->since < SGP_TURNS_WINDOW) return false;
    double length = (double)(now - turns->since);
    double all = (double)turns->moved / length, first = (double)turns->moved_first / length;
    bool before = turns->open;
    turns->line -= turns->line * FORGET;
    if (all > turns->line) turns->line = all;
    if (turns->open) {
        turns->held_since = now;
        if (--turns->windows == 0) turns->open = false;
    } else {
        judge(turns, first, now, most_held);
    }
    begin_window(turns, now);
    return turns->open != before;
}

void sgp_turns_rest(sgp_turns_t *turns) {
    turns->since = 0;
    turns->open = false;
}
