/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/progress_thread.h"

#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>

struct sgp_progress_thread {
    sgp_group_t *group;
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    sgp_progress_t *first; /* in the order in which the mixers came */
    /* Under the transport's lock: */
    bool holds;    /* the thread has the transport */
    bool recalled; /* the node wants it back */
    bool quit;
};

/* ---- on the thread ---- */

static void work_of(sgp_progress_t *progress) {
    sgp_transport_t *transport = progress->thread->transport;
    sgp_transport_lock(transport);
    sgp_work_fn work = progress->active ? progress->work : NULL;
    sgp_transport_unlock(transport);
    if (!work) return;
    sgp_work_t left = SGP_WORK_DONE;
    sgp_status_t status = work(progress->mixer, &left);
    sgp_transport_lock(transport);
    sgp_progress_fail(progress, status);
    progress->left = left;
    progress->active = status == SGP_OK && left != SGP_WORK_DONE;
    sgp_transport_unlock(transport);
}

/* Whether there is something to wait for: the node does not want the transport, or first the end of unfinished work. */
static bool goes_on(const sgp_progress_thread_t *thread) {
    bool any = false, unfinished = false;
    sgp_transport_lock(thread->transport);
    for (const sgp_progress_t *at = thread->first; at; at = at->next) {
        any |= at->active;
        unfinished |= at->active && at->wanted && at->left == SGP_WORK_UNFINISHED;
    }
    bool recalled = thread->recalled;
    sgp_transport_unlock(thread->transport);
    return any && (!recalled || unfinished);
}

/* Sleeps until more chunks are here than `since` (sgp_inbox_taken_in before the work), room came free, or the node
 * recalls the thread; may return earlier. */
static sgp_status_t wait_for_more(const sgp_progress_thread_t *thread, uint64_t since) {
    sgp_inbox_t *inbox = thread->inbox;
    sgp_status_t status = sgp_inbox_look(inbox, true);
    if (status == SGP_OK) status = sgp_inbox_retry(inbox, since);
    if (status != SGP_OK || sgp_inbox_taken_in(inbox) != since) return status;
    uint64_t now = sgp_transport_now(thread->transport);
    status = sgp_inbox_sleep(inbox, -1, UINT64_MAX, UINT64_MAX, &now);
    if (status != SGP_ERR_PEER_LOST) return SGP_OK;
    return sgp_transport_fail_lost(thread->transport, "messages were under way");
}

static void fail_all(const sgp_progress_thread_t *thread, sgp_status_t status) {
    sgp_transport_lock(thread->transport);
    for (sgp_progress_t *at = thread->first; at; at = at->next) {
        if (!at->active) continue;
        at->active = false;
        sgp_progress_fail(at, status);
    }
    sgp_transport_unlock(thread->transport);
}

static void work_for_all(const sgp_progress_thread_t *thread) {
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(thread->inbox);
        for (sgp_progress_t *at = thread->first; at; at = at->next) work_of(at);
        if (!goes_on(thread)) return;
        sgp_status_t status = wait_for_more(thread, since);
        if (status == SGP_OK) continue;
        fail_all(thread, status);
        return;
    }
}

static void agent(void *argument) {
    sgp_progress_thread_t *thread = argument;
    sgp_transport_t *transport = thread->transport;
    sgp_transport_lock(transport);
    while (!thread->quit) {
        if (!thread->holds) {
            sgp_transport_pause(transport, UINT64_MAX);
            continue;
        }
        sgp_transport_unlock(transport);
        work_for_all(thread);
        sgp_transport_lock(transport);
        thread->holds = false;
        sgp_transport_signal(transport);
    }
    sgp_transport_unlock(transport);
}

/* ---- who has the transport; lock held ---- */

static void let_work(sgp_progress_thread_t *thread) {
    thread->holds = true;
    thread->recalled = false;
    sgp_transport_signal(thread->transport);
}

static sgp_status_t recall(sgp_progress_thread_t *thread, uint64_t deadline) {
    sgp_transport_t *transport = thread->transport;
    thread->recalled = true;
    if (thread->holds) sgp_transport_signal(transport);
    sgp_status_t status = SGP_OK;
    while (thread->holds && status == SGP_OK &&
           (deadline == UINT64_MAX || sgp_transport_now(transport) < deadline))
        status = sgp_transport_pause(transport, deadline);
    return status;
}

/* With the end of this mixer's work, which may have been stopped for another one. */
static sgp_status_t recall_finished(sgp_progress_t *progress, uint64_t deadline) {
    sgp_progress_thread_t *thread = progress->thread;
    progress->wanted = true;
    if (!thread->holds && progress->active && progress->left == SGP_WORK_UNFINISHED)
        let_work(thread);
    sgp_status_t status = recall(thread, deadline);
    progress->wanted = false;
    if (!thread->holds) progress->active = false;
    return status;
}

/* ---- the lease: callers without work on the thread ---- */

static sgp_status_t fail_late(void) {
    return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for messages of an earlier step to leave");
}

static sgp_status_t lease_take(void *owner, bool *taken) {
    sgp_progress_thread_t *thread = owner;
    sgp_transport_t *transport = thread->transport;
    uint64_t deadline = sgp_transport_now(transport) + sgp_group_timeout(thread->group);
    sgp_transport_lock(transport);
    bool has = thread->holds;
    sgp_status_t status = has ? recall(thread, deadline) : SGP_OK;
    for (const sgp_progress_t *at = thread->first; at && has && status == SGP_OK; at = at->next)
        status = sgp_progress_status(at);
    bool late = thread->holds;
    *taken = has && !late;
    sgp_transport_unlock(transport);
    if (status == SGP_OK && late) return fail_late();
    return status == SGP_OK && has ? sgp_inbox_look(thread->inbox, false) : status;
}

static void lease_give(void *owner) {
    sgp_progress_thread_t *thread = owner;
    bool any = false;
    sgp_transport_lock(thread->transport);
    for (const sgp_progress_t *at = thread->first; at; at = at->next) any |= at->active;
    if (any && !thread->holds) let_work(thread);
    sgp_transport_unlock(thread->transport);
}

static void lease_serve(void *owner) {
    const sgp_progress_thread_t *thread = owner;
    for (const sgp_progress_t *at = thread->first; at; at = at->next)
        if (at->serve) at->serve(at->mixer);
}

const void *sgp_progress_owner(const sgp_mixer_t *mixer) {
    return mixer->progress ? mixer->progress->thread : NULL;
}

/* ---- start and stop ---- */

static sgp_status_t start_thread(sgp_group_t *group, sgp_progress_thread_t **thread) {
    sgp_progress_thread_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a progress thread");
    made->group = group;
    made->transport = sgp_group_transport(group);
    made->inbox = sgp_group_inbox(group);
    sgp_status_t status = sgp_transport_agent_start(made->transport, agent, made);
    if (status != SGP_OK) {
        free(made);
        return status;
    }
    sgp_group_set_lease(
        group, &(sgp_lease_t){
                   .take = lease_take, .give = lease_give, .serve = lease_serve, .owner = made});
    *thread = made;
    return SGP_OK;
}

static void end_thread(sgp_progress_thread_t *thread) {
    sgp_transport_lock(thread->transport);
    thread->quit = true;
    sgp_transport_signal(thread->transport);
    sgp_transport_unlock(thread->transport);
    sgp_transport_agent_join(thread->transport);
    sgp_group_set_lease(thread->group, NULL);
    free(thread);
}

static sgp_status_t check_company(const sgp_progress_thread_t *thread, const sgp_mixer_t *mixer,
                                  bool alone) {
    bool others = false;
    for (const sgp_progress_t *at = thread ? thread->first : NULL; at; at = at->next) {
        if (at->mixer == mixer) continue;
        others = true;
        alone |= at->alone;
    }
    if (!others || !alone) return SGP_OK;
    return sgp_fail(
        SGP_ERR_UNSUPPORTED,
        "mixer: adpsgd or server and another mixer that works beside the computation cannot share "
        "a group: nodes that wait in the other's step would answer nobody");
}

static void append(sgp_progress_thread_t *thread, sgp_progress_t *progress) {
    sgp_progress_t **link = &thread->first;
    while (*link) link = &(*link)->next;
    *link = progress;
    progress->thread = thread;
}

sgp_status_t sgp_progress_start(sgp_mixer_t *mixer, bool alone) {
    sgp_progress_thread_t *thread = sgp_group_lease_owner(mixer->group);
    sgp_status_t status = check_company(thread, mixer, alone);
    if (status != SGP_OK || mixer->progress) return status;
    sgp_progress_t *progress = calloc(1, sizeof *progress);
    if (!progress) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a progress thread");
    progress->mixer = mixer;
    if (!thread) status = start_thread(mixer->group, &thread);
    if (status != SGP_OK) {
        free(progress);
        return status;
    }
    append(thread, progress);
    mixer->progress = progress;
    return SGP_OK;
}

void sgp_progress_assign(sgp_mixer_t *mixer, sgp_work_fn work, void (*serve)(void *mixer),
                         bool alone) {
    sgp_transport_lock(mixer->transport);
    mixer->progress->work = work;
    mixer->progress->serve = serve;
    mixer->progress->alone = alone;
    mixer->progress->status = SGP_OK;
    sgp_transport_unlock(mixer->transport);
}

void sgp_progress_stop(sgp_mixer_t *mixer) {
    sgp_progress_t *progress = mixer->progress;
    if (!progress) return;
    sgp_progress_thread_t *thread = progress->thread;
    sgp_transport_lock(thread->transport);
    progress->ends = true;
    while (thread->holds || (progress->active && progress->left == SGP_WORK_UNFINISHED))
        recall_finished(progress, UINT64_MAX);
    sgp_transport_unlock(thread->transport);
    sgp_progress_t **link = &thread->first;
    while (*link != progress) link = &(*link)->next;
    *link = progress->next;
    free(progress);
    mixer->progress = NULL;
    if (!thread->first) end_thread(thread);
}

/* ---- give and take ---- */

void sgp_progress_give(sgp_progress_t *progress) {
    sgp_transport_t *transport = progress->thread->transport;
    sgp_transport_lock(transport);
    progress->active = true;
    progress->left = SGP_WORK_UNFINISHED; /* until the thread has looked at it */
    uint64_t mark = sgp_mixer_mark(progress->mixer);
    sgp_trace_step(progress->mixer->trace, SGP_TRACE_MESSAGES, progress->mixer->step + 1);
    let_work(progress->thread);
    sgp_transport_unlock(transport);
    sgp_mixer_mark_end(progress->mixer, SGP_TRACE_PUSH, mark); /* waking it takes its time */
}

/* For the flight recorder. */
static void note_sleep(const sgp_mixer_t *mixer, sgp_flight_what_t what, int peer, uint64_t now) {
    sgp_flight_want_t want = {what, peer, mixer->step};
    sgp_flight_sleep(mixer->transport->flight, SGP_FLIGHT_CALLER, &want, now);
}

sgp_status_t sgp_progress_pause(sgp_mixer_t *mixer, sgp_flight_what_t what, int peer,
                                uint64_t deadline) {
    sgp_transport_t *transport = mixer->transport;
    note_sleep(mixer, what, peer, sgp_transport_now(transport));
    sgp_status_t status = sgp_transport_pause(transport, deadline);
    sgp_flight_wake(transport->flight, SGP_FLIGHT_CALLER, sgp_transport_now(transport), status);
    return status;
}

sgp_status_t sgp_progress_take(sgp_progress_t *progress, uint64_t deadline) {
    sgp_mixer_t *mixer = progress->mixer;
    sgp_transport_t *transport = mixer->transport;
    uint64_t start = sgp_transport_now(transport), mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(transport);
    bool slept = progress->thread->holds || progress->active;
    if (slept) note_sleep(mixer, SGP_FLIGHT_FOR_THREAD, -1, start);
    sgp_status_t status = recall_finished(progress, deadline);
    if (status == SGP_OK) status = sgp_progress_status(progress);
    bool late = progress->thread->holds;
    sgp_transport_unlock(transport);
    uint64_t now = slept ? sgp_transport_now(transport) : start;
    if (slept) sgp_flight_wake(transport->flight, SGP_FLIGHT_CALLER, now, SGP_OK);
    if (now > start) {
        mixer->paused += now - start;
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    }
    if (status == SGP_OK && late) return fail_late();
    return status == SGP_OK ? sgp_inbox_look(mixer->inbox, false) : status;
}

bool sgp_progress_holds(const sgp_progress_t *progress) {
    return progress->thread->holds;
}

sgp_status_t sgp_progress_status(const sgp_progress_t *progress) {
    if (progress->status != SGP_OK) sgp_set_last_error(progress->why);
    return progress->status;
}

void sgp_progress_fail(sgp_progress_t *progress, sgp_status_t status) {
    if (progress->status != SGP_OK || status == SGP_OK) return;
    progress->status = status;
    snprintf(progress->why, sizeof progress->why, "%s", sgp_last_error());
}

bool sgp_progress_recalled(sgp_progress_t *progress) {
    sgp_progress_thread_t *thread = progress->thread;
    sgp_transport_lock(thread->transport);
    bool recalled = thread->recalled && !progress->wanted;
    sgp_transport_unlock(thread->transport);
    return recalled;
}

bool sgp_progress_must_end(sgp_progress_t *progress) {
    sgp_transport_lock(progress->thread->transport);
    bool ends = progress->ends;
    sgp_transport_unlock(progress->thread->transport);
    return ends;
}
