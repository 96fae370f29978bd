/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/outstanding.h"

#include "base/logging.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RETURNED 1024 /* then those of one channel and destination are merged */

typedef enum record_state {
    RECORD_FREE,
    RECORD_UNDER_WAY,
    RECORD_COMES_BACK, /* once it is whole */
} record_state_t;

typedef struct record {
    record_state_t state;
    bool abandoned;
    int dst;
    uint32_t channel;
    uint32_t next;        /* of the same message, or in the list of free ones */
    uint64_t uncommitted; /* chunks */
    uint64_t unreleased;  /* chunks, these among them */
    uint64_t step, id;
    double weight;
} record_t;

typedef struct sgp_outstanding {
    record_t *records;       /* (room), number r at r - 1 */
    uint32_t room;           /* records that exist */
    uint32_t free;           /* the first free one */
    _Atomic uint32_t in_use; /* sgp_outstanding_count reads it without the transport's lock */
    uint32_t returned;       /* of these, that come back */
    unsigned char gone[];    /* (capacity) */
} outstanding_t;

static record_t *record_of(outstanding_t *books, uint32_t record) {
    return &books->records[record - 1];
}

/* ---- memory ---- */

static void put_free(outstanding_t *books, uint32_t number) {
    record_t *record = record_of(books, number);
    record->state = RECORD_FREE;
    record->next = books->free;
    books->free = number;
}

static void give(outstanding_t *books, record_t *record) {
    put_free(books, (uint32_t)(record - books->records) + 1);
    books->in_use--;
}

/* Fates may have changed before there are books. */
static outstanding_t *open_books(sgp_transport_t *transport) {
    if (transport->outstanding) return transport->outstanding;
    outstanding_t *made = calloc(1, sizeof *made + (size_t)transport->capacity);
    if (!made) return NULL;
    for (int r = 0; r < transport->capacity; r++)
        made->gone[r] = sgp_fates_of(transport->fates, r).state != SGP_FATE_PRESENT;
    return transport->outstanding = made;
}

static bool grow(outstanding_t *books, uint64_t wanted) {
    if (wanted <= books->room) return true;
    if (wanted >= UINT32_MAX) return false;
    record_t *grown = realloc(books->records, wanted * sizeof *grown);
    if (!grown) return false;
    uint32_t old = books->room;
    books->records = grown;
    books->room = (uint32_t)wanted;
    for (uint32_t r = books->room; r > old; r--) put_free(books, r);
    return true;
}

static sgp_status_t reserve(sgp_transport_t *transport, uint64_t wanted) {
    outstanding_t *books = open_books(transport);
    if (books && grow(books, wanted)) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to keep the books of %llu messages",
                    transport->ops->name, (unsigned long long)wanted);
}

sgp_status_t sgp_outstanding_prepare(sgp_transport_t *transport, uint64_t promised) {
    return transport->elastic ? reserve(transport, promised) : SGP_OK;
}

void sgp_outstanding_fini(sgp_transport_t *transport) {
    if (transport->outstanding) free(transport->outstanding->records);
    free(transport->outstanding);
    transport->outstanding = NULL;
}

uint32_t sgp_outstanding_count(const sgp_transport_t *transport) {
    return transport->outstanding ? transport->outstanding->in_use : 0;
}

/* ---- records that come back ---- */

/* Another one of the channel and destination that comes back and is whole. */
static record_t *find_like(outstanding_t *books, const record_t *record) {
    for (record_t *at = books->records; at < books->records + books->room; at++)
        if (at != record && at->state == RECORD_COMES_BACK && !at->uncommitted &&
            at->channel == record->channel && at->dst == record->dst)
            return at;
    return NULL;
}

/* A caller that sends to the gone and takes nothing back must not gather records without end. */
static void merge(outstanding_t *books, record_t *record) {
    record_t *like = books->returned > MOST_RETURNED ? find_like(books, record) : NULL;
    if (!like) return;
    record->weight += like->weight;
    give(books, like);
    books->returned--;
}

static void come_back(outstanding_t *books, record_t *record) {
    if (record->abandoned) {
        give(books, record);
        return;
    }
    record->state = RECORD_COMES_BACK;
    books->returned++;
    if (!record->uncommitted) merge(books, record);
}

void sgp_outstanding_gone(sgp_transport_t *transport, int rank) {
    outstanding_t *books = transport->outstanding;
    if (!books || books->gone[rank]) return;
    books->gone[rank] = true;
    for (uint32_t r = 1; r <= books->room; r++) {
        record_t *record = record_of(books, r);
        if (record->state == RECORD_UNDER_WAY && record->dst == rank) come_back(books, record);
    }
}

void sgp_outstanding_opened(sgp_transport_t *transport, int rank) {
    if (transport->outstanding) transport->outstanding->gone[rank] = false;
}

bool sgp_outstanding_is_unfinished(const sgp_transport_t *transport, int rank) {
    const outstanding_t *books = transport->outstanding;
    for (uint32_t r = 0; books && r < books->room; r++) {
        const record_t *record = &books->records[r];
        if (record->state != RECORD_FREE && record->dst == rank && record->uncommitted) return true;
    }
    return false;
}

bool sgp_outstanding_take_back(sgp_transport_t *transport, uint32_t channel,
                               sgp_returned_t *returned) {
    outstanding_t *books = transport->outstanding;
    if (!books || !books->returned) return false;
    for (uint32_t r = 1; r <= books->room; r++) {
        record_t *record = record_of(books, r);
        if (record->state != RECORD_COMES_BACK || record->uncommitted || record->channel != channel)
            continue;
        *returned = (sgp_returned_t){
            .dst = record->dst, .step = record->step, .id = record->id, .weight = record->weight};
        give(books, record);
        books->returned--;
        return true;
    }
    return false;
}

/* ---- messages under way ---- */

static uint32_t take(outstanding_t *books, const sgp_send_t *send, int destination) {
    uint32_t number = books->free;
    record_t *record = record_of(books, number);
    books->free = record->next;
    books->in_use++;
    *record = (record_t){.state = RECORD_UNDER_WAY,
                         .dst = send->to[destination].dst,
                         .channel = send->header.channel,
                         .uncommitted = send->left,
                         .unreleased = send->left,
                         .step = send->header.step,
                         .id = send->header.id};
    return number;
}

sgp_status_t sgp_outstanding_begin(sgp_transport_t *transport, sgp_send_t *send) {
    send->records = 0;
    if (!transport->elastic || send->header.kind != SGP_KIND_PUSH) return SGP_OK;
    outstanding_t *books = open_books(transport);
    uint64_t wanted = (uint64_t)(books ? books->in_use : 0) + (uint64_t)send->destinations;
    if (!books || wanted > books->room) {
        sgp_status_t status = reserve(transport, 2 * wanted);
        if (status != SGP_OK) return status;
        books = transport->outstanding;
    }
    for (int i = send->destinations - 1; i >= 0; i--) {
        uint32_t number = take(books, send, i);
        record_t *record = record_of(books, number);
        record->next = send->records;
        send->records = number;
        if (books->gone[record->dst]) come_back(books, record);
    }
    return SGP_OK;
}

uint32_t sgp_outstanding_next(const sgp_transport_t *transport, uint32_t record) {
    return record ? record_of(transport->outstanding, record)->next : 0;
}

void sgp_outstanding_committed(sgp_transport_t *transport, const sgp_send_t *send) {
    outstanding_t *books = transport->outstanding;
    uint32_t number = send->records;
    for (int i = 0; number; i++) {
        record_t *record = record_of(books, number);
        number = record->next;
        record->weight = send->to[i].weight;
        if (--record->uncommitted == 0 && record->state == RECORD_COMES_BACK) merge(books, record);
    }
}

void sgp_outstanding_abandoned(sgp_transport_t *transport, const sgp_send_t *send) {
    outstanding_t *books = transport->outstanding;
    if (!send->left) return; /* the last commit was made, and the records may be others' by now */
    for (uint32_t next, number = send->records; number; number = next) {
        record_t *record = record_of(books, number);
        next = record->next;
        record->abandoned = true;
        record->unreleased -= record->uncommitted;
        record->uncommitted = 0;
        if (record->state == RECORD_COMES_BACK) books->returned--;
        if (record->state == RECORD_COMES_BACK || !record->unreleased) give(books, record);
    }
}

void sgp_outstanding_released(sgp_transport_t *transport, uint32_t number, int dst) {
    outstanding_t *books = transport->outstanding;
    if (!number || !books || number > books->room || books->gone[dst]) return;
    record_t *record = record_of(books, number);
    /* The number has been to the receiver and back, where the two share memory. */
    if (record->state != RECORD_UNDER_WAY || record->dst != dst || !record->unreleased) return;
    if (--record->unreleased == 0) give(books, record);
}
