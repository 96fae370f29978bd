/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/chunk_pool.h"

#include "base/memory.h"

#include <stdlib.h>

/* Places that are allocated at a time. */
#define BLOCK_PLACES ((size_t)256)

struct sgp_place_block {
    sgp_place_block_t *next;
    unsigned char *places; /* (BLOCK_PLACES, chunk_bytes) */
};

void sgp_post_list_add(sgp_post_list_t *list, sgp_post_t *post) {
    post->next = NULL;
    *list->last = post;
    list->last = &post->next;
}

sgp_post_t *sgp_post_list_take(sgp_post_list_t *list) {
    sgp_post_t *first = list->first;
    *list = (sgp_post_list_t){.first = NULL, .last = &list->first};
    return first;
}

void sgp_arrival_list_add(sgp_arrival_list_t *list, sgp_arrival_t *arrival) {
    arrival->next = NULL;
    *list->last = arrival;
    list->last = &arrival->next;
}

sgp_arrival_t *sgp_arrival_list_take(sgp_arrival_list_t *list) {
    sgp_arrival_t *first = list->first;
    *list = (sgp_arrival_list_t){.first = NULL, .last = &list->first};
    return first;
}

/* The table grows while more is under way than ever before, and not in later steps. */
static sgp_post_t *new_post(sgp_links_stock_t *stock) {
    if (stock->posts_count == stock->posts_room) {
        uint32_t room = stock->posts_room ? 2 * stock->posts_room : 256;
        sgp_post_t **grown = realloc(stock->posts, room * sizeof(sgp_post_t *));
        if (!grown) return NULL;
        stock->posts = grown;
        stock->posts_room = room;
    }
    sgp_post_t *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->ticket = stock->posts_count;
    stock->posts[stock->posts_count++] = made;
    return made;
}

bool sgp_stock_reserve(sgp_links_stock_t *stock, size_t posts) {
    while (stock->free_count < stock->reserved + posts) {
        sgp_post_t *made = new_post(stock);
        if (!made) return false;
        sgp_stock_give_post(stock, made);
    }
    stock->reserved += posts;
    return true;
}

sgp_post_t *sgp_stock_take_post(sgp_links_stock_t *stock) {
    sgp_post_t *post = stock->free_posts;
    stock->free_posts = post->next;
    stock->free_count--;
    stock->reserved--;
    return post;
}

void sgp_stock_cancel_post(sgp_links_stock_t *stock) {
    stock->reserved--;
}

void sgp_stock_give_post(sgp_links_stock_t *stock, sgp_post_t *post) {
    post->state = SGP_POST_FREE;
    post->next = stock->free_posts;
    stock->free_posts = post;
    stock->free_count++;
}

static bool add_block(sgp_links_stock_t *stock) {
    sgp_place_block_t *block = calloc(1, sizeof *block);
    if (!block) return false;
    block->places = sgp_memory_alloc(BLOCK_PLACES * stock->chunk_bytes);
    if (!block->places) return free(block), false;
    block->next = stock->blocks;
    stock->blocks = block;
    stock->places_left = BLOCK_PLACES;
    return true;
}

/* The place given back last is still in the cache. */
sgp_arrival_t *sgp_stock_take_place(sgp_links_stock_t *stock) {
    sgp_arrival_t *arrival = stock->free_arrivals;
    if (arrival) {
        stock->free_arrivals = arrival->next;
        return arrival;
    }
    if (!stock->places_left && !add_block(stock)) return NULL;
    arrival = calloc(1, sizeof *arrival);
    if (!arrival) return NULL;
    arrival->place =
        stock->blocks->places + (BLOCK_PLACES - stock->places_left--) * stock->chunk_bytes;
    arrival->made_before = stock->last_made;
    return stock->last_made = arrival;
}

void sgp_stock_init(sgp_links_stock_t *stock, size_t chunk_bytes) {
    *stock = (sgp_links_stock_t){.chunk_bytes = chunk_bytes};
}

void sgp_stock_fini(sgp_links_stock_t *stock) {
    sgp_arrival_t *arrival = stock->last_made;
    for (sgp_arrival_t *next; arrival; arrival = next) next = arrival->made_before, free(arrival);
    for (uint32_t i = 0; i < stock->posts_count; i++) free(stock->posts[i]);
    free(stock->posts);
    for (sgp_place_block_t *next, *block = stock->blocks; block; block = next) {
        next = block->next;
        sgp_memory_free(block->places);
        free(block);
    }
}
