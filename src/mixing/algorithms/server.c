/* SPDX-License-Identifier: Apache-2.0 */
/* A parameter server (Downpour SGD, Dean et al. 2012, with one shard): rank 0 has the parameters and the optimizer, and
 * applies each gradient when it arrives. No node waits for another one's gradient.
 *
 *   node:   takes a gradient at its copy of the parameters, and sends it
 *   rank 0: applies it, and answers with the parameters
 *   node:   takes them as its copy
 *
 * Rank 0 is a node as well: its progress thread serves while it computes, and its own gradients need no message. Each chunk
 * of a request is applied and answered when it arrives, so both directions of the server's link are busy at a time, and the
 * chunks of two requests may be applied in different orders.
 *
 * One gradient counts as its share of a mean gradient, lr / n: n gradients, one of each node, move the parameters as far as a
 * step of all-reduce does. So do changes that callers make of their copies. In the terms of PushSum each node's x is the
 * parameters, with the weight 1; they are the mean of what all nodes have made of the values that they started with, which
 * must be the same. The server's values win otherwise, and the ledger shows the difference as drift.
 *
 * A batch-norm running statistic moves on each node by its own batches. A node sends that change, of which the server adds
 * 1/n. Momentum is the server's: the optimizers of the other nodes keep none. With an encoding gradients and the parameters
 * that answer them are rounded, and the server's are not: a rounding error does not stay in them. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/algorithms/server_requests.h"
#include "mixing/kernels.h"
#include "mixing/progress_thread.h"
#include "mixing/push.h"

#include "base/logging.h"
#include "base/memory.h"
#include "optimizer/optimizer_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool serves(const sgp_mixer_t *mixer) {
    return mixer->rank == 0;
}

static bool server_has_progress(const sgp_mixer_t *mixer) {
    return mixer->size > 1;
}

/* Answers to a few nodes at a time; the others wait for their turn. */
static unsigned server_messages(const sgp_mixer_t *mixer) {
    enum { MOST = 8 };
    if (!serves(mixer)) return 2;
    return (unsigned)(mixer->size <= MOST ? mixer->size : MOST) + 1;
}

static unsigned server_notices(const sgp_mixer_t *mixer) {
    (void)mixer;
    return 2; /* this node rests */
}

/* On the progress thread. */
static sgp_status_t server_work(sgp_mixer_t *mixer, sgp_work_t *left) {
    uint64_t mark = sgp_mixer_mark(mixer);
    *left = serves(mixer) ? SGP_WORK_WAITS : SGP_WORK_DONE;
    sgp_status_t status = serves(mixer) ? sgp_server_serve(mixer) : SGP_OK;
    sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES, SGP_TRACE_ABSORB, mark);
    return status;
}

/* On the node's own thread, during a collective call of the group: the next step reports an error. */
static void server_serve(void *owner) {
    sgp_mixer_t *mixer = owner;
    const sgp_server_t *server = mixer->extra;
    if (server->idle || !serves(mixer)) return;
    sgp_progress_fail(mixer->progress, sgp_server_serve(mixer));
}

static void see(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const sgp_server_t *server = mixer->extra;
    memcpy(server->seen + offset, mixer->z + offset, count * sizeof(float));
}

/* to <- (z - seen) / n: the caller's own changes. */
static void own_change(const sgp_mixer_t *mixer, size_t offset, size_t count, float *to) {
    const sgp_server_t *server = mixer->extra;
    const float *z = mixer->z + offset, *seen = server->seen + offset;
    float part = 1 / (float)mixer->size;
    for (size_t i = 0; i < count; i++) to[i] = (z[i] - seen[i]) * part;
}

/* The elements of [offset, offset + count) that the optimizer moves in this step. */
static size_t moved_in(const sgp_mixer_t *mixer, const sgp_local_t *local, size_t offset,
                       size_t count) {
    if (!local->optimizer || offset >= mixer->count) return 0;
    return mixer->count - offset < count ? mixer->count - offset : count;
}

/* ---- the step of rank 0 ---- */

/* Adds the caller's own changes to live. Lock held. */
static void add_own_change(sgp_mixer_t *mixer, size_t offset, size_t count) {
    sgp_server_t *server = mixer->extra;
    float *live = server->live + offset;
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, 1);
    own_change(mixer, offset, count, server->scratch);
    sgp_add(count, live, live, server->scratch);
    sgp_ledger_close_range(&server->books, server->live, offset, count);
}

/* z <- live. Lock held. */
static void publish(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const sgp_server_t *server = mixer->extra;
    memcpy(mixer->z + offset, server->live + offset, count * sizeof(float));
    see(mixer, offset, count);
}

/* One chunk of the local step, on live, with a copy in z. Lock held. false: it is not finite. */
static bool update_chunk(sgp_mixer_t *mixer, const sgp_local_t *local, size_t offset,
                         size_t count) {
    sgp_server_t *server = mixer->extra;
    size_t moved = moved_in(mixer, local, offset, count), from = server->touched ? 0 : moved;
    bool finite = true;
    add_own_change(mixer, offset + from, count - from);
    publish(mixer, offset + moved, count - moved);
    if (moved) {
        finite = sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved,
                                     server->live + offset, local->gradient + offset,
                                     sgp_server_rate(mixer, local->learning_rate),
                                     mixer->z + offset, false);
        see(mixer, offset, moved);
        sgp_ledger_enter(&server->books, server->live, offset, moved, mixer->size);
        sgp_ledger_close_range(&server->books, server->live, offset, moved);
    }
    finite &= sgp_is_finite(count - moved, mixer->z + offset + moved);
    server->broken |= !sgp_mixer_accepts(mixer, finite);
    return !server->broken;
}

static sgp_status_t update_live(sgp_mixer_t *mixer, const sgp_local_t *local) {
    sgp_server_t *server = mixer->extra;
    server->touched |= !local->optimizer;
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        uint64_t mark = sgp_mixer_mark(mixer);
        count = sgp_mixer_chunk_at(mixer, offset);
        sgp_transport_lock(mixer->transport);
        if (offset == 0 && local->optimizer) sgp_optimizer_begin(local->optimizer);
        bool finite = update_chunk(mixer, local, offset, count);
        sgp_transport_unlock(mixer->transport);
        sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
        if (!finite) return sgp_mixer_refuse(mixer, "parameters", offset, count);
    }
    server->touched = false;
    return SGP_OK;
}

/* The first step brings the optimizer, and gradients may be waiting for it. */
static void end_own_step(sgp_mixer_t *mixer, const sgp_local_t *local) {
    sgp_server_t *server = mixer->extra;
    sgp_transport_lock(mixer->transport);
    if (local->optimizer) server->optimizer = local->optimizer;
    server->applied++;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

static void serve_again(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    server->idle = server->holds = false;
    if (mixer->progress && serves(mixer)) sgp_progress_give(mixer->progress);
}

static sgp_status_t own_step(sgp_mixer_t *mixer, const sgp_local_t *local) {
    const sgp_server_t *server = mixer->extra;
    sgp_status_t status = SGP_OK;
    if (mixer->progress) {
        sgp_transport_lock(mixer->transport);
        status = sgp_progress_status(mixer->progress);
        sgp_transport_unlock(mixer->transport);
    }
    if (status == SGP_OK) status = update_live(mixer, local);
    if (status != SGP_OK) return status;
    end_own_step(mixer, local);
    if (server->holds) serve_again(mixer);
    return SGP_OK;
}

/* ---- the step of the others ---- */

/* What a request has at these elements: the gradient, and the changes of the buffers. */
static const float *request_at(const sgp_mixer_t *mixer, const sgp_local_t *local, size_t offset,
                               size_t count) {
    const sgp_server_t *server = mixer->extra;
    size_t moved = moved_in(mixer, local, offset, count);
    if (moved == count) return local->gradient + offset;
    if (moved) memcpy(server->scratch, local->gradient + offset, moved * sizeof(float));
    own_change(mixer, offset + moved, count - moved, server->scratch + moved);
    return server->scratch;
}

/* A header's weight is above 0: a rate of 0 becomes one that is 0 as a float. */
static double weight_of(const sgp_local_t *local) {
    double rate = local->optimizer ? local->learning_rate : 1;
    return rate > 0 ? rate : DBL_MIN;
}

static sgp_status_t send_request(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    const sgp_server_t *server = mixer->extra;
    bool gradient = local->optimizer != NULL;
    sgp_header_t header =
        sgp_server_header(mixer, gradient ? SGP_SERVER_GRADIENT : SGP_SERVER_CHANGE,
                          gradient ? mixer->options.encoding : SGP_ENCODING_FLOAT32, server->asked);
    mixer->to[0] = (sgp_destination_t){.dst = 0, .weight = weight_of(local)};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, 1, deadline, &send);
    if (status != SGP_OK) return status;
    uint64_t mark = sgp_mixer_mark(mixer);
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        size_t offset = send.header.offset, count = send.header.elements;
        const float *numbers = request_at(mixer, local, offset, count);
        bool finite = sgp_server_write(mixer, &send, place, numbers);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    sgp_server_sent(mixer, header.encoding, 1);
    return SGP_OK;
}

/* Waits for the chunk at offset of a message of the server. */
static sgp_status_t await_chunk(sgp_mixer_t *mixer, sgp_kind_t kind, uint64_t number, size_t offset,
                                uint64_t deadline, sgp_chunk_t **chunk) {
    uint64_t mark = sgp_mixer_mark(mixer);
    bool waited = false;
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        *chunk = sgp_push_find(mixer, kind, 0, number, offset);
        if (*chunk) break;
        waited = true;
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_SERVER, 0, number);
        sgp_status_t status =
            sgp_inbox_wait_for(mixer->inbox, 0, since, deadline, "parameters of the server");
        if (status != SGP_OK) return status;
    }
    if (waited) sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    return sgp_server_check(mixer, &(*chunk)->header);
}

/* z <- the server's parameters. */
static sgp_status_t take_parameters(sgp_mixer_t *mixer, sgp_kind_t kind, uint64_t number,
                                    uint64_t deadline) {
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        sgp_chunk_t *chunk;
        sgp_status_t status = await_chunk(mixer, kind, number, offset, deadline, &chunk);
        if (status != SGP_OK) return status;
        uint64_t mark = sgp_mixer_mark(mixer);
        count = chunk->header.elements;
        float *z = mixer->z + offset;
        if (sgp_encoding_is_lossy(chunk->header.encoding))
            sgp_decode(chunk->header.encoding, count, z, chunk->payload);
        else memcpy(z, chunk->payload, count * sizeof *z);
        see(mixer, offset, count);
        sgp_inbox_release(mixer->inbox, chunk);
        sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    }
    sgp_push_received(mixer, 1, 0);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return SGP_OK;
}

static sgp_status_t request(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, 1);
    sgp_status_t status = send_request(mixer, local, deadline);
    if (status == SGP_OK) status = take_parameters(mixer, SGP_KIND_ANSWER, server->asked, deadline);
    server->asked++;
    return status;
}

static bool has_changed(const sgp_mixer_t *mixer, size_t count) {
    const sgp_server_t *server = mixer->extra;
    return memcmp(mixer->z, server->seen, count * sizeof(float)) != 0;
}

/* A gradient leaves no place for changes of the parameters: they go first. */
static sgp_status_t send_changes(sgp_mixer_t *mixer, uint64_t deadline) {
    return request(mixer, &(sgp_local_t){0}, deadline);
}

static sgp_status_t remote_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    bool changed = local->optimizer && server->touched && has_changed(mixer, mixer->count);
    sgp_status_t status = changed ? send_changes(mixer, deadline) : SGP_OK;
    server->touched = server->holds = false;
    return status == SGP_OK ? request(mixer, local, deadline) : status;
}

/* ---- both ---- */

static sgp_status_t server_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    if (local->optimizer && !(local->learning_rate >= 0 && isfinite(local->learning_rate)))
        return sgp_fail(SGP_ERR_INVALID, "step: the learning rate is %g: must be 0 or more",
                        (double)local->learning_rate);
    return serves(mixer) ? own_step(mixer, local) : remote_step(mixer, local, deadline);
}

/* ---- settling ---- */

static sgp_status_t tell_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    const sgp_server_t *server = mixer->extra;
    mixer->to[0] = (sgp_destination_t){.dst = 0, .weight = 1};
    sgp_header_t header = {.kind = SGP_KIND_REST,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = server->settles,
                           .count = 1};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, 1, deadline, &send);
    if (status != SGP_OK) return status;
    memset(sgp_inbox_send_next(mixer->inbox, &send), 0, 1);
    sgp_inbox_send_commit(mixer->inbox, &send);
    return SGP_OK;
}

/* The others have no message under way after a step. */
static sgp_status_t remote_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    sgp_status_t status =
        has_changed(mixer, mixer->length) ? send_changes(mixer, deadline) : SGP_OK;
    if (status == SGP_OK) status = tell_rest(mixer, deadline);
    if (status == SGP_OK)
        status = take_parameters(mixer, SGP_SERVER_FINAL, server->settles, deadline);
    server->settles++;
    return status;
}

static sgp_status_t fail_left(const sgp_mixer_t *mixer, int rank) {
    sgp_rank_name_t name, here;
    return sgp_fail(SGP_ERR_PEER_LOST, "%s has left, while %s waits for its last messages",
                    sgp_transport_name(mixer->transport, rank, &name),
                    sgp_transport_name(mixer->transport, mixer->rank, &here));
}

/* The server answers until all others rest. */
static sgp_status_t wait_for_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    sgp_transport_lock(mixer->transport);
    sgp_status_t status = SGP_OK;
    while (server->resting < mixer->size - 1 && server->left < 0 &&
           sgp_progress_holds(mixer->progress) && status == SGP_OK &&
           sgp_transport_now(mixer->transport) < deadline)
        status = sgp_progress_pause(mixer, SGP_FLIGHT_FOR_REST, -1, deadline);
    bool late = server->resting < mixer->size - 1;
    int left = server->left;
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    sgp_transport_unlock(mixer->transport);
    if (status == SGP_OK && late && left >= 0) return fail_left(mixer, left);
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the slower nodes");
    return status;
}

static void end_rest(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    for (int src = 1; src < mixer->size; src++) {
        if (!server->clients[src].rests) continue;
        sgp_inbox_release(mixer->inbox,
                          sgp_push_find(mixer, SGP_KIND_REST, src, server->settles, 0));
        server->clients[src].rests = false;
    }
    server->resting = 0;
}

/* All that rank 0 knows is in z and in the mixer's ledger. The progress thread does not work now. */
static void make_z_live(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        count = sgp_mixer_chunk_at(mixer, offset);
        add_own_change(mixer, offset, count);
    }
    publish(mixer, 0, mixer->length);
    for (size_t s = 0; s < mixer->ledger.samples; s++) {
        mixer->ledger.made[s] += server->books.made[s];
        server->books.made[s] = 0;
    }
    sgp_ledger_close(&mixer->ledger, mixer->z);
    server->touched = false;
}

/* Sends the parameters to all others. */
static sgp_status_t send_final(sgp_mixer_t *mixer, uint64_t deadline) {
    const sgp_server_t *server = mixer->extra;
    sgp_header_t header =
        sgp_server_header(mixer, SGP_SERVER_FINAL, SGP_ENCODING_FLOAT32, server->settles);
    for (int dst = 1; dst < mixer->size; dst++)
        mixer->to[dst - 1] = (sgp_destination_t){.dst = dst, .weight = 1};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, mixer->size - 1, deadline, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        bool finite = sgp_server_write(mixer, &send, place, mixer->z + send.header.offset);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    sgp_server_sent(mixer, header.encoding, mixer->size - 1);
    return SGP_OK;
}

static sgp_status_t own_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    sgp_status_t status = SGP_OK;
    if (mixer->size > 1) {
        status = wait_for_rest(mixer, deadline);
        if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    }
    if (status != SGP_OK) return status;
    end_rest(mixer);
    make_z_live(mixer);
    if (mixer->size > 1) status = send_final(mixer, deadline);
    server->settles++;
    return status;
}

static sgp_status_t server_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    sgp_status_t status = (serves(mixer) ? own_settle : remote_settle)(mixer, deadline);
    server->idle = true;
    server->holds = false;
    return status;
}

/* ---- between steps ---- */

static sgp_status_t server_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_server_t *server = mixer->extra;
    bool stops = serves(mixer) && mixer->progress;
    sgp_status_t status = stops ? sgp_progress_take(mixer->progress, deadline) : SGP_OK;
    if (status != SGP_OK) return status;
    if (serves(mixer)) make_z_live(mixer);
    server->idle = server->holds = server->touched = true;
    return SGP_OK;
}

/* z counts, whatever was in its place. */
static void begin_anew(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    sgp_transport_lock(mixer->transport);
    see(mixer, 0, mixer->length);
    if (serves(mixer)) {
        memcpy(server->live, mixer->z, mixer->length * sizeof *server->live);
        sgp_ledger_init(&server->books, server->live, mixer->length);
        memset(server->books.made, 0, sizeof server->books.made);
    }
    server->touched = false;
    sgp_transport_unlock(mixer->transport);
}

static sgp_status_t server_resume(sgp_mixer_t *mixer) {
    const sgp_server_t *server = mixer->extra;
    if (!server->holds) begin_anew(mixer);
    serve_again(mixer);
    return SGP_OK;
}

static void server_destroy(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    if (!server) return;
    sgp_memory_free(server->seen);
    sgp_memory_free(server->scratch);
    sgp_memory_free(server->live);
    sgp_memory_free(server->decoded);
    free(server->clients);
    free(server);
}

static sgp_status_t server_create(sgp_mixer_t *mixer) {
    sgp_server_t *server = calloc(1, sizeof *server);
    mixer->extra = server;
    if (!server) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    size_t bytes = mixer->length * sizeof(float), chunk = sgp_mixer_chunk(mixer) * sizeof(float);
    bool right = true;
    server->left = -1;
    server->turn = 1;
    server->idle = true;
    right &= (server->seen = sgp_memory_alloc(bytes)) != NULL;
    right &= (server->scratch = sgp_memory_alloc(chunk)) != NULL;
    if (serves(mixer)) {
        right &= (server->live = sgp_memory_alloc(bytes)) != NULL;
        right &= (server->decoded = sgp_memory_alloc(chunk)) != NULL;
        right &= (server->clients = calloc((size_t)mixer->size, sizeof *server->clients)) != NULL;
    }
    if (right) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
}

/* A resumed run goes on counting. */
static void server_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    sgp_state_add(state, "server.staleness", SGP_STATE_UINT64, &mixer->statistics.staleness, 1);
}

const sgp_algorithm_ops_t sgp_algorithm_server = {
    .create = server_create,
    .destroy = server_destroy,
    .work = server_work,
    .serve = server_serve,
    .alone = true,
    .has_progress = server_has_progress,
    .messages = server_messages,
    .notices = server_notices,
    .step = server_step,
    .settle = server_settle,
    .hold = server_hold,
    .resume = server_resume,
    .state = server_state,
};
