/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of one process to all others, and the thread that moves their bytes: what tcp.c
 * hands to the shared-memory transport as its remote.
 *
 * Two contexts meet here. The owner's (the transport's calls) posts chunks, receives and releases; the
 * thread runs libuv's loop. They share the lists under `lock`, and nothing else: all about sockets
 * belongs to the thread. */
#ifndef SGP_TRANSPORT_TCP_TCP_ENGINE_H
#define SGP_TRANSPORT_TCP_TCP_ENGINE_H

#include "transport/remote.h"
#include "transport/tcp/frame.h"
#include "transport/tcp/chunk_pool.h"
#include "transport/tcp/tcp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* So often a damaged chunk is asked for again, and sent again; then the peer is lost. */
#define SGP_LINK_REPEATS 3

typedef struct sgp_links sgp_links_t;
typedef struct sgp_link sgp_link_t;

/* What the thread knows of another rank. */
typedef struct sgp_peer {
    sgp_address_t address;
    bool local;            /* reached by other means */
    bool lost;             /* ended without leaving, or silent */
    bool left;             /* has left in order */
    sgp_fate_t fate;       /* of one that is lost */
    char *why;             /* owned; until the owner knows */
    int told;              /* the first loss that it has told us of: a rank, or -1 */
    sgp_link_t *out;       /* ours to it; NULL: none yet */
    sgp_link_t *in;        /* its to us */
    uint64_t called_since; /* when we first tried; 0: we have not */
    uint64_t call_again;   /* not before */
    int refusals;          /* of our calls, in a row */
    sgp_post_list_t queue; /* posts to be sent */
    sgp_turn_t posted;     /* the last message of them */
    uint64_t places;       /* with chunks of its; belongs to the lock */
} sgp_peer_t;

struct sgp_links {
    sgp_remote_t remote; /* first: a remote is a links */
    sgp_remote_owner_t owner;
    int rank, size;
    uint64_t run;
    size_t chunk_bytes;
    sgp_key_t key;
    bool keyed, insecure, at_once;
    uint64_t open_timeout, peer_timeout; /* nanoseconds */

    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t changed;      /* met, has_left */
    sgp_post_list_t posted;      /* by the owner, not seen by the thread yet */
    sgp_arrival_list_t released; /* the same */
    sgp_arrival_list_t arrived;  /* for the owner */
    sgp_links_stock_t stock;
    struct sgp_noticed *notes; /* of the owner, not seen by the thread yet, the latest first */
    bool met;                  /* the neighbours are there, or somebody is lost */
    bool leaving, has_left, ending;
    bool full;            /* no place was left for an arrival: reading has paused */
    uint64_t allowed;     /* places that each rank may have */
    atomic_uint waiting;  /* arrivals not received */
    atomic_bool *dropped; /* (size) no more is to be posted to it */

    /* The thread's. */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    uv_timer_t turns; /* runs while a line is contended */
    uv_poll_t listening;
    int listener;
    sgp_peer_t *peers; /* (size) */
    sgp_link_t *all;   /* links, whatever their state */
    int strangers;     /* links that have not shaken hands */
    uint64_t ticked;   /* when the timer last ran */
    uint64_t tick;     /* nanoseconds between two runs of it */
    int *unsaid; /* (size) lost ranks, in order, that the owner is told of when the peers are */
    int unsaid_count;
    uint64_t unsaid_since;
    bool leaves;         /* the owner leaves */
    sgp_turns_t in, out; /* the lines into this process and out of it */
    bool turns_due;      /* messages have begun or ended since turns were taken */
    /* For an arrival; the log has it, and the timer tries again. */
    bool short_of_memory;
};

/* A loss that the owner has noticed. */
typedef struct sgp_noticed {
    struct sgp_noticed *next;
    int rank;
    sgp_fate_t fate;
    char why[96]; /* "": nothing but the cause */
} sgp_noticed_t;

/* options: rank, size and so on as sgp_tcp_connect checks them; listener is taken in every case. */
sgp_status_t sgp_links_create(const sgp_tcp_options_t *options, size_t chunk_bytes,
                              sgp_links_t **links);

/* ---- for link.c and news.c, in the thread ---- */

uint64_t sgp_links_now(void);

/* Drops what waits for a rank or is on its way to it. */
void sgp_links_drop_posts(sgp_links_t *links, int rank);

/* The receiver has released a post, or wants it again. false: no such post is under way to it. */
bool sgp_links_released(sgp_links_t *links, int dst, uint32_t ticket);
bool sgp_links_repeat(sgp_links_t *links, int dst, uint32_t ticket);

/* An arrival of src, with a place to read to; NULL: there is none now, as src has as many as it may, or for
 * lack of memory. Until it is given back it counts as one of src's. */
sgp_arrival_t *sgp_links_take_place(sgp_links_t *links, int src);
void sgp_links_give_place(sgp_links_t *links, sgp_arrival_t *arrival);

/* Hands an arrival to the owner. */
void sgp_links_deliver(sgp_links_t *links, sgp_arrival_t *arrival);

/* Drops that and whatever is posted to the rank from now on. */
void sgp_links_give_up(sgp_links_t *links, int rank);

/* The neighbours are there, or somebody is lost: the owner need not wait for them. */
void sgp_links_note_met(sgp_links_t *links);
void sgp_links_look_if_met(sgp_links_t *links);

/* A post is put into the queue of its receiver. */
void sgp_peer_posts(sgp_links_t *links, sgp_peer_t *peer, sgp_post_t *post);

/* Sends and reads what has its turn now. Last in everything that the loop calls. */
void sgp_links_take_turns(sgp_links_t *links);

/* Opens the edge to a rank, if it is not and may be. */
void sgp_links_call(sgp_links_t *links, int rank);

#endif
