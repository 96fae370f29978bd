/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/inbox.h"

#include "base/logging.h"
#include "codec/codec.h"
#include "transport/inbox_flight.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries are reused, so a step allocates only while more chunks are held than ever before. */
typedef struct entry {
    sgp_chunk_t chunk; /* first: a chunk that was given out is an entry */
    struct entry *next;
    struct entry *after, *before; /* in its queue, in the order of arrival */
} entry_t;

#define BUCKETS 1024
#define QUEUES  64 /* by channel, kind and step; few of these are present at a time */

typedef struct queue {
    entry_t *first, *last;
} queue_t;

#define LOOK_EVERY_NS  100000000u
#define CHANNELS_AHEAD 65536u
#define STEPS_AHEAD                                                                                \
    (UINT64_C(1) << 32)   /* slots have 32 bits, so a sender has fewer chunks under way */
#define MOST_REFUSED 1024 /* in one call: a node that is flooded must get on with its work */

typedef struct service {
    sgp_inbox_service_fn serve; /* NULL: none */
    void *context;
    uint64_t alarm;
} service_t;

/* What a rank has pushed in the newest of its channels. */
typedef struct pushes {
    _Atomic uint64_t steps; /* 1 + the latest; 0: none */
    uint32_t channel;
} pushes_t;

struct sgp_inbox {
    sgp_transport_t *transport;
    entry_t *buckets[BUCKETS];
    queue_t queues[QUEUES];
    entry_t *free;
    bool starved;    /* there was no memory for the next chunk */
    bool flooded;    /* so many were refused that some have not been looked at */
    uint64_t waited; /* nanoseconds */
    uint64_t taken_in;
    uint64_t notices;         /* of them */
    sgp_inbox_watch_fn watch; /* NULL: none */
    void *watcher;
    service_t services[SGP_KIND_LAST + 1]; /* by kind */
    _Atomic uint32_t
        due; /* kinds whose service is, as bits; the mixing sets one while its agent serves */
    uint64_t alarm;             /* the earliest of the services' */
    _Atomic sgp_status_t ended; /* of every wait */
    sgp_heard_t *heard;         /* (ranks) */
    uint64_t views;             /* changes of heard[].view */
    uint32_t events;            /* of the fates */
    sgp_inbox_owner_t *owners;
    uint32_t channels;     /* the highest that is known */
    unsigned char *closed; /* (closed_bytes) a bit for each channel that was dropped */
    size_t closed_bytes;
    pushes_t *pushes; /* (size) by rank */
    uint64_t newest;  /* step that was asked for */
    uint64_t refused; /* chunks */
    sgp_inbox_flight_t flight;
};

sgp_status_t sgp_inbox_create(sgp_transport_t *transport, sgp_inbox_t **inbox) {
    sgp_inbox_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an inbox");
    made->heard = calloc((size_t)transport->capacity, sizeof *made->heard);
    made->pushes = calloc((size_t)transport->capacity, sizeof *made->pushes);
    if (!sgp_inbox_flight_init(&made->flight, transport->capacity) || !made->heard ||
        !made->pushes) {
        sgp_inbox_flight_fini(&made->flight);
        free(made->heard);
        free(made->pushes);
        free(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an inbox of %d ranks",
                        transport->capacity);
    }
    made->transport = transport;
    for (int k = 0; k <= SGP_KIND_LAST; k++) made->services[k].alarm = UINT64_MAX;
    made->alarm = UINT64_MAX;
    *inbox = made;
    return SGP_OK;
}

sgp_transport_t *sgp_inbox_transport(sgp_inbox_t *inbox) {
    return inbox->transport;
}

uint64_t sgp_inbox_taken_in(const sgp_inbox_t *inbox) {
    return inbox->taken_in;
}

uint64_t sgp_inbox_notices(const sgp_inbox_t *inbox) {
    return inbox->notices;
}

void sgp_inbox_set_watch(sgp_inbox_t *inbox, sgp_inbox_watch_fn watch, void *context) {
    inbox->watch = watch;
    inbox->watcher = context;
}

static void set_earliest(sgp_inbox_t *inbox) {
    inbox->alarm = UINT64_MAX;
    for (int k = 0; k <= SGP_KIND_LAST; k++)
        if (inbox->services[k].alarm < inbox->alarm) inbox->alarm = inbox->services[k].alarm;
}

void sgp_inbox_set_service(sgp_inbox_t *inbox, sgp_kind_t kind, sgp_inbox_service_fn service,
                           void *context) {
    inbox->services[kind] = (service_t){service, context, UINT64_MAX};
    inbox->due &= ~(1u << kind);
    if (service) sgp_inbox_call_service(inbox, kind); /* for chunks that are here already */
    set_earliest(inbox);
}

void sgp_inbox_call_service(sgp_inbox_t *inbox, sgp_kind_t kind) {
    inbox->due |= 1u << kind;
}

void sgp_inbox_set_alarm(sgp_inbox_t *inbox, sgp_kind_t kind, uint64_t time) {
    inbox->services[kind].alarm = time;
    set_earliest(inbox);
}

const sgp_heard_t *sgp_inbox_heard(const sgp_inbox_t *inbox, int rank) {
    return &inbox->heard[rank];
}

void sgp_inbox_note_pushed(sgp_inbox_t *inbox, const sgp_destination_t *to, int destinations) {
    for (int i = 0; i < destinations; i++) inbox->heard[to[i].dst].sent = true;
}

void sgp_inbox_end_waits(sgp_inbox_t *inbox, sgp_status_t status) {
    inbox->ended = status;
}

sgp_status_t sgp_inbox_ended(const sgp_inbox_t *inbox) {
    return inbox->ended;
}

uint64_t sgp_inbox_views(const sgp_inbox_t *inbox) {
    return inbox->views;
}

static void look_at_alarms(sgp_inbox_t *inbox) {
    uint64_t now = sgp_transport_now(inbox->transport);
    if (now < inbox->alarm) return;
    for (int k = 0; k <= SGP_KIND_LAST; k++) {
        if (inbox->services[k].alarm > now) continue;
        inbox->services[k].alarm = UINT64_MAX;
        inbox->due |= 1u << k;
    }
    set_earliest(inbox);
}

/* Each once: it may take in further chunks, for which it is due again. */
static void serve(sgp_inbox_t *inbox) {
    uint32_t due = atomic_exchange(&inbox->due, 0);
    for (unsigned k = 0; due >> k; k++) {
        const service_t *service = &inbox->services[k];
        if (due >> k & 1 && service->serve && service->serve(service->context))
            inbox->due |= 1u << k;
    }
}

static void serve_owner(sgp_inbox_owner_t *owner) {
    owner->due = false;
    if (owner->serve(owner->context)) owner->due = true;
}

sgp_status_t sgp_inbox_look(sgp_inbox_t *inbox, bool agent) {
    uint32_t events = sgp_fates_events(inbox->transport->fates);
    if (events != inbox->events) {
        sgp_inbox_call_service(inbox, SGP_KIND_VIEW);
        sgp_inbox_note_fates(&inbox->flight, inbox->transport);
    }
    inbox->events = events;
    if (inbox->alarm != UINT64_MAX) look_at_alarms(inbox);
    if (inbox->due) serve(inbox);
    for (sgp_inbox_owner_t *at = inbox->owners; at; at = at->next)
        if (at->due) serve_owner(at);
    if (sgp_inbox_ended(inbox) != SGP_OK) return sgp_inbox_ended(inbox);
    return inbox->watch ? inbox->watch(inbox->watcher, agent) : SGP_OK;
}

uint64_t sgp_inbox_next_look(const sgp_inbox_t *inbox, uint64_t deadline) {
    if (inbox->alarm < deadline) deadline = inbox->alarm;
    if (!inbox->watch) return deadline;
    uint64_t next = sgp_transport_now(inbox->transport) + LOOK_EVERY_NS;
    return next < deadline ? next : deadline;
}

uint64_t sgp_inbox_waited(const sgp_inbox_t *inbox) {
    return inbox->waited;
}

static size_t bucket_of(const sgp_inbox_key_t *key) {
    uint64_t mix = key->offset * 0x9e3779b97f4a7c15u;
    mix ^= (key->step * 64 + (uint64_t)key->src * 8 + (uint64_t)key->kind) * 0xbf58476d1ce4e5b9u;
    mix ^= key->channel;
    return (size_t)((mix ^ (mix >> 29)) % BUCKETS);
}

static sgp_inbox_key_t key_of(const sgp_header_t *header) {
    return (sgp_inbox_key_t){.channel = header->channel,
                             .kind = header->kind,
                             .src = header->src,
                             .step = header->step,
                             .offset = header->offset};
}

static bool same(const sgp_inbox_key_t *a, const sgp_inbox_key_t *b) {
    return a->offset == b->offset && a->step == b->step && a->src == b->src && a->kind == b->kind &&
           a->channel == b->channel;
}

/* ---- the queues ---- */

static queue_t *queue_of(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    return &inbox->queues[(key->step * 8 + (uint64_t)key->kind + key->channel) % QUEUES];
}

static void enqueue(queue_t *queue, entry_t *entry) {
    entry->after = NULL;
    entry->before = queue->last;
    if (queue->last) queue->last->after = entry;
    else queue->first = entry;
    queue->last = entry;
}

static void dequeue(queue_t *queue, entry_t *entry) {
    if (entry->before) entry->before->after = entry->after;
    else queue->first = entry->after;
    if (entry->after) entry->after->before = entry->before;
    else queue->last = entry->before;
}

sgp_chunk_t *sgp_inbox_next(sgp_inbox_t *inbox, const sgp_inbox_key_t *key, sgp_chunk_t *chunk) {
    entry_t *at = chunk ? ((entry_t *)chunk)->after : queue_of(inbox, key)->first;
    for (; at; at = at->after) {
        const sgp_header_t *header = &at->chunk.header;
        if (header->step == key->step && header->kind == key->kind &&
            header->channel == key->channel)
            return &at->chunk;
    }
    return NULL;
}

static bool comes_before(const sgp_header_t *a, const sgp_header_t *b) {
    if (a->step != b->step) return a->step < b->step;
    return a->src != b->src ? a->src < b->src : a->offset < b->offset;
}

sgp_chunk_t *sgp_inbox_lowest(sgp_inbox_t *inbox, const sgp_inbox_key_t *from, uint64_t end) {
    sgp_header_t begin = {.step = from->step, .src = from->src};
    entry_t *lowest = NULL;
    for (size_t q = 0; q < QUEUES; q++)
        for (entry_t *at = inbox->queues[q].first; at; at = at->after) {
            const sgp_header_t *header = &at->chunk.header;
            if (header->channel != from->channel || header->kind != from->kind) continue;
            if (header->step >= end || comes_before(header, &begin)) continue;
            if (!lowest || comes_before(header, &lowest->chunk.header)) lowest = at;
        }
    return lowest ? &lowest->chunk : NULL;
}

static entry_t *look_up(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    for (entry_t *at = inbox->buckets[bucket_of(key)]; at; at = at->next) {
        sgp_inbox_key_t found = key_of(&at->chunk.header);
        if (same(&found, key)) return at;
    }
    return NULL;
}

/* ---- refused chunks ---- */

void sgp_inbox_open_channel(sgp_inbox_t *inbox, uint32_t channel) {
    if (channel > inbox->channels) inbox->channels = channel;
}

static bool is_closed(const sgp_inbox_t *inbox, uint32_t channel) {
    return channel / 8 < inbox->closed_bytes && (inbox->closed[channel / 8] >> channel % 8 & 1);
}

/* Without memory it stays open, and chunks that still arrive are kept, as far as the transport lets them in. */
static void close_channel(sgp_inbox_t *inbox, uint32_t channel) {
    size_t bytes = channel / 8 + 1;
    if (bytes > inbox->closed_bytes) {
        unsigned char *grown = realloc(inbox->closed, bytes);
        if (!grown) return;
        memset(grown + inbox->closed_bytes, 0, bytes - inbox->closed_bytes);
        inbox->closed = grown;
        inbox->closed_bytes = bytes;
    }
    inbox->closed[channel / 8] |= (unsigned char)(1u << channel % 8);
}

/* The reason to refuse a chunk; NULL: there is none. */
static const char *judge(sgp_inbox_t *inbox, const sgp_chunk_t *chunk, const sgp_inbox_key_t *key) {
    if (is_closed(inbox, key->channel)) return "its mixer is gone";
    if (key->channel > inbox->channels && key->channel - inbox->channels > CHANNELS_AHEAD)
        return "no mixer has this channel";
    if (key->step > inbox->newest && key->step - inbox->newest > STEPS_AHEAD)
        return "its step is far ahead";
    if (look_up(inbox, key)) return "it is here already";
    const sgp_header_t *of = &chunk->header;
    return sgp_encoded_valid(of->encoding, of->elements, chunk->payload) ? NULL : "it is damaged";
}

/* Logs the first, the second, the fourth, ...: a flood of chunks must not become a flood of log lines. A mixer may end
 * here a little before it does elsewhere: chunks of its channel are no warning. */
static void refuse(sgp_inbox_t *inbox, sgp_chunk_t *chunk, const char *reason) {
    const sgp_header_t *header = &chunk->header;
    sgp_rank_name_t name;
    uint64_t count = ++inbox->refused;
    sgp_log_level_t level = is_closed(inbox, header->channel) ? SGP_LOG_DEBUG : SGP_LOG_WARNING;
    if ((count & (count - 1)) == 0)
        sgp_log(level, "refused a chunk from %s, channel %" PRIu32 ", step %" PRIu64 ": %s",
                sgp_transport_name(inbox->transport, header->src, &name), header->channel,
                header->step, reason);
    inbox->transport->counters.refused++;
    inbox->flight.refused++;
    sgp_inbox_note_refused(inbox->transport, header);
    sgp_transport_release(inbox->transport, chunk);
}

/* ---- the owners of channels ---- */

static void tell(sgp_inbox_owner_t *owner, const sgp_header_t *header) {
    if (header->channel != owner->channel) return;
    owner->due |= header->kind == SGP_KIND_WAIT || header->kind == SGP_KIND_PASSED;
    if (header->kind != SGP_KIND_PUSH) return;
    owner->due |= header->step < owner->late;
    if (header->step < owner->lowest) owner->lowest = header->step;
    if (header->step > owner->highest) owner->highest = header->step;
}

void sgp_inbox_attach(sgp_inbox_t *inbox, sgp_inbox_owner_t *owner) {
    owner->lowest = UINT64_MAX;
    owner->highest = 0;
    owner->next = inbox->owners;
    inbox->owners = owner;
    for (size_t q = 0; q < QUEUES; q++)
        for (const entry_t *at = inbox->queues[q].first; at; at = at->after)
            tell(owner, &at->chunk.header);
}

void sgp_inbox_detach(sgp_inbox_t *inbox, sgp_inbox_owner_t *owner) {
    sgp_inbox_owner_t **link = &inbox->owners;
    while (*link && *link != owner) link = &(*link)->next;
    if (*link) *link = owner->next;
}

/* ---- kept chunks ---- */

static void put_free(sgp_inbox_t *inbox, entry_t *entry) {
    entry->next = inbox->free;
    inbox->free = entry;
}

static void note_header(sgp_inbox_t *inbox, const sgp_header_t *header) {
    sgp_heard_t *heard = &inbox->heard[header->src];
    if (header->view != heard->view) {
        heard->view = header->view;
        inbox->views++;
        sgp_inbox_call_service(inbox, SGP_KIND_VIEW);
    }
    if (header->encoding) heard->bytes += sgp_encoding_bytes(header->encoding, header->elements);
    if (header->kind != SGP_KIND_PUSH) return;
    bool later = header->step > heard->push_step || header->channel != heard->push_channel;
    if (heard->pushed && !later) return;
    heard->pushed = true;
    heard->push_channel = header->channel;
    heard->push_step = header->step;
}

static void note_push(pushes_t *pushes, const sgp_inbox_key_t *key) {
    if (key->channel < pushes->channel) return;
    if (key->channel > pushes->channel || pushes->steps <= key->step) pushes->steps = key->step + 1;
    pushes->channel = key->channel;
}

uint64_t sgp_inbox_pushed(const sgp_inbox_t *inbox, int src) {
    return inbox->pushes[src].steps;
}

static void keep(sgp_inbox_t *inbox, const sgp_inbox_key_t *key, entry_t *entry) {
    entry_t **bucket = &inbox->buckets[bucket_of(key)];
    entry->next = *bucket;
    *bucket = entry;
    enqueue(queue_of(inbox, key), entry);
    inbox->taken_in++;
    inbox->notices += key->kind == SGP_KIND_NOTICE;
    if (inbox->services[key->kind].serve) inbox->due |= 1u << key->kind;
    if (key->kind == SGP_KIND_PUSH) note_push(&inbox->pushes[key->src], key);
    note_header(inbox, &entry->chunk.header);
    sgp_inbox_note_arrival(inbox->transport, &entry->chunk.header);
    for (sgp_inbox_owner_t *at = inbox->owners; at; at = at->next) tell(at, &entry->chunk.header);
}

void sgp_inbox_collect(sgp_inbox_t *inbox) {
    inbox->flooded = false;
    for (int refused = 0; refused < MOST_REFUSED;) {
        entry_t *entry = inbox->free;
        if (entry) inbox->free = entry->next;
        else entry = calloc(1, sizeof *entry);
        inbox->starved = !entry;
        if (!entry) return; /* it stays with the transport, and is tried again */
        if (sgp_transport_receive(inbox->transport, &entry->chunk) != SGP_OK) {
            put_free(inbox, entry);
            return;
        }
        sgp_inbox_key_t key = key_of(&entry->chunk.header);
        const char *reason = judge(inbox, &entry->chunk, &key);
        if (!reason) {
            keep(inbox, &key, entry);
            continue;
        }
        refuse(inbox, &entry->chunk, reason);
        put_free(inbox, entry);
        refused++;
    }
    inbox->flooded = true;
}

sgp_chunk_t *sgp_inbox_peek(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    entry_t *entry = look_up(inbox, key);
    return entry ? &entry->chunk : NULL;
}

sgp_chunk_t *sgp_inbox_find(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    if (key->step > inbox->newest) inbox->newest = key->step;
    entry_t *entry = look_up(inbox, key);
    if (entry) return &entry->chunk;
    sgp_inbox_collect(inbox);
    return sgp_inbox_peek(inbox, key);
}

/* Takes *link out of its bucket, gives its chunk back. */
static void release(sgp_inbox_t *inbox, entry_t **link) {
    entry_t *entry = *link;
    sgp_inbox_key_t key = key_of(&entry->chunk.header);
    *link = entry->next;
    dequeue(queue_of(inbox, &key), entry);
    sgp_transport_release(inbox->transport, &entry->chunk);
    put_free(inbox, entry);
}

void sgp_inbox_release(sgp_inbox_t *inbox, sgp_chunk_t *chunk) {
    sgp_inbox_key_t key = key_of(&chunk->header);
    entry_t **link = &inbox->buckets[bucket_of(&key)];
    while (*link != (entry_t *)chunk) link = &(*link)->next;
    release(inbox, link);
}

void sgp_inbox_drop_channel(sgp_inbox_t *inbox, uint32_t channel) {
    sgp_inbox_collect(inbox);
    for (size_t b = 0; b < BUCKETS; b++)
        for (entry_t **link = &inbox->buckets[b]; *link;)
            if ((*link)->chunk.header.channel == channel) release(inbox, link);
            else link = &(*link)->next;
    close_channel(inbox, channel);
}

void sgp_inbox_forget(sgp_inbox_t *inbox, int rank) {
    uint32_t incarnation = sgp_fates_incarnation(inbox->transport->fates, rank);
    inbox->heard[rank] = (sgp_heard_t){.view = 0};
    for (size_t b = 0; b < BUCKETS; b++)
        for (entry_t **link = &inbox->buckets[b]; *link;) {
            const sgp_header_t *header = &(*link)->chunk.header;
            bool outdated = header->src == rank && header->incarnation != incarnation;
            if (header->src == rank && !outdated && header->kind == SGP_KIND_PUSH)
                inbox->heard[rank].pushed = true; /* it was faster than the news of it */
            if (outdated && header->kind >= SGP_KIND_NOTICE) release(inbox, link);
            else link = &(*link)->next;
        }
}

void sgp_inbox_destroy(sgp_inbox_t *inbox) {
    if (!inbox) return;
    for (size_t b = 0; b < BUCKETS; b++)
        while (inbox->buckets[b]) release(inbox, &inbox->buckets[b]);
    for (entry_t *next, *at = inbox->free; at; at = next) next = at->next, free(at);
    free(inbox->closed);
    free(inbox->heard);
    free(inbox->pushes);
    sgp_inbox_flight_fini(&inbox->flight);
    free(inbox);
}

sgp_status_t sgp_inbox_retry(sgp_inbox_t *inbox, uint64_t since) {
    if (inbox->starved) sgp_inbox_collect(inbox);
    if (!inbox->starved || inbox->taken_in != since) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to take in what has arrived");
}

/* The checks before a sleep. true: the sleep is due. */
static bool has_to_sleep(sgp_inbox_t *inbox, uint64_t since, sgp_status_t *status) {
    *status = sgp_inbox_look(inbox, false);
    if (*status == SGP_OK) *status = sgp_inbox_retry(inbox, since);
    if (*status == SGP_OK && inbox->taken_in == since) return true;
    inbox->flight.want.what = SGP_FLIGHT_FOR_OTHER;
    return false;
}

void sgp_inbox_want(sgp_inbox_t *inbox, sgp_flight_what_t what, int peer, uint64_t step) {
    inbox->flight.want = (sgp_flight_want_t){what, peer, step};
}

sgp_status_t sgp_inbox_sleep(sgp_inbox_t *inbox, int rank, uint64_t until, uint64_t deadline,
                             uint64_t *now) {
    sgp_transport_t *transport = inbox->transport;
    sgp_inbox_note_sleep(&inbox->flight, transport, rank, *now);
    sgp_status_t status = sgp_transport_wait(transport, sgp_inbox_next_look(inbox, until));
    *now = sgp_transport_now(transport);
    if (status == SGP_ERR_TIMEOUT && *now < deadline) status = SGP_OK;
    sgp_inbox_note_wake(&inbox->flight, transport, *now, status);
    return status;
}

/* deadline: from then on the end of the sleep is an error. */
static sgp_status_t sleep_until(sgp_inbox_t *inbox, int rank, uint64_t until, uint64_t deadline,
                                const char *what) {
    sgp_transport_t *transport = inbox->transport;
    uint64_t start = sgp_transport_now(transport), end = start;
    sgp_status_t status = sgp_inbox_sleep(inbox, rank, until, deadline, &end);
    inbox->waited += end - start;
    if (status == SGP_ERR_INTERRUPTED) return status;
    if (status == SGP_ERR_PEER_LOST) {
        char doing[160];
        snprintf(doing, sizeof doing, "waiting for %s", what);
        return sgp_transport_fail_lost(transport, doing);
    }
    if (status == SGP_ERR_TIMEOUT) return sgp_fail(status, "gave up waiting for %s", what);
    return SGP_OK;
}

sgp_status_t sgp_inbox_doze(sgp_inbox_t *inbox, uint64_t since, uint64_t until, const char *what) {
    sgp_status_t status;
    return has_to_sleep(inbox, since, &status) ? sleep_until(inbox, -1, until, UINT64_MAX, what)
                                               : status;
}

sgp_status_t sgp_inbox_wait(sgp_inbox_t *inbox, uint64_t since, uint64_t deadline,
                            const char *what) {
    sgp_status_t status;
    return has_to_sleep(inbox, since, &status) ? sleep_until(inbox, -1, deadline, deadline, what)
                                               : status;
}

/* Takes in the rest of a rank that has ended. false: it has brought nothing. */
static bool take_in_rest(sgp_inbox_t *inbox, uint64_t since) {
    sgp_inbox_collect(inbox);
    return inbox->taken_in != since || inbox->starved || inbox->flooded;
}

sgp_status_t sgp_inbox_wait_for(sgp_inbox_t *inbox, int rank, uint64_t since, uint64_t deadline,
                                const char *what) {
    sgp_transport_t *transport = inbox->transport;
    char doing[128];
    sgp_rank_name_t name, here;
    sgp_status_t status;
    if (!has_to_sleep(inbox, since, &status)) return status;
    sgp_transport_name(transport, rank, &name);
    if (!transport->elastic && sgp_transport_has_ended(transport, rank)) {
        if (take_in_rest(inbox, since)) return SGP_OK;
        return sgp_fail(SGP_ERR_PEER_LOST, "%s has left, while %s waits for its %s", name.text,
                        sgp_transport_name(transport, transport->rank, &here), what);
    }
    snprintf(doing, sizeof doing, "the %s from %s", what, name.text);
    return sleep_until(inbox, rank, deadline, deadline, doing);
}
