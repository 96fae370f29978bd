/* SPDX-License-Identifier: Apache-2.0 */
#include "run/halt.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"

#include <string.h>

/* The number of the notice; the halts of a run count on from it. */
#define ENDING_NUMBER 0

static bool is_too_far(const halt_promise_t *promise, uint64_t step) {
    uint64_t behind = step - promise->step;
    return behind > HALT_BEHIND_STEPS && (double)behind * promise->seconds > HALT_BEHIND_SECONDS;
}

/* ---- the promises and endings of others ---- */

static bool find_promise(const halt_t *halt, int src, halt_promise_t *promise) {
    unsigned char bytes[SGP_NOTICE_BYTES];
    if (src == sgp_group_rank(halt->all)) {
        *promise = halt->next;
        return halt->promised;
    }
    if (!sgp_notice_find(halt->all, halt->notice.number, src, bytes)) return false;
    memcpy(promise, bytes, sizeof *promise);
    return true;
}

/* Whether some node has begun a halt. */
static bool is_begun(const halt_t *halt) {
    halt_promise_t promise;
    for (int src = 0; src < sgp_group_size(halt->all); src++)
        if (find_promise(halt, src, &promise)) return true;
    return false;
}

/* Once the promises of all are there. */
static void agree(halt_t *halt) {
    int size = sgp_group_size(halt->all);
    halt_promise_t promise;
    uint64_t step = 0;
    int signal = 0;
    for (int src = 0; src < size; src++) {
        if (!find_promise(halt, src, &promise)) return;
        if (promise.step > step) step = promise.step;
        if (!signal) signal = promise.signal;
    }
    halt->too_far = false;
    for (int src = 0; src < size; src++) {
        find_promise(halt, src, &promise);
        halt->too_far |= is_too_far(&promise, step);
    }
    halt->step = step;
    halt->signal = signal;
    halt->agreed = true;
}

static bool has_ended(sgp_group_t *group) {
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_size(group); src++)
        if (src != sgp_group_rank(group) && sgp_notice_find(group, ENDING_NUMBER, src, bytes))
            return true;
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

static bool wants(const halt_t *halt) {
    return wanted_signal(halt) || (halt->due_ns != UINT64_MAX && sgp_clock_now() >= halt->due_ns);
}

/* The promises of the halt before have all arrived, and are no longer needed. */
static void promise(halt_t *halt) {
    if (halt->notice.number > ENDING_NUMBER + 1)
        sgp_notice_forget(halt->all, halt->notice.number - 1);
    halt->next.signal = wanted_signal(halt);
    memcpy(halt->notice.bytes, &halt->next, sizeof halt->next);
    halt->notice.told = 0;
    halt->promised = true;
}

/* Makes and sends this node's promise if it or another node wants a halt. */
static void join_halt(halt_t *halt, bool fresh) {
    if (halt->agreed) return;
    fresh |= halt->again;
    halt->again = false;
    if (!halt->promised && (wants(halt) || (fresh && is_begun(halt)))) promise(halt), fresh = true;
    if (!halt->promised) return;
    if (!halt->told) {
        halt->told = sgp_notice_tell(halt->all, &halt->notice);
        fresh = true;
    }
    if (halt->told && fresh) agree(halt);
}

static bool is_late(halt_t *halt) {
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

void halt_init(halt_t *halt, const train_groups_t *groups, const volatile sig_atomic_t *stop) {
    sgp_group_t *const all[] = {groups->all, groups->nodes, groups->workers};
    *halt = (halt_t){.all = groups->all,
                     .one_group = !groups->nodes || groups->nodes == groups->all,
                     .stop = stop,
                     .notice.number = ENDING_NUMBER + 1,
                     .patience_ns = (uint64_t)HALT_PATIENCE_SECONDS * SGP_SECOND,
                     .due_ns = UINT64_MAX};
    pthread_mutex_init(&halt->lock, NULL);
    for (int i = 0; i < 3; i++) {
        if (!all[i] || (i > 0 && all[i] == all[0])) continue;
        halt->watches[i] = (halt_watch_t){.halt = halt, .group = all[i]};
        sgp_inbox_set_watch(sgp_group_inbox(all[i]), look, &halt->watches[i]);
    }
}

void halt_fini(halt_t *halt) {
    for (int i = 0; i < 3; i++)
        if (halt->watches[i].group)
            sgp_inbox_set_watch(sgp_group_inbox(halt->watches[i].group), NULL, NULL);
    pthread_mutex_destroy(&halt->lock);
}

/* ---- halts ---- */

void halt_set_patience(halt_t *halt, double seconds) {
    pthread_mutex_lock(&halt->lock);
    halt->patience_ns = (uint64_t)(seconds * 1e9);
    pthread_mutex_unlock(&halt->lock);
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
    if (halt->agreed && (halt->too_far || step >= halt->step)) where = HALTS;
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

static sgp_status_t wait_for_all(halt_t *halt) {
    sgp_inbox_t *inbox = sgp_group_inbox(halt->all);
    sgp_transport_t *transport = sgp_group_transport(halt->all);
    uint64_t deadline = sgp_transport_now(transport) + sgp_group_timeout(halt->all);
    bool taken;
    sgp_status_t status = sgp_group_take(halt->all, NULL, &taken);
    while (status == SGP_OK && !is_agreed(halt))
        status = sgp_inbox_wait(inbox, sgp_inbox_taken_in(inbox), deadline,
                                "the other nodes to halt for a checkpoint");
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
    halt->notice.number++;
    halt->promised = halt->told = halt->agreed = false;
    halt->again = true;
    pthread_mutex_unlock(&halt->lock);
}

/* ---- endings ---- */

static bool tell_ending(halt_t *halt, sgp_notice_t notices[3]) {
    bool told = true;
    for (int i = 0; i < 3; i++)
        if (halt->watches[i].group) told &= sgp_notice_tell(halt->watches[i].group, &notices[i]);
    return told;
}

/* Takes the endings that have arrived; true: all have. */
static bool take_endings(const halt_t *halt, halt_ending_t *endings) {
    bool whole = true;
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_size(halt->all); src++) {
        if (src == sgp_group_rank(halt->all)) continue;
        if (sgp_notice_find(halt->all, ENDING_NUMBER, src, bytes))
            memcpy(&endings[src], bytes, sizeof endings[src]);
        else whole = false;
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
    for (int r = 0; r < sgp_group_size(halt->all); r++)
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
