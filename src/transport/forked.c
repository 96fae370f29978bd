/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/forked.h"

#include "base/logging.h"

#include <stdio.h>

static sgp_status_t refuse(sgp_transport_t *transport) {
    char text[96];
    snprintf(text, sizeof text,
             "this process is a forked child of node %d: only the node itself can send",
             transport->rank);
    if (!atomic_exchange(&transport->failed, true))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "%s", text);
    sgp_set_last_error(text);
    return SGP_ERR_UNSUPPORTED;
}

static uint64_t forked_now(sgp_transport_t *transport) {
    (void)transport;
    return UINT64_MAX;
}

static sgp_status_t forked_wait(sgp_transport_t *transport, uint64_t deadline) {
    (void)transport, (void)deadline;
    return SGP_ERR_TIMEOUT;
}

static sgp_status_t forked_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    (void)bytes, (void)messages;
    return refuse(transport);
}

static void forked_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    (void)transport, (void)bytes, (void)messages;
}

static sgp_status_t forked_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                      const sgp_destination_t *to, int destinations,
                                      sgp_send_t *send) {
    (void)header, (void)to, (void)destinations, (void)send;
    return refuse(transport);
}

static void *forked_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    (void)transport, (void)send;
    return NULL;
}

/* No message can begin here; one that was begun before the fork is the parent's. */
static void *forked_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    (void)transport, (void)send, (void)index;
    return NULL;
}

static void forked_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    (void)transport, (void)send;
}

static void forked_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    (void)transport, (void)send;
}

static sgp_status_t forked_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    (void)transport, (void)chunk;
    return SGP_ERR_AGAIN;
}

static void forked_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    (void)transport, (void)chunk;
}

static sgp_status_t forked_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                       void *context) {
    (void)body, (void)context;
    return refuse(transport);
}

static void nothing(sgp_transport_t *transport) {
    (void)transport;
}

static void nothing_until(sgp_transport_t *transport, uint64_t deadline) {
    (void)transport, (void)deadline;
}

static const sgp_transport_ops_t forked_ops = {
    .name = "forked",
    .now = forked_now,
    .wait = forked_wait,
    .prepare = forked_prepare,
    .unprepare = forked_unprepare,
    .send_begin = forked_send_begin,
    .send_next = forked_send_next,
    .send_chunk = forked_send_chunk,
    .send_commit = forked_send_commit,
    .send_abandon = forked_send_abandon,
    .receive = forked_receive,
    .release = forked_release,
    .agent_start = forked_agent_start,
    .agent_join = nothing,
    .lock = nothing,
    .unlock = nothing,
    .pause = nothing_until,
    .signal = nothing,
    .leave = nothing_until,
    .destroy = nothing,
};

sgp_status_t sgp_forked_check(sgp_transport_t *transport) {
    return transport->ops == &forked_ops ? refuse(transport) : SGP_OK;
}

static void in_child(void *context) {
    sgp_transport_t *transport = context;
    transport->ops = &forked_ops;
    sgp_fates_forked(transport->fates);
}

void sgp_forked_guard(sgp_transport_t *transport) {
    sgp_fork_add_hook(&transport->fork, in_child, transport);
}

void sgp_forked_unguard(sgp_transport_t *transport) {
    sgp_fork_remove_hook(&transport->fork);
}
