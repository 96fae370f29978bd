/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/inbox.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* Entries are reused, so a step allocates only while more chunks are held than ever before. */
typedef struct entry {
    sgp_chunk_t chunk; /* first: a chunk that was given out is an entry */
    struct entry *next;
} entry_t;

#define BUCKETS 1024

struct sgp_inbox {
    sgp_transport_t *transport;
    entry_t *buckets[BUCKETS];
    entry_t *free;
    bool starved;    /* there was no memory to take in the next chunk */
    uint64_t waited; /* nanoseconds */
    uint64_t taken_in;
};

sgp_status_t sgp_inbox_create(sgp_transport_t *transport, sgp_inbox_t **inbox) {
    sgp_inbox_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an inbox");
    made->transport = transport;
    *inbox = made;
    return SGP_OK;
}

sgp_transport_t *sgp_inbox_transport(sgp_inbox_t *inbox) {
    return inbox->transport;
}

uint64_t sgp_inbox_taken_in(const sgp_inbox_t *inbox) {
    return inbox->taken_in;
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

void sgp_inbox_collect(sgp_inbox_t *inbox) {
    for (;;) {
        entry_t *entry = inbox->free;
        if (entry) inbox->free = entry->next;
        else entry = calloc(1, sizeof *entry);
        inbox->starved = !entry;
        if (!entry) return; /* it stays with the transport, and is tried again */
        if (sgp_transport_receive(inbox->transport, &entry->chunk) != SGP_OK) {
            entry->next = inbox->free;
            inbox->free = entry;
            return;
        }
        sgp_inbox_key_t key = key_of(&entry->chunk.header);
        entry_t **bucket = &inbox->buckets[bucket_of(&key)];
        entry->next = *bucket;
        *bucket = entry;
        inbox->taken_in++;
    }
}

static entry_t *look_up(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    for (entry_t *at = inbox->buckets[bucket_of(key)]; at; at = at->next) {
        sgp_inbox_key_t found = key_of(&at->chunk.header);
        if (same(&found, key)) return at;
    }
    return NULL;
}

sgp_chunk_t *sgp_inbox_find(sgp_inbox_t *inbox, const sgp_inbox_key_t *key) {
    entry_t *entry = look_up(inbox, key);
    if (!entry) {
        sgp_inbox_collect(inbox);
        entry = look_up(inbox, key);
    }
    return entry ? &entry->chunk : NULL;
}

/* Takes *link out of its bucket, gives its chunk back. */
static void release(sgp_inbox_t *inbox, entry_t **link) {
    entry_t *entry = *link;
    *link = entry->next;
    sgp_transport_release(inbox->transport, &entry->chunk);
    entry->next = inbox->free;
    inbox->free = entry;
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
}

void sgp_inbox_destroy(sgp_inbox_t *inbox) {
    if (!inbox) return;
    for (size_t b = 0; b < BUCKETS; b++)
        while (inbox->buckets[b]) release(inbox, &inbox->buckets[b]);
    for (entry_t *next, *at = inbox->free; at; at = next) next = at->next, free(at);
    free(inbox);
}

sgp_status_t sgp_inbox_retry(sgp_inbox_t *inbox, uint64_t since) {
    if (inbox->starved) sgp_inbox_collect(inbox);
    if (!inbox->starved || inbox->taken_in != since) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to take in what has arrived");
}

sgp_status_t sgp_inbox_wait(sgp_inbox_t *inbox, uint64_t since, uint64_t deadline,
                            const char *what) {
    sgp_status_t status = sgp_inbox_retry(inbox, since);
    if (status != SGP_OK || inbox->taken_in != since) return status;
    sgp_transport_t *transport = inbox->transport;
    uint64_t start = sgp_transport_now(transport);
    status = sgp_transport_wait(transport, deadline);
    uint64_t end = sgp_transport_now(transport);
    inbox->waited += end - start;
    sgp_rank_name_t name;
    if (status == SGP_ERR_PEER_LOST)
        return sgp_fail(status, "%s ended without leaving, while waiting for %s",
                        sgp_transport_name(transport, sgp_transport_lost_peer(transport), &name),
                        what);
    if (status == SGP_ERR_TIMEOUT && end >= deadline)
        return sgp_fail(status, "gave up waiting for %s", what);
    return SGP_OK;
}

sgp_status_t sgp_inbox_send_begin(sgp_inbox_t *inbox, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, uint64_t deadline,
                                  sgp_send_t *send) {
    sgp_transport_t *transport = inbox->transport;
    sgp_rank_name_t name;
    for (;;) {
        sgp_status_t status = sgp_transport_send_begin(transport, header, to, destinations, send);
        if (status == SGP_ERR_PEER_LOST)
            return sgp_fail(
                status, "%s ended without leaving",
                sgp_transport_name(transport, sgp_transport_lost_peer(transport), &name));
        if (status != SGP_ERR_AGAIN) return status;
        sgp_inbox_collect(inbox);
        status = sgp_inbox_wait(inbox, inbox->taken_in, deadline, "room to send");
        if (status != SGP_OK) return status;
    }
}
