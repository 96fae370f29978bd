/* SPDX-License-Identifier: Apache-2.0 */
/* AD-PSGD (Lian et al. 2018): an active node asks a passive one to average with it, and computes its next gradient
 * meanwhile; the progress thread of a passive node answers at once, even during a computation.
 *
 *   active:  sends x
 *   passive: d <- (its x - x) / 2 for each number, takes d from its own, and answers with d
 *   active:  adds d
 *
 * Each number becomes the mean on both sides in one moment, under the passive node's lock, and a change of either side in
 * between is kept: the sum of x never changes by more than rounding. The active node has one exchange at a time, and its
 * next step waits for it; no node both asks and answers, so no circle of nodes can wait for each other. With a lossy
 * encoding the passive node takes the decoded d from its own vector, the same numbers that the active one adds.
 *
 * The averaging goes on while gradients are computed, so it has its own vector, `live`; z is a copy from the last step, at
 * which the gradient is taken. The gradient is applied to live as it is by then. All weights are 1. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/kernels.h"
#include "mixing/progress_thread.h"
#include "mixing/push.h"

#include "base/logging.h"
#include "base/memory.h"
#include "graph/active_passive.h"
#include "optimizer/optimizer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A passive node's record of an active one. */
typedef struct asker {
    uint64_t next; /* number of its next question to this node */
    bool answering;
    sgp_send_t answer; /* under way */
    sgp_destination_t to;
    bool rests;
} asker_t;

typedef enum phase { IDLE, WANTED, ASKED } phase_t;

typedef struct pairs {
    bool active;
    float *live; /* (P + S); under the transport's lock */
    float *seen; /* (P + S) z as the caller got it: the difference is the caller's own change */
    uint64_t settles;
    bool broken; /* live is not finite, and is not sent any more; under the lock */
    int left;    /* a node that is waited for and has left; -1: none; under the lock */
    bool held;   /* from settle or hold to resume: z is the vector, and nothing is averaged */
    /* Of an active node; phase: under the lock. */
    phase_t phase;
    uint64_t exchanges;
    uint64_t *asked; /* (size) questions to each node */
    int partner;
    size_t added; /* elements of the answer */
    /* Of a passive node. */
    asker_t *askers; /* (size) */
    int resting;     /* active nodes that rest; under the lock */
} pairs_t;

static unsigned pairs_messages(const sgp_mixer_t *mixer) {
    int actives = sgp_pairs_actives(mixer->size);
    return sgp_pairs_active(mixer->rank) ? 2 : (unsigned)(actives < 8 ? actives : 8) + 1;
}

/* This node rests. */
static unsigned pairs_notices(const sgp_mixer_t *mixer) {
    (void)mixer;
    return 2;
}

static sgp_header_t header_of(const sgp_mixer_t *mixer, sgp_kind_t kind, uint64_t number) {
    sgp_header_t header = sgp_push_header(mixer, number);
    header.kind = kind;
    return header;
}

/* ---- the active side, on the progress thread ---- */

/* The step waits for the end of the exchange: until then only the progress thread touches live. */
static sgp_status_t ask(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    int partner = sgp_pairs_partner(mixer->size, mixer->rank, pairs->exchanges);
    sgp_header_t header = header_of(mixer, SGP_KIND_ASK, pairs->asked[partner]);
    sgp_destination_t to = {.dst = partner, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, &to, 1, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(mixer->inbox, &send));) {
        bool finite = sgp_push_write(mixer, &send, send.header.elements, place,
                                     pairs->live + send.header.offset);
        status = sgp_push_commit(mixer, &send, finite);
        if (status != SGP_OK) return status;
    }
    sgp_push_sent(mixer, 1);
    pairs->partner = partner;
    pairs->added = 0;
    return SGP_OK;
}

static void set_phase(sgp_mixer_t *mixer, phase_t phase) {
    pairs_t *pairs = mixer->extra;
    sgp_transport_lock(mixer->transport);
    pairs->phase = phase;
    if (phase == IDLE) sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

static sgp_status_t add_answer(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    while (pairs->added < mixer->length) {
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_ANSWER, pairs->partner,
                                           pairs->asked[pairs->partner], pairs->added);
        if (!chunk) return SGP_OK;
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        float *live = pairs->live + pairs->added;
        if (sgp_mixer_is_lossy(mixer))
            sgp_decode_add(mixer->options.encoding, chunk->header.elements, live, chunk->payload,
                           1);
        else sgp_add(chunk->header.elements, live, live, chunk->payload);
        pairs->added += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    sgp_push_received(mixer, 1, 0);
    pairs->asked[pairs->partner]++;
    pairs->exchanges++;
    set_phase(mixer, IDLE);
    return SGP_OK;
}

/* A wait for that node, now or later, cannot succeed, unless the node has announced its end before. */
static sgp_status_t note_left(sgp_mixer_t *mixer, int rank) {
    pairs_t *pairs = mixer->extra;
    sgp_status_t status = sgp_inbox_look(mixer->inbox, true);
    if (status != SGP_OK) return status;
    sgp_transport_lock(mixer->transport);
    if (pairs->left < 0) {
        pairs->left = rank;
        sgp_transport_signal(mixer->transport);
    }
    sgp_transport_unlock(mixer->transport);
    return SGP_OK;
}

static sgp_status_t receive_answer(sgp_mixer_t *mixer) {
    const pairs_t *pairs = mixer->extra;
    bool last = sgp_transport_has_ended(mixer->transport, pairs->partner);
    sgp_status_t status = add_answer(mixer);
    if (status != SGP_OK || !last || pairs->phase != ASKED) return status;
    return note_left(mixer, pairs->partner);
}

static sgp_status_t serve_active(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    sgp_transport_lock(mixer->transport);
    phase_t phase = pairs->phase;
    sgp_transport_unlock(mixer->transport);
    if (phase == WANTED) {
        sgp_status_t status = ask(mixer);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        set_phase(mixer, phase = ASKED);
    }
    return phase == ASKED ? receive_answer(mixer) : SGP_OK;
}

/* ---- the passive side, on the progress thread ---- */

/* SGP_ERR_AGAIN: no room now. */
static sgp_status_t begin_answer(sgp_mixer_t *mixer, int src) {
    pairs_t *pairs = mixer->extra;
    asker_t *asker = &pairs->askers[src];
    sgp_header_t header = header_of(mixer, SGP_KIND_ANSWER, asker->next);
    asker->to = (sgp_destination_t){.dst = src, .weight = 1};
    sgp_status_t status = sgp_inbox_send_try(mixer->inbox, &header, &asker->to, 1, &asker->answer);
    asker->answering = status == SGP_OK;
    return status;
}

/* One chunk of a question: both sides become the mean here. */
static sgp_status_t answer_chunk(sgp_mixer_t *mixer, asker_t *asker, sgp_chunk_t *chunk,
                                 void *place) {
    pairs_t *pairs = mixer->extra;
    size_t count = chunk->header.elements;
    float *live = pairs->live + chunk->header.offset;
    sgp_transport_lock(mixer->transport);
    bool finite = !pairs->broken;
    if (sgp_mixer_is_lossy(mixer))
        sgp_encode_pair(mixer->options.encoding, count, live, chunk->payload, place);
    else sgp_average_pair(count, live, chunk->payload, place);
    sgp_transport_unlock(mixer->transport);
    return sgp_push_commit(mixer, &asker->answer, finite);
}

/* Answers the chunks that have arrived of one node's question, in order. */
static sgp_status_t answer(sgp_mixer_t *mixer, int src) {
    pairs_t *pairs = mixer->extra;
    asker_t *asker = &pairs->askers[src];
    for (;;) {
        size_t offset = 0;
        if (asker->answering) offset = asker->answer.header.offset + asker->answer.header.elements;
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_ASK, src, asker->next, offset);
        if (!chunk) return SGP_OK;
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status == SGP_OK && !asker->answering) status = begin_answer(mixer, src);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        void *place = sgp_inbox_send_next(mixer->inbox, &asker->answer);
        status = answer_chunk(mixer, asker, chunk, place);
        if (status != SGP_OK) return status;
        bool last = chunk->header.offset + chunk->header.elements == mixer->length;
        sgp_inbox_release(mixer->inbox, chunk);
        if (!last) continue;
        sgp_inbox_send_next(mixer->inbox, &asker->answer); /* NULL: the message is whole */
        asker->answering = false;
        asker->next++;
        sgp_push_received(mixer, 1, 0);
        sgp_push_sent(mixer, 1);
    }
}

static void note_rest(sgp_mixer_t *mixer, int src) {
    pairs_t *pairs = mixer->extra;
    asker_t *asker = &pairs->askers[src];
    if (asker->rests || !sgp_push_find(mixer, SGP_KIND_REST, src, pairs->settles, 0)) return;
    asker->rests = true;
    sgp_transport_lock(mixer->transport);
    pairs->resting++;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

static sgp_status_t serve_passive(sgp_mixer_t *mixer) {
    const pairs_t *pairs = mixer->extra;
    for (int src = 0; src < mixer->size; src += 2) {
        bool last = sgp_transport_has_ended(mixer->transport, src);
        sgp_status_t status = answer(mixer, src);
        if (status != SGP_OK) return status;
        note_rest(mixer, src);
        if (last && !pairs->askers[src].rests) status = note_left(mixer, src);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

static sgp_status_t serve(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    sgp_inbox_collect(mixer->inbox);
    return pairs->active ? serve_active(mixer) : serve_passive(mixer);
}

/* On the progress thread. */
static sgp_status_t pairs_work(sgp_mixer_t *mixer, sgp_work_t *left) {
    const pairs_t *pairs = mixer->extra;
    uint64_t mark = sgp_mixer_mark(mixer);
    *left = SGP_WORK_WAITS;
    sgp_status_t status = serve(mixer);
    sgp_trace_end(mixer->trace, SGP_TRACE_MESSAGES,
                  pairs->active ? SGP_TRACE_PUSH : SGP_TRACE_ABSORB, mark);
    return status;
}

/* On the node's own thread, during a collective call of the group: the next step reports an error. */
static void pairs_serve(void *owner) {
    sgp_mixer_t *mixer = owner;
    const pairs_t *pairs = mixer->extra;
    if (pairs->held) return;
    sgp_progress_fail(mixer->progress, serve(mixer));
}

/* ---- the step ---- */

/* Adds the caller's own changes of z since it was published. Lock held. */
static void add_callers_changes(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const pairs_t *pairs = mixer->extra;
    for (size_t i = offset; i < offset + count; i++) pairs->live[i] += mixer->z[i] - pairs->seen[i];
}

static void publish(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    const pairs_t *pairs = mixer->extra;
    memcpy(mixer->z + offset, pairs->live + offset, count * sizeof(float));
    memcpy(pairs->seen + offset, pairs->live + offset, count * sizeof(float));
}

/* One chunk of the local step, on live, with a copy in z. Lock held. false: it is not finite. */
static bool update_chunk(sgp_mixer_t *mixer, const sgp_local_t *local, size_t offset,
                         size_t count) {
    pairs_t *pairs = mixer->extra;
    size_t moved = 0;
    bool finite = true;
    sgp_ledger_close_range(&mixer->ledger, pairs->live, offset, count);
    if (local->optimizer && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        finite = sgp_optimizer_apply(local->optimizer, mixer->first + offset, moved,
                                     pairs->live + offset, local->gradient + offset,
                                     local->learning_rate, mixer->z + offset, false);
        memcpy(pairs->seen + offset, mixer->z + offset, moved * sizeof(float));
    }
    add_callers_changes(mixer, offset + moved, count - moved);
    publish(mixer, offset + moved, count - moved);
    sgp_ledger_enter(&mixer->ledger, pairs->live, offset, count, 1);
    finite &= sgp_is_finite(count - moved, mixer->z + offset + moved);
    pairs->broken |= !sgp_mixer_accepts(mixer, finite);
    return !pairs->broken;
}

static sgp_status_t fail_left(const sgp_mixer_t *mixer, int rank, const char *what) {
    sgp_rank_name_t name, here;
    return sgp_fail(SGP_ERR_PEER_LOST, "%s has left, while %s waits for its %s",
                    sgp_transport_name(mixer->transport, rank, &name),
                    sgp_transport_name(mixer->transport, mixer->rank, &here), what);
}

static sgp_status_t wait_for_exchange(sgp_mixer_t *mixer, uint64_t deadline) {
    pairs_t *pairs = mixer->extra;
    uint64_t start = sgp_transport_now(mixer->transport), now = start;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(mixer->transport);
    sgp_status_t status = SGP_OK;
    while (pairs->phase != IDLE && pairs->left < 0 && sgp_progress_holds(mixer->progress) &&
           now < deadline && status == SGP_OK) {
        status = sgp_transport_pause(mixer->transport, deadline);
        now = sgp_transport_now(mixer->transport);
    }
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    bool late = pairs->phase != IDLE;
    int left = pairs->left;
    sgp_transport_unlock(mixer->transport);
    mixer->paused += now - start;
    if (now > start) sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    if (status == SGP_OK && late && left >= 0) return fail_left(mixer, left, "answer");
    sgp_rank_name_t name;
    int partner = sgp_pairs_partner(mixer->size, mixer->rank, pairs->exchanges);
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the answer of %s",
                        sgp_transport_name(mixer->transport, partner, &name));
    return status;
}

static sgp_status_t update_live(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (local->optimizer) sgp_optimizer_begin(local->optimizer);
    for (size_t offset = 0, count; offset < mixer->length; offset += count) {
        uint64_t mark = sgp_mixer_mark(mixer);
        count = sgp_mixer_chunk_at(mixer, offset);
        sgp_transport_lock(mixer->transport);
        bool finite = update_chunk(mixer, local, offset, count);
        sgp_transport_unlock(mixer->transport);
        sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
        if (!finite) return sgp_mixer_refuse(mixer, "parameters", offset, count);
    }
    return SGP_OK;
}

/* z is the vector, with the caller's own changes. */
static void make_z_seen(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    memcpy(pairs->live, mixer->z, mixer->length * sizeof *pairs->live);
    memcpy(pairs->seen, mixer->z, mixer->length * sizeof *pairs->seen);
    pairs->held = false;
}

/* The progress thread does not work yet. */
static sgp_status_t end_hold(sgp_mixer_t *mixer, const sgp_local_t *local) {
    sgp_status_t status = sgp_local_update_all(mixer, local);
    if (status != SGP_OK) return status;
    sgp_ledger_close(&mixer->ledger, mixer->z);
    make_z_seen(mixer);
    sgp_progress_give(mixer->progress);
    return SGP_OK;
}

static sgp_status_t pairs_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    pairs_t *pairs = mixer->extra;
    sgp_status_t status = wait_for_exchange(mixer, deadline);
    if (status == SGP_OK) status = (local->held ? end_hold : update_live)(mixer, local);
    if (status != SGP_OK) return status;
    if (!pairs->active || !mixer->exchanges) return SGP_OK;
    uint64_t mark = sgp_mixer_mark(mixer);
    sgp_transport_lock(mixer->transport);
    pairs->phase = WANTED;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
    sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark); /* waking the progress thread takes its time */
    return SGP_OK;
}

/* ---- settling ---- */

static sgp_status_t tell_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    pairs_t *pairs = mixer->extra;
    int count = 0;
    for (int dst = 1; dst < mixer->size; dst += 2)
        mixer->to[count++] = (sgp_destination_t){.dst = dst, .weight = 1};
    sgp_header_t header = {.kind = SGP_KIND_REST,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = mixer->channel,
                           .step = pairs->settles,
                           .count = 1};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, &send);
    if (status != SGP_OK) return status;
    memset(sgp_inbox_send_next(mixer->inbox, &send), 0, 1);
    sgp_inbox_send_commit(mixer->inbox, &send);
    return SGP_OK;
}

/* A passive node answers until all active ones rest. */
static sgp_status_t wait_for_rest(sgp_mixer_t *mixer, uint64_t deadline) {
    pairs_t *pairs = mixer->extra;
    int actives = sgp_pairs_actives(mixer->size);
    sgp_transport_lock(mixer->transport);
    sgp_status_t status = SGP_OK;
    while (pairs->resting < actives && pairs->left < 0 && sgp_progress_holds(mixer->progress) &&
           status == SGP_OK && sgp_transport_now(mixer->transport) < deadline)
        status = sgp_transport_pause(mixer->transport, deadline);
    bool late = pairs->resting < actives;
    int left = pairs->left;
    if (status == SGP_OK) status = sgp_progress_status(mixer->progress);
    sgp_transport_unlock(mixer->transport);
    if (status == SGP_OK && late && left >= 0) return fail_left(mixer, left, "last messages");
    if (status == SGP_OK && late)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the slower nodes");
    return status;
}

static void end_rest(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    for (int src = 0; src < mixer->size && !pairs->active; src += 2) {
        sgp_inbox_release(mixer->inbox,
                          sgp_push_find(mixer, SGP_KIND_REST, src, pairs->settles, 0));
        pairs->askers[src].rests = false;
    }
    pairs->resting = 0;
    pairs->settles++;
}

/* The progress thread does not work now. */
static void make_z_live(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    pairs->held = true;
    sgp_ledger_close_range(&mixer->ledger, pairs->live, 0, mixer->length);
    add_callers_changes(mixer, 0, mixer->length);
    sgp_ledger_enter(&mixer->ledger, pairs->live, 0, mixer->length, 1);
    publish(mixer, 0, mixer->length);
    sgp_ledger_close(&mixer->ledger, mixer->z);
}

static sgp_status_t pairs_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    pairs_t *pairs = mixer->extra;
    sgp_status_t status =
        pairs->active ? wait_for_exchange(mixer, deadline) : wait_for_rest(mixer, deadline);
    if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    if (status == SGP_OK && pairs->active) status = tell_rest(mixer, deadline);
    if (status != SGP_OK) return status;
    end_rest(mixer);
    make_z_live(mixer);
    return SGP_OK;
}

static sgp_status_t pairs_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_status_t status = wait_for_exchange(mixer, deadline);
    if (status == SGP_OK) status = sgp_progress_take(mixer->progress, deadline);
    if (status == SGP_OK) make_z_live(mixer);
    return status;
}

static sgp_status_t pairs_resume(sgp_mixer_t *mixer) {
    make_z_seen(mixer);
    sgp_progress_give(mixer->progress);
    return SGP_OK;
}

static void pairs_destroy(sgp_mixer_t *mixer) {
    pairs_t *pairs = mixer->extra;
    if (!pairs) return;
    sgp_memory_free(pairs->live);
    sgp_memory_free(pairs->seen);
    free(pairs->askers);
    free(pairs->asked);
    free(pairs);
}

static sgp_status_t pairs_create(sgp_mixer_t *mixer) {
    pairs_t *pairs = calloc(1, sizeof *pairs);
    mixer->extra = pairs;
    if (!pairs) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    size_t bytes = mixer->length * sizeof(float);
    pairs->active = sgp_pairs_active(mixer->rank);
    pairs->left = -1;
    pairs->live = sgp_memory_alloc(bytes);
    pairs->seen = sgp_memory_alloc(bytes);
    pairs->askers = calloc((size_t)mixer->size, sizeof *pairs->askers);
    pairs->asked = calloc((size_t)mixer->size, sizeof *pairs->asked);
    if (!pairs->live || !pairs->seen || !pairs->askers || !pairs->asked)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    pairs->held = true;
    return SGP_OK;
}

const sgp_algorithm_ops_t sgp_algorithm_pairs = {
    .create = pairs_create,
    .destroy = pairs_destroy,
    .work = pairs_work,
    .serve = pairs_serve,
    .messages = pairs_messages,
    .notices = pairs_notices,
    .step = pairs_step,
    .settle = pairs_settle,
    .hold = pairs_hold,
    .resume = pairs_resume,
};
