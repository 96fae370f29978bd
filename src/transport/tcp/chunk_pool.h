/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks on their way out of a rank and into it, which its two contexts hand to each other: the
 * owner makes the transport's calls (tcp.c), the progress thread moves the bytes (tcp_engine.h). A
 * chunk is in one context's hands at a time, or in one of the lists between them, which a lock
 * protects.
 *
 * Nothing is allocated while no more chunks are under way than ever before. */
#ifndef SGP_TRANSPORT_TCP_CHUNK_POOL_H
#define SGP_TRANSPORT_TCP_CHUNK_POOL_H

#include "transport/tcp/scheduler.h"
#include "wire/header.h"

#include <pthread.h>
#include <stdbool.h>

typedef enum sgp_post_state {
    SGP_POST_FREE,
    SGP_POST_NEW,    /* the thread has not collected it */
    SGP_POST_QUEUED, /* it is to be sent, or being sent */
    SGP_POST_SENT,   /* and not released */
    SGP_POST_DONE,   /* released while it is being sent again */
} sgp_post_state_t;

/* An own chunk on its way to one receiver; but for `next` and `state`, the thread's from NEW until
 * it is FREE. */
typedef struct sgp_post {
    struct sgp_post *next;
    uint32_t ticket; /* its place in the table of all posts; the receiver names it by that */
    uint32_t slot;
    uint32_t record; /* the owner's (outstanding.h) */
    int dst;
    sgp_post_state_t state;
    int repeats;
    sgp_turn_t turn; /* of its message */
    const void *payload;
    size_t bytes; /* of the payload */
    sgp_header_t header;
} sgp_post_t;

/* A chunk of another rank, here. */
typedef struct sgp_arrival {
    struct sgp_arrival *next;
    struct sgp_arrival *made_before; /* of all arrivals, wherever they are */
    int src;
    uint32_t ticket;      /* the sender's */
    unsigned char *place; /* (chunk_bytes) 64-byte aligned */
    sgp_header_t header;
} sgp_arrival_t;

/* First in, first out. Zeros are not a list: begin with sgp_post_list_take,
 * sgp_arrival_list_take. */
typedef struct sgp_post_list {
    sgp_post_t *first, **last;
} sgp_post_list_t;

typedef struct sgp_arrival_list {
    sgp_arrival_t *first, **last;
} sgp_arrival_list_t;

void sgp_post_list_add(sgp_post_list_t *list, sgp_post_t *post);

/* As add, but in front of the chunks of the same message that have larger offsets, unless another
 * message has been added since. */
void sgp_post_list_insert(sgp_post_list_t *list, sgp_post_t *post);
sgp_post_t *sgp_post_list_pop(sgp_post_list_t *list); /* NULL: it is empty */

/* Empties the list; returns its first. */
sgp_post_t *sgp_post_list_take(sgp_post_list_t *list);

/* Embedded; private. */
typedef struct sgp_chunk_pool {
    pthread_mutex_t lock; /* of all below */
    size_t chunk_bytes;
    sgp_post_t **posts; /* (posts_room) by ticket */
    uint32_t posts_count, posts_room;
    sgp_post_t *free_posts;
    size_t free_count, reserved; /* of the free ones, as many are promised */
    sgp_post_list_t posted;      /* by the owner, for the thread */

    sgp_arrival_t *free_arrivals; /* each with its place */
    sgp_arrival_t *last_made;
    struct sgp_place_block *blocks; /* of places, the newest first; touched as needed */
    size_t places_left;             /* of the newest block */
    uint64_t *held;                 /* (size) places with chunks of each rank */
    uint64_t allowed;               /* places that each rank may hold */
    bool refused;                   /* a place, since the last collect */
    sgp_arrival_list_t arrived;     /* for the owner */
    sgp_arrival_list_t released;    /* by the owner, for the thread */
} sgp_chunk_pool_t;

/* SGP_ERR_NO_MEMORY (logged). sgp_chunk_pool_fini is due in every case. */
sgp_status_t sgp_chunk_pool_init(sgp_chunk_pool_t *pool, int size, size_t chunk_bytes);

/* Frees all posts and arrivals, wherever they are. */
void sgp_chunk_pool_fini(sgp_chunk_pool_t *pool);

/* ---- for the owner ---- */

/* Promises so many posts; each is then used or cancelled. false: no memory, and nothing is
 * promised. */
bool sgp_chunk_pool_reserve(sgp_chunk_pool_t *pool, size_t posts);
void sgp_chunk_pool_cancel(sgp_chunk_pool_t *pool, size_t posts);

/* Hands a chunk to the thread: header with the weight of dst; payload: borrowed until the thread
 * gives the slot back, with the record. */
void sgp_chunk_pool_post(sgp_chunk_pool_t *pool, int dst, const sgp_header_t *header,
                         const void *payload, uint32_t slot, uint32_t record);

/* Each rank may hold at least so many places. */
void sgp_chunk_pool_allow(sgp_chunk_pool_t *pool, uint64_t chunks);

sgp_arrival_t *sgp_chunk_pool_receive(sgp_chunk_pool_t *pool); /* NULL: none */
void sgp_chunk_pool_release(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival);

/* ---- for the thread ---- */

/* Takes what the owner handed over since the last call. true: a rank was refused a place meanwhile,
 * and may get it now. */
bool sgp_chunk_pool_collect(sgp_chunk_pool_t *pool, sgp_post_t **posts, sgp_arrival_t **released);

/* Takes the post out of the list. false: it is not there. */
bool sgp_post_list_remove(sgp_post_list_t *list, sgp_post_t *post);

/* Sorts posts that are linked by next: by message, and by offset. */
sgp_post_t *sgp_posts_sort(sgp_post_t *first);

/* The post of that ticket, if it was sent to dst and not released; or NULL. */
sgp_post_t *sgp_chunk_pool_find_sent(sgp_chunk_pool_t *pool, int dst, uint32_t ticket);

/* The same if it is to be sent again. */
sgp_post_t *sgp_chunk_pool_find_queued(sgp_chunk_pool_t *pool, int dst, uint32_t ticket);

/* All posts to dst that were collected, linked by next. They are no longer in any other list. */
sgp_post_t *sgp_chunk_pool_posts_to(sgp_chunk_pool_t *pool, int dst);

/* Frees a post. The caller gives its slot back. */
void sgp_chunk_pool_free_post(sgp_chunk_pool_t *pool, sgp_post_t *post);

/* An arrival of src with a place to read to, which counts as held by src until it is given back.
 * NULL: src holds as many as it may, or, with *no_memory, there is none. */
sgp_arrival_t *sgp_chunk_pool_take_place(sgp_chunk_pool_t *pool, int src, bool *no_memory);
void sgp_chunk_pool_give_place(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival);

/* Hands an arrival to the owner. */
void sgp_chunk_pool_deliver(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival);

#endif
