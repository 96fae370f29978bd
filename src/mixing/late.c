/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/late.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/holes.h"
#include "mixing/kernels.h"
#include "mixing/outer.h"
#include "mixing/round_graph.h"

#include <stdlib.h>
#include <string.h>

/* An interrupted message. */
typedef struct rest {
    int src;
    uint64_t round;
    size_t offset;       /* of the first chunk that was not absorbed */
    double lent;         /* its weight, which counts already; 0: it does not */
    float *kept;         /* (length) z of the missing chunks, then; NULL: nothing is lent */
    float *decoded;      /* (a chunk) */
    unsigned char *here; /* (chunks) 0: the chunk is missing */
} rest_t;

struct sgp_late {
    float *pending;   /* (length) what was folded; NULL: nothing so far */
    double pending_w; /* its weight; 0: none */
    rest_t *rests;    /* (rest_count) */
    size_t rest_count, rest_room;
    uint64_t interruptions; /* so far */
    uint32_t changes;       /* of fates, up to which torn messages have been dropped */
    sgp_status_t status;    /* of a fold, for the next absorb */
};

sgp_status_t sgp_late_init(sgp_mixer_t *mixer) {
    mixer->late = calloc(1, sizeof *mixer->late);
    if (mixer->late) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for late messages");
}

static void free_rest(const rest_t *rest) {
    sgp_memory_free(rest->kept);
    sgp_memory_free(rest->decoded);
    free(rest->here);
}

static void forget(sgp_late_t *late, rest_t *rest) {
    free_rest(rest);
    *rest = late->rests[--late->rest_count];
}

void sgp_late_fini(sgp_mixer_t *mixer) {
    if (!mixer->late) return;
    sgp_memory_free(mixer->late->pending);
    while (mixer->late->rest_count > 0) forget(mixer->late, mixer->late->rests);
    free(mixer->late->rests);
    free(mixer->late);
    mixer->late = NULL;
}

/* ---- interrupted messages ---- */

static sgp_status_t add(sgp_mixer_t *mixer, const rest_t *rest) {
    sgp_late_t *late = mixer->late;
    if (late->rest_count == late->rest_room) {
        size_t room = 2 * late->rest_room + 8;
        rest_t *grown = realloc(late->rests, room * sizeof *grown);
        if (!grown)
            return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu messages of silent nodes",
                            room);
        late->rests = grown;
        late->rest_room = room;
    }
    late->rests[late->rest_count++] = *rest;
    late->interruptions++;
    mixer->holes.events++; /* until the rest comes, x is not what the ledger says */
    return SGP_OK;
}

sgp_status_t sgp_late_interrupted(sgp_mixer_t *mixer, int src, uint64_t round, size_t offset) {
    return add(mixer, &(rest_t){.src = src, .round = round, .offset = offset});
}

static size_t chunks_of(const sgp_mixer_t *mixer) {
    return (mixer->length - 1) / sgp_mixer_chunk(mixer) + 1;
}

sgp_status_t sgp_late_lent(sgp_mixer_t *mixer, int src, uint64_t round, double weight) {
    rest_t rest = {.src = src, .round = round, .lent = weight};
    rest.kept = sgp_memory_alloc(mixer->length * sizeof *rest.kept);
    rest.decoded = sgp_memory_alloc(sgp_mixer_chunk(mixer) * sizeof *rest.decoded);
    rest.here = malloc(chunks_of(mixer));
    sgp_status_t status = rest.kept && rest.decoded && rest.here
                              ? add(mixer, &rest)
                              : sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a message of a "
                                                            "silent node");
    if (status == SGP_OK) {
        memset(rest.here, 1, chunks_of(mixer));
        return SGP_OK;
    }
    free_rest(&rest);
    return status;
}

static rest_t *find_rest(sgp_late_t *late, int src, uint64_t round) {
    for (size_t i = 0; i < late->rest_count; i++)
        if (late->rests[i].src == src && late->rests[i].round == round) return &late->rests[i];
    return NULL;
}

bool sgp_late_keep(sgp_mixer_t *mixer, int src, uint64_t round, size_t offset, size_t count) {
    rest_t *rest = mixer->late ? find_rest(mixer->late, src, round) : NULL;
    if (!rest || !rest->kept) return false;
    memcpy(rest->kept + offset, mixer->z + offset, count * sizeof *rest->kept);
    rest->here[offset / sgp_mixer_chunk(mixer)] = 0;
    return true;
}

/* Whether all chunks from offset on are here. */
static bool is_whole(const sgp_mixer_t *mixer, int src, uint64_t round, size_t offset) {
    while (offset < mixer->length) {
        const sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_PUSH, src, round, offset);
        if (!chunk || !chunk->header.elements) return false;
        offset += chunk->header.elements;
    }
    return true;
}

/* The same for the chunks that are missing of a message whose weight is lent. */
static bool is_rest_whole(const sgp_mixer_t *mixer, const rest_t *rest) {
    size_t chunk = sgp_mixer_chunk(mixer);
    if (!rest->kept) return is_whole(mixer, rest->src, rest->round, rest->offset);
    for (size_t c = 0; c < chunks_of(mixer); c++)
        if (!rest->here[c] &&
            !sgp_push_find(mixer, SGP_KIND_PUSH, rest->src, rest->round, c * chunk))
            return false;
    return true;
}

static void received(sgp_mixer_t *mixer, int src, uint64_t round) {
    sgp_mixer_note(mixer, SGP_FLIGHT_LATE, src, round);
    sgp_push_received(mixer, 1, 1);
    sgp_holes_received(mixer, src);
}

/* The other chunks have been absorbed. */
static sgp_status_t absorb_rest(sgp_mixer_t *mixer, const rest_t *rest) {
    double weight = 0;
    for (size_t offset = rest->offset; offset < mixer->length;) {
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_PUSH, rest->src, rest->round, offset);
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        sgp_push_absorb(mixer, chunk, mixer->w);
        weight = chunk->header.weight;
        offset += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    if (!mixer->options.biased) mixer->w += weight;
    received(mixer, rest->src, rest->round);
    return SGP_OK;
}

/* x <- x + v (y - kept) on a chunk: nothing at all where both are equal. Where the weight is ignored (biased) nothing was lent,
 * and x <- x + v y. */
static void exchange_kept(sgp_mixer_t *mixer, const rest_t *rest, const sgp_chunk_t *chunk) {
    size_t offset = chunk->header.offset, count = chunk->header.elements;
    float *z = mixer->z + offset, a = (float)(rest->lent / mixer->w), *decoded = rest->decoded;
    const float *y = chunk->payload, *kept = rest->kept + offset;
    if (mixer->options.biased) {
        sgp_push_absorb(mixer, chunk, mixer->w);
        return;
    }
    if (sgp_encoding_is_lossy(chunk->header.encoding)) {
        sgp_decode(chunk->header.encoding, count, decoded, chunk->payload);
        y = decoded;
    }
    for (size_t i = 0; i < count; i++) z[i] += a * (y[i] - kept[i]);
}

static sgp_status_t check_size(const sgp_mixer_t *mixer, const sgp_header_t *header) {
    sgp_status_t status = sgp_push_check(mixer, header);
    sgp_rank_name_t name;
    if (status != SGP_OK) return status;
    if (header->elements == sgp_mixer_chunk_at(mixer, header->offset)) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH, "%s cuts its messages into chunks of another size",
                    sgp_transport_name(mixer->transport, header->src, &name));
}

static sgp_status_t take_lent(sgp_mixer_t *mixer, const rest_t *rest) {
    size_t chunk_size = sgp_mixer_chunk(mixer);
    for (size_t c = 0; c < chunks_of(mixer); c++) {
        if (rest->here[c]) continue;
        sgp_chunk_t *chunk =
            sgp_push_find(mixer, SGP_KIND_PUSH, rest->src, rest->round, c * chunk_size);
        sgp_status_t status = check_size(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        exchange_kept(mixer, rest, chunk);
        sgp_inbox_release(mixer->inbox, chunk);
    }
    received(mixer, rest->src, rest->round);
    return SGP_OK;
}

/* The rest never comes. */
static void tear(sgp_mixer_t *mixer, const rest_t *rest) {
    size_t chunk = sgp_mixer_chunk(mixer);
    mixer->statistics.torn++;
    sgp_mixer_note(mixer, SGP_FLIGHT_TORN, rest->src, rest->round);
    if (!rest->kept || mixer->options.biased) return;
    mixer->statistics.weight_created += rest->lent;
    for (size_t c = 0; c < chunks_of(mixer); c++)
        if (!rest->here[c])
            sgp_ledger_create(&mixer->ledger, rest->kept, c * chunk,
                              sgp_mixer_chunk_at(mixer, c * chunk), rest->lent);
}

static sgp_status_t end(sgp_mixer_t *mixer, const rest_t *rest, bool whole) {
    if (whole) return rest->kept ? take_lent(mixer, rest) : absorb_rest(mixer, rest);
    sgp_holes_tear(mixer, rest->src, rest->round);
    tear(mixer, rest);
    return SGP_OK;
}

/* Of a sender that is gone nothing more comes. */
static sgp_status_t absorb_rests(sgp_mixer_t *mixer) {
    sgp_late_t *late = mixer->late;
    for (size_t i = late->rest_count; i-- > 0;) {
        rest_t *rest = &late->rests[i];
        bool ended = sgp_holes_ended(mixer, rest->src);
        if (ended) sgp_inbox_collect(mixer->inbox); /* what came before the end */
        bool whole = is_rest_whole(mixer, rest);
        if (!whole && !ended) continue;
        sgp_status_t status = end(mixer, rest, whole);
        forget(late, rest);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

static void release_of(sgp_mixer_t *mixer, int rank, uint32_t but) {
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_PUSH};
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        sgp_header_t header = at->header;
        sgp_inbox_key_t key = from;
        key.step = header.step;
        for (sgp_chunk_t *next, *each = sgp_inbox_next(mixer->inbox, &key, NULL); each;
             each = next) {
            next = sgp_inbox_next(mixer->inbox, &key, each);
            if (each->header.src == rank && each->header.incarnation != but)
                sgp_inbox_release(mixer->inbox, each);
        }
        from.step = header.step + 1;
    }
}

void sgp_late_opened(sgp_mixer_t *mixer, int rank) {
    sgp_late_t *late = mixer->late;
    for (size_t i = late->rest_count; i-- > 0;) {
        if (late->rests[i].src != rank) continue;
        tear(mixer, &late->rests[i]);
        forget(late, &late->rests[i]);
    }
    release_of(mixer, rank, sgp_fates_incarnation(mixer->transport->fates, rank));
}

/* ---- folding ---- */

void sgp_late_before(sgp_mixer_t *mixer, uint64_t round) {
    sgp_inbox_owner_t *arrivals = &mixer->arrivals;
    if (!mixer->late) return;
    if (round < mixer->entry) round = mixer->entry;
    arrivals->late = round;
    if (mixer->holes.stirred && arrivals->lowest < round) arrivals->due = true;
}

static void fold_chunk(sgp_late_t *late, const sgp_chunk_t *chunk) {
    const sgp_header_t *header = &chunk->header;
    float *place = late->pending + header->offset;
    if (late->pending_w > 0) sgp_push_absorb_into(place, chunk, late->pending_w);
    else if (sgp_encoding_is_lossy(header->encoding))
        sgp_decode(header->encoding, header->elements, place, chunk->payload);
    else memcpy(place, chunk->payload, header->elements * sizeof *place);
}

static void fold(sgp_mixer_t *mixer, int src, uint64_t round) {
    sgp_late_t *late = mixer->late;
    double weight = 0;
    for (size_t offset = 0; offset < mixer->length;) {
        sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_KIND_PUSH, src, round, offset);
        fold_chunk(late, chunk);
        weight = chunk->header.weight;
        offset += chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    late->pending_w += weight;
    received(mixer, src, round);
}

/* Logs nothing: it is tried again. */
static bool has_memory(const sgp_mixer_t *mixer) {
    sgp_late_t *late = mixer->late;
    if (!late->pending) late->pending = sgp_memory_alloc(mixer->length * sizeof *late->pending);
    return late->pending != NULL;
}

/* The message of which this is the first chunk here. */
static void look_at(sgp_mixer_t *mixer, const sgp_header_t *first) {
    sgp_late_t *late = mixer->late;
    int src = first->src;
    if (find_rest(late, src, first->step)) return;
    if (mixer->graphs->struck[src]) { /* the weights have been scaled without it */
        sgp_holes_tear(mixer, src, first->step);
        return;
    }
    bool ended = sgp_holes_ended(mixer, src);
    if (ended) sgp_inbox_collect(mixer->inbox); /* what came before the end */
    if (is_whole(mixer, src, first->step, 0)) {
        if (has_memory(mixer)) fold(mixer, src, first->step);
    } else if (ended) sgp_holes_tear(mixer, src, first->step);
}

void sgp_late_fold(sgp_mixer_t *mixer) {
    sgp_inbox_owner_t *arrivals = &mixer->arrivals;
    sgp_late_t *late = mixer->late;
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_PUSH};
    if (!mixer->holes.stirred || late->status != SGP_OK) return;
    if (arrivals->lowest >= arrivals->late) return;
    arrivals->lowest = UINT64_MAX; /* until more is taken in */
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        sgp_header_t first = at->header;
        if (first.step >= arrivals->late) {
            if (first.step < arrivals->lowest) arrivals->lowest = first.step;
            return;
        }
        late->status = sgp_push_check(mixer, &first);
        if (late->status != SGP_OK) return;
        look_at(mixer, &first);
        from.step = first.step;
        from.src = first.src + 1;
    }
}

/* ---- absorbing ---- */

/* A loss makes messages torn, and so due. */
static void look_for_losses(sgp_mixer_t *mixer) {
    uint32_t changes = sgp_fates_changes(mixer->transport->fates);
    if (changes == mixer->late->changes) return;
    mixer->late->changes = changes;
    mixer->arrivals.lowest = 0;
}

double sgp_late_weight(const sgp_mixer_t *mixer) {
    return mixer->late ? mixer->late->pending_w : 0;
}

uint64_t sgp_late_interruptions(const sgp_mixer_t *mixer) {
    return mixer->late ? mixer->late->interruptions : 0;
}

bool sgp_late_is_due(const sgp_mixer_t *mixer) {
    const sgp_late_t *late = mixer->late;
    if (!late || !mixer->holes.stirred) return false;
    return late->pending_w > 0 || late->rest_count > 0 || late->status != SGP_OK ||
           mixer->arrivals.lowest < mixer->arrivals.late ||
           late->changes != sgp_fates_changes(mixer->transport->fates);
}

static void absorb_pending(sgp_mixer_t *mixer) {
    sgp_late_t *late = mixer->late;
    float w = (float)late->pending_w;
    if (mixer->options.biased) sgp_add_scaled(mixer->length, mixer->z, late->pending, w);
    else
        sgp_absorb(mixer->length, mixer->z, late->pending,
                   (float)(late->pending_w / (mixer->w + late->pending_w)));
    if (!mixer->options.biased) mixer->w += late->pending_w;
    late->pending_w = 0;
}

sgp_status_t sgp_late_absorb(sgp_mixer_t *mixer) {
    sgp_late_t *late = mixer->late;
    if (!sgp_late_is_due(mixer)) return SGP_OK;
    sgp_inbox_collect(mixer->inbox);
    look_for_losses(mixer);
    sgp_late_fold(mixer);
    if (late->status != SGP_OK) return late->status;
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_outer_set_aside(mixer);
    if (late->pending_w > 0) absorb_pending(mixer);
    sgp_status_t status = absorb_rests(mixer);
    sgp_outer_take_up(mixer);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return status;
}
