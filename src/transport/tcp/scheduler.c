/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/scheduler.h"

/* Windows for which an idle link is open to all; doubled while it stays idle. */
enum { OPEN_FIRST = 2, OPEN_MOST = 64 };

/* A link is idle if the step that is served uses less than this part of it. */
#define IDLE 0.25

/* The estimate of the link shrinks by this part in each window: the link may have become slower. */
#define FORGET (1.0 / 32)

sgp_turn_t sgp_scheduler_begin(sgp_scheduler_t *scheduler, uint64_t step) {
    return (sgp_turn_t){.order = ++scheduler->begun, .step = step};
}

void sgp_scheduler_look(sgp_scheduler_t *scheduler) {
    scheduler->first = (sgp_turn_t){0};
}

void sgp_scheduler_see(sgp_scheduler_t *scheduler, const sgp_turn_t *turn) {
    if (!turn->order) return;
    if (!scheduler->first.order) {
        scheduler->first = *turn;
        scheduler->lowest = scheduler->highest = turn->step;
        return;
    }
    if (turn->order < scheduler->first.order) scheduler->first = *turn;
    if (turn->step < scheduler->lowest) scheduler->lowest = turn->step;
    if (turn->step > scheduler->highest) scheduler->highest = turn->step;
}

bool sgp_scheduler_contended(const sgp_scheduler_t *scheduler) {
    return scheduler->first.order && scheduler->lowest != scheduler->highest;
}

bool sgp_scheduler_may(const sgp_scheduler_t *scheduler, const sgp_turn_t *turn) {
    return !turn->order || scheduler->open || !scheduler->first.order ||
           turn->step == scheduler->first.step;
}

/* Two steps with the same number are 2^31 - 1 apart. */
uint32_t sgp_turn_of_step(uint64_t step) {
    return 1 + (uint32_t)(step % 0x7fffffff);
}

uint32_t sgp_scheduler_turn(const sgp_scheduler_t *scheduler) {
    bool all = scheduler->open || !scheduler->first.order;
    return all ? 0 : sgp_turn_of_step(scheduler->first.step);
}

void sgp_scheduler_moved(sgp_scheduler_t *scheduler, const sgp_turn_t *turn, uint64_t bytes) {
    scheduler->moved += bytes;
    if (turn->order && turn->step == scheduler->first.step) scheduler->moved_first += bytes;
}

static void begin_window(sgp_scheduler_t *scheduler, uint64_t now) {
    scheduler->since = now;
    scheduler->moved = scheduler->moved_first = 0;
}

static void open_for(sgp_scheduler_t *scheduler, unsigned windows) {
    scheduler->open = true;
    scheduler->windows = windows;
}

/* The link was kept for one step, which used `first` bytes per nanosecond of it. */
static void judge(sgp_scheduler_t *scheduler, double first, uint64_t now, uint64_t most_held) {
    if (first <= IDLE * scheduler->link) {
        open_for(scheduler, scheduler->patience);
        if (scheduler->patience < OPEN_MOST) scheduler->patience *= 2;
        return;
    }
    scheduler->patience = OPEN_FIRST;
    if (scheduler->held_for != scheduler->first.order) {
        scheduler->held_for = scheduler->first.order;
        scheduler->held_since = now;
    }
    if (now - scheduler->held_since > most_held) open_for(scheduler, 1);
}

bool sgp_scheduler_watch(sgp_scheduler_t *scheduler, uint64_t now, uint64_t most_held) {
    if (!scheduler->since) {
        scheduler->held_since = now;
        scheduler->patience = OPEN_FIRST;
        begin_window(scheduler, now);
        return false;
    }
    if (now - scheduler->since < SGP_SCHEDULER_WINDOW) return false;
    double length = (double)(now - scheduler->since);
    double all = (double)scheduler->moved / length, first = (double)scheduler->moved_first / length;
    bool before = scheduler->open;
    scheduler->link -= scheduler->link * FORGET;
    if (all > scheduler->link) scheduler->link = all;
    if (scheduler->open) {
        scheduler->held_since = now;
        if (--scheduler->windows == 0) scheduler->open = false;
    } else {
        judge(scheduler, first, now, most_held);
    }
    begin_window(scheduler, now);
    return scheduler->open != before;
}

void sgp_scheduler_rest(sgp_scheduler_t *scheduler) {
    scheduler->since = 0;
    scheduler->open = false;
}
