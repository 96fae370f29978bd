/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of an mpi transport: its slots, the requests under way, and the small messages in which peers return slots
 * and say goodbye. Called by mpi.c alone; never sleeps and never waits.
 *
 * Room. A sender's slot comes back when all receivers have released the chunk; each receiver returns slots in
 * batches, in a small message. So the sender's own promise bounds what a receiver holds: the receiver takes in every
 * chunk that has arrived, adds slots when it needs them, and never refuses a chunk for lack of one. Two ranks that
 * hold many of each other's chunks cannot wait for each other. */
#ifndef SGP_TRANSPORT_MPI_MPI_REQUESTS_H
#define SGP_TRANSPORT_MPI_MPI_REQUESTS_H

#include "transport/agent.h"
#include "transport/mpi/mpi.h"
#include "transport/mpi/mpi_load.h"
#include "transport/mpi/mpi_slots.h"

#include <stdatomic.h>

#define SGP_MPI_CREDITS 64 /* slots that one message returns */

typedef struct peer {
    sgp_mpi_cookie_t cookie;  /* first: of `given` and of the last message, SGP_MPI_CONTROL */
    bool sending;             /* `given` is under way */
    bool has_left;            /* its last message is here */
    bool last_sent;           /* our last message to it has been sent */
    sgp_mpi_slot_t *released; /* what it is to be told of */
    uint32_t given[SGP_MPI_CREDITS];
} peer_t;

typedef struct mpi {
    sgp_transport_t transport; /* first: a transport is an mpi */
    const sgp_mpi_t *library;
    sgp_mpi_comm_t *comm;
    sgp_agent_t agent;
    atomic_bool poked; /* the agent is to return from wait */
    bool has_failed;
    bool left;       /* in order */
    peer_t *peers;   /* (size); our own entry unused */
    int peers_left;  /* whose last message is here */
    int to_tell;     /* peers with something released */
    double *weights; /* (size) of the chunk being sent */
    sgp_mpi_slots_t sent, received;
    uint32_t reserved; /* free slots promised to messages begun */
    uint32_t wanted;   /* slots, by a sender that was told to come again; 0: none */
    int receiving;     /* chunks on their way into slots */
    sgp_mpi_slot_t *ready, **ready_end; /* that have arrived, in order */
} mpi_t;

/* The peers and the slots of mpi->transport. SGP_ERR_NO_MEMORY, logged; fini is called in every case. forget: MPI may still
 * use their memory, which is left to the end of the process. */
sgp_status_t sgp_mpi_requests_init(mpi_t *mpi);
void sgp_mpi_requests_fini(mpi_t *mpi, bool forget);

/* Does all work that needs no waiting: receives, ends requests, returns slots. */
void sgp_mpi_progress(mpi_t *mpi);

/* Sender's slots that are free and not promised to a message. */
uint32_t sgp_mpi_room(const mpi_t *mpi);

/* Sends a sealed slot, unless dst has left; MPI's lock held. Each post, and the caller, holds references to the slot. */
void sgp_mpi_post(mpi_t *mpi, sgp_mpi_slot_t *slot, const unsigned char *begin, int dst);
void sgp_mpi_drop(mpi_t *mpi, sgp_mpi_slot_t *slot);

/* The oldest received chunk, or NULL; it goes back to its sender when it is released. */
sgp_mpi_slot_t *sgp_mpi_take_ready(mpi_t *mpi);
void sgp_mpi_release(mpi_t *mpi, sgp_mpi_slot_t *slot);

/* This rank's last message to another; MPI's lock held. */
void sgp_mpi_send_last(mpi_t *mpi, int rank);

#endif
