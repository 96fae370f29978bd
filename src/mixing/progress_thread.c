/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/progress_thread.h"

#include "base/logging.h"

#include <stdlib.h>

static void agent(void *argument) {
    sgp_courier_t *courier = argument;
    sgp_mixer_t *mixer = courier->mixer;
    sgp_transport_t *transport = mixer->transport;
    sgp_transport_lock(transport);
    while (!courier->quit) {
        if (!courier->has) {
            sgp_transport_pause(transport, UINT64_MAX);
            continue;
        }
        sgp_status_t (*todo)(sgp_mixer_t * mixer) = courier->work;
        sgp_transport_unlock(transport);
        sgp_status_t status = todo(mixer);
        sgp_transport_lock(transport);
        if (courier->status == SGP_OK) courier->status = status;
        courier->has = false;
        sgp_transport_signal(transport);
    }
    sgp_transport_unlock(transport);
}

static sgp_status_t lease_take(void *owner, bool *taken);
static void lease_give(void *owner);

static sgp_courier_t *courier_of(void *mixer) {
    return ((sgp_mixer_t *)mixer)->courier;
}

sgp_status_t sgp_courier_start(sgp_mixer_t *mixer) {
    if (mixer->courier) return SGP_OK;
    if (sgp_group_has_lease(mixer->group))
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mixer: a group can have one mixer that works beside the computation");
    sgp_courier_t *courier = calloc(1, sizeof *courier);
    if (!courier) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a courier");
    courier->mixer = mixer;
    sgp_status_t status = sgp_transport_agent_start(mixer->transport, agent, courier);
    if (status != SGP_OK) {
        free(courier);
        return status;
    }
    mixer->courier = courier;
    sgp_courier_employ(mixer, NULL, NULL);
    return SGP_OK;
}

void sgp_courier_employ(sgp_mixer_t *mixer, sgp_status_t (*work)(sgp_mixer_t *mixer),
                        void (*serve)(void *mixer)) {
    sgp_transport_lock(mixer->transport);
    mixer->courier->work = work;
    mixer->courier->status = SGP_OK;
    sgp_transport_unlock(mixer->transport);
    sgp_group_set_lease(
        mixer->group,
        &(sgp_lease_t){.take = lease_take, .give = lease_give, .serve = serve, .owner = mixer});
}

void sgp_courier_stop(sgp_mixer_t *mixer) {
    sgp_courier_t *courier = mixer->courier;
    if (!courier) return;
    sgp_transport_t *transport = mixer->transport;
    sgp_transport_lock(transport);
    courier->quit = courier->wanted = true;
    sgp_transport_signal(transport);
    sgp_transport_unlock(transport);
    sgp_transport_agent_join(transport);
    sgp_group_set_lease(mixer->group, NULL);
    free(courier);
    mixer->courier = NULL;
}

void sgp_courier_give(sgp_courier_t *courier) {
    sgp_transport_t *transport = courier->mixer->transport;
    sgp_transport_lock(transport);
    courier->has = true;
    courier->wanted = false;
    uint64_t mark = sgp_mixer_mark(courier->mixer);
    sgp_trace_step(courier->mixer->trace, SGP_TRACE_MESSAGES, courier->mixer->step + 1);
    sgp_transport_signal(transport);
    sgp_transport_unlock(transport);
    sgp_mixer_mark_end(courier->mixer, SGP_TRACE_PUSH, mark); /* waking it takes its time */
}

sgp_status_t sgp_courier_take(sgp_courier_t *courier, uint64_t deadline) {
    sgp_mixer_t *mixer = courier->mixer;
    sgp_transport_t *transport = mixer->transport;
    uint64_t start = sgp_transport_now(transport), now = start, mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(transport);
    courier->wanted = true;
    if (courier->has) sgp_transport_signal(transport);
    sgp_status_t status = SGP_OK;
    while (courier->has && now < deadline && status == SGP_OK) {
        status = sgp_transport_pause(transport, deadline);
        now = sgp_transport_now(transport);
    }
    if (status == SGP_OK) status = courier->status;
    bool late = courier->has;
    sgp_transport_unlock(transport);
    mixer->paused += now - start;
    if (now > start) sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT,
                        "gave up waiting for messages of an earlier step to leave");
    return status == SGP_OK ? sgp_inbox_look(mixer->inbox, false) : status;
}

static sgp_status_t lease_take(void *owner, bool *taken) {
    sgp_courier_t *courier = courier_of(owner);
    sgp_transport_t *transport = courier->mixer->transport;
    sgp_transport_lock(transport);
    bool has = courier->has;
    sgp_transport_unlock(transport);
    *taken = false;
    if (!has) return SGP_OK;
    uint64_t timeout = sgp_group_timeout(courier->mixer->group);
    sgp_status_t status = sgp_courier_take(courier, sgp_transport_now(transport) + timeout);
    *taken = status == SGP_OK;
    return status;
}

static void lease_give(void *owner) {
    sgp_courier_give(courier_of(owner));
}

bool sgp_courier_wanted(sgp_courier_t *courier) {
    sgp_transport_lock(courier->mixer->transport);
    bool wanted = courier->wanted;
    sgp_transport_unlock(courier->mixer->transport);
    return wanted;
}

bool sgp_courier_must_end(sgp_courier_t *courier) {
    sgp_transport_lock(courier->mixer->transport);
    bool quit = courier->quit;
    sgp_transport_unlock(courier->mixer->transport);
    return quit;
}

sgp_status_t sgp_courier_wait(sgp_courier_t *courier, uint64_t since) {
    sgp_transport_t *transport = courier->mixer->transport;
    sgp_inbox_t *inbox = courier->mixer->inbox;
    sgp_status_t status = sgp_inbox_look(inbox, true);
    if (status == SGP_OK) status = sgp_inbox_retry(inbox, since);
    if (status != SGP_OK || sgp_inbox_taken_in(inbox) != since) return status;
    status = sgp_transport_wait(transport, sgp_inbox_next_look(inbox, UINT64_MAX));
    if (status != SGP_ERR_PEER_LOST) return SGP_OK;
    return sgp_transport_fail_lost(transport, "messages were under way");
}
