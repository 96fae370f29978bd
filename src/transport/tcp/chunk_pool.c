/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/chunk_pool.h"

#include "base/logging.h"
#include "base/memory.h"

#include <stddef.h>
#include <stdlib.h>

#define BLOCK_PLACES  ((size_t)256) /* allocated at a time */
#define LEAST_ALLOWED 64            /* places of a rank, whatever was promised */

typedef struct sgp_place_block {
    struct sgp_place_block *next;
    unsigned char *places; /* (BLOCK_PLACES, chunk_bytes) */
} place_block_t;

/* ---- lists ---- */

void sgp_post_list_add(sgp_post_list_t *list, sgp_post_t *post) {
    post->next = NULL;
    *list->last = post;
    list->last = &post->next;
}

static bool belongs_before(const sgp_post_t *post, const sgp_post_t *other) {
    return other->header.id == post->header.id && other->header.offset > post->header.offset;
}

/* Chunks mostly come in order, and a list may hold thousands: the last one is looked at first. */
void sgp_post_list_insert(sgp_post_list_t *list, sgp_post_t *post) {
    const char *last_next = (const char *)list->last;
    const sgp_post_t *last = (const void *)(last_next - offsetof(sgp_post_t, next));
    if (!list->first || !belongs_before(post, last)) {
        sgp_post_list_add(list, post);
        return;
    }
    sgp_post_t **at = &list->first;
    while (!belongs_before(post, *at)) at = &(*at)->next;
    post->next = *at;
    *at = post;
}

sgp_post_t *sgp_post_list_pop(sgp_post_list_t *list) {
    sgp_post_t *first = list->first;
    if (first) list->first = first->next;
    if (!list->first) list->last = &list->first;
    return first;
}

bool sgp_post_list_remove(sgp_post_list_t *list, sgp_post_t *post) {
    for (sgp_post_t **at = &list->first; *at; at = &(*at)->next) {
        if (*at != post) continue;
        *at = post->next;
        if (list->last == &post->next) list->last = at;
        return true;
    }
    return false;
}

static bool comes_before(const sgp_post_t *a, const sgp_post_t *b) {
    if (a->header.id != b->header.id) return a->header.id < b->header.id;
    return a->header.offset < b->header.offset;
}

static sgp_post_t *merge(sgp_post_t *a, sgp_post_t *b) {
    sgp_post_t *first = NULL, **at = &first;
    while (a && b) {
        sgp_post_t **from = comes_before(b, a) ? &b : &a;
        *at = *from;
        *from = (*from)->next;
        at = &(*at)->next;
    }
    *at = a ? a : b;
    return first;
}

/* By merging; the depth is the logarithm of the length. */
sgp_post_t *sgp_posts_sort(sgp_post_t *first) {
    if (!first || !first->next) return first;
    sgp_post_t *middle = first;
    for (const sgp_post_t *end = first->next; end && end->next; end = end->next->next)
        middle = middle->next;
    sgp_post_t *second = middle->next;
    middle->next = NULL;
    return merge(sgp_posts_sort(first), sgp_posts_sort(second));
}

sgp_post_t *sgp_post_list_take(sgp_post_list_t *list) {
    sgp_post_t *first = list->first;
    *list = (sgp_post_list_t){.first = NULL, .last = &list->first};
    return first;
}

static void add_arrival(sgp_arrival_list_t *list, sgp_arrival_t *arrival) {
    arrival->next = NULL;
    *list->last = arrival;
    list->last = &arrival->next;
}

static sgp_arrival_t *take_arrivals(sgp_arrival_list_t *list) {
    sgp_arrival_t *first = list->first;
    *list = (sgp_arrival_list_t){.first = NULL, .last = &list->first};
    return first;
}

/* ---- posts ---- */

/* Lock held, here and below. The table grows while more is under way than ever before, and not in
 * later steps. */
static sgp_post_t *make_post(sgp_chunk_pool_t *pool) {
    if (pool->posts_count == pool->posts_room) {
        uint32_t room = pool->posts_room ? 2 * pool->posts_room : 256;
        sgp_post_t **grown = realloc(pool->posts, room * sizeof(sgp_post_t *));
        if (!grown) return NULL;
        pool->posts = grown;
        pool->posts_room = room;
    }
    sgp_post_t *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->ticket = pool->posts_count;
    pool->posts[pool->posts_count++] = made;
    return made;
}

static void put_free(sgp_chunk_pool_t *pool, sgp_post_t *post) {
    post->state = SGP_POST_FREE;
    post->next = pool->free_posts;
    pool->free_posts = post;
    pool->free_count++;
}

static sgp_post_t *take_reserved(sgp_chunk_pool_t *pool) {
    sgp_post_t *post = pool->free_posts;
    pool->free_posts = post->next;
    pool->free_count--;
    pool->reserved--;
    return post;
}

bool sgp_chunk_pool_reserve(sgp_chunk_pool_t *pool, size_t posts) {
    sgp_post_t *made = NULL;
    pthread_mutex_lock(&pool->lock);
    while (pool->free_count < pool->reserved + posts && (made = make_post(pool)))
        put_free(pool, made);
    bool enough = pool->free_count >= pool->reserved + posts;
    if (enough) pool->reserved += posts;
    pthread_mutex_unlock(&pool->lock);
    return enough;
}

void sgp_chunk_pool_cancel(sgp_chunk_pool_t *pool, size_t posts) {
    pthread_mutex_lock(&pool->lock);
    pool->reserved -= posts;
    pthread_mutex_unlock(&pool->lock);
}

void sgp_chunk_pool_post(sgp_chunk_pool_t *pool, int dst, const sgp_header_t *header,
                         const void *payload, uint32_t slot, uint32_t record) {
    pthread_mutex_lock(&pool->lock);
    sgp_post_t *post = take_reserved(pool);
    post->slot = slot;
    post->record = record;
    post->dst = dst;
    post->state = SGP_POST_NEW;
    post->repeats = 0;
    post->payload = payload;
    post->bytes = sgp_encoding_bytes(header->encoding, header->elements);
    post->header = *header;
    sgp_post_list_add(&pool->posted, post);
    pthread_mutex_unlock(&pool->lock);
}

static sgp_post_t *find(sgp_chunk_pool_t *pool, int dst, uint32_t ticket, sgp_post_state_t state) {
    pthread_mutex_lock(&pool->lock);
    sgp_post_t *post = ticket < pool->posts_count ? pool->posts[ticket] : NULL;
    if (post && (post->state != state || post->dst != dst)) post = NULL;
    pthread_mutex_unlock(&pool->lock);
    return post;
}

sgp_post_t *sgp_chunk_pool_find_sent(sgp_chunk_pool_t *pool, int dst, uint32_t ticket) {
    return find(pool, dst, ticket, SGP_POST_SENT);
}

sgp_post_t *sgp_chunk_pool_find_queued(sgp_chunk_pool_t *pool, int dst, uint32_t ticket) {
    return find(pool, dst, ticket, SGP_POST_QUEUED);
}

sgp_post_t *sgp_chunk_pool_posts_to(sgp_chunk_pool_t *pool, int dst) {
    sgp_post_t *first = NULL;
    pthread_mutex_lock(&pool->lock);
    for (uint32_t ticket = 0; ticket < pool->posts_count; ticket++) {
        sgp_post_t *post = pool->posts[ticket];
        bool collected = post->state != SGP_POST_FREE && post->state != SGP_POST_NEW;
        if (post->dst != dst || !collected) continue;
        post->next = first;
        first = post;
    }
    pthread_mutex_unlock(&pool->lock);
    return first;
}

void sgp_chunk_pool_free_post(sgp_chunk_pool_t *pool, sgp_post_t *post) {
    pthread_mutex_lock(&pool->lock);
    put_free(pool, post);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- arrivals ---- */

static bool add_block(sgp_chunk_pool_t *pool) {
    place_block_t *block = calloc(1, sizeof *block);
    if (!block) return false;
    block->places = sgp_memory_alloc(BLOCK_PLACES * pool->chunk_bytes);
    if (!block->places) return free(block), false;
    block->next = pool->blocks;
    pool->blocks = block;
    pool->places_left = BLOCK_PLACES;
    return true;
}

/* The place given back last is still in the cache. NULL: no memory. */
static sgp_arrival_t *take_free(sgp_chunk_pool_t *pool) {
    sgp_arrival_t *arrival = pool->free_arrivals;
    if (arrival) {
        pool->free_arrivals = arrival->next;
        return arrival;
    }
    if (!pool->places_left && !add_block(pool)) return NULL;
    arrival = calloc(1, sizeof *arrival);
    if (!arrival) return NULL;
    arrival->place =
        pool->blocks->places + (BLOCK_PLACES - pool->places_left--) * pool->chunk_bytes;
    arrival->made_before = pool->last_made;
    return pool->last_made = arrival;
}

sgp_arrival_t *sgp_chunk_pool_take_place(sgp_chunk_pool_t *pool, int src, bool *no_memory) {
    pthread_mutex_lock(&pool->lock);
    bool allowed = pool->held[src] < pool->allowed;
    sgp_arrival_t *arrival = allowed ? take_free(pool) : NULL;
    if (arrival) {
        arrival->src = src;
        pool->held[src]++;
    } else {
        pool->refused = true;
    }
    pthread_mutex_unlock(&pool->lock);
    *no_memory = allowed && !arrival;
    return arrival;
}

void sgp_chunk_pool_give_place(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival) {
    pthread_mutex_lock(&pool->lock);
    pool->held[arrival->src]--;
    arrival->next = pool->free_arrivals;
    pool->free_arrivals = arrival;
    pthread_mutex_unlock(&pool->lock);
}

void sgp_chunk_pool_allow(sgp_chunk_pool_t *pool, uint64_t chunks) {
    pthread_mutex_lock(&pool->lock);
    if (chunks > pool->allowed) pool->allowed = chunks;
    pthread_mutex_unlock(&pool->lock);
}

void sgp_chunk_pool_deliver(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival) {
    pthread_mutex_lock(&pool->lock);
    add_arrival(&pool->arrived, arrival);
    pthread_mutex_unlock(&pool->lock);
}

sgp_arrival_t *sgp_chunk_pool_receive(sgp_chunk_pool_t *pool) {
    pthread_mutex_lock(&pool->lock);
    sgp_arrival_t *arrival = pool->arrived.first;
    if (arrival) pool->arrived.first = arrival->next;
    if (!pool->arrived.first) pool->arrived.last = &pool->arrived.first;
    pthread_mutex_unlock(&pool->lock);
    return arrival;
}

void sgp_chunk_pool_release(sgp_chunk_pool_t *pool, sgp_arrival_t *arrival) {
    pthread_mutex_lock(&pool->lock);
    add_arrival(&pool->released, arrival);
    pthread_mutex_unlock(&pool->lock);
}

bool sgp_chunk_pool_collect(sgp_chunk_pool_t *pool, sgp_post_t **posts, sgp_arrival_t **released) {
    pthread_mutex_lock(&pool->lock);
    *posts = sgp_post_list_take(&pool->posted);
    *released = take_arrivals(&pool->released);
    bool refused = pool->refused;
    pool->refused = false;
    pthread_mutex_unlock(&pool->lock);
    return refused;
}

/* ---- making and ending ---- */

sgp_status_t sgp_chunk_pool_init(sgp_chunk_pool_t *pool, int size, size_t chunk_bytes) {
    *pool = (sgp_chunk_pool_t){.chunk_bytes = chunk_bytes, .allowed = LEAST_ALLOWED};
    pthread_mutex_init(&pool->lock, NULL);
    sgp_post_list_take(&pool->posted);
    take_arrivals(&pool->arrived);
    take_arrivals(&pool->released);
    pool->held = calloc((size_t)size, sizeof *pool->held);
    if (pool->held) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", size);
}

void sgp_chunk_pool_fini(sgp_chunk_pool_t *pool) {
    sgp_arrival_t *arrival = pool->last_made;
    for (sgp_arrival_t *next; arrival; arrival = next) next = arrival->made_before, free(arrival);
    for (uint32_t i = 0; i < pool->posts_count; i++) free(pool->posts[i]);
    free(pool->posts);
    for (place_block_t *next, *block = pool->blocks; block; block = next) {
        next = block->next;
        sgp_memory_free(block->places);
        free(block);
    }
    free(pool->held);
    pthread_mutex_destroy(&pool->lock);
}
