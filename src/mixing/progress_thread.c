/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/progress_thread.h"

#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>

static void agent(void *argument) {
    sgp_progress_t *progress = argument;
    sgp_mixer_t *mixer = progress->mixer;
    sgp_transport_t *transport = mixer->transport;
    sgp_transport_lock(transport);
    while (!progress->quit) {
        if (!progress->holds) {
            sgp_transport_pause(transport, UINT64_MAX);
            continue;
        }
        sgp_status_t (*todo)(sgp_mixer_t * mixer) = progress->work;
        sgp_transport_unlock(transport);
        sgp_status_t status = todo(mixer);
        sgp_transport_lock(transport);
        sgp_progress_fail(progress, status);
        progress->holds = false;
        sgp_transport_signal(transport);
    }
    sgp_transport_unlock(transport);
}

static sgp_status_t lease_take(void *owner, bool *taken);
static void lease_give(void *owner);

static sgp_progress_t *progress_of(void *mixer) {
    return ((sgp_mixer_t *)mixer)->progress;
}

sgp_status_t sgp_progress_start(sgp_mixer_t *mixer) {
    if (mixer->progress) return SGP_OK;
    if (sgp_group_has_lease(mixer->group))
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mixer: a group can have one mixer that works beside the computation");
    sgp_progress_t *progress = calloc(1, sizeof *progress);
    if (!progress) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a progress thread");
    progress->mixer = mixer;
    sgp_status_t status = sgp_transport_agent_start(mixer->transport, agent, progress);
    if (status != SGP_OK) {
        free(progress);
        return status;
    }
    mixer->progress = progress;
    sgp_progress_assign(mixer, NULL, NULL);
    return SGP_OK;
}

void sgp_progress_assign(sgp_mixer_t *mixer, sgp_status_t (*work)(sgp_mixer_t *mixer),
                         void (*serve)(void *mixer)) {
    sgp_transport_lock(mixer->transport);
    mixer->progress->work = work;
    mixer->progress->status = SGP_OK;
    sgp_transport_unlock(mixer->transport);
    sgp_group_set_lease(
        mixer->group,
        &(sgp_lease_t){.take = lease_take, .give = lease_give, .serve = serve, .owner = mixer});
}

void sgp_progress_stop(sgp_mixer_t *mixer) {
    sgp_progress_t *progress = mixer->progress;
    if (!progress) return;
    sgp_transport_t *transport = mixer->transport;
    sgp_transport_lock(transport);
    progress->quit = progress->recalled = true;
    sgp_transport_signal(transport);
    sgp_transport_unlock(transport);
    sgp_transport_agent_join(transport);
    sgp_group_set_lease(mixer->group, NULL);
    free(progress);
    mixer->progress = NULL;
}

void sgp_progress_give(sgp_progress_t *progress) {
    sgp_transport_t *transport = progress->mixer->transport;
    sgp_transport_lock(transport);
    progress->holds = true;
    progress->recalled = false;
    uint64_t mark = sgp_mixer_mark(progress->mixer);
    sgp_trace_step(progress->mixer->trace, SGP_TRACE_MESSAGES, progress->mixer->step + 1);
    sgp_transport_signal(transport);
    sgp_transport_unlock(transport);
    sgp_mixer_mark_end(progress->mixer, SGP_TRACE_PUSH, mark); /* waking it takes its time */
}

sgp_status_t sgp_progress_take(sgp_progress_t *progress, uint64_t deadline) {
    sgp_mixer_t *mixer = progress->mixer;
    sgp_transport_t *transport = mixer->transport;
    uint64_t start = sgp_transport_now(transport), now = start, mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(transport);
    progress->recalled = true;
    if (progress->holds) sgp_transport_signal(transport);
    sgp_status_t status = SGP_OK;
    while (progress->holds && now < deadline && status == SGP_OK) {
        status = sgp_transport_pause(transport, deadline);
        now = sgp_transport_now(transport);
    }
    if (status == SGP_OK) status = sgp_progress_status(progress);
    bool late = progress->holds;
    sgp_transport_unlock(transport);
    mixer->paused += now - start;
    if (now > start) sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT,
                        "gave up waiting for messages of an earlier step to leave");
    return status == SGP_OK ? sgp_inbox_look(mixer->inbox, false) : status;
}

static sgp_status_t lease_take(void *owner, bool *taken) {
    sgp_progress_t *progress = progress_of(owner);
    sgp_transport_t *transport = progress->mixer->transport;
    sgp_transport_lock(transport);
    bool has = progress->holds;
    sgp_transport_unlock(transport);
    *taken = false;
    if (!has) return SGP_OK;
    uint64_t timeout = sgp_group_timeout(progress->mixer->group);
    sgp_status_t status = sgp_progress_take(progress, sgp_transport_now(transport) + timeout);
    *taken = status == SGP_OK;
    return status;
}

static void lease_give(void *owner) {
    sgp_progress_give(progress_of(owner));
}

bool sgp_progress_holds(const sgp_progress_t *progress) {
    return progress->holds;
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
    sgp_transport_lock(progress->mixer->transport);
    bool recalled = progress->recalled;
    sgp_transport_unlock(progress->mixer->transport);
    return recalled;
}

bool sgp_progress_must_end(sgp_progress_t *progress) {
    sgp_transport_lock(progress->mixer->transport);
    bool quit = progress->quit;
    sgp_transport_unlock(progress->mixer->transport);
    return quit;
}

sgp_status_t sgp_progress_wait(sgp_progress_t *progress, uint64_t since) {
    sgp_transport_t *transport = progress->mixer->transport;
    sgp_inbox_t *inbox = progress->mixer->inbox;
    sgp_status_t status = sgp_inbox_look(inbox, true);
    if (status == SGP_OK) status = sgp_inbox_retry(inbox, since);
    if (status != SGP_OK || sgp_inbox_taken_in(inbox) != since) return status;
    status = sgp_transport_wait(transport, sgp_inbox_next_look(inbox, UINT64_MAX));
    if (status != SGP_ERR_PEER_LOST) return SGP_OK;
    return sgp_transport_fail_lost(transport, "messages were under way");
}
