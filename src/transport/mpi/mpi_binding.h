/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of an MPI library that the transport uses, as a table.
 *
 * MPI libraries differ in types and constants, so mpi_binding.c is compiled once for each, into a module:
 * libsgp-mpi-openmpi.so, libsgp-mpi-mpich.so, ... A module exports this table alone and is loaded at run time
 * (mpi_load.h): libsgp links against no MPI, and one libsgp works with several. A module never calls libsgp, so libsgp
 * may be shared or static.
 *
 * Functions return 0 or an MPI error code for `describe`. They never log, and block only where they say so. Ranks are
 * those of the communicator. */
#ifndef SGP_TRANSPORT_MPI_MPI_BINDING_H
#define SGP_TRANSPORT_MPI_MPI_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MPI_BINDING        sgp_mpi_binding_1 /* the table's name, changed with its layout */
#define SGP_MPI_BINDING_SYMBOL "sgp_mpi_binding_1"

/* A communicator of sgp's own, with the requests under way on it. */
typedef struct sgp_mpi_comm sgp_mpi_comm_t;

/* The state that start has found. */
typedef struct sgp_mpi_state {
    bool ours;       /* we have initialised MPI */
    bool any_thread; /* threads may call MPI one at a time; false: only the main one may */
    bool main;       /* this is the main thread */
    bool finalized;  /* MPI has been finalised in this process; nothing else is set */
} sgp_mpi_state_t;

/* An arrived message, which the caller must receive. */
typedef struct sgp_mpi_message {
    int src, tag;
    size_t bytes;
    uint64_t handle; /* the binding's */
} sgp_mpi_message_t;

typedef struct sgp_mpi_binding {
    /* Initialises MPI if the program has not. Blocks. */
    int (*start)(sgp_mpi_state_t *state);
    int (*end)(void); /* MPI_Finalize. Blocks */

    /* A new communicator of all processes (parent NULL), or of the parent's processes with the same part, ordered
     * by key; *comm is NULL if part is negative. Collective; blocks. */
    int (*create)(sgp_mpi_comm_t *parent, int part, int key, sgp_mpi_comm_t **comm);
    int (*place)(sgp_mpi_comm_t *comm, int *rank, int *size);

    /* Collective if nothing is under way. Otherwise the communicator stays until the process ends. */
    void (*destroy)(sgp_mpi_comm_t *comm);

    /* Each rank gives `bytes`; all receive (size, bytes). Collective; blocks. */
    int (*gather)(sgp_mpi_comm_t *comm, const void *mine, int bytes, void *all);

    /* The sum over the ranks, in place. Collective; blocks, and waits as MPI does. */
    int (*sum)(sgp_mpi_comm_t *comm, float *values /* (count) */, size_t count);

    /* buffer: borrowed until `test` returns the cookie. bytes: at most INT_MAX. */
    int (*send)(sgp_mpi_comm_t *comm, const void *buffer, size_t bytes, int dst, int tag,
                void *cookie);
    int (*receive)(sgp_mpi_comm_t *comm, const sgp_mpi_message_t *message, void *buffer,
                   void *cookie);

    /* The next message from any rank; messages of one rank keep their order. */
    int (*probe)(sgp_mpi_comm_t *comm, sgp_mpi_message_t *message, bool *found);

    /* The cookies of completed requests; valid until the next call. */
    int (*test)(sgp_mpi_comm_t *comm, void ***cookies, int *count);
    int (*pending)(const sgp_mpi_comm_t *comm); /* requests under way */

    void (*describe)(int code, char *text, size_t room);
} sgp_mpi_binding_t;

#endif
