/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of an mpi transport: slots, requests under way, and the control messages in which ranks return slots and
 * leave. Called by mpi.c alone; never sleeps and never blocks.
 *
 * Room. A sender's slot is free again when all receivers have released the chunk; each returns slots in batches, in a
 * control message. So a sender's promise bounds the chunks at its receivers. A receiver takes in every chunk that has
 * arrived, adds slots as it needs them, and never refuses a chunk for lack of one: two ranks that hold many of each
 * other's chunks cannot wait for each other. */
#ifndef SGP_TRANSPORT_MPI_MPI_REQUESTS_H
#define SGP_TRANSPORT_MPI_MPI_REQUESTS_H

#include "transport/agent.h"
#include "transport/mpi/mpi_load.h"
#include "transport/mpi/mpi_slots.h"
#include "transport/transport.h"

#include <stdatomic.h>

#define SGP_MPI_CREDITS 64 /* slots that one message returns */

typedef struct peer {
    sgp_mpi_cookie_t cookie;  /* first: of `returned` and of the last message, SGP_MPI_CONTROL */
    bool sending;             /* `returned` is under way */
    bool has_left;            /* its last message has arrived */
    int receiving;            /* messages of it that are being received */
    bool last_sent;           /* our last message to it has been sent */
    sgp_mpi_slot_t *released; /* its slots, which this rank must return */
    uint32_t returned[SGP_MPI_CREDITS];
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
    int peers_left;  /* whose last message has arrived */
    int to_return;   /* peers with released slots */
    double *weights; /* (size) of the chunk being sent */
    sgp_mpi_slots_t sent, received;
    uint32_t reserved; /* free slots promised to begun messages */
    uint32_t wanted;   /* slots, by a send_begin that returned SGP_ERR_AGAIN; 0: none */
    int receiving;     /* receives under way */
    sgp_mpi_slot_t *ready, **ready_end; /* arrived chunks, oldest first */
} mpi_t;

/* Allocates peers and slots. SGP_ERR_NO_MEMORY, logged; call fini then as well. forget: MPI may still use their memory,
 * so it is kept until the process ends. */
sgp_status_t sgp_mpi_requests_init(mpi_t *mpi);
void sgp_mpi_requests_fini(mpi_t *mpi, bool forget);

/* Begins receives, ends requests, and returns slots, as far as possible without waiting. */
void sgp_mpi_progress(mpi_t *mpi);

/* Free slots for sending that no begun message needs. */
uint32_t sgp_mpi_room(const mpi_t *mpi);

/* Sends a sealed slot, unless dst has left; MPI's lock held. A post holds references of its own; drop gives up one. */
void sgp_mpi_post(mpi_t *mpi, sgp_mpi_slot_t *slot, const unsigned char *begin, int dst);
void sgp_mpi_drop(mpi_t *mpi, sgp_mpi_slot_t *slot);

/* Takes the oldest arrived chunk, or NULL. release returns the sender's slot. */
sgp_mpi_slot_t *sgp_mpi_take_ready(mpi_t *mpi);
void sgp_mpi_release(mpi_t *mpi, sgp_mpi_slot_t *slot);

/* Sends this rank's last message to another; MPI's lock held. */
void sgp_mpi_send_last(mpi_t *mpi, int rank);

#endif
