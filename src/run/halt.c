/* SPDX-License-Identifier: Apache-2.0 */
#include "run/halt.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/membership.h"

#include <string.h>

/* The number of the notice. */
#define ENDING_NUMBER 0

static bool is_too_far(const halt_promise_t *promise, uint64_t step) {
    uint64_t behind = step - promise->step;
    return behind > HALT_BEHIND_STEPS && (double)behind * promise->seconds > HALT_BEHIND_SECONDS;
}

/* ---- the promises and endings of others ---- */

/* false: that node's promise does not count. */
static bool find_promise(const sgp_agree_result_t *result, int src, halt_promise_t *promise) {
    size_t bytes;
    const void *payload = sgp_agree_payload(result, src, &bytes);
    if (!payload || bytes != sizeof *promise) return false;
    memcpy(promise, payload, sizeof *promise);
    return true;
}

/* The node of that process leaves, if one of its processes does; 0: it stays. */
static int find_leave(const halt_t *halt, const sgp_agree_result_t *result, int rank) {
    int workers = halt->leaving.workers, first = rank - rank % workers;
    halt_promise_t promise;
    for (int src = first; src < first + workers; src++)
        if (find_promise(result, src, &promise) && promise.leaves) return promise.leaves;
    return 0;
}

/* Nodes, by their first processes, that stay and that leave; *signal: for which the first of them does. */
static void count_nodes(const halt_t *halt, const sgp_agree_result_t *result, int *stay, int *leave,
                        int *signal) {
    halt_promise_t promise;
    *stay = *leave = *signal = 0;
    for (int src = 0; src < sgp_group_capacity(halt->all); src += halt->leaving.workers) {
        if (!find_promise(result, src, &promise)) continue;
        int number = find_leave(halt, result, src);
        if (number && !*signal) *signal = number;
        if (number) ++*leave;
        else ++*stay;
    }
}

/* A signal of a person comes before the want of nodes. */
static int reason_to_end(const halt_t *halt, const sgp_agree_result_t *result) {
    int stay, leave, signal, reason = 0;
    halt_promise_t promise;
    for (int src = 0; src < sgp_group_capacity(halt->all); src++)
        if (find_promise(result, src, &promise) && promise.signal && reason <= 0)
            reason = promise.signal;
    count_nodes(halt, result, &stay, &leave, &signal);
    if (reason || leave == 0) return reason;
    if (stay == 0) return signal;
    return stay < halt->leaving.least ? HALT_TOO_FEW : 0;
}

/* Once the nodes have agreed on the promises, which are the same for all of them. */
static void conclude(halt_t *halt) {
    int size = sgp_group_capacity(halt->all);
    sgp_agree_result_t result;
    halt_promise_t promise;
    if (!sgp_background_result(&halt->background, &result)) return;
    halt->step = 0;
    for (int src = 0; src < size; src++)
        if (find_promise(&result, src, &promise) && promise.step > halt->step)
            halt->step = promise.step;
    halt->signal = reason_to_end(halt, &result);
    if (halt->signal) halt->ends = true;
    else halt->goes |= find_leave(halt, &result, sgp_group_rank(halt->all)) != 0;
    bool divides = false;
    halt->too_far = halt->saves = false;
    for (int src = 0; src < size; src++) {
        if (!find_promise(&result, src, &promise)) continue;
        halt->too_far |= is_too_far(&promise, halt->step);
        halt->saves |= promise.wants == HALT_TO_SAVE;
        divides |= promise.wants == HALT_TO_DIVIDE;
    }
    halt->saves |= !divides;
    halt->too_far &= halt->saves;
    halt->agreed = true;
}

/* A node that the others have struck off, and that lives, does not end their run: perhaps they are in its way, such as in
 * a folder of checkpoints that they write without it. */
static bool counts(sgp_group_t *group, int src) {
    const sgp_transport_t *transport = sgp_group_transport(group);
    sgp_fate_t fate = sgp_fates_of(transport->fates, src);
    if (src == transport->rank) return false;
    return !transport->elastic || fate.state != SGP_FATE_LOST ||
           (fate.cause != SGP_CAUSE_SILENT && fate.cause != SGP_CAUSE_STRUCK_OFF);
}

static bool has_ended(sgp_group_t *group) {
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_capacity(group); src++)
        if (counts(group, src) && sgp_notice_find(group, ENDING_NUMBER, src, bytes)) return true;
    return false;
}

/* ---- the watch, called in every wait ---- */

/* Whether notices have arrived since the last call. */
static bool has_new_notices(halt_watch_t *watch) {
    sgp_inbox_t *inbox = sgp_group_inbox(watch->group);
    sgp_inbox_collect(inbox);
    uint64_t before = watch->seen;
    watch->seen = sgp_inbox_notices(inbox);
    return watch->seen != before;
}

static int wanted_signal(const halt_t *halt) {
    return halt->stop ? (int)*halt->stop : 0;
}

static int wanted_end(const halt_t *halt) {
    int number = wanted_signal(halt);
    return number || !halt->too_few ? number : HALT_TOO_FEW;
}

static int wanted_leave(const halt_t *halt) {
    return halt->leaving.leave && !halt->ends ? (int)*halt->leaving.leave : 0;
}

/* Nanoseconds since this node was told to leave. */
static uint64_t since_asked(halt_t *halt) {
    if (!halt->asked_ns) halt->asked_ns = sgp_clock_now();
    return sgp_clock_now() - halt->asked_ns;
}

static bool wants_to_save(halt_t *halt) {
    if (wanted_end(halt)) return true;
    if (wanted_leave(halt) && !halt->goes &&
        (double)since_asked(halt) >= halt->leaving.gather * 1e9)
        return true;
    return halt->due_ns != UINT64_MAX && sgp_clock_now() >= halt->due_ns;
}

static bool wants(halt_t *halt) {
    return !halt->paused && (halt->divides || wants_to_save(halt));
}

static void promise(halt_t *halt) {
    halt->next.signal = wanted_end(halt);
    halt->next.leaves = (int16_t)wanted_leave(halt);
    bool saves = halt->next.leaves || wants_to_save(halt);
    halt->next.wants = saves ? HALT_TO_SAVE : halt->divides ? HALT_TO_DIVIDE : HALT_NOTHING;
    if (halt->next.wants == HALT_TO_DIVIDE) halt->next.step += HALT_STEPS_AHEAD;
    sgp_background_begin(&halt->background, &halt->next, sizeof halt->next);
    halt->promised = true;
}

/* A node that wants to promise something as well has done so before. */
static void join_others(void *owner) {
    halt_t *halt = owner;
    if (!halt->promised) promise(halt);
}

/* Makes this node's promise if it or another node wants a halt, and carries on until all agree; later on it answers nodes
 * that do not know the result. */
static void join_halt(halt_t *halt, bool fresh) {
    sgp_background_t *background = &halt->background;
    if (fresh || sgp_background_is_due(background)) sgp_background_move(background);
    if (!halt->promised && (wants(halt) || sgp_background_is_asked(background))) {
        promise(halt);
        sgp_background_move(background);
    }
    if (halt->promised && !halt->agreed) conclude(halt);
}

/* The run's end, once agreed, is waited for as long as any end. */
static bool has_to_leave(halt_t *halt) {
    if (!wanted_leave(halt) || wanted_signal(halt)) return false;
    double most = halt->leaving.seconds * HALT_SHARE_OF_GRACE * 1e9;
    halt->alone |= (double)since_asked(halt) > most;
    return halt->alone;
}

static bool is_late(halt_t *halt) {
    if (has_to_leave(halt)) return true;
    if (!wanted_signal(halt)) return false;
    if (!halt->stopped_ns) halt->stopped_ns = sgp_clock_now();
    return sgp_clock_now() - halt->stopped_ns > halt->patience_ns;
}

/* Looks at the inbox of the group that waits. If halts are agreed in another group, only the node's
 * own context looks at that one as well, since it may be in use while the agent runs. */
static sgp_status_t look(void *context, bool agent) {
    halt_watch_t *watch = context;
    halt_t *halt = watch->halt;
    bool into_all = halt->one_group || !agent;
    sgp_status_t status = SGP_OK;
    if (halt->waiting && !agent) halt->waiting(halt->waiter);
    pthread_mutex_lock(&halt->lock);
    bool fresh = has_new_notices(watch);
    if (fresh && !halt->ended) halt->ended = has_ended(watch->group);
    if (into_all && watch != &halt->watches[0]) {
        fresh = has_new_notices(&halt->watches[0]);
        if (fresh && !halt->ended) halt->ended = has_ended(halt->all);
    }
    if (halt->ended)
        status = sgp_fail_at(SGP_LOG_DEBUG, SGP_ERR_ENDED, "another node has ended the run");
    else if (is_late(halt)) status = SGP_ERR_INTERRUPTED;
    else if (into_all) join_halt(halt, fresh);
    pthread_mutex_unlock(&halt->lock);
    return status;
}

/* members NULL: all that are there. */
static sgp_status_t init(halt_t *halt, const train_groups_t *groups,
                         const volatile sig_atomic_t *stop, uint64_t step, uint64_t count,
                         const bool *members) {
    sgp_group_t *const all[] = {groups->all, groups->nodes, groups->workers};
    *halt = (halt_t){.all = groups->all,
                     .one_group = !groups->nodes || groups->nodes == groups->all,
                     .stop = stop,
                     .next.step = step,
                     .leaving = {.workers = 1},
                     .patience_ns = (uint64_t)HALT_PATIENCE_SECONDS * SGP_SECOND,
                     .due_ns = UINT64_MAX};
    sgp_status_t status =
        sgp_background_init(&halt->background, halt->all, sizeof halt->next, join_others, halt);
    if (!status && members) status = sgp_background_enter(&halt->background, count, members);
    if (status) {
        halt->all = NULL;
        return status;
    }
    pthread_mutex_init(&halt->lock, NULL);
    for (int i = 0; i < 3; i++) {
        if (!all[i] || (i > 0 && all[i] == all[0])) continue;
        halt->watches[i] = (halt_watch_t){.halt = halt, .group = all[i]};
        sgp_inbox_set_watch(sgp_group_inbox(all[i]), look, &halt->watches[i]);
    }
    return SGP_OK;
}

sgp_status_t halt_init(halt_t *halt, const train_groups_t *groups,
                       const volatile sig_atomic_t *stop, uint64_t step) {
    return init(halt, groups, stop, step, 0, NULL);
}

sgp_status_t halt_init_among(halt_t *halt, const train_groups_t *groups,
                             const volatile sig_atomic_t *stop, uint64_t step, uint64_t count,
                             const bool *members) {
    return init(halt, groups, stop, step, count, members);
}

void halt_fini(halt_t *halt) {
    if (!halt->all) return;
    for (int i = 0; i < 3; i++)
        if (halt->watches[i].group)
            sgp_inbox_set_watch(sgp_group_inbox(halt->watches[i].group), NULL, NULL);
    sgp_background_farewell(&halt->background);
    sgp_background_fini(&halt->background);
    pthread_mutex_destroy(&halt->lock);
    halt->all = NULL;
}

/* ---- halts ---- */

void halt_set_waiting(halt_t *halt, void (*waiting)(void *user), void *user) {
    halt->waiting = waiting;
    halt->waiter = user;
}

void halt_set_patience(halt_t *halt, double seconds) {
    pthread_mutex_lock(&halt->lock);
    halt->patience_ns = (uint64_t)(seconds * 1e9);
    pthread_mutex_unlock(&halt->lock);
}

void halt_set_leaving(halt_t *halt, const halt_leaving_t *leaving) {
    pthread_mutex_lock(&halt->lock);
    halt->leaving = *leaving;
    pthread_mutex_unlock(&halt->lock);
}

void halt_divide(halt_t *halt, bool wanted) {
    pthread_mutex_lock(&halt->lock);
    halt->divides = wanted;
    pthread_mutex_unlock(&halt->lock);
}

bool halt_counts(halt_t *halt, int rank) {
    sgp_agree_result_t result;
    halt_promise_t promise;
    pthread_mutex_lock(&halt->lock);
    bool counts = halt->agreed && sgp_background_result(&halt->background, &result) &&
                  find_promise(&result, rank, &promise);
    pthread_mutex_unlock(&halt->lock);
    return counts;
}

void halt_too_few(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    halt->too_few = true;
    pthread_mutex_unlock(&halt->lock);
}

int halt_leaves(halt_t *halt, int rank) {
    sgp_agree_result_t result;
    pthread_mutex_lock(&halt->lock);
    bool some = halt->agreed && !halt->signal && sgp_background_result(&halt->background, &result);
    int number = some ? find_leave(halt, &result, rank) : 0;
    pthread_mutex_unlock(&halt->lock);
    return number;
}

bool halt_left_alone(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    bool alone = halt->alone;
    pthread_mutex_unlock(&halt->lock);
    return alone;
}

uint64_t halt_time_left(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    double left = halt->leaving.seconds * 1e9 - (double)since_asked(halt);
    pthread_mutex_unlock(&halt->lock);
    return left > 0 ? (uint64_t)left : 0;
}

void halt_due(halt_t *halt, uint64_t ns) {
    pthread_mutex_lock(&halt->lock);
    halt->due_ns = ns;
    pthread_mutex_unlock(&halt->lock);
}

void halt_next_step(halt_t *halt, uint64_t step) {
    pthread_mutex_lock(&halt->lock);
    if (!halt->promised) halt->next.step = step;
    pthread_mutex_unlock(&halt->lock);
}

typedef enum where { GOES_ON, HAS_TO_WAIT, HALTS } where_t;

/* Where an agent uses the group's inbox, the agent looks at it. */
static where_t look_where(halt_t *halt, uint64_t step, double seconds) {
    where_t where = GOES_ON;
    pthread_mutex_lock(&halt->lock);
    halt->next.seconds = halt->promised ? halt->next.seconds : seconds;
    bool at_once = halt->too_far || !halt->saves;
    if (halt->agreed && (at_once || step >= halt->step)) where = HALTS;
    else if (halt->promised && !halt->agreed && step >= halt->next.step) where = HAS_TO_WAIT;
    else if (!halt->promised) halt->next.step = step + 1;
    pthread_mutex_unlock(&halt->lock);
    return where;
}

static bool is_agreed(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    bool agreed = halt->agreed;
    pthread_mutex_unlock(&halt->lock);
    return agreed;
}

static bool only_divides(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    bool only = halt->next.wants == HALT_TO_DIVIDE;
    pthread_mutex_unlock(&halt->lock);
    return only;
}

static sgp_status_t wait_for_all(halt_t *halt) {
    sgp_inbox_t *inbox = sgp_group_inbox(halt->all);
    sgp_transport_t *transport = sgp_group_transport(halt->all);
    uint64_t deadline = sgp_transport_now(transport) + sgp_group_timeout(halt->all);
    bool taken, hurries = only_divides(halt); /* a silent node is not waited for as long as usual */
    sgp_status_t status = sgp_group_take(halt->all, NULL, &taken);
    if (hurries) sgp_membership_in_collective(sgp_group_membership(halt->all), true);
    while (status == SGP_OK && !is_agreed(halt)) {
        sgp_inbox_want(inbox, SGP_FLIGHT_FOR_HALT, -1, 0);
        status = sgp_inbox_wait(inbox, sgp_inbox_taken_in(inbox), deadline,
                                "the other nodes to halt for a checkpoint");
    }
    if (hurries) sgp_membership_in_collective(sgp_group_membership(halt->all), false);
    if (taken) sgp_group_give(halt->all);
    return status;
}

sgp_status_t halt_before_step(halt_t *halt, uint64_t step, double seconds, bool *here) {
    sgp_status_t status = SGP_OK;
    where_t where = look_where(halt, step, seconds);
    if (!halt->one_group && where != HALTS) status = look(&halt->watches[0], false);
    if (status == SGP_OK && where == HAS_TO_WAIT) {
        status = wait_for_all(halt);
        if (status == SGP_OK) where = look_where(halt, step, seconds);
    }
    *here = where == HALTS;
    return status;
}

void halt_over(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    halt->promised = halt->agreed = false;
    pthread_mutex_unlock(&halt->lock);
}

/* ---- newcomers ---- */

uint64_t halt_pause(halt_t *halt) {
    pthread_mutex_lock(&halt->lock);
    halt->paused = true;
    uint64_t count = sgp_background_count(&halt->background);
    pthread_mutex_unlock(&halt->lock);
    return count;
}

sgp_status_t halt_clear(halt_t *halt, uint64_t count) {
    pthread_mutex_lock(&halt->lock);
    if (!halt->promised && sgp_background_count(&halt->background) < count) promise(halt);
    bool promised = halt->promised;
    pthread_mutex_unlock(&halt->lock);
    return promised ? wait_for_all(halt) : SGP_OK;
}

void halt_go_on(halt_t *halt, bool cleared) {
    pthread_mutex_lock(&halt->lock);
    halt->paused = false;
    if (cleared) halt->promised = halt->agreed = false;
    pthread_mutex_unlock(&halt->lock);
}

void halt_admit(halt_t *halt, int rank) {
    pthread_mutex_lock(&halt->lock);
    sgp_background_admit(&halt->background, rank);
    pthread_mutex_unlock(&halt->lock);
}

/* ---- endings ---- */

static bool tell_ending(halt_t *halt, sgp_notice_t notices[3]) {
    bool told = true;
    for (int i = 0; i < 3; i++)
        if (halt->watches[i].group) told &= sgp_notice_tell(halt->watches[i].group, &notices[i]);
    return told;
}

/* No ending comes from a node that is lost, where the others go on without it. */
static bool is_gone(const halt_t *halt, int src) {
    sgp_transport_t *transport = sgp_group_transport(halt->all);
    return transport->elastic && sgp_fates_of(transport->fates, src).state != SGP_FATE_PRESENT;
}

/* Takes the endings that have arrived; true: all have. */
static bool take_endings(const halt_t *halt, halt_ending_t *endings) {
    bool whole = true;
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_capacity(halt->all); src++) {
        if (src == sgp_group_rank(halt->all)) continue;
        if (sgp_notice_find(halt->all, ENDING_NUMBER, src, bytes))
            memcpy(&endings[src], bytes, sizeof endings[src]);
        else whole = whole && is_gone(halt, src);
    }
    return whole;
}

void halt_exchange_endings(halt_t *halt, const halt_ending_t *mine, halt_ending_t *endings) {
    sgp_transport_t *transport = sgp_group_transport(halt->all);
    sgp_notice_t notices[3];
    for (int i = 0; i < 3; i++) {
        if (halt->watches[i].group)
            sgp_inbox_set_watch(sgp_group_inbox(halt->watches[i].group), NULL, NULL);
        notices[i] = (sgp_notice_t){.number = ENDING_NUMBER};
        memcpy(notices[i].bytes, mine, sizeof *mine);
    }
    for (int r = 0; r < sgp_group_capacity(halt->all); r++)
        endings[r] = (halt_ending_t){.status = SGP_ERR_PEER_LOST};
    endings[sgp_group_rank(halt->all)] = *mine;
    uint64_t deadline = sgp_transport_now(transport) + halt->patience_ns;
    for (;;) {
        bool told = tell_ending(halt, notices);
        if (take_endings(halt, endings) && told) return;
        if (sgp_transport_now(transport) >= deadline) return;
        if (sgp_transport_wait(transport, deadline) == SGP_ERR_PEER_LOST &&
            (!take_endings(halt, endings) || !told))
            return;
    }
}
