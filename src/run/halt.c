/* SPDX-License-Identifier: Apache-2.0 */
#include "run/halt.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/pacing.h"

#include <string.h>

/* Numbers of notices: an appointment has its own, counted from 1. */
#define NUMBER_ENDING 0

static uint64_t patience_ns(void) {
    return (uint64_t)HALT_PATIENCE_SECONDS * SGP_SECOND;
}

/* ---- what the others say ---- */

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

/* Whether anybody has made an appointment that this node has not heard of. */
static bool is_asked(const halt_t *halt) {
    halt_promise_t promise;
    for (int src = 0; src < sgp_group_size(halt->all); src++)
        if (find_promise(halt, src, &promise)) return true;
    return false;
}

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
        halt->too_far |= (double)(step - promise.step) * promise.seconds > HALT_BEHIND_SECONDS;
    }
    halt->step = step;
    halt->signal = signal;
    halt->agreed = true;
}

static bool has_ended(sgp_group_t *group) {
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_size(group); src++)
        if (src != sgp_group_rank(group) && sgp_notice_find(group, NUMBER_ENDING, src, bytes))
            return true;
    return false;
}

/* ---- looking, in any wait ---- */

/* Whether notices have come since this was last asked. */
static bool has_news(halt_watch_t *watch) {
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
    return wanted_signal(halt) || (halt->due_ns != UINT64_MAX && clock_now_ns() >= halt->due_ns);
}

/* Whoever promises has the promises of all for the appointment before: they are of no more use. */
static void promise(halt_t *halt) {
    if (halt->notice.number > NUMBER_ENDING + 1)
        sgp_notice_forget(halt->all, halt->notice.number - 1);
    halt->next.signal = wanted_signal(halt);
    memcpy(halt->notice.bytes, &halt->next, sizeof halt->next);
    halt->notice.told = 0;
    halt->promised = true;
}

/* Makes this node's promise if it wants to halt or another does, and tells it. */
static void look_for_appointment(halt_t *halt, bool news) {
    if (halt->agreed) return;
    news |= halt->again;
    halt->again = false;
    if (!halt->promised && (wants(halt) || (news && is_asked(halt)))) promise(halt), news = true;
    if (!halt->promised) return;
    if (!halt->told) {
        halt->told = sgp_notice_tell(halt->all, &halt->notice);
        news = true;
    }
    if (halt->told && news) agree(halt);
}

static bool is_late(halt_t *halt) {
    if (!wanted_signal(halt)) return false;
    if (!halt->stopped_ns) halt->stopped_ns = clock_now_ns();
    return clock_now_ns() - halt->stopped_ns > patience_ns();
}

/* Of the group that waits. Where appointments are made in another group, only the node itself looks
 * into that: it may be in use beside the agent. */
static sgp_status_t look(void *context, bool agent) {
    halt_watch_t *watch = context;
    halt_t *halt = watch->halt;
    bool into_all = halt->one_group || !agent;
    sgp_status_t status = SGP_OK;
    pthread_mutex_lock(&halt->lock);
    bool news = has_news(watch);
    if (news && !halt->ended) halt->ended = has_ended(watch->group);
    if (into_all && watch != &halt->watches[0]) {
        news = has_news(&halt->watches[0]);
        if (news && !halt->ended) halt->ended = has_ended(halt->all);
    }
    if (halt->ended) status = SGP_ERR_ENDED;
    else if (is_late(halt)) status = SGP_ERR_INTERRUPTED;
    else if (into_all) look_for_appointment(halt, news);
    pthread_mutex_unlock(&halt->lock);
    return status;
}

void halt_init(halt_t *halt, const train_groups_t *groups, const volatile sig_atomic_t *stop) {
    sgp_group_t *const all[] = {groups->all, groups->nodes, groups->workers};
    *halt = (halt_t){.all = groups->all,
                     .one_group = !groups->nodes || groups->nodes == groups->all,
                     .stop = stop,
                     .notice.number = NUMBER_ENDING + 1,
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

/* ---- appointments ---- */

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

/* Where an agent has the group's inbox the node does not look itself: the agent does. */
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

/* Whose endings are in; true: all. */
static bool take_endings(const halt_t *halt, halt_ending_t *endings) {
    bool whole = true;
    unsigned char bytes[SGP_NOTICE_BYTES];
    for (int src = 0; src < sgp_group_size(halt->all); src++) {
        if (src == sgp_group_rank(halt->all)) continue;
        if (sgp_notice_find(halt->all, NUMBER_ENDING, src, bytes))
            memcpy(&endings[src], bytes, sizeof endings[src]);
        else whole = false;
    }
    return whole;
}

void halt_end(halt_t *halt, const halt_ending_t *mine, halt_ending_t *endings) {
    sgp_transport_t *transport = sgp_group_transport(halt->all);
    sgp_notice_t notices[3];
    for (int i = 0; i < 3; i++) {
        if (halt->watches[i].group)
            sgp_inbox_set_watch(sgp_group_inbox(halt->watches[i].group), NULL, NULL);
        notices[i] = (sgp_notice_t){.number = NUMBER_ENDING};
        memcpy(notices[i].bytes, mine, sizeof *mine);
    }
    for (int r = 0; r < sgp_group_size(halt->all); r++)
        endings[r] = (halt_ending_t){.status = SGP_ERR_PEER_LOST};
    endings[sgp_group_rank(halt->all)] = *mine;
    uint64_t deadline = sgp_transport_now(transport) + patience_ns();
    for (;;) {
        bool told = tell_ending(halt, notices);
        if (take_endings(halt, endings) && told) return;
        if (sgp_transport_now(transport) >= deadline) return;
        if (sgp_transport_wait(transport, deadline) == SGP_ERR_PEER_LOST &&
            (!take_endings(halt, endings) || !told))
            return;
    }
}
