/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks on their way out and in, the lists they stand in, and where they come from. Nothing is allocated
 * while no more is under way than ever before. The caller holds the lock of what is shared. */
#ifndef SGP_TRANSPORT_TCP_CHUNK_POOL_H
#define SGP_TRANSPORT_TCP_CHUNK_POOL_H

#include "transport/tcp/scheduler.h"
#include "wire/header.h"

#include <stdbool.h>

/* The owner makes a free post new, under the lock; from then until it is free again it is the thread's. */
typedef enum sgp_post_state {
    SGP_POST_FREE,
    SGP_POST_NEW,    /* the owner's; the thread has not seen it */
    SGP_POST_QUEUED, /* it is to be sent, or being sent */
    SGP_POST_SENT,   /* and not released */
} sgp_post_state_t;

/* A chunk of ours on its way to one receiver. Its ticket is its place in the table of all posts. */
typedef struct sgp_post {
    struct sgp_post *next;
    uint32_t ticket;
    uint32_t slot; /* of the owner */
    int dst;
    sgp_post_state_t state;
    int repeats;
    sgp_turn_t turn; /* of its message */
    const void *payload;
    size_t bytes; /* of the payload */
    sgp_header_t header;
} sgp_post_t;

/* A chunk of another one, here. */
typedef struct sgp_arrival {
    struct sgp_arrival *next;
    struct sgp_arrival *made_before; /* of all there are, wherever they are now */
    int src;
    uint32_t ticket; /* the sender's */
    unsigned char *place;
    sgp_header_t header;
} sgp_arrival_t;

/* In order of arrival. */
typedef struct sgp_post_list {
    sgp_post_t *first, **last;
} sgp_post_list_t;

typedef struct sgp_arrival_list {
    sgp_arrival_t *first, **last;
} sgp_arrival_list_t;

typedef struct sgp_place_block sgp_place_block_t;

typedef struct sgp_links_stock {
    sgp_post_t **posts; /* (posts_room) by ticket */
    uint32_t posts_count, posts_room;
    sgp_post_t *free_posts;
    size_t free_count, reserved;  /* of the free ones, as many are promised */
    sgp_arrival_t *free_arrivals; /* each with its place */
    sgp_arrival_t *last_made;
    sgp_place_block_t *blocks; /* of places, the newest first; touched as needed */
    size_t places_left;        /* of the newest */
    size_t chunk_bytes;
} sgp_links_stock_t;

void sgp_post_list_add(sgp_post_list_t *list, sgp_post_t *post);
void sgp_arrival_list_add(sgp_arrival_list_t *list, sgp_arrival_t *arrival);

/* Empties the list, or makes a zeroed one an empty one; returns its first. */
sgp_post_t *sgp_post_list_take(sgp_post_list_t *list);
sgp_arrival_t *sgp_arrival_list_take(sgp_arrival_list_t *list);

void sgp_stock_init(sgp_links_stock_t *stock, size_t chunk_bytes);

/* Frees all posts and arrivals, wherever they are. Fine on a zeroed stock. */
void sgp_stock_fini(sgp_links_stock_t *stock);

/* Promises `posts` more. false: no memory, and nothing is promised. */
bool sgp_stock_reserve(sgp_links_stock_t *stock, size_t posts);

/* One of those promised; or one less to be taken. */
sgp_post_t *sgp_stock_take_post(sgp_links_stock_t *stock);
void sgp_stock_cancel_post(sgp_links_stock_t *stock);
void sgp_stock_give_post(sgp_links_stock_t *stock, sgp_post_t *post);

/* With a place of chunk_bytes, 64-byte aligned; NULL: no memory. */
sgp_arrival_t *sgp_stock_take_place(sgp_links_stock_t *stock);

#endif
